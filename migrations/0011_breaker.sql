-- An account that is out is tested by one request at a time; it serves again when that request was served.

-- The request that tests it, for as long as the request is open: one that ends, or whose instance dies, leaves the test to
-- the next. `probe_at` says from when on it may be tested; after failures that is the end of the cooldown.
alter table accounts add column tester text;

-- Whether what traffic taught of an account keeps it from serving.
create function sits_out(account accounts) returns boolean stable language sql as $$
    select account.health <> 'ready' and not coalesce(account.health_until <= now(), false)
$$;
