with matching as (
    -- As many hours as a page has rows are enough; each holds one at least.
    select r.at, sum(case when $11 then r.estimated when $12 then r.unpriced else r.requests end) as requests
    from rollups r
    where r.facet = $13 and r.step = 'hour' and r.at < (select sealed_until from ledger_state)
      and not exists (select from dirty_hours d where d.hour = r.at)
      and ($1::timestamptz is null or r.at > $1 - interval '1 hour') and ($2::timestamptz is null or r.at < $2)
      and ($3::text is null or r.provider = $3) and ($4::text is null or r.account_id = $4)
      and ($5::text is null or r.key_id = $5) and ($6::text is null or r.model = $6)
      and ($7::text is null or starts_with(r.model, $7)) and ($8::text is null or r.pool = $8)
      and ($9::text is null or r.status = $9)
      and ($10::jsonb is null or r.key_id in (select k.id from api_keys k where k.labels @> $10))
      and (not $11::boolean or r.estimated > 0) and (not $12::boolean or r.unpriced > 0)
    group by r.at
    order by r.at desc
    -- The newest hour may lie partly after the page's beginning.
    limit $14 + 1
),
counted as (
    select at, sum(case
        when at + interval '1 hour' > $2 then 0
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
      and ($1::timestamptz is null or d.hour > $1 - interval '1 hour') and ($2::timestamptz is null or d.hour < $2)
    union all
    select sealed_until, greatest(now(), sealed_until) + interval '1 day' from ledger_state where $2::timestamptz is null or sealed_until < $2
)
select coalesce(array_agg(since), '{}') as since, coalesce(array_agg(until), '{}') as until from spans
