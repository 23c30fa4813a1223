select
    count(*) as requests,
    count(*) filter (where status = 'completed') as succeeded,
    jsonb_build_object(
        'failed', count(*) filter (where status = 'failed'),
        'refused', count(*) filter (where status = 'refused'),
        'cancelled', count(*) filter (where status = 'cancelled'),
        'lost', count(*) filter (where status = 'lost')
    ) as failed,
    coalesce(sum(input_tokens), 0)::bigint as input_tokens,
    coalesce(sum(output_tokens), 0)::bigint as output_tokens,
    coalesce(sum(cache_read_tokens), 0)::bigint as cache_read_tokens,
    coalesce(sum(cache_write_5m_tokens), 0)::bigint as cache_write_5m_tokens,
    coalesce(sum(cache_write_1h_tokens), 0)::bigint as cache_write_1h_tokens,
    coalesce(sum(thinking_tokens), 0)::bigint as thinking_tokens,
    coalesce(sum(tool_use_tokens), 0)::bigint as tool_use_tokens,
    coalesce(sum(searches), 0)::bigint as searches,
    coalesce(sum(cost_micros), 0)::bigint as cost_micros,
    percentile_cont(array[0.5, 0.9, 0.99]) within group (order by duration_ms)
        filter (where status = 'completed') as latency,
    percentile_cont(array[0.5, 0.9, 0.99]) within group (order by first_token_ms) as first_token,
    coalesce(sum(greatest(jsonb_array_length(attempts) - 1, 0)), 0)::bigint as failovers,
    count(*) filter (where estimated) as estimated,
    count(*) filter (where unpriced) as unpriced,
    (select count(*) from leases where expires_at > now()) as in_flight
from ledger l
where
