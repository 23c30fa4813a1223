-- Claims and settlements for less: a batch's arrays are read by place, where `unnest` of many arrays sets up one scan for each of
-- them, and what only limits by the minute need is done where there are such limits. What they do is as it was.

-- Claims of one pool are made one after the other, to the end of the transaction. Pools are locked in one order everywhere.
create or replace function claim_turn(pools text[]) returns void language plpgsql as $$
begin
    if pools[1] = all (pools) then
        perform pg_advisory_xact_lock(hashtextextended('claim ' || pools[1], 0));
    else
        perform pg_advisory_xact_lock(hashtextextended('claim ' || pool, 0))
        from (select distinct pool from unnest(pools) pool order by 1) in_order;
    end if;
end
$$;

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
-- Postgres before 18 holds a plan that reads a table as a whole, though it may not, for so dear that it is compiled for each call.
set jit = off
-- Whoever waits longer for the others has no caller any more, who is told within five seconds: it must not take a lease.
set lock_timeout = '3s'
as $$
#variable_conflict use_column
declare
    answer claim_answer;
    nth integer;
    account text;
    bound_until timestamptz;
    life interval;
    -- Of those that are plain, by their places.
    takes text[];
    affinities text[];
begin
    perform claim_turn(pools);

    -- Plain is a request whose first account, or the one that its session is bound to, is well, and where neither the key nor
    -- the account has a limit. Nothing about it can be changed by what happens to another request of the batch.
    for nth, account, bound_until, life in
        select i, a.id, s.expires_at, make_interval(secs => session_seconds[i])
        from generate_subscripts(requests, 1) i
        join api_keys k on k.id = keys[i]
        left join sessions s on s.session = sessions[i] and session_seconds[i] is not null and s.expires_at > now()
        join accounts a on a.id = coalesce(s.account_id, split_part(accounts[i], ',', 1))
        where revisions[i] = (select revision from settings) and not closely[i]
          and k.revoked_at is null and (k.expires_at is null or k.expires_at > now())
          and k.limits = '[]' and k.max_in_flight is null
          and a.health = 'ready' and not a.paused
          and a.max_in_flight is null and a.requests_per_minute is null and a.tokens_per_minute is null
          and not exists (
              select from family_cooldowns f where f.account_id = a.id and f.family = families[i] and f.until > now()
          )
          and (session_seconds[i] is null or (
              (s.account_id is null or s.account_id = any (string_to_array(accounts[i], ',')))
              -- A second one of the same session would have to count the first.
              and array_position(sessions, sessions[i]) = i
              and session_in_flight[i] > (
                  select count(*) from leases l
                  where l.session = sessions[i] and l.account_id = a.id and l.expires_at > now()
                    and l.request_id <> requests[i]
              )
          ))
    loop
        takes[nth] := account;
        if life is not null then
            affinities[nth] := case when bound_until is null then 'new' else 'kept' end;
            if bound_until is null or bound_until < now() + life / 2 then
                perform bind(sessions[nth], account, life);
            end if;
        end if;
    end loop;

    -- A second claim of the same request moves its lease.
    insert into leases (
        request_id, key_id, account_id, session, claimed_at, expires_at, draft, started_at, model, tokens, cost_micros
    )
    select
        requests[i], keys[i], takes[i], sessions[i], clock_timestamp(), now() + lease_life(), drafts[i], started[i],
        models[i], spent[i], costs[i]
    from generate_subscripts(requests, 1) i
    where takes[i] is not null
    on conflict (request_id) do update set
        account_id = excluded.account_id, claimed_at = excluded.claimed_at, expires_at = excluded.expires_at,
        draft = excluded.draft, counted = null, tokens = excluded.tokens, cost_micros = excluded.cost_micros;

    for nth in 1 .. cardinality(requests) loop
        if takes[nth] is not null then
            answer.outcome := 'granted';
            answer.account_id := takes[nth];
            answer.affinity := affinities[nth];
            return next answer;
        else
            return next claim_closely(jsonb_populate_record((
                requests[nth], revisions[nth], keys[nth], pools[nth], families[nth], tokens[nth],
                string_to_array(accounts[nth], ','), null, sessions[nth], session_seconds[nth],
                session_in_flight[nth], false, null, null, drafts[nth], false
            )::claim_item, more[nth]));
        end if;
    end loop;
end
$$;

-- Writes ledger rows, adds them to the sums of their keys and frees their leases, together; one array for each column of the
-- ledger, the rows in the order of time and id. Writing a row again changes nothing, except that the true row replaces one
-- that was given up as lost.
create or replace function settle_all(
    ids text[], started timestamptz[], keys text[], accounts text[], pools text[], providers text[], operations text[],
    models text[], served_models text[], streams boolean[], sessions text[], clients text[], affinities text[],
    statuses text[], http_statuses integer[], errors text[], attempts jsonb[], input_tokens bigint[],
    cache_read_tokens bigint[], cache_write_5m_tokens bigint[], cache_write_1h_tokens bigint[], output_tokens bigint[],
    thinking_tokens bigint[], tool_use_tokens bigint[], searches bigint[], costs bigint[], estimated boolean[],
    unpriced boolean[], first_token_ms integer[], duration_ms integer[], upstream_request_ids text[],
    crossed boolean[]
) returns void language plpgsql
set enable_seqscan = off set enable_bitmapscan = off set plan_cache_mode = force_generic_plan
set jit = off
as $$
#variable_conflict use_column
declare
    freed bigint;
    -- Leases that minutes were counted for.
    counted leases[];
    at timestamptz;
    week_ends timestamptz := '-infinity';
