-- What upstreams reported of their limits, over time: at most one point for each limit of an account in five minutes.

create table reported_history (
    account_id  text not null references accounts (id) on delete cascade,
    -- When its five minutes began.
    at          timestamptz not null,
    -- As in `accounts.reported_limits`; an empty family is the whole account.
    family      text not null,
    name        text not null,
    -- The greatest share that was used in them; can exceed 1.
    used        real not null,
    -- The time of renewal that was said with it.
    resets_at   timestamptz,
    primary key (account_id, at, family, name)
);
-- For what is too old to be kept.
create index on reported_history (at);
