-- The claim before the upstream is called, in its newest form: it replaces the one of migration 4.
--
-- `claim_all` takes a batch and grants what is plain in one statement; whatever a limit, a cap or a test has a say in goes
-- through `claim_closely`, one request after the other. Both under the lock of the pool, so a limit holds exactly, however
-- many instances there are.

-- While statistics say that the table is empty, a planner would as soon read every lease that lives as those of one account.
-- What looks for dead ones may well read them all. And a lease that is renewed now stays in its place.
drop index leases_expires_at_idx;
-- Most tables of leases hold requests without a session.
drop index leases_session_idx;
create index on leases (session) where session is not null;

alter table leases
    -- Read when an instance has died, and then only: kept as it came.
    alter column draft type json using draft::text::json,
    -- The second a limit by the minute counts a request in. A lease that moves to another account keeps it.
    add column admitted_at timestamptz not null default clock_timestamp(),
    -- The tokens that the claim has put down in minutes, for the settlement to correct; null: it has counted nothing.
    add column counted bigint,
    -- What the limits of a key count of a request that is under way.
    add column started_at timestamptz,
    add column model text,
    add column tokens bigint,
    add column cost_micros bigint;
update leases set
    counted = coalesce((draft->>'input_tokens')::bigint, 0),
    started_at = (draft->>'started_at')::timestamptz, model = draft->>'model',
    tokens = coalesce((draft->>'input_tokens')::bigint, 0), cost_micros = coalesce((draft->>'cost_micros')::bigint, 0);

-- What one request asks for.
create type claim_item as (
    request            text,
    -- The revision of the settings that it was decided on.
    revision           bigint,
    key                text,
    pool               text,
    -- The model family whose cooldowns count.
    family             text,
    -- Estimated, for limits by the minute.
    tokens             bigint,
    -- Ids, best first; null: the caller brings a login of its own.
    accounts           text[],
    -- Where `accounts` is only the best of many: accounts of the pool that must not serve it.
    unsuited           text[],
    session            text,
    -- Where the policy has affinity: how long a conversation is remembered, and its requests on one account at once.
    session_seconds    integer,
    session_in_flight  integer,
    -- No other account can serve it, so its session moves for good.
    pinned             boolean,
    -- When the caller's secret ends, where it was replaced and works for a while yet.
    secret_ends        timestamptz,
    -- Where Redis counts minutes: {"counted": {account (it counts on this one), full (on these it cannot), limited (what
    -- `key_refusal` would say)}}, or "away", when Redis is and they are counted here.
    minutes            jsonb,
    -- The ledger row as far as it is known, and of that what a key's limits count.
    draft              json
);

-- What comes of it.
create type claim_answer as (
    -- granted · settings_changed (what the item was decided on is old) · key_gone · key_busy · key_limited · accounts_busy ·
    -- uncounted (this account would serve, once Redis has counted the request on it)
    outcome       text,
    account_id    text,
    -- Whether the session is `new`, was `kept` on its account, or `moved`; then `left_account` is the one it was bound to.
    affinity      text,
    -- What `key_refusal` says.
    limited       jsonb,
    left_account  text
);

-- Claims of one pool are made one after the other, to the end of the transaction. Pools are locked in one order everywhere.
create function claim_turn(pools text[]) returns void language plpgsql as $$
begin
    perform pg_advisory_xact_lock(hashtextextended('claim ' || pool, 0))
    from (select distinct pool from unnest(pools) pool order by 1) in_order;
end
$$;

-- Takes for each request the first usable account of its list. One array for each column of `claim_item`, but:
--   accounts: ids separated by commas; `closely`: `claim_closely` has to look at it, whatever the tables say;
--   more: an object of what is seldom there (unsuited, pinned, secret_ends, minutes), or null.
-- A row for each request, in their order.
create function claim_all(
    requests text[], revisions bigint[], keys text[], pools text[], families text[], tokens bigint[], accounts text[],
    sessions text[], session_seconds integer[], session_in_flight integer[], closely boolean[], more jsonb[],
    drafts json[], started timestamptz[], models text[], spent bigint[], costs bigint[]
) returns setof claim_answer
language plpgsql
-- The tables are small and change all the time: an index is right whatever the statistics of the moment say, and a plan
-- that was right once is right again.
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
set plan_cache_mode = force_generic_plan
-- Whoever waits longer for the others has no caller any more, who is told within five seconds: it must not take a lease.
set lock_timeout = '3s'
as $$
#variable_conflict use_column
declare
    answer claim_answer;
    place bigint;
