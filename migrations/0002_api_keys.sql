-- What the gateway issues to its callers. The key itself is never stored, only its SHA-256.

create table api_keys (
    id             text primary key,
    hash           bytea not null unique,
    -- The first ten characters, so that a holder and an operator can speak of the same key.
    prefix         text not null,
    name           text not null,
    role           text not null check (role in ('admin', 'member', 'viewer')),
    pool           text not null default 'default',
    -- Empty: every provider, every model.
    providers      text[] not null default '{}',
    models         text[] not null default '{}',
    max_in_flight  integer check (max_in_flight >= 1),
    labels         jsonb not null default '{}',
    note           text not null default '',
    expires_at     timestamptz,
    revoked_at     timestamptz,
    created_at     timestamptz not null default now(),
    updated_at     timestamptz not null default now()
);

-- Every change of an account, a key, a policy or a price: who, what, before and after. No secret is ever in it.
create table audit_log (
    id       bigint generated always as identity primary key,
    at       timestamptz not null default now(),
    -- The id of an admin key, or `admin_token`.
    actor    text not null,
    action   text not null,
    subject  text not null,
    before   jsonb,
    after    jsonb
);
create index on audit_log (at desc);
