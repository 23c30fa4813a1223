-- Callers who bring a login of their own.

alter table api_keys
    -- Whether a caller may come with this key in `x-gateway-key` and be served by its own login instead of an account.
    add column if not exists allow_passthrough boolean not null default false;