begin
    perform claim_turn(pools);
    answer.outcome := 'granted';

    for place, answer.account_id, answer.affinity in
        -- Plain is a request whose first account, or the one that its session is bound to, is well, and where neither the key
        -- nor the account has a limit. Nothing about it can be changed by what happens to another request of the batch.
        with looked_at as (
            select
                i.*, a.id as account, s.account_id as bound, s.expires_at as bound_until,
                make_interval(secs => i.session_seconds) as life,
                i.revision = (select revision from settings) and not i.closely
                and k.revoked_at is null and (k.expires_at is null or k.expires_at > now())
                and k.limits = '[]' and k.max_in_flight is null
                and a.health = 'ready' and not a.paused
                and a.max_in_flight is null and a.requests_per_minute is null and a.tokens_per_minute is null
                and not exists (
                    select from family_cooldowns f where f.account_id = a.id and f.family = i.family and f.until > now()
                )
                and (i.session_seconds is null or (
                    (s.account_id is null or s.account_id = any (string_to_array(i.accounts, ',')))
                    -- A second one of the same session would have to count the first.
                    and row_number() over (partition by i.session, i.session_seconds order by i.place) = 1
                    and i.session_in_flight > (
                        select count(*) from leases l
                        where l.session = i.session and l.account_id = a.id and l.expires_at > now()
                          and l.request_id <> i.request
                    )
                )) as plain
            from unnest(
                requests, revisions, keys, families, accounts, sessions, session_seconds, session_in_flight, closely,
                drafts, started, models, spent, costs
            ) with ordinality i (
                request, revision, key, family, accounts, session, session_seconds, session_in_flight, closely,
                draft, started_at, model, tokens, cost_micros, place
            )
            left join api_keys k on k.id = i.key
            left join sessions s on s.session = i.session and i.session_seconds is not null and s.expires_at > now()
            left join accounts a on a.id = coalesce(s.account_id, split_part(i.accounts, ',', 1))
        ), leased as (
            -- A second claim of the same request moves its lease.
            insert into leases (
                request_id, key_id, account_id, session, claimed_at, expires_at, draft, started_at, model, tokens, cost_micros
            )
            select
                request, key, account, session, clock_timestamp(), now() + lease_life(), draft, started_at, model,
                tokens, cost_micros
            from looked_at where plain
            on conflict (request_id) do update set
                account_id = excluded.account_id, claimed_at = excluded.claimed_at, expires_at = excluded.expires_at,
                draft = excluded.draft, counted = null, tokens = excluded.tokens, cost_micros = excluded.cost_micros
        ), remembered as (
            insert into sessions
            select session, account, now() + life
            from looked_at where plain and life is not null and (bound is null or bound_until < now() + life / 2)
            on conflict (session) do update set account_id = excluded.account_id, expires_at = excluded.expires_at
        )
        select
            l.place, case when plain then account end,
            case when life is not null then case when bound is null then 'new' else 'kept' end end
        from looked_at l order by l.place
    loop
        if answer.account_id is not null then
            return next answer;
        else
            return next claim_closely(jsonb_populate_record((
                requests[place], revisions[place], keys[place], pools[place], families[place], tokens[place],
                string_to_array(accounts[place], ','), null, sessions[place], session_seconds[place],
                session_in_flight[place], false, null, null, drafts[place]
            )::claim_item, more[place]));
        end if;
    end loop;
end
$$;

-- The same, from statements of older releases.
drop function claim(jsonb);
create function claim(batch jsonb)
returns table (request_id text, outcome text, account_id text, affinity text)
language plpgsql
set enable_seqscan = off set enable_bitmapscan = off set plan_cache_mode = force_generic_plan
set lock_timeout = '3s'
as $$
declare
    item claim_item;
    answer claim_answer;
begin
    perform claim_turn(array(select i->>'pool' from jsonb_array_elements(batch) i));
    for item in select * from jsonb_populate_recordset(null::claim_item, batch) loop
        answer := claim_closely(item);
        return query select item.request, answer.outcome, answer.account_id, answer.affinity;
    end loop;
end
$$;

-- Takes for one request the first usable account of its list, and looks at everything that has a say in it.
create function claim_closely(item claim_item) returns claim_answer language plpgsql as $$
declare
    answer claim_answer;
    holder api_keys;
    bound accounts;
    candidate accounts;
    resting family_cooldowns;
    life interval := make_interval(secs => item.session_seconds);
    newly boolean;
    counted jsonb := item.minutes->'counted';
    here boolean := true;
