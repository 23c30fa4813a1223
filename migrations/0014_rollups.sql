-- Rollups: what the ledger adds up to by hour and by day, so that a question about months reads little.
--
-- They are exact at any moment. An hour's rollups count only where the hour is sealed (it is over) and has no mark among
-- the `dirty_hours`; for every other hour the ledger itself is asked. Sealing an hour marks it, a row that is written
-- late marks its hour again, and whoever rolls an hour up takes the marks away in the same transaction.

create table ledger_state (
    only_row      boolean primary key default true check (only_row),
    -- Hours before this one are over, and whoever still writes into one of them marks it.
    sealed_until  timestamptz not null,
    -- Partitions before this were dropped: of that time there are only rollups, and they never change again.
    kept_from     timestamptz,
    -- When somebody last looked for partitions to drop.
    swept_at      timestamptz not null default 'epoch'
);
insert into ledger_state (sealed_until)
select date_trunc('hour', coalesce(min(started_at), now()), 'UTC') from ledger;

-- Only ever added to and deleted from, with no key, so that writing a late row never waits for a rollup.
create table dirty_hours (hour timestamptz not null);
create index on dirty_hours (hour);

-- Where in the ledger a conversation is: a megabyte for a million rows, and next to no work for a new one.
create index on ledger using brin (session text_bloom_ops);

create table rollups (
    -- `hour` or `day`, in UTC, and when it began.
    step                     text not null,
    at                       timestamptz not null,
    -- What is told apart, beside provider, pool and status: `all` (the model), `key`, `key_model`, `account` (and its models),
    -- `both` (key, account and model); the rest is null. The same requests are in each, so that a question reads no finer
    -- rows than it needs.
    facet                    text not null,
    key_id                   text,
    account_id               text,
    provider                 text not null,
    pool                     text not null,
    model                    text,
    status                   text not null,
    -- What the view `ledger_facts` says of each row, added up.
    requests                 bigint not null,
    input_tokens             bigint,
    cache_read_tokens        bigint,
    cache_write_5m_tokens    bigint,
    cache_write_1h_tokens    bigint,
    output_tokens            bigint,
    thinking_tokens          bigint,
    tool_use_tokens          bigint,
    searches                 bigint,
    cost_micros              bigint not null,
    failovers                bigint not null,
    estimated                bigint not null,
    unpriced                 bigint not null,
    kept                     bigint not null,
    kept_prompt              bigint,
    kept_cache_read          bigint,
    moved                    bigint not null,
    moved_prompt             bigint,
    moved_cache_read         bigint,
    moved_cache_write_5m     bigint,
    moved_cache_write_1h     bigint,
    new                      bigint not null,
    new_prompt               bigint,
    new_cache_read           bigint,
    -- Of whole answers: how many, how long together, and how often how long.
    answers                  bigint not null,
    latency_ms               bigint,
    latency                  numeric,
    -- The same of first tokens.
    first_tokens             bigint not null,
    first_token_ms           bigint,
    first_token              numeric
) partition by list (step);
-- Each facet of each step lies by itself, so that a question about days or about all reads a small table.
create table rollups_of_hours partition of rollups for values in ('hour') partition by list (facet);
create table rollups_of_hours_all partition of rollups_of_hours for values in ('all');
create table rollups_of_hours_key partition of rollups_of_hours for values in ('key');
create table rollups_of_hours_key_model partition of rollups_of_hours for values in ('key_model');
create table rollups_of_hours_account partition of rollups_of_hours for values in ('account');
create table rollups_of_hours_both partition of rollups_of_hours for values in ('both');
create table rollups_of_days partition of rollups for values in ('day') partition by list (facet);
create table rollups_of_days_all partition of rollups_of_days for values in ('all');
create table rollups_of_days_key partition of rollups_of_days for values in ('key');
create table rollups_of_days_key_model partition of rollups_of_days for values in ('key_model');
create table rollups_of_days_account partition of rollups_of_days for values in ('account');
create table rollups_of_days_both partition of rollups_of_days for values in ('both');
create index on rollups (at);
create index on rollups (key_id, at) where key_id is not null;
create index on rollups (account_id, at) where account_id is not null;

