from (
    select
        r.at, r.key_id, r.account_id, r.provider, r.pool, r.model, r.status, r.requests, r.input_tokens,
        r.cache_read_tokens, r.cache_write_5m_tokens, r.cache_write_1h_tokens, r.output_tokens, r.thinking_tokens,
        r.tool_use_tokens, r.searches, r.cost_micros, r.failovers, r.estimated, r.unpriced, r.kept, r.kept_prompt,
        r.kept_cache_read, r.moved, r.moved_prompt, r.moved_cache_read, r.moved_cache_write_5m, r.moved_cache_write_1h,
        r.new, r.new_prompt, r.new_cache_read, r.latency_ms, r.latency, r.first_token_ms, r.first_token
    from unnest($1::timestamptz[], $2::timestamptz[]) as span (since, until)
    join rollups r on r.step = 'day' and r.facet = $5 and r.at >= span.since and r.at < span.until
    union all
    select
        r.at, r.key_id, r.account_id, r.provider, r.pool, r.model, r.status, r.requests, r.input_tokens,
        r.cache_read_tokens, r.cache_write_5m_tokens, r.cache_write_1h_tokens, r.output_tokens, r.thinking_tokens,
        r.tool_use_tokens, r.searches, r.cost_micros, r.failovers, r.estimated, r.unpriced, r.kept, r.kept_prompt,
        r.kept_cache_read, r.moved, r.moved_prompt, r.moved_cache_read, r.moved_cache_write_5m, r.moved_cache_write_1h,
        r.new, r.new_prompt, r.new_cache_read, r.latency_ms, r.latency, r.first_token_ms, r.first_token
    from unnest($3::timestamptz[], $4::timestamptz[]) as span (since, until)
    join rollups r on r.step = 'hour' and r.facet = $5 and r.at >= span.since and r.at < span.until
    union all
    select
        l.started_at, l.key_id, l.account_id, l.provider, l.pool, l.model, l.status, l.requests, l.input_tokens,
        l.cache_read_tokens, l.cache_write_5m_tokens, l.cache_write_1h_tokens, l.output_tokens, l.thinking_tokens,
        l.tool_use_tokens, l.searches, l.cost_micros, l.failovers, l.estimated, l.unpriced, l.kept, l.kept_prompt,
        l.kept_cache_read, l.moved, l.moved_prompt, l.moved_cache_read, l.moved_cache_write_5m, l.moved_cache_write_1h,
        l.new, l.new_prompt, l.new_cache_read, l.latency_ms, l.latency, l.first_token_ms, l.first_token
    from unnest($6::timestamptz[], $7::timestamptz[]) as span (since, until)
    join ledger_facts l on l.started_at >= span.since and l.started_at < span.until
) f
