-- Where Redis counts the minutes of keys and accounts, it may be away from some instance: until then they are counted here
-- too, for everybody. One row, or none.
create unlogged table redis_away (
    one    boolean primary key default true check (one),
    until  timestamptz not null
);
