-- The settlement after, in its newest form: it replaces the one of migration 4.

-- Writes ledger rows, adds them to the sums of their keys and frees their leases, together; one array for each column of the
-- ledger, the rows in the order of time and id. Writing a row again changes nothing, except that the true row replaces one
-- that was given up as lost.
create function settle_all(
    ids text[], started timestamptz[], keys text[], accounts text[], pools text[], providers text[], operations text[],
    models text[], served_models text[], streams boolean[], sessions text[], clients text[], affinities text[],
    statuses text[], http_statuses integer[], errors text[], attempts jsonb[], input_tokens bigint[],
    cache_read_tokens bigint[], cache_write_5m_tokens bigint[], cache_write_1h_tokens bigint[], output_tokens bigint[],
    thinking_tokens bigint[], tool_use_tokens bigint[], searches bigint[], costs bigint[], estimated boolean[],
    unpriced boolean[], first_token_ms integer[], duration_ms integer[], upstream_request_ids text[],
    crossed boolean[]
) returns void language plpgsql
set enable_seqscan = off set enable_bitmapscan = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    freed bigint;
begin
    perform ledger_partition(week)
    from (select distinct date_trunc('week', at, 'UTC') as week from unnest(started) at) weeks;

    -- The leases first: whoever frees one knows that no other writes its row as lost, or has already.
    with freed as (
        delete from leases l
        using unnest(
            ids, attempts, input_tokens, cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens, output_tokens,
            tool_use_tokens
        ) r (id, attempts, input, cache_read, cache_write_5m, cache_write_1h, output, tool_use)
        where l.request_id = r.id
        returning l.key_id, l.account_id, l.claimed_at, l.admitted_at, l.counted, r.*
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
        where f.counted is not null and k.limits @> '[{"span": "minute"}]'
    ), of_accounts as (
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
        where f.counted is not null and a.tokens_per_minute is not null
    )
    select count(*) into freed from freed;
    if freed < cardinality(ids) then
        perform take_back_lost(started, ids, statuses);
    end if;

    with written as (
        insert into ledger (
            id, started_at, key_id, account_id, pool, provider, operation, model, served_model, stream, session, client,
            affinity, status, http_status, error, attempts, input_tokens, cache_read_tokens, cache_write_5m_tokens,
            cache_write_1h_tokens, output_tokens, thinking_tokens, tool_use_tokens, searches, cost_micros, estimated, unpriced,
            first_token_ms, duration_ms, upstream_request_id, crossed
        )
        select * from unnest(
            ids, started, keys, accounts, pools, providers, operations, models, served_models, streams, sessions, clients,
            affinities, statuses, http_statuses, errors, attempts, input_tokens, cache_read_tokens, cache_write_5m_tokens,
            cache_write_1h_tokens, output_tokens, thinking_tokens, tool_use_tokens, searches, costs, estimated, unpriced,
            first_token_ms, duration_ms, upstream_request_ids, crossed
        )
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

-- Takes those of the rows away that were given up as lost, and what they added to the sums: the true ones are about to come.
create function take_back_lost(started timestamptz[], ids text[], statuses text[]) returns void language plpgsql as $$
#variable_conflict use_column
begin
    with lost as (
        delete from ledger l using unnest(started, ids, statuses) r (started_at, id, status)
        where l.started_at = r.started_at and l.id = r.id and l.status = 'lost' and r.status <> 'lost'
        returning l.key_id, l.started_at, left(coalesce(l.model, ''), 200) as model, ledger_tokens(l) as tokens, l.cost_micros
    )
    insert into key_usage as sum
    select
        key_id, span, date_bin(length, started_at, 'epoch'), model, -count(*), -count(*), -sum(tokens), -sum(cost_micros)
    from lost cross join (values ('quarter', interval '15 minutes'), ('day', interval '24 hours')) s (span, length)
    group by 1, 2, 3, 4
    order by 1, 2, 3, 4
    on conflict (key_id, span, start, model) do update set
        requests = sum.requests + excluded.requests, errors = sum.errors + excluded.errors,
        tokens = sum.tokens + excluded.tokens, cost_micros = sum.cost_micros + excluded.cost_micros;
end
$$;

-- The same from objects with the ledger's columns: from statements of older releases, from the log, and for what is lost.
create or replace function settle(batch jsonb) returns void language plpgsql as $$
begin
    perform settle_all(
        array_agg(r.id), array_agg(r.started_at), array_agg(r.key_id), array_agg(r.account_id), array_agg(r.pool),
        array_agg(r.provider), array_agg(r.operation), array_agg(r.model), array_agg(r.served_model), array_agg(r.stream),
        array_agg(r.session), array_agg(r.client), array_agg(r.affinity), array_agg(r.status), array_agg(r.http_status),
        array_agg(r.error), array_agg(r.attempts), array_agg(r.input_tokens), array_agg(r.cache_read_tokens),
        array_agg(r.cache_write_5m_tokens), array_agg(r.cache_write_1h_tokens), array_agg(r.output_tokens),
        array_agg(r.thinking_tokens), array_agg(r.tool_use_tokens), array_agg(r.searches), array_agg(r.cost_micros),
        array_agg(r.estimated), array_agg(r.unpriced), array_agg(r.first_token_ms), array_agg(r.duration_ms),
        array_agg(r.upstream_request_id), array_agg(r.crossed)
    )
    from (
        select distinct on (started_at, id) * from jsonb_populate_recordset(null::ledger, batch) order by started_at, id
    ) r;
end
$$;

-- Turns the leases of instances that died into ledger rows marked `lost`, and says how many there were. Sweeps out what is
-- too old to matter, too.
create or replace function reap() returns bigint language plpgsql as $$
declare
    lost jsonb;
begin
    delete from minutes where second < floor(extract(epoch from now()))::bigint - 120;
    delete from key_minutes where second < floor(extract(epoch from now()))::bigint - 120;
    -- The longest window has 31 days, and so has the longest month.
    delete from key_usage where span = 'quarter' and start < now() - interval '40 days';
    delete from former_secrets where ends_at < now();
    delete from sessions where session in (
        select s.session from sessions s where s.expires_at <= now() for update skip locked
    );
    with dead as (
        delete from leases
        where request_id in (
            select l.request_id from leases l where l.expires_at <= now() for update skip locked
        )
        returning account_id, draft
    )
    select jsonb_agg(
        jsonb_set(draft::jsonb, '{attempts,-1,account}', to_jsonb(account_id)) || jsonb_build_object(
            'account_id', account_id,
            'status', 'lost',
            'duration_ms', greatest(0, extract(epoch from now() - (draft->>'started_at')::timestamptz) * 1000)::integer
        )
    ) into lost from dead;
    if lost is null then
        return 0;
    end if;
    perform settle(lost);
    return jsonb_array_length(lost);
end
$$;
