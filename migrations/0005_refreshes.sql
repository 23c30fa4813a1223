-- Logins: when the access token ends, and who is fetching the next one.

alter table accounts
    add column credential_expires_at timestamptz,
    -- Rises with every new credential. A refresh does not change the settings' revision: an instance learns of it when the
    -- token that it knows is about to end, or is refused.
    add column credential_version bigint not null default 1,
    -- The operator's statement that the provider's terms allow this login to be used this way.
    add column entitled boolean not null default false;

create function count_credential() returns trigger language plpgsql as $$
begin
    new.credential_version := old.credential_version + 1;
    return new;
end
$$;

-- Whoever writes it, a new credential has a new version, and so is never taken for the one before.
create trigger count_credential before update of credential on accounts
for each row when (new.credential is distinct from old.credential) execute function count_credential();

-- A refresh that is under way, rests after a failure, or was begun and never finished.
create table refreshes (
    account_id  text primary key references accounts (id) on delete cascade,
    -- The version of the credential that is to be replaced; a row of another version says nothing any more.
    version     bigint not null,
    -- Whose turn it is; null: nobody's, the last try failed.
    holder      text,
    -- The end of the turn, or of the rest after a failure.
    until       timestamptz not null,
    -- A refresh token may have been sent and the answer was not kept: if it was good for one use, it is used up.
    unanswered  boolean not null,
    -- Why the last try failed, and what helps: a `login`, other `settings` of the gateway, or `patience`.
    failure     text,
    remedy      text check (remedy in ('login', 'settings', 'patience'))
);

-- Takes the turn to refresh an account's credential, if it still has the version that the caller knows. The turn is:
--   mine · again (mine, and a refresh before this one was never answered) · busy · newer (or the account is gone)
--   resting, with the failure of moments ago and its remedy
create function begin_refresh(account text, known bigint, who text, seconds double precision)
returns table (turn text, failure text, remedy text) language plpgsql as $$
#variable_conflict use_column
declare
    current bigint;
    before refreshes;
begin
    -- Locked against the transaction that stores a new credential, so that no turn is taken on one that is already old.
    select credential_version into current from accounts where id = account for no key update;
    if current is distinct from known then
        return query select 'newer', null, null;
        return;
    end if;
    select r.* into before from refreshes r where r.account_id = account and r.version = known;
    -- A statement whose answer was lost is sent again.
    if before.holder = who then
        return query select 'mine', null, null;
        return;
    end if;
    if before.until > clock_timestamp() then
        return query select
            case when before.holder is null then 'resting' else 'busy' end, before.failure, before.remedy;
        return;
    end if;
    insert into refreshes values (account, known, who, clock_timestamp() + make_interval(secs => seconds), true)
    on conflict (account_id) do update set
        version = excluded.version, holder = excluded.holder, until = excluded.until, unanswered = true,
        failure = null, remedy = null;
    return query select case when before.unanswered then 'again' else 'mine' end, null, null;
end
$$;
