-- The claim before the upstream is called, in its newest form: it replaces the one of migration 4.

-- While statistics say that the table is empty, a planner would as soon read every lease that lives as those of one account.
-- What looks for dead ones may well read them all. And a lease that is renewed now stays in its place.
drop index leases_expires_at_idx;

-- Takes, for each item, the first usable account of its list. Claims of one pool are made one after the other, so a limit
-- holds exactly, however many instances there are. An item:
--   request, revision (of the settings), key (id), pool, family, tokens (estimated), draft, session,
--   accounts (ids, best first; null: the caller brings a login of its own) and, where the policy has affinity, session_seconds and session_in_flight,
--   unsuited (where the list is only the best of many: accounts of the pool that must not serve it);
--   pinned: no other account can serve it, so its session moves for good;
--   secret_ends, where the caller's secret was replaced and works for a while yet;
--   minutes, where Redis counts them: {"counted": {account (it counts on this one), full (on these it cannot), limited (what
--   `key_refusal` would say)}}, or "away", when Redis is and they are counted here
-- Outcomes: granted · settings_changed (what the item was decided on is old) · key_gone · key_busy · key_limited ·
--   accounts_busy · uncounted (this account would serve, once Redis has counted the request on it)
-- `affinity`: whether the session is `new`, was `kept` on its account, or `moved`; then `left_account` is the one that it was
--   bound to. `limited`: what `key_refusal` says.
drop function claim(jsonb);
create function claim(batch jsonb)
returns table (request_id text, outcome text, account_id text, affinity text, limited jsonb, left_account text)
language plpgsql
-- The tables are small and change all the time: an index is right whatever the statistics of the moment say, and a plan
-- that was right once is right again.
set enable_seqscan = off set enable_bitmapscan = off set plan_cache_mode = force_generic_plan
-- Whoever waits longer for the others has no caller any more, who is told within five seconds: it must not take a lease.
set lock_timeout = '3s'
as $$
#variable_conflict use_column
declare
    item jsonb;
    current bigint;
    holder api_keys;
    bound accounts;
    crowded text[];
    named jsonb;
    candidate accounts;
    resting family_cooldowns;
    life interval;
    newly boolean;
    counted jsonb;
    here boolean;