begin
    select * into holder from api_keys where id = item.key;
    if item.minutes is not null then
        here := counting_here(counted is null);
        if not here then
            holder.limits := jsonb_path_query_array(holder.limits, '$[*] ? (@.span != "minute")');
        end if;
    end if;
    -- A request that goes on to another account was counted when it was admitted.
    newly := holder.limits <> '[]' and not exists (select from leases l where l.request_id = item.request);
    answer.limited := counted->'limited';
    if newly and answer.limited is null then
        answer.limited := key_refusal(holder, item.tokens, item.draft->>'model');
    end if;

    if item.revision <> (select revision from settings) then
        answer.outcome := 'settings_changed';
    elsif holder.id is null or holder.revoked_at is not null or holder.expires_at <= now()
        or item.secret_ends <= clock_timestamp() then
        answer.outcome := 'key_gone';
    elsif holder.max_in_flight is not null and holder.max_in_flight <= (
        select count(*) from leases l
        where l.key_id = holder.id and l.expires_at > now() and l.request_id <> item.request
    ) then
        answer.outcome := 'key_busy';
    elsif answer.limited is not null then
        answer.outcome := 'key_limited';
    elsif item.accounts is null then
        -- The caller's own login serves: all that holds of the key holds, and there is no account to take.
        answer.outcome := 'granted';
        answer.account_id := 'passthrough';
        candidate.id := answer.account_id;
        life := null;
    else
        answer.outcome := 'accounts_busy';
        if life is not null then
            select a.* into bound from sessions s join accounts a on a.id = s.account_id
            where s.session = item.session and s.expires_at > now();
        end if;
        for candidate in select * from in_order(item, bound) loop
            select f.* into resting from family_cooldowns f
            where f.account_id = candidate.id and f.family = item.family and f.until > now();
            continue when resting.until is not null and (
                resting.probe_at is null or resting.probe_at > now() or under_way(resting.tester, item.request)
            );
            -- Somebody tests it.
            continue when candidate.tester is not null and sits_out(candidate)
                and under_way(candidate.tester, item.request);
            continue when candidate.max_in_flight is not null and candidate.max_in_flight <= (
                select count(*) from leases l
                where l.account_id = candidate.id and l.expires_at > now() and l.request_id <> item.request
            );
            if candidate.requests_per_minute is not null or candidate.tokens_per_minute is not null then
                continue when counted->'full' ? candidate.id;
                continue when here and not minute_has_room(candidate, item.tokens);
                if counted->>'account' is distinct from candidate.id and counted is not null then
                    answer.outcome := 'uncounted';
                    answer.account_id := candidate.id;
                    exit;
                end if;
            end if;
            answer.outcome := 'granted';
            answer.account_id := candidate.id;
            exit;
        end loop;
    end if;
    if answer.outcome <> 'granted' then
        return answer;
    end if;

    if life is not null then
        answer.affinity := case
            when bound.id is null then 'new' when bound.id = candidate.id then 'kept' else 'moved'
        end;
        if answer.affinity = 'moved' then
            answer.left_account := bound.id;
        end if;
        if item.pinned then
            delete from sessions where session = item.session and account_id <> candidate.id;
        end if;
        perform bind(item.session, candidate.id, life);
    end if;
    if not here then
        -- The settlement has nothing to correct here.
        candidate.requests_per_minute := null;
        candidate.tokens_per_minute := null;
    end if;
    perform take(item, candidate, holder, newly);
    if resting.until is not null then
        update family_cooldowns f set tester = item.request
        where f.account_id = candidate.id and f.family = item.family;
    end if;
    return answer;
end
$$;

-- The accounts that may serve a request, as it would have them: its session goes on where it is, else within the
-- organization, whose caches it can read, else by rank. An account that has as many of the session's requests under way as
-- it may comes last: so a fan-out spreads.
create function in_order(item claim_item, bound accounts) returns setof accounts stable language plpgsql as $$
declare
    named text[] := item.accounts;
    crowded text[] := '{}';
