    and f.facet = $13 and f.step = 'hour' and f.at < (select sealed_until from ledger_state)
    and not exists (select from dirty_hours d where d.hour = f.at)
    and ($9::timestamptz is null or f.at > $9 - interval '1 hour') and ($10::timestamptz is null or f.at < $10)
    and (not $11::boolean or f.estimated > 0) and (not $12::boolean or f.unpriced > 0)
    -- As many hours as a page has rows are enough, each holds one at least; the newest may lie partly after the page's beginning.
    group by f.at
    order by f.at desc
    limit $14 + 1
),
counted as (
    select at, sum(case
        when at + interval '1 hour' > $10 then 0
        else requests
    end) over (order by at desc) as so_far
    from matching
),
wanted as (
    select at from counted c where not exists (select from counted d where d.at > c.at and d.so_far >= $14)
),
oldest as (
    -- Where the rollups hold a whole page, nothing older is on it.
    select case when (select max(so_far) from counted) >= $14 then (select min(at) from wanted) end as at
),
spans as (
    select w.at as since, w.at + interval '1 hour' as until
    from wanted w
    union all
    select distinct d.hour, d.hour + interval '1 hour'
    from dirty_hours d
    where d.hour < (select sealed_until from ledger_state)
      and d.hour >= coalesce((select at from oldest), d.hour)
      and ($9::timestamptz is null or d.hour > $9 - interval '1 hour') and ($10::timestamptz is null or d.hour < $10)
    union all
    select sealed_until, greatest(now(), sealed_until) + interval '1 day' from ledger_state where $10::timestamptz is null or sealed_until < $10
)
select coalesce(array_agg(since), '{}') as since, coalesce(array_agg(until), '{}') as until from spans