begin
    perform pg_advisory_xact_lock(hashtextextended('claim ' || pool, 0))
    from (select distinct i->>'pool' as pool from jsonb_array_elements(batch) i order by 1) pools;

    select revision into current from settings;

    for item in select * from jsonb_array_elements(batch) loop
        request_id := item->>'request';
        outcome := 'accounts_busy';
        account_id := null;
        affinity := null;
        limited := null;
        left_account := null;

        select * into holder from api_keys where id = item->>'key';
        counted := null;
        here := true;
        if item ? 'minutes' then
            counted := item->'minutes'->'counted';
            here := counting_here(counted is null);
            if not here then
                holder.limits := jsonb_path_query_array(holder.limits, '$[*] ? (@.span != "minute")');
            end if;
        end if;
        -- A request that goes on to another account was counted when it was admitted.
        newly := holder.limits <> '[]'
            and not exists (select from leases l where l.request_id = item->>'request');
        limited := counted->'limited';
        if newly and limited is null then
            limited := key_refusal(holder, (item->>'tokens')::bigint, item->'draft'->>'model');
        end if;
        if (item->>'revision')::bigint <> current then
            outcome := 'settings_changed';
        elsif holder.id is null or holder.revoked_at is not null or holder.expires_at <= now()
            or (item->>'secret_ends')::timestamptz <= clock_timestamp() then
            outcome := 'key_gone';
        elsif holder.max_in_flight is not null and holder.max_in_flight <= (
            select count(*) from leases l
            where l.key_id = holder.id and l.expires_at > now() and l.request_id <> item->>'request'
        ) then
            outcome := 'key_busy';
        elsif limited is not null then
            outcome := 'key_limited';
        elsif item->'accounts' = 'null' then
            -- The caller's own login serves: all that holds of the key holds, and there is no account to take.
            outcome := 'granted';
            account_id := 'passthrough';
            candidate := null;
            resting := null;
            candidate.id := account_id;
            life := null;
        else
            bound := null;
            crowded := '{}';
            named := item->'accounts';
            life := make_interval(secs => (item->>'session_seconds')::double precision);
            if life is not null then
                select a.* into bound from sessions s join accounts a on a.id = s.account_id
                where s.session = item->>'session' and s.expires_at > now();
                select coalesce(array_agg(account_id), '{}') into crowded from (
                    select l.account_id from leases l
                    where l.session = item->>'session' and l.expires_at > now() and l.request_id <> item->>'request'
                    group by 1 having count(*) >= (item->>'session_in_flight')::integer
                ) under_way;
            end if;
            if item ? 'unsuited' and bound.pool = item->>'pool' and bound.provider = item->'draft'->>'provider' then
                named := named || kin(bound, item->'unsuited');
            end if;
            -- A session goes on where it is, else within the organization, whose caches it can read, else by rank. An account
            -- that has as many of the session's requests under way as it may comes last: so a fan-out spreads.
            for candidate in
                select a.*
                from jsonb_array_elements_text(named) with ordinality as wanted (id, place)
                join accounts a on a.id = wanted.id
                where not a.paused
                  and (a.health = 'ready' or a.health_until <= now() or a.probe_at <= now())
                order by
                    a.id = any (crowded),
                    coalesce(a.id = bound.id, false) desc,
                    coalesce(a.organization = bound.organization, false) desc,
                    wanted.place
            loop
                select f.* into resting from family_cooldowns f
                where f.account_id = candidate.id and f.family = item->>'family' and f.until > now();
                continue when resting.until is not null and (
                    resting.probe_at is null or resting.probe_at > now() or exists (
                        select from leases l
                        where l.request_id = resting.tester and l.expires_at > now() and l.request_id <> item->>'request'
                    )
                );
                -- Somebody tests it.
                continue when candidate.tester is not null and sits_out(candidate) and exists (
                    select from leases l
                    where l.request_id = candidate.tester and l.expires_at > now() and l.request_id <> item->>'request'
                );
                continue when candidate.max_in_flight is not null and candidate.max_in_flight <= (
                    select count(*) from leases l
                    where l.account_id = candidate.id and l.expires_at > now() and l.request_id <> item->>'request'
                );
                if candidate.requests_per_minute is not null or candidate.tokens_per_minute is not null then
                    continue when counted->'full' ? candidate.id;
                    continue when here and not minute_has_room(candidate, (item->>'tokens')::bigint);
                    if counted->>'account' is distinct from candidate.id and counted is not null then
                        outcome := 'uncounted';
                        account_id := candidate.id;
                        exit;
                    end if;
                end if;
                outcome := 'granted';
                account_id := candidate.id;
                exit;
            end loop;
        end if;

        if outcome = 'granted' then
            if life is not null then
                affinity := case
                    when bound.id is null then 'new' when bound.id = candidate.id then 'kept' else 'moved'
                end;
                if affinity = 'moved' then
                    left_account := bound.id;
                end if;
                if (item->>'pinned')::boolean then
                    delete from sessions where session = item->>'session' and account_id <> candidate.id;
                end if;
                perform bind(item->>'session', candidate.id, life);
            end if;
            if not here then
                candidate.requests_per_minute := null;
                candidate.tokens_per_minute := null;
                -- The settlement has nothing to correct here.
                item := jsonb_set(item, '{draft,counted_elsewhere}', 'true');
            end if;
            perform take(item, candidate, holder.id);
            if resting.until is not null then
                update family_cooldowns f set tester = item->>'request'
                where f.account_id = candidate.id and f.family = item->>'family';
            end if;
            if newly and holder.limits @> '[{"span": "minute"}]' then
                insert into key_minutes
                select l.key_id, floor(extract(epoch from l.admitted_at))::bigint, 1, (item->>'tokens')::bigint
                from leases l where l.request_id = item->>'request';
            end if;
        end if;
        return next;
    end loop;
end
$$;

-- Those that a list of the best of many may not name, and that a session would rather go to: its account, and such of the
-- same organization.
create function kin(account accounts, unsuited jsonb) returns jsonb stable language sql as $$
    select coalesce(jsonb_agg(id), '[]')
    from (
        select account.id
        union all (
            select a.id from accounts a
            where a.organization = account.organization and a.pool = account.pool and a.provider = account.provider
              and a.id <> account.id and not unsuited ? a.id
            order by a.id limit 64
        )
    ) kin (id)
    where not unsuited ? id
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

-- Leaves a claim's traces: the lease, and where the account has limits or is being tested, what those go by.
create or replace function take(item jsonb, account accounts, key text) returns void language plpgsql as $$
begin
    -- A second claim of the same request moves its lease.
    insert into leases values (
        item->>'request', key, account.id, item->>'session', clock_timestamp(), now() + lease_life(), item->'draft'
    )
    on conflict (request_id) do update set
        account_id = excluded.account_id, claimed_at = excluded.claimed_at,
        expires_at = excluded.expires_at, draft = excluded.draft;

    if account.requests_per_minute is not null or account.tokens_per_minute is not null then
        insert into minutes
        values (account.id, floor(extract(epoch from clock_timestamp()))::bigint, 1, (item->>'tokens')::bigint);
    end if;

    -- Whoever tests an account is the only one for as long as the request is open.
    if account.probe_at <= now() and sits_out(account) then
        update accounts set tester = item->>'request' where id = account.id;
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
