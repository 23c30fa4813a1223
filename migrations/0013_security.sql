-- The networks that a key may be used from; empty: any.
alter table api_keys add column allowed_cidrs text[] not null default '{}';

-- Failed sign-ins of the present window of each address. A crash may forget them; a sign-in that succeeds never comes here.
create unlogged table failed_sign_ins (
    -- An IPv4 address, or the /64 that an IPv6 address lies in.
    origin      text primary key,
    failures    integer not null,
    -- When the window ends.
    until       timestamptz not null
);

create index failed_sign_ins_until on failed_sign_ins (until);
