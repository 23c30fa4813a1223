-- In the middle of a tool loop a conversation would rather wait a moment than leave the account where its cache is.

-- Whether the request would: then an account that is about to have room for it is waited for, by asking again.
alter type claim_item add attribute patient boolean;

-- Takes for each request the first usable account of its list. One array for each column of `claim_item`, but:
--   accounts: ids separated by commas; `closely`: `claim_closely` has to look at it, whatever the tables say;
--   more: an object of what is seldom there (unsuited, pinned, secret_ends, minutes, patient), or null.
-- A row for each request, in their order.
create or replace function claim_all(
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
                session_in_flight[place], false, null, null, drafts[place], false
            )::claim_item, more[place]));
        end if;
    end loop;
end
$$;

-- Whether an account may serve the request within moments: it rests, or has as many requests under way as it may. Room in a minute
-- seldom comes that soon.
create function is_soon_back(account accounts, item claim_item) returns boolean stable language sql as $$
    select not account.paused
        and (
            account.health = 'ready' or least(account.health_until, account.probe_at) <= now() + interval '2 seconds'
        )
        and not exists (
            select from family_cooldowns f
            where f.account_id = account.id and f.family = item.family and f.until > now() + interval '2 seconds'
        )
        and not coalesce(item.minutes->'counted'->'full' ? account.id, false)
        and minute_has_room(account, item.tokens)
$$;

-- The accounts that may serve a request, as it would have them: its session goes on where it is, else within the
-- organization, whose caches it can read, else by rank. An account that has as many of the session's requests under way as
-- it may comes last: so a fan-out spreads. A patient request whose own account is about to have room is offered no other.
create or replace function in_order(item claim_item, bound accounts) returns setof accounts stable language plpgsql as $$
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
    if item.patient and bound.id = any (named) and not bound.id = any (crowded) and is_soon_back(bound, item) then
        named := array[bound.id];
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