-- A histogram of times is one number in base 10^12: its n-th digit counts the times in bucket n. So adding numbers adds
-- histograms, which Postgres does fast and in the order of nothing. Bucket n holds the whole milliseconds above 1.08^(n-1), up
-- to 1.08^n: the middle of a bucket is less than 4 % from everything in it. The first is 0 to 1 ms; the last takes all above an hour.
create function histogram_of(ms integer) returns numeric immutable parallel safe language sql as $$
    select ('1e' || (12 * least(197, ceil(ln(greatest(ms, 1)::double precision) / ln(1.08::double precision))::integer))::text)::numeric
$$;

-- The ledger's rows in the words of the rollups, column by column. What nobody knows is null, and is left out of the sums.
create view ledger_facts as
select
    'request'::text as step, started_at as at, 'both'::text as facet, key_id, account_id, provider, pool, model, status,
    1::bigint as requests,
    input_tokens, cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens, output_tokens, thinking_tokens,
    tool_use_tokens, searches, cost_micros,
    greatest(jsonb_array_length(attempts) - 1, 0)::bigint as failovers,
    estimated::integer::bigint as estimated,
    unpriced::integer::bigint as unpriced,
    (affinity is not distinct from 'kept')::integer::bigint as kept,
    case affinity when 'kept' then prompt end as kept_prompt,
    case affinity when 'kept' then cache_read_tokens end as kept_cache_read,
    (affinity is not distinct from 'moved')::integer::bigint as moved,
    case affinity when 'moved' then prompt end as moved_prompt,
    case affinity when 'moved' then cache_read_tokens end as moved_cache_read,
    case affinity when 'moved' then cache_write_5m_tokens end as moved_cache_write_5m,
    case affinity when 'moved' then cache_write_1h_tokens end as moved_cache_write_1h,
    (affinity is not distinct from 'new')::integer::bigint as new,
    case affinity when 'new' then prompt end as new_prompt,
    case affinity when 'new' then cache_read_tokens end as new_cache_read,
    -- How long an answer takes is told of whole ones; when the first token came, of all that had one.
    (took_ms is not null)::integer::bigint as answers,
    took_ms::bigint as latency_ms,
    case when took_ms is not null then histogram_of(took_ms) end as latency,
    (first_token_ms is not null)::integer::bigint as first_tokens,
    first_token_ms::bigint as first_token_ms,
    case when first_token_ms is not null then histogram_of(first_token_ms) end as first_token
from (
    select ledger.*, input_tokens + coalesce(cache_read_tokens, 0) + coalesce(cache_write_5m_tokens, 0)
        + coalesce(cache_write_1h_tokens, 0) as prompt,
        -- A batch has a row for what it used, which is no exchange and took no time.
        case when status = 'completed' and not (operation = 'batches' and http_status is null) then duration_ms end as took_ms
    from ledger
) row;

-- Marks the hour of a row that is written, changed or deleted after the hour was over. Rows of the running hour, which are
-- nearly all, cost one comparison.
create function mark_hour() returns trigger language plpgsql as $$
declare
    changed timestamptz := date_trunc('hour', coalesce(new.started_at, old.started_at), 'UTC');
begin
    -- One mark a transaction is enough. One of another transaction is not: it may be on its way out.
    if not exists (select from dirty_hours where hour = changed and xmin = pg_current_xact_id()::xid) then
        insert into dirty_hours values (changed);
    end if;
    return null;
end
$$;
create trigger late_row after insert or update on ledger for each row
when (new.started_at < date_trunc('hour', clock_timestamp(), 'UTC')) execute function mark_hour();
create trigger deleted_row after delete on ledger for each row
when (old.started_at < date_trunc('hour', clock_timestamp(), 'UTC')) execute function mark_hour();

-- Seals what is over and rolls up the newest hour that has a mark. True: there may be more to do.
create function roll_up() returns boolean language plpgsql as $$
declare
    -- Whoever found an hour still running when it wrote a row has committed five minutes after.
    over timestamptz := date_trunc('hour', clock_timestamp() - interval '5 minutes', 'UTC');
    due timestamptz;
    day timestamptz;
begin
    if not pg_try_advisory_xact_lock(hashtextextended('roll_up', 0)) then
        return false;
    end if;
    insert into dirty_hours
    select generate_series(s.sealed_until, over - interval '1 hour', interval '1 hour')
    from ledger_state s where s.sealed_until < over;
    update ledger_state set sealed_until = over where sealed_until < over;

    delete from dirty_hours d using ledger_state s where d.hour < s.kept_from;
    select max(hour) into due from dirty_hours where hour < over;
    if due is null then
        return false;
    end if;
    -- First the marks, then the reading: a row that is committed in between has a mark of its own.
    delete from dirty_hours where hour = due;
    perform roll_up_hour(due);
    day := date_trunc('day', due, 'UTC');
    if day + interval '24 hours' <= over and not exists (
        select from dirty_hours where hour >= day and hour < day + interval '24 hours'
    ) then
        perform roll_up_day(day);
    end if;
    return true;
