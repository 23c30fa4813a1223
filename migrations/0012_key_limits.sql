-- What a key may use, what it has used, and the secrets that it had before.

alter table api_keys
    -- Each limit but `max_in_flight`: `span` (minute, day, week, month, total, hours), `measure` (requests, tokens, cost),
    -- `value` (cost in millionths of a USD); of a rolling window also `window` (its place), `hours`, `models` (globs) and
    -- `like`, the same as patterns of SQL.
    add column limits             jsonb not null default '[]',
    -- Where the key's days, weeks and months begin.
    add column time_zone          text not null default 'UTC',
    add column if not exists allow_passthrough boolean not null default false,
    add column rotate_every_days  integer check (rotate_every_days >= 1),
    add column auto_rotate        boolean not null default false,
    -- When the key got the secret that it has.
    add column rotated_at         timestamptz not null default now();
update api_keys set rotated_at = created_at;

-- Secrets that were replaced and go on working for a while.
create table former_secrets (
    hash     bytea primary key,
    key_id   text not null references api_keys (id) on delete cascade,
    ends_at  timestamptz not null
);
create index on former_secrets (key_id);

-- Requests and tokens of keys by the second, as `minutes` has them of accounts; only of keys with a limit by the minute.
create unlogged table key_minutes (
    key_id    text not null,
    second    bigint not null,
    requests  integer not null,
    tokens    bigint not null
) with (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0
);
create index on key_minutes (key_id, second);
create index on key_minutes (second);

-- Sums of the ledger by key and model: by the quarter of an hour, at which the days of every time zone begin, and by the
-- day in UTC, so that a long span is few rows. They stay when old rows of the ledger go.
create table key_usage (
    key_id       text not null,
    span         text not null check (span in ('quarter', 'day')),
    start        timestamptz not null,
    -- What was asked for, cut to what an index can hold.
    model        text not null,
    requests     bigint not null,
    errors       bigint not null,
    tokens       bigint not null,
    cost_micros  bigint not null,
    primary key (key_id, span, start, model)
) with (
    -- A row is written over and over while its time lasts: there is room for that beside it.
    fillfactor = 60
);
create index on key_usage (start) where span = 'quarter';

-- All tokens of a request, those from caches too.
create function ledger_tokens(l ledger) returns bigint immutable language sql as $$
    select coalesce(l.input_tokens, 0) + coalesce(l.cache_read_tokens, 0) + coalesce(l.cache_write_5m_tokens, 0)
        + coalesce(l.cache_write_1h_tokens, 0) + coalesce(l.output_tokens, 0) + coalesce(l.tool_use_tokens, 0)
$$;

-- What the ledger holds so far.
insert into key_usage
select
    l.key_id, s.span, date_bin(s.length, l.started_at, 'epoch'), left(coalesce(l.model, ''), 200),
    count(*), count(*) filter (where l.status not in ('completed', 'cancelled')),
    sum(ledger_tokens(l)), sum(l.cost_micros)
from ledger l cross join (values ('quarter', interval '15 minutes'), ('day', interval '24 hours')) s (span, length)
group by 1, 2, 3, 4;

-- When the span of a limit began that `at` lies in. The oldest quarter of a rolling window counts whole, so that the
-- window never holds more than its limit.
create function limit_began(rule jsonb, zone text, at timestamptz) returns timestamptz stable language plpgsql as $$
begin
    return case rule->>'span'
        when 'total' then 'epoch'
        when 'hours' then date_bin('15 minutes', at - make_interval(hours => (rule->>'hours')::integer), 'epoch')
        else date_trunc(rule->>'span', at at time zone zone) at time zone zone
    end;
end
$$;

-- What a key has used of a limit: what is settled, and what is under way, by estimate.
create function limit_used(holder api_keys, rule jsonb, at timestamptz) returns bigint stable language plpgsql as $$
declare
    measure text := rule->>'measure';
    patterns text[] := array(select jsonb_array_elements_text(rule->'like'));
    since timestamptz;
    whole_days timestamptz;