begin
    foreach at in array started loop
        if at >= week_ends then
            perform ledger_partition(at);
            week_ends := date_trunc('week', at, 'UTC') + interval '7 days';
        end if;
    end loop;

    -- The leases first: whoever frees one knows that no other writes its row as lost, or has already.
    with freed as (delete from leases l where l.request_id = any (ids) returning l)
    select count(*), array_agg(l) filter (where (l).counted is not null) into freed, counted from freed;
    if freed < cardinality(ids) then
        perform take_back_lost(started, ids, statuses);
    end if;
    if counted is not null then
        perform correct_minutes(
            counted, ids, attempts, input_tokens, cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens,
            output_tokens, tool_use_tokens
        );
    end if;

    with written as (
        insert into ledger (
            id, started_at, key_id, account_id, pool, provider, operation, model, served_model, stream, session, client,
            affinity, status, http_status, error, attempts, input_tokens, cache_read_tokens, cache_write_5m_tokens,
            cache_write_1h_tokens, output_tokens, thinking_tokens, tool_use_tokens, searches, cost_micros, estimated, unpriced,
            first_token_ms, duration_ms, upstream_request_id, crossed
        )
        select
            ids[i], started[i], keys[i], accounts[i], pools[i], providers[i], operations[i], models[i], served_models[i],
            streams[i], sessions[i], clients[i], affinities[i], statuses[i], http_statuses[i], errors[i], attempts[i],
            input_tokens[i], cache_read_tokens[i], cache_write_5m_tokens[i], cache_write_1h_tokens[i], output_tokens[i],
            thinking_tokens[i], tool_use_tokens[i], searches[i], costs[i], estimated[i], unpriced[i], first_token_ms[i],
            duration_ms[i], upstream_request_ids[i], crossed[i]
        from generate_subscripts(ids, 1) i
        on conflict (started_at, id) do nothing
        returning key_id, started_at, model, status, cost_micros,
            coalesce(input_tokens, 0) + coalesce(cache_read_tokens, 0) + coalesce(cache_write_5m_tokens, 0)
            + coalesce(cache_write_1h_tokens, 0) + coalesce(output_tokens, 0) + coalesce(tool_use_tokens, 0) as tokens
    ), quarters as (
        select
            key_id, date_bin('15 minutes', started_at, 'epoch') as start, left(coalesce(model, ''), 200) as model,
            count(*) as requests, count(*) filter (where status not in ('completed', 'cancelled')) as errors,
            sum(tokens) as tokens, sum(cost_micros) as cost_micros
        from written group by 1, 2, 3
    )
    insert into key_usage as sum
    select
        key_id, span, date_bin(length, start, 'epoch'), model, sum(requests), sum(errors), sum(tokens), sum(cost_micros)
    from quarters cross join (values ('quarter', interval '15 minutes'), ('day', interval '24 hours')) s (span, length)
    group by 1, 2, 3, 4
    -- In one order everywhere, so that two settlements never wait for each other.
    order by 1, 2, 3, 4
    on conflict (key_id, span, start, model) do update set
        requests = sum.requests + excluded.requests, errors = sum.errors + excluded.errors,
        tokens = sum.tokens + excluded.tokens, cost_micros = sum.cost_micros + excluded.cost_micros;
end
$$;

-- What the claims of these leases have put down in minutes was an estimate: corrects it, now that the tokens are known.
create function correct_minutes(
    counted leases[], ids text[], attempts jsonb[], input bigint[], cache_read bigint[], cache_write_5m bigint[],
    cache_write_1h bigint[], output bigint[], tool_use bigint[]
) returns void language sql as $$
    with freed as (
        select l.key_id, l.account_id, l.claimed_at, l.admitted_at, l.counted, r.*
        from unnest(counted) l
        join unnest(ids, attempts, input, cache_read, cache_write_5m, cache_write_1h, output, tool_use)
            r (id, attempts, input, cache_read, cache_write_5m, cache_write_1h, output, tool_use) on r.id = l.request_id
    ), of_keys as (
        -- What was charged too much is given back to its second; what came on top counts from now.
        insert into key_minutes
        select
            f.key_id,
            floor(extract(epoch from case when used < f.counted then f.admitted_at else clock_timestamp() end))::bigint,
            0, used - f.counted
        from freed f
        join api_keys k on k.id = f.key_id
        cross join lateral (
            select coalesce(f.input, 0) + coalesce(f.cache_read, 0) + coalesce(f.cache_write_5m, 0)
                + coalesce(f.cache_write_1h, 0) + coalesce(f.output, 0) + coalesce(f.tool_use, 0)
        ) all_tokens (used)
        where k.limits @> '[{"span": "minute"}]'
    )
    insert into minutes
    select f.account_id, floor(extract(epoch from f.claimed_at))::bigint, 0, used - f.counted
    from freed f
    join accounts a on a.id = f.account_id
    -- Cache reads do not count against the providers' limits. And of several attempts only the last one's tokens are
    -- its account's; an only one has no figures but the row's.
    cross join lateral (
        select case when last ? 'cost_micros'
            then coalesce((last->>'input_tokens')::bigint, 0) + coalesce((last->>'cache_write_5m_tokens')::bigint, 0)
                + coalesce((last->>'cache_write_1h_tokens')::bigint, 0) + coalesce((last->>'output_tokens')::bigint, 0)
            else coalesce(f.input, 0) + coalesce(f.cache_write_5m, 0) + coalesce(f.cache_write_1h, 0)
                + coalesce(f.output, 0)
        end
        from (select f.attempts->-1) attempt (last)
    ) charged (used)
    where a.tokens_per_minute is not null
$$;

-- A statement of older releases.
alter function claim(jsonb) set jit = off;