end
$$;

create function roll_up_hour(began timestamptz) returns void language sql as $$
    delete from rollups where step = 'hour' and at = began;
    insert into rollups
    select
        'hour', began,
        case grouping(key_id, account_id, model)
            when 0 then 'both' when 2 then 'key_model' when 3 then 'key' when 4 then 'account' when 6 then 'all'
        end,
        key_id, account_id, provider, pool, model, status,
        sum(requests), sum(input_tokens), sum(cache_read_tokens), sum(cache_write_5m_tokens), sum(cache_write_1h_tokens),
        sum(output_tokens), sum(thinking_tokens), sum(tool_use_tokens), sum(searches), sum(cost_micros), sum(failovers),
        sum(estimated), sum(unpriced), sum(kept), sum(kept_prompt), sum(kept_cache_read), sum(moved), sum(moved_prompt),
        sum(moved_cache_read), sum(moved_cache_write_5m), sum(moved_cache_write_1h), sum(new), sum(new_prompt),
        sum(new_cache_read), sum(answers), sum(latency_ms), sum(latency), sum(first_tokens), sum(first_token_ms),
        sum(first_token)
    from ledger_facts
    where at >= began and at < began + interval '1 hour'
    group by grouping sets (
        (provider, pool, model, status), (key_id, provider, pool, status), (key_id, provider, pool, model, status),
        (account_id, provider, pool, model, status), (key_id, account_id, provider, pool, model, status)
    );
$$;

create function roll_up_day(began timestamptz) returns void language sql as $$
    delete from rollups where step = 'day' and at = began;
    insert into rollups
    select
        'day', began, facet, key_id, account_id, provider, pool, model, status,
        sum(requests), sum(input_tokens), sum(cache_read_tokens), sum(cache_write_5m_tokens), sum(cache_write_1h_tokens),
        sum(output_tokens), sum(thinking_tokens), sum(tool_use_tokens), sum(searches), sum(cost_micros), sum(failovers),
        sum(estimated), sum(unpriced), sum(kept), sum(kept_prompt), sum(kept_cache_read), sum(moved), sum(moved_prompt),
        sum(moved_cache_read), sum(moved_cache_write_5m), sum(moved_cache_write_1h), sum(new), sum(new_prompt),
        sum(new_cache_read), sum(answers), sum(latency_ms), sum(latency), sum(first_tokens), sum(first_token_ms),
        sum(first_token)
    from rollups
    where step = 'hour' and at >= began and at < began + interval '24 hours'
    group by facet, key_id, account_id, provider, pool, model, status;
$$;

-- Drops the oldest partition of the ledger if all of it is more than so many days old and rolled up, and names it; null: there
-- is none, somebody has looked within the hour, or the ledger is in use so that its lock cannot be had at once.
create function drop_old_partition(days integer) returns text language plpgsql set lock_timeout = '200ms' as $$
declare
    oldest record;
begin
    update ledger_state set swept_at = now() where swept_at < now() - interval '1 hour';
    if not found then
        return null;
    end if;
    select p.oid::regclass::text as name, bounds.upper::timestamptz as upper into oldest
    from pg_inherits i join pg_class p on p.oid = i.inhrelid,
        substring(pg_get_expr(p.relpartbound, p.oid) from $bound$TO \('([^']+)'\)$bound$) as bounds (upper)
    where i.inhparent = 'ledger'::regclass
    order by bounds.upper::timestamptz
    limit 1;
    if oldest.upper > now() - make_interval(hours => 24 * days)
        or oldest.upper > (select sealed_until from ledger_state)
        or exists (select from dirty_hours where hour < oldest.upper)
        or oldest.name is null
    then
        return null;
    end if;
    begin
        execute format('alter table ledger detach partition %s', oldest.name);
        execute format('drop table %s', oldest.name);
        -- There may be more of them: the next round looks at once.
        update ledger_state set kept_from = oldest.upper, swept_at = 'epoch';
    exception when lock_not_available then
        return null;
    end;
    return oldest.name;
end
$$;
