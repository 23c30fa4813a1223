select
    holder.id,
    (select max(started_at) from ledger where account_id = holder.id) as last_used_at,
    count(row.today) filter (where today) as today_requests,
    count(row.today) filter (where today and wrong) as today_errors,
    coalesce(sum(tokens) filter (where today), 0)::bigint as today_tokens,
    coalesce(sum(cost_micros) filter (where today), 0)::bigint as today_cost,
    count(row.today) as month_requests,
    count(row.today) filter (where wrong) as month_errors,
    coalesce(sum(tokens), 0)::bigint as month_tokens,
    coalesce(sum(cost_micros), 0)::bigint as month_cost
from accounts holder
left join (
    select
        account_id as holder_id,
        started_at >= $1 as today,
        status not in ('completed', 'cancelled') as wrong,
        coalesce(input_tokens, 0) + coalesce(cache_read_tokens, 0) + coalesce(cache_write_5m_tokens, 0)
            + coalesce(cache_write_1h_tokens, 0) + coalesce(output_tokens, 0) + coalesce(tool_use_tokens, 0) as tokens,
        cost_micros
    from ledger
    where started_at >= $2
) row on row.holder_id = holder.id
where $3::text is null or holder.id = $3
group by holder.id