begin
    if item.session_seconds is not null then
        select coalesce(array_agg(account_id), '{}') into crowded from (
            select l.account_id from leases l
            where l.session = item.session and l.expires_at > now() and l.request_id <> item.request
            group by 1 having count(*) >= item.session_in_flight
        ) under_way;
    end if;
    if item.unsuited is not null and bound.pool = item.pool and bound.provider = item.draft->>'provider' then
        named := named || kin(bound, item.unsuited);
    end if;
    return query
        select a.*
        from unnest(named) with ordinality as wanted (id, place) join accounts a on a.id = wanted.id
        where not a.paused and (a.health = 'ready' or a.health_until <= now() or a.probe_at <= now())
        order by
            a.id = any (crowded),
            coalesce(a.id = bound.id, false) desc,
            coalesce(a.organization = bound.organization, false) desc,
            wanted.place;
end
$$;

-- Those that a list of the best of many may not name, and that a session would rather go to: its account, and such of the
-- same organization.
create function kin(account accounts, unsuited text[]) returns text[] stable language sql as $$
    select coalesce(array_agg(id), '{}')
    from (
        select account.id
        union all (
            select a.id from accounts a
            where a.organization = account.organization and a.pool = account.pool and a.provider = account.provider
              and a.id <> account.id and not a.id = any (unsuited)
            order by a.id limit 64
        )
    ) kin (id)
    where not id = any (unsuited)
$$;

-- Whether a request is under way that is not this one.
create function under_way(request text, other_than text) returns boolean stable language sql as $$
    select exists (
        select from leases l where l.request_id = request and l.expires_at > now() and l.request_id <> other_than
    )
$$;

-- Whether minutes are counted here, though Redis counts them: while it is away from somebody, and for as long after as a
-- minute of that can matter. Called by whom it is away from, too.
create function counting_here(redis_is_away boolean) returns boolean language plpgsql as $$
begin
    -- Not every claim need write it: a minute is left, and its last second whole.
    if redis_is_away and not exists (select from redis_away where until > clock_timestamp() + interval '61 seconds') then
        insert into redis_away values (true, clock_timestamp() + interval '66 seconds')
        on conflict (one) do update set until = excluded.until;
    end if;
    return exists (select from redis_away where until > clock_timestamp());
end
$$;

-- Leaves a claim's traces: the lease, and where the key or the account has limits or is being tested, what those go by.
drop function take(jsonb, accounts, text);
create function take(item claim_item, account accounts, holder api_keys, newly boolean) returns void language plpgsql as $$
declare
    by_account boolean := account.requests_per_minute is not null or account.tokens_per_minute is not null;
    by_key boolean := holder.limits @> '[{"span": "minute"}]';
    row ledger := json_populate_record(null::ledger, item.draft);
begin
    -- A second claim of the same request moves its lease.
    insert into leases (
        request_id, key_id, account_id, session, claimed_at, expires_at, draft, counted, started_at, model, tokens, cost_micros
    )
    values (
        item.request, holder.id, account.id, item.session, clock_timestamp(), now() + lease_life(), item.draft,
        case when by_account or by_key then item.tokens end, row.started_at, row.model, ledger_tokens(row), row.cost_micros
    )
    on conflict (request_id) do update set
        account_id = excluded.account_id, claimed_at = excluded.claimed_at, expires_at = excluded.expires_at,
        draft = excluded.draft, counted = excluded.counted, tokens = excluded.tokens, cost_micros = excluded.cost_micros;

    if by_account then
        insert into minutes
        values (account.id, floor(extract(epoch from clock_timestamp()))::bigint, 1, item.tokens);
    end if;
    if newly and by_key then
        insert into key_minutes
        select l.key_id, floor(extract(epoch from l.admitted_at))::bigint, 1, item.tokens
        from leases l where l.request_id = item.request;
    end if;

    -- Whoever tests an account is the only one for as long as the request is open.
    if account.probe_at <= now() and sits_out(account) then
        update accounts set tester = item.request where id = account.id;
    end if;
end
$$;

-- Notes where a session is served. One that merely overflows stays bound to where its cache is; one whose account sits out
-- moves for good. It is written only when that says something new, or would soon be forgotten.
create or replace function bind(name text, account text, life interval) returns void language plpgsql as $$
begin
    insert into sessions values (name, account, now() + life)
    on conflict (session) do update set account_id = excluded.account_id, expires_at = excluded.expires_at
    where sessions.expires_at < now() + life / 2 or (
        sessions.account_id <> excluded.account_id and not exists (
            select from accounts a
            where a.id = sessions.account_id and not a.paused and (a.health = 'ready' or a.health_until <= now())
        )
    );
end
$$;
