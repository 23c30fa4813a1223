-- Accounts, how they are routed, and the settings' revision.

-- Rises with every change that an operator makes, so that a claim can tell that what an instance remembers is old.
create table settings (
    only_row  boolean primary key default true check (only_row),
    revision  bigint not null default 1
);
insert into settings default values;

-- One upstream identity each, with its sealed credential and what traffic taught us of its health.
create table accounts (
    id                text primary key,
    provider          text not null check (provider in ('anthropic', 'gemini')),
    name              text not null unique,
    pool              text not null default 'default',
    -- Null: the provider's own address.
    base_url          text,
    -- Sealed with the account's id as associated data; the hint is the last four characters of the secret.
    credential        bytea not null,
    credential_kind   text not null,
    credential_hint   text not null,
    priority          integer not null default 0 check (priority >= 0),
    weight            integer not null default 1 check (weight >= 1),
    max_in_flight     integer check (max_in_flight >= 1),
    requests_per_minute integer check (requests_per_minute >= 1),
    tokens_per_minute integer check (tokens_per_minute >= 1),
    -- Whether it may go on into use that is paid extra once its own limits are spent.
    use_paid_overage  boolean not null default true,
    -- Globs; empty: every model.
    models            text[] not null default '{}',
    model_map         jsonb not null default '{}',
    note              text not null default '',
    paused            boolean not null default false,
    health            text not null default 'ready' check (health in ('ready', 'cooling', 'exhausted', 'needs_auth')),
    health_reason     text,
    -- When the health is `ready` again by itself; null: when somebody acts, or a check finds it well.
    health_until      timestamptz,
    -- When one request may test whether a long cooldown still holds.
    probe_at          timestamptz,
    -- Failures in a row, for cooldowns that grow.
    failures          integer not null default 0,
    last_error        text,
    -- The upstream's name for whom it bills; accounts that share one share caches and limits. Learned from answers.
    organization      text,
    -- What the upstream last said of its limits: name, limit, remaining, utilization, resets_at, status.
    reported_limits   jsonb not null default '[]',
    reported_at       timestamptz,
    last_checked_at   timestamptz,
    created_at        timestamptz not null default now(),
    updated_at        timestamptz not null default now()
);

-- One model family of an account sits out, while its other families go on serving.
create table family_cooldowns (
    account_id  text not null references accounts (id) on delete cascade,
    family      text not null,
    until       timestamptz not null,
    reason      text not null,
    failures    integer not null default 1,
    primary key (account_id, family)
);

-- How a pool ranks the accounts of a provider, where an operator has said so; else the defaults of the code hold.
create table routing_policies (
    pool        text not null,
    provider    text not null check (provider in ('anthropic', 'gemini')),
    policy      jsonb not null,
    updated_at  timestamptz not null default now(),
    primary key (pool, provider)
);
