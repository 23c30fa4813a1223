-- What lives on an account: files, batches, cached contents, containers, and uploads under way. Each keeps going to the
-- account that made it, and belongs to the key that made it.

create table things (
    provider    text not null,
    account_id  text not null references accounts on delete cascade,
    -- As the provider calls it: `file_…`, `files/…`. An upload's name is a secret, so of that the hash.
    name        text not null,
    kind        text not null check (kind in ('batch', 'cache', 'container', 'file', 'upload')),
    key_id      text not null,
    created_at  timestamptz not null default clock_timestamp(),
    -- When the provider forgets it; null where it does not say.
    expires_at  timestamptz,
    primary key (provider, name, account_id)
);

-- A key's list, newest first.
create index on things (key_id, provider, kind, created_at desc, name desc);
create index on things (expires_at) where expires_at is not null;
