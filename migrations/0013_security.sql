-- The networks that a key may be used from; empty: any.
alter table api_keys add column allowed_cidrs text[] not null default '{}';

-- Failed sign-ins of the present window of each address. A crash may forget them; a sign-in that succeeds never comes here.
create unlogged table failed_sign_ins (
    -- An IPv4 address, or the /64 that an IPv6 address lies in.
    origin      text primary key,
    failures    integer not null,
    -- When the window ends.
    until       timestamptz not null
);

create index failed_sign_ins_until on failed_sign_ins (until);

-- A credential that is only sealed anew is still the same one: whoever is renewing it must find its version as it was.
create or replace function count_credential() returns trigger language plpgsql as $$
begin
    if coalesce(current_setting('gateway.resealing', true), '') <> 'on' then
        new.credential_version := old.credential_version + 1;
    end if;
    return new;
end
$$;

-- Puts the same credential, sealed with another key, in the place of `former`. False: another one is there by now.
create function reseal(account text, former bytea, resealed bytea) returns boolean language plpgsql as $$
declare
    replaced boolean;
begin
    -- To the end of this transaction at most: a pooler may give the connection to somebody else then.
    perform set_config('gateway.resealing', 'on', true);
    update accounts set credential = resealed where id = account and credential = former;
    replaced := found;
    perform set_config('gateway.resealing', '', true);
    return replaced;
end
$$;