begin
    if rule->>'span' = 'minute' then
        return (
            select coalesce(sum(case measure when 'requests' then m.requests else m.tokens end), 0)
            from key_minutes m
            where m.key_id = holder.id and m.second >= floor(extract(epoch from at))::bigint - 60
        );
    end if;
    since := limit_began(rule, holder.time_zone, at);
    whole_days := date_trunc('day', since - interval '1 microsecond', 'UTC') + interval '24 hours';
    return (
        select coalesce(sum(part.amount), 0)
        from (
            select case measure when 'requests' then u.requests when 'tokens' then u.tokens else u.cost_micros end
            from key_usage u
            where u.key_id = holder.id and u.span = 'quarter' and u.start >= since and u.start < whole_days
              and (patterns = '{}' or u.model like any (patterns))
            union all
            select case measure when 'requests' then u.requests when 'tokens' then u.tokens else u.cost_micros end
            from key_usage u
            where u.key_id = holder.id and u.span = 'day' and u.start >= whole_days
              and (patterns = '{}' or u.model like any (patterns))
            union all
            select case measure when 'requests' then 1 when 'tokens' then l.tokens else l.cost_micros end
            from leases l
            where l.key_id = holder.id and l.started_at >= since
              and (patterns = '{}' or left(coalesce(l.model, ''), 200) like any (patterns))
        ) part (amount)
    );
end
$$;

-- When a limit has room again for as much as is missing, or, where nothing is missing, for the next part of what is used.
-- Null: never by itself, or nothing is used.
create function limit_resets(holder api_keys, rule jsonb, at timestamptz, missing bigint)
returns timestamptz stable language plpgsql as $$
declare
    kind text := rule->>'span';
    measure text := rule->>'measure';
    zone text := holder.time_zone;
    patterns text[];
    hours interval;
begin
    if kind = 'total' then
        return null;
    end if;
    if kind not in ('minute', 'hours') then
        return (date_trunc(kind, at at time zone zone) + ('1 ' || kind)::interval) at time zone zone;
    end if;
    patterns := array(select jsonb_array_elements_text(rule->'like'));
    hours := make_interval(hours => (rule->>'hours')::integer);
    return (
        with part (leaves, amount) as (
            select to_timestamp(m.second + 61), case measure when 'requests' then m.requests else m.tokens end
            from key_minutes m
            where kind = 'minute' and m.key_id = holder.id and m.second >= floor(extract(epoch from at))::bigint - 60
            union all
            select u.start + interval '15 minutes' + hours,
                case measure when 'requests' then u.requests when 'tokens' then u.tokens else u.cost_micros end
            from key_usage u
            where kind = 'hours' and u.key_id = holder.id and u.span = 'quarter'
              and u.start >= limit_began(rule, zone, at) and (patterns = '{}' or u.model like any (patterns))
        ), gone (leaves, amount) as (
            select leaves, sum(sum(amount)) over (order by leaves) from part group by leaves
        )
        select coalesce(
            (select min(g.leaves) from gone g where g.amount >= greatest(missing, 1)),
            -- The rest is under way.
            (select max(g.leaves) from gone g),
            at + case when missing > 0 then coalesce(hours, interval '61 seconds') end
        )
    );
end
$$;

-- The first limit of a key that has no room for a request of so many tokens, as an object of `rule`, `used` and
-- `resets_at`; null: there is room.
create function key_refusal(holder api_keys, tokens bigint, model text) returns jsonb stable language plpgsql as $$
declare
    at timestamptz := clock_timestamp();
    rule jsonb;
    used bigint;
    asked bigint;
    value bigint;
begin
    for rule in select * from jsonb_array_elements(holder.limits) loop
        continue when rule ? 'like' and not exists (
            select from jsonb_array_elements_text(rule->'like') pattern where left(coalesce(model, ''), 200) like pattern
        );
        value := rule->>'value';
        used := limit_used(holder, rule, at);
        -- What a request will cost nobody knows; it goes while anything is left.
        asked := case rule->>'measure' when 'tokens' then tokens else 1 end;
        -- A request that alone has more tokens than the limit goes when nothing else is counted, or it would never go.
        continue when used + asked <= value or (rule->>'measure' = 'tokens' and used <= 0);
        return jsonb_build_object(
            'rule', rule, 'used', used, 'resets_at', limit_resets(holder, rule, at, used + asked - value)
        );
    end loop;
    return null;
end
$$;

-- What a key has used of each of its limits, in their order.
create function key_standing(key text) returns table (rule jsonb, used bigint, resets_at timestamptz)
stable language sql as $$
    select r.rule, u.used, limit_resets(k, r.rule, now(), u.used + 1 - (r.rule->>'value')::bigint)
    from api_keys k
    cross join lateral jsonb_array_elements(k.limits) with ordinality r (rule, place)
    cross join lateral (select limit_used(k, r.rule, now())) u (used)
    where k.id = key
    order by r.place
$$;
