-- A made-up past for the benchmark of statistics: so many rows (bench.rows) over ninety days, in the order of time as a real
-- ledger is written. Keys, accounts and models are used unevenly; most requests belong to conversations that stay on
-- their account; nights and weekends are quiet.

select setseed(0.5);

create function pg_temp.id_at(at timestamptz) returns text language sql as $$
    select 'req_' || string_agg(substr('0123456789abcdefghjkmnpqrstvwxyz', (floor(extract(epoch from at) * 1000)::bigint >> (45 - 5 * n) & 31)::integer + 1, 1), '' order by n)
        || substr(md5(random()::text), 1, 16)
    from generate_series(0, 9) n
$$;

insert into api_keys (id, hash, prefix, name, role, labels)
select format('key_bench_%s', n), sha256(n::text::bytea), format('gw_bench%s', n), format('holder %s', n), 'member',
    jsonb_build_object('team', (array['search', 'ads', 'infra', 'mobile', 'data'])[n % 5 + 1])
from generate_series(0, 59) n;

insert into accounts (id, provider, name, credential, credential_kind, credential_hint)
select format('acc_bench_%s', n), case when n < 14 then 'anthropic' else 'gemini' end, format('account %s', n), '\x00',
    'api_key', 'none'
from generate_series(0, 19) n;

create temporary table conversations as
select
    n,
    day,
    -- A few keys and accounts do most of the work.
    format('key_bench_%s', floor(60 * power(random(), 2.5))) as key_id,
    gemini,
    format('acc_bench_%s', case when gemini then 14 + floor(6 * power(random(), 1.5)) else floor(14 * power(random(), 1.5)) end) as account_id,
    case when gemini
        then (array['gemini-3.8-flash', 'gemini-3.8-flash', 'gemini-3.8-pro', 'gemini-3.8-flash-lite'])[1 + floor(4 * random())::integer]
        else (array['claude-sonnet-5-5', 'claude-sonnet-5-5', 'claude-sonnet-5-5', 'claude-opus-5-5', 'claude-haiku-5-5', 'claude-haiku-5-5'])[1 + floor(6 * random())::integer]
    end as model,
    md5(random()::text) as session,
    -- Two thirds of them begin between eight and eighteen.
    day + interval '1 hour' * case when random() < 0.67 then 8 + 10 * random() else 23 * random() end as began
from (
    select n, random() < 0.25 as gemini,
        date_trunc('day', now(), 'UTC') - interval '24 hours' * case
            -- A weekend day is chosen again, mostly.
            when extract(isodow from now() - interval '24 hours' * (n % 90)) > 5 and random() < 0.7 then (n % 90 + 2) % 90
            else n % 90
        end as day
    from generate_series(0, current_setting('bench.rows')::integer / 20 - 1) n
) drawn;
create index on conversations (day);
analyze conversations;

select ledger_partition(day) from (select distinct day from conversations) days;
alter table ledger disable trigger late_row;

do $$
declare
    one_day timestamptz;
    done integer := 0;
begin
    for one_day in select distinct day from conversations order by 1 loop
        if done % 10 = 0 then
            raise notice '% days of 90 are made up', done;
        end if;
        done := done + 1;
        insert into ledger (
            id, started_at, key_id, account_id, pool, provider, operation, model, served_model, stream, session, client,
            affinity, status, http_status, error, attempts, input_tokens, cache_read_tokens, cache_write_5m_tokens,
            cache_write_1h_tokens, output_tokens, thinking_tokens, tool_use_tokens, searches, cost_micros, estimated,
            unpriced, first_token_ms, duration_ms, upstream_request_id
        )
        select
            pg_temp.id_at(at), at, key_id, account_id, 'default', case when gemini then 'gemini' else 'anthropic' end,
            'generate', model, model, true, session, 'claude-cli/2.1.330',
            case when turn = 1 then 'new' when chance < 0.02 then 'moved' else 'kept' end,
            status, case when status in ('completed', 'cancelled') then 200 when status = 'refused' then 400 end,
            case when status in ('failed', 'refused') then 'overloaded_error: Overloaded' end,
            case when chance < 0.02
                then format('[{"account": "acc_bench_0", "verdict": "overloaded", "status": 529, "took_ms": 310}, {"account": "%s", "verdict": "delivered", "status": 200, "took_ms": 900}]', account_id)
                else format('[{"account": "%s", "verdict": "delivered", "status": 200, "took_ms": 900}]', account_id)
            end::jsonb,
            (200 + 3000 * chance)::bigint, case when turn > 1 and chance > 0.02 then (20000 * turn * chance)::bigint else 0 end,
            (1500 + 2000 * chance)::bigint, 0, (50 + 1500 * power(chance, 2))::bigint, (300 * chance)::bigint, 0, 0,
            (3000 + 60000 * power(chance, 2))::bigint, status in ('cancelled', 'lost'), chance > 0.999,
            case when status in ('completed', 'cancelled') then (300 + 400 * exp(2 * chance))::integer end,
            (700 + 1500 * exp(3.5 * chance))::integer, 'req_upstream'
        from (
            select c.*, turn, began + turn * interval '70 seconds' + random() * interval '60 seconds' as at, random() as chance,
                (array['completed', 'failed', 'refused', 'cancelled', 'lost'])[
                    case when fate < 0.955 then 1 when fate < 0.97 then 2 when fate < 0.98 then 3 when fate < 0.999 then 4 else 5 end
                ] as status
            from conversations c, generate_series(1, 20) turn, lateral (select random() + 0 * turn as fate) f
            where c.day = one_day
        ) drawn
        where at < now()
        order by at;
    end loop;
end
$$;

alter table ledger enable trigger late_row;
update ledger_state set sealed_until = (select date_trunc('hour', min(started_at), 'UTC') from ledger);
analyze ledger;
