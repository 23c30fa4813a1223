-- The settlement after, in its newest form: it replaces the one of migration 4.

-- Writes ledger rows, adds them to the sums of their keys and frees their leases, together. Writing a row again changes
-- nothing, except that the true row replaces one that was given up as lost.
create or replace function settle(batch jsonb) returns void language plpgsql
set enable_seqscan = off set enable_bitmapscan = off set plan_cache_mode = force_generic_plan
as $$
begin
    perform ledger_partition(week)
    from (
        select distinct date_trunc('week', (r->>'started_at')::timestamptz, 'UTC') as week
        from jsonb_array_elements(batch) r
    ) weeks;

    -- The leases first: whoever frees one knows that no other writes its row as lost, or has already.
    with freed as (
        delete from leases
        using (
            -- Of several attempts only the last one's are its account's; an only one has no figures but the row's.
            select r->>'id' as id, case when r->'attempts'->-1 ? 'cost_micros' then r->'attempts'->-1 else r end as r,
                r as whole
            from jsonb_array_elements(batch) r
        ) served
        where leases.request_id = served.id
        returning leases.account_id, leases.key_id, leases.claimed_at, leases.admitted_at, served.whole,
            leases.draft ? 'counted_elsewhere' as elsewhere,
            coalesce(leases.draft->>'claimed_tokens', leases.draft->>'input_tokens', '0')::bigint as estimate,
            -- Cache reads do not count against the providers' limits.
            coalesce((r->>'input_tokens')::bigint, 0) + coalesce((r->>'cache_write_5m_tokens')::bigint, 0)
            + coalesce((r->>'cache_write_1h_tokens')::bigint, 0) + coalesce((r->>'output_tokens')::bigint, 0) as used
    ), of_keys as (
        -- What was charged too much is given back to its second; what came on top counts from now.
        insert into key_minutes
        select
            f.key_id,
            floor(extract(
                epoch from case when row.tokens < f.estimate then f.admitted_at else clock_timestamp() end
            ))::bigint,
            0, row.tokens - f.estimate
        from freed f
        cross join lateral (select ledger_tokens(l) from jsonb_populate_record(null::ledger, f.whole) l) row (tokens)
        where not f.elsewhere and (select k.limits @> '[{"span": "minute"}]' from api_keys k where k.id = f.key_id)
    )
    insert into minutes
    select f.account_id, floor(extract(epoch from f.claimed_at))::bigint, 0, f.used - f.estimate
    from freed f join accounts a on a.id = f.account_id
    where a.tokens_per_minute is not null and not f.elsewhere;

    with written as (
        insert into ledger
        select distinct on (row.started_at, row.id) row.*
        from jsonb_populate_recordset(null::ledger, batch) row
        order by row.started_at, row.id
        on conflict (started_at, id) do update set
            account_id = excluded.account_id, served_model = excluded.served_model, status = excluded.status,
            http_status = excluded.http_status, error = excluded.error, attempts = excluded.attempts,
            input_tokens = excluded.input_tokens, cache_read_tokens = excluded.cache_read_tokens,
            cache_write_5m_tokens = excluded.cache_write_5m_tokens, cache_write_1h_tokens = excluded.cache_write_1h_tokens,
            output_tokens = excluded.output_tokens, thinking_tokens = excluded.thinking_tokens,
            tool_use_tokens = excluded.tool_use_tokens, searches = excluded.searches,
            cost_micros = excluded.cost_micros, estimated = excluded.estimated, unpriced = excluded.unpriced,
            first_token_ms = excluded.first_token_ms, duration_ms = excluded.duration_ms,
            upstream_request_id = excluded.upstream_request_id
        where ledger.status = 'lost' and excluded.status <> 'lost'
        returning key_id, started_at, id, model, status, ledger_tokens(ledger) as tokens, cost_micros
    ), changed as (
        -- A statement sees the tables as they were before it: `before` is what a row said that was given up as lost.
        select
            row.key_id, row.started_at, left(coalesce(row.model, ''), 200) as model,
            (before.id is null)::integer as requests,
            (row.status not in ('completed', 'cancelled'))::integer
                - coalesce((before.status not in ('completed', 'cancelled'))::integer, 0) as errors,
            row.tokens - coalesce(ledger_tokens(before), 0) as tokens,
            row.cost_micros - coalesce(before.cost_micros, 0) as cost_micros
        from written row left join ledger before on before.started_at = row.started_at and before.id = row.id
    )
    insert into key_usage as sum
    select
        c.key_id, s.span, date_bin(s.length, c.started_at, 'epoch'), c.model,
        sum(c.requests), sum(c.errors), sum(c.tokens), sum(c.cost_micros)
    from changed c cross join (values ('quarter', interval '15 minutes'), ('day', interval '24 hours')) s (span, length)
    group by 1, 2, 3, 4
    -- In one order everywhere, so that two settlements never wait for each other.
    order by 1, 2, 3, 4
    on conflict (key_id, span, start, model) do update set
        requests = sum.requests + excluded.requests, errors = sum.errors + excluded.errors,
        tokens = sum.tokens + excluded.tokens, cost_micros = sum.cost_micros + excluded.cost_micros;
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
        jsonb_set(draft, '{attempts,-1,account}', to_jsonb(account_id)) || jsonb_build_object(
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
