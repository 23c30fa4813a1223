-- The ledger: one row for each claimed request, append-only, partitioned by week.

create table ledger (
    id                     text not null,
    started_at             timestamptz not null,
    key_id                 text not null,
    -- The account that served last.
    account_id             text not null,
    pool                   text not null,
    provider               text not null,
    operation              text not null,
    -- What the caller asked for, and what the upstream says it was.
    model                  text,
    served_model           text,
    stream                 boolean not null,
    session                text,
    client                 text,
    -- `new`, `kept` or `moved`; null where the policy has no affinity or the request no session.
    affinity               text,
    status                 text not null check (status in ('completed', 'failed', 'refused', 'cancelled', 'lost')),
    http_status            integer,
    error                  text,
    -- Oldest first: account, verdict, status, took_ms.
    attempts               jsonb not null default '[]',
    -- Null: nobody knows. Zero: the upstream said none.
    input_tokens           bigint,
    cache_read_tokens      bigint,
    cache_write_5m_tokens  bigint,
    cache_write_1h_tokens  bigint,
    output_tokens          bigint,
    thinking_tokens        bigint,
    tool_use_tokens        bigint,
    searches               bigint,
    cost_micros            bigint not null default 0,
    estimated              boolean not null default false,
    unpriced               boolean not null default false,
    first_token_ms         integer,
    duration_ms            integer not null,
    upstream_request_id    text,
    primary key (started_at, id)
) partition by range (started_at);

create index on ledger (key_id, started_at desc);
create index on ledger (account_id, started_at desc);

-- Makes the partition of the week that `at` falls into, and does nothing when it is there.
create function ledger_partition(at timestamptz) returns void language plpgsql as $$
declare
    week timestamptz := date_trunc('week', at, 'UTC');
    partition text := 'ledger_' || to_char(week at time zone 'UTC', 'IYYY"w"IW');
begin
    if to_regclass(partition) is not null then
        return;
    end if;
    perform pg_advisory_xact_lock(hashtextextended('ledger_partition', 0));
    if to_regclass(partition) is null then
        -- Attaching takes a lighter lock on the ledger than creating in place.
        execute format('create table %I (like ledger including defaults including constraints)', partition);
        execute format(
            'alter table ledger attach partition %I for values from (%L) to (%L)',
            partition, week, week + interval '7 days'
        );
    end if;
end
$$;

-- Prices that replace the built-in table's, model by model; the columns of the table as one object.
create table prices (
    provider    text not null check (provider in ('anthropic', 'gemini')),
    model       text not null,
    price       jsonb not null,
    updated_at  timestamptz not null default now(),
    primary key (provider, model)
);
