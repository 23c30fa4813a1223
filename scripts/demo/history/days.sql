-- One part of the demo's past: the days in `demo_days`, in conversations of the cast, each key by its share in `demo_keys`. Most stay
-- on their account, some move, some fail; nights and weekends are quiet. Costs are about what such tokens cost.

create temporary table talks on commit drop as
select
    md5(random()::text) as session, k.id as key_id, a.id as account_id, a.provider,
    -- A key that may only call small models does.
    case
        when k.models <> '{}' then case a.provider when 'anthropic' then 'claude-haiku-5-5' else 'gemini-3.5-flash-lite' end
        when a.provider = 'anthropic' then (array['claude-sonnet-5-5', 'claude-sonnet-5-5', 'claude-sonnet-5-5', 'claude-opus-5-5', 'claude-haiku-5-5'])[1 + floor(5 * random())::int]
        else (array['gemini-3.8-flash', 'gemini-3.8-flash', 'gemini-2.5-pro', 'gemini-3.5-flash-lite'])[1 + floor(4 * random())::int]
    end as model,
    d.day + interval '1 hour' * (8 + 10.5 * random() + case when random() < 0.15 then 4 else 0 end) as began,
    1 + floor(10 * random())::int as turns
from demo_days d
cross join lateral generate_series(1, case when extract(isodow from d.day) > 5 then 120 else 440 end) n
cross join lateral (select api_keys.* from api_keys join demo_keys using (id) where n is not null order by -ln(random()) / share limit 1) k
cross join lateral (
    select * from accounts
    where not paused and name <> 'claude-contractor' and (k.providers = '{}' or provider = any (k.providers)) and n is not null
    order by random() * case provider when 'anthropic' then 2.2 else 1 end * weight / (1 + priority) desc limit 1
) a;

insert into ledger (
    id, started_at, key_id, account_id, pool, provider, operation, model, served_model, stream, session, client, affinity,
    status, http_status, error, attempts, input_tokens, cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens,
    output_tokens, thinking_tokens, tool_use_tokens, searches, cost_micros, estimated, first_token_ms, duration_ms, upstream_request_id
)
select
    pg_temp.request_id(at), at, key_id, account_id, 'default', provider, 'generate', model, model, true, session,
    case provider when 'anthropic' then 'claude-cli/2.1.330 (external, cli)' else 'GeminiCLI/0.61.0 (linux; x64)' end,
    case when turn = 1 then 'new' when moved then 'moved' else 'kept' end,
    status, case when status in ('completed', 'cancelled') then 200 when status = 'refused' then 400 else 529 end,
    case status when 'failed' then 'overloaded_error: Overloaded' when 'refused' then 'invalid_request_error: prompt is too long' end,
    case when moved
        then jsonb_build_array(jsonb_build_object('account', other, 'verdict', 'overloaded', 'status', 529, 'took_ms', 240), jsonb_build_object('account', account_id, 'verdict', 'delivered', 'status', 200, 'took_ms', took))
        else jsonb_build_array(jsonb_build_object('account', account_id, 'verdict', case status when 'failed' then 'overloaded' else 'delivered' end, 'status', case status when 'failed' then 529 when 'refused' then 400 else 200 end, 'took_ms', took))
    end,
    input, case when moved or turn = 1 then 0 else context end, case when moved or turn = 1 then context else 2000 end, 0, output, output / 4, 0, 0,
    ((input * rate + case when moved or turn = 1 then context * rate * 1.25 else context * rate * 0.1 + 2000 * rate * 1.25 end + output * rate * 5))::bigint,
    status = 'cancelled', case when status in ('completed', 'cancelled') then (350 + 900 * chance ^ 3)::int end, took, 'req_011CDemo'
from (
    select t.*, turn, chance, turn > 1 and chance < 0.03 as moved,
        began + turn * interval '70 seconds' + random() * interval '50 seconds' as at,
        (array['completed', 'failed', 'refused', 'cancelled'])[case when fate < 0.972 then 1 when fate < 0.982 then 2 when fate < 0.988 then 3 else 4 end] as status,
        (200 + 1800 * chance)::bigint as input, (9000 + 2500 * turn)::bigint as context, (80 + 1400 * chance ^ 2)::bigint as output,
        (900 + 14000 * chance ^ 2)::int as took,
        (select id from accounts a where a.provider = t.provider and a.id <> t.account_id order by id limit 1) as other,
        case when model like '%opus%' then 5 when model like '%sonnet%' then 3 when model like '%haiku%' then 1 when model like '%pro%' then 1.25 else 0.4 end as rate
    from talks t cross join lateral generate_series(1, t.turns) turn cross join lateral (select random() + 0 * turn as chance, random() + 0 * turn as fate) f
) drawn
where at < now() - interval '30 seconds'
order by at;
