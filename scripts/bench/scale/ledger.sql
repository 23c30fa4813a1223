-- A past for the benchmark of scale: so many rows (bench.rows), evenly over ninety days, of the keys and accounts that are there, and
-- their sums for the keys' limits. All of it counts as rolled up, so that nobody begins to do that beside the benchmark.

alter table ledger disable trigger late_row;

select ledger_partition(day) from generate_series(now() - interval '90 days', now(), interval '1 day') day;

-- Built at the end, they cost half as much.
do $$
declare
    one record;
begin
    for one in select indexrelid::regclass as name from pg_index where indrelid = 'ledger'::regclass and not indisprimary loop
        execute format('drop index %s', one.name);
    end loop;
end
$$;

with keys as (
    select array_agg(id order by id) as ids from (select id from api_keys order by id limit 64) used
), pooled as (
    select array_agg(id order by id) as ids from accounts
)
insert into ledger (
    id, started_at, key_id, account_id, pool, provider, operation, model, served_model, stream, session, client, affinity, status,
    http_status, attempts, input_tokens, cache_read_tokens, cache_write_5m_tokens, output_tokens, cost_micros, first_token_ms, duration_ms,
    upstream_request_id
)
select
    'req_' || lpad(n::text, 26, '0'), now() - interval '90 days' * (n / current_setting('bench.rows')::float8),
    keys.ids[1 + n % cardinality(keys.ids)], pooled.ids[1 + n % cardinality(pooled.ids)], 'default', 'anthropic', 'generate',
    'claude-sonnet-5-5', 'claude-sonnet-5-5', true, md5((n / 20)::text), 'claude-cli/2.1.330', 'kept', 'completed', 200,
    '[{"account": "acc_bench", "verdict": "delivered", "status": 200, "took_ms": 900}]'::jsonb, 1200, 40000, 900, 400, 9000, 700, 6000,
    'req_upstream'
from generate_series(1, current_setting('bench.rows')::bigint) n, keys, pooled;

create index on ledger (key_id, started_at desc);
create index on ledger (account_id, started_at desc);

-- As migration 12 reckoned what the ledger held then, as far back as it is kept.
insert into key_usage
select
    l.key_id, s.span, date_bin(s.length, l.started_at, 'epoch'), left(coalesce(l.model, ''), 200), count(*), 0, sum(ledger_tokens(l)),
    sum(l.cost_micros)
from ledger l cross join (values ('quarter', interval '15 minutes', interval '40 days'), ('day', interval '24 hours', interval '90 days')) s (span, length, kept)
where l.started_at > now() - s.kept
group by 1, 2, 3, 4
on conflict do nothing;

-- Nothing here was ever deleted, and a sweep over it would be measured too.
do $$
declare
    one record;
begin
    for one in select inhrelid::regclass as name from pg_inherits where inhparent = 'ledger'::regclass loop
        execute format('alter table %s set (autovacuum_enabled = off)', one.name);
    end loop;
end
$$;
analyze ledger;

alter table ledger enable trigger late_row;
update ledger_state set sealed_until = date_trunc('hour', clock_timestamp() - interval '5 minutes', 'UTC');
