select
    holder.id,
    coalesce(
        (select max(started_at) from ledger where key_id = holder.id),
        (select max(start) from key_usage where key_id = holder.id and span = 'day')
    ) as last_used_at,
    coalesce(today.requests, 0)::bigint as today_requests,
    coalesce(today.errors, 0)::bigint as today_errors,
    coalesce(today.tokens, 0)::bigint as today_tokens,
    coalesce(today.cost_micros, 0)::bigint as today_cost,
    coalesce(month.requests, 0)::bigint as month_requests,
    coalesce(month.errors, 0)::bigint as month_errors,
    coalesce(month.tokens, 0)::bigint as month_tokens,
    coalesce(month.cost_micros, 0)::bigint as month_cost
from api_keys holder
cross join lateral (
    select
        limit_began('{"span": "day"}', holder.time_zone, $1) as day,
        limit_began('{"span": "month"}', holder.time_zone, $1) as month,
        -- From here on whole days are counted.
        date_trunc('day', limit_began('{"span": "month"}', holder.time_zone, $1) - interval '1 microsecond', 'UTC')
            + interval '24 hours' as whole
) began
cross join lateral (
    select sum(requests) as requests, sum(errors) as errors, sum(tokens) as tokens, sum(cost_micros) as cost_micros
    from key_usage
    where key_id = holder.id and span = 'quarter' and start >= began.day
) today
cross join lateral (
    select sum(requests) as requests, sum(errors) as errors, sum(tokens) as tokens, sum(cost_micros) as cost_micros
    from key_usage
    where key_id = holder.id
      and (span = 'quarter' and start >= began.month and start < began.whole or span = 'day' and start >= began.whole)
) month
where $2::text is null or holder.id = $2
