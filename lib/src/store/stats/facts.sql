from (
    select r.*
    from unnest($9::timestamptz[], $10::timestamptz[]) as span (since, until)
    join rollups r on r.step = 'day' and r.facet = $15 and r.at >= span.since and r.at < span.until
    union all
    select r.*
    from unnest($11::timestamptz[], $12::timestamptz[]) as span (since, until)
    join rollups r on r.step = 'hour' and r.facet = $15 and r.at >= span.since and r.at < span.until
    union all
    select l.*
    from unnest($13::timestamptz[], $14::timestamptz[]) as span (since, until)
    join ledger_facts l on l.at >= span.since and l.at < span.until
) f
