    count(*) as requests,
    count(*) filter (where status not in ('completed', 'cancelled')) as errors,
    coalesce(sum(
        coalesce(input_tokens, 0) + coalesce(cache_read_tokens, 0) + coalesce(cache_write_5m_tokens, 0)
        + coalesce(cache_write_1h_tokens, 0) + coalesce(output_tokens, 0) + coalesce(tool_use_tokens, 0)
    ), 0)::bigint as tokens,
    coalesce(sum(cost_micros), 0)::bigint as cost_micros,
    max(started_at) as last_used_at
from ledger
where started_at >= $1
group by
