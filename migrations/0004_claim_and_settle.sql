-- The two statements of a request's life: the claim before the upstream is called, and the settlement after.
-- Both take a batch, so that an instance under load makes one round trip for many requests.

-- What a claim leaves behind while its request is in flight. A crash of the database may forget leases; nothing else may.
create unlogged table leases (
    request_id  text primary key,
    key_id      text not null,
    account_id  text not null,
    expires_at  timestamptz not null,
    -- The ledger row as far as it is known: what the request is recorded as should its instance die.
    draft       jsonb not null
);
create index on leases (key_id);
create index on leases (account_id);
create index on leases (expires_at);

-- How long a lease lives without being renewed.
create function lease_life() returns interval immutable language sql as $$ select interval '45 seconds' $$;

-- Takes, for each item, the first usable account of its list. Claims of one pool are made one after the other, so a cap
-- holds exactly, however many instances there are. An item:
--   request, key (id), key_revision, pool, family, accounts (ids, best first), draft
-- Outcomes: granted · key_gone (revoked, expired, deleted) · key_changed (a cached copy is old) · key_busy · accounts_busy
create function claim(batch jsonb)
returns table (request_id text, outcome text, account_id text, account_revision bigint)
language plpgsql as $$
#variable_conflict use_column
declare
    item jsonb;
    holder api_keys;
    candidate record;
begin
    perform pg_advisory_xact_lock(hashtextextended('claim ' || pool, 0))
    from (select distinct i->>'pool' as pool from jsonb_array_elements(batch) i order by 1) pools;

    for item in select * from jsonb_array_elements(batch) loop
        request_id := item->>'request';
        outcome := null;
        account_id := null;
        account_revision := null;

        select * into holder from api_keys where id = item->>'key';
        if not found or holder.revoked_at is not null or holder.expires_at <= now() then
            outcome := 'key_gone';
        elsif holder.revision <> (item->>'key_revision')::bigint then
            outcome := 'key_changed';
        elsif holder.max_in_flight <= (
            select count(*) from leases l
            where l.key_id = holder.id and l.expires_at > now() and l.request_id <> item->>'request'
        ) then
            outcome := 'key_busy';
        else
            select a.id, a.revision into candidate
            from jsonb_array_elements_text(item->'accounts') with ordinality as wanted (id, place)
            join accounts a on a.id = wanted.id
            where not a.paused
              and (a.health = 'ready' or a.health_until <= now())
              and not exists (
                  select from family_cooldowns f
                  where f.account_id = a.id and f.family = item->>'family' and f.until > now()
              )
              and (a.max_in_flight is null or a.max_in_flight > (
                  select count(*) from leases l
                  where l.account_id = a.id and l.expires_at > now() and l.request_id <> item->>'request'
              ))
            order by wanted.place
            limit 1;
            if found then
                outcome := 'granted';
                account_id := candidate.id;
                account_revision := candidate.revision;
                -- A second claim of the same request moves its lease.
                insert into leases values (
                    item->>'request', holder.id, candidate.id, now() + lease_life(), item->'draft'
                )
                on conflict (request_id) do update
                set account_id = excluded.account_id, expires_at = excluded.expires_at, draft = excluded.draft;
            else
                outcome := 'accounts_busy';
            end if;
        end if;
        return next;
    end loop;
end
$$;

-- Writes ledger rows and frees their leases, together. Writing a row again changes nothing, except that the true row
-- replaces one that was given up as lost.
create function settle(batch jsonb) returns void language plpgsql as $$
begin
    perform ledger_partition(week)
    from (
        select distinct date_trunc('week', (r->>'started_at')::timestamptz, 'UTC') as week
        from jsonb_array_elements(batch) r
    ) weeks;

    insert into ledger
    select distinct on (row.started_at, row.id) row.*
    from jsonb_populate_recordset(null::ledger, batch) row
    order by row.started_at, row.id
    on conflict (started_at, id) do update set
        account_id = excluded.account_id, served_model = excluded.served_model, status = excluded.status,
        http_status = excluded.http_status, error = excluded.error, attempts = excluded.attempts,
        input_tokens = excluded.input_tokens, cache_read_tokens = excluded.cache_read_tokens,
        cache_write_5m_tokens = excluded.cache_write_5m_tokens, cache_write_1h_tokens = excluded.cache_write_1h_tokens,
        output_tokens = excluded.output_tokens, thinking_tokens = excluded.thinking_tokens,
        tool_use_tokens = excluded.tool_use_tokens, searches = excluded.searches,
        cost_micros = excluded.cost_micros, estimated = excluded.estimated, unpriced = excluded.unpriced,
        first_token_ms = excluded.first_token_ms, duration_ms = excluded.duration_ms,
        upstream_request_id = excluded.upstream_request_id
    where ledger.status = 'lost' and excluded.status <> 'lost';

    delete from leases
    using jsonb_array_elements(batch) r
    where leases.request_id = r->>'id';
end
$$;

-- Turns the leases of instances that died into ledger rows marked `lost`, and says how many there were.
create function reap() returns bigint language plpgsql as $$
declare
    lost jsonb;
begin
    with dead as (
        delete from leases
        where request_id in (
            select l.request_id from leases l where l.expires_at <= now() for update skip locked
        )
        returning account_id, draft
    )
    select jsonb_agg(
        draft || jsonb_build_object(
            'account_id', account_id,
            'status', 'lost',
            'duration_ms', greatest(0, extract(epoch from now() - (draft->>'started_at')::timestamptz) * 1000)::integer
        )
    ) into lost from dead;
    if lost is null then
        return 0;
    end if;
    perform settle(lost);
    return jsonb_array_length(lost);
end
$$;
