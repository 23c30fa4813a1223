-- The two statements of a request's life: the claim before the upstream is called, and the settlement after.
-- Both take a batch, so that an instance under load makes one round trip for many requests.

-- What a claim leaves behind while its request is in flight. A crash of the database may forget leases, minutes and
-- sessions; nothing else may be forgotten.
create unlogged table leases (
    request_id  text primary key,
    key_id      text not null,
    account_id  text not null,
    session     text,
    -- When it was claimed: the second whose count of tokens the settlement corrects.
    claimed_at  timestamptz not null,
    expires_at  timestamptz not null,
    -- The ledger row as far as it is known: what the request is recorded as should its instance die.
    draft       jsonb not null
) with (
    -- Every request adds a row and takes one away: what is dead has to go long before a share of the table is.
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0
);
create index on leases (key_id);
create index on leases (account_id);
create index on leases (session);
create index on leases (expires_at);

-- How long a lease lives without being renewed.
create function lease_life() returns interval immutable language sql as $$ select interval '45 seconds' $$;

-- Requests and tokens of accounts by the second, for limits of any sixty seconds in a row. Rows are only ever added: a
-- settlement corrects an estimate by a row of its own, and so never waits for a claim.
create unlogged table minutes (
    account_id  text not null,
    second      bigint not null,
    requests    integer not null,
    tokens      bigint not null
) with (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0
);
create index on minutes (account_id, second);
create index on minutes (second);

-- Where a conversation is served: its prompt cache is there.
create unlogged table sessions (
    session     text primary key,
    account_id  text not null,
    expires_at  timestamptz not null
);
create index on sessions (expires_at);

-- Whether an account's minute has room for one more request of this many tokens. Seconds are counted whole, and the one
-- that began sixty ago counts too, so that no sixty seconds in a row ever hold more than the limit.
create function minute_has_room(account accounts, tokens_asked bigint) returns boolean stable language sql as $$
    select (account.requests_per_minute is null and account.tokens_per_minute is null) or (
        select coalesce(sum(m.requests), 0) + 1 <= coalesce(account.requests_per_minute, 2147483647)
           and (
               coalesce(sum(m.tokens), 0) + tokens_asked <= coalesce(account.tokens_per_minute, 9223372036854775807)
               -- A request that alone is over the limit goes when the minute is empty, or it would never go.
               or coalesce(sum(m.tokens), 0) = 0
           )
        from minutes m
        where m.account_id = account.id and m.second >= floor(extract(epoch from clock_timestamp()))::bigint - 60
    )
$$;

-- Takes, for each item, the first usable account of its list. Claims of one pool are made one after the other, so a limit
-- holds exactly, however many instances there are. An item:
--   request, revision (of the settings), key (id), pool, family, tokens (estimated), accounts (ids, best first), draft,
--   session and, where the policy has affinity, session_seconds and session_in_flight
-- Outcomes: granted · settings_changed (what the item was decided on is old) · key_gone · key_busy · accounts_busy
-- `affinity`: whether the session is `new`, was `kept` on its account, or `moved`.
create function claim(batch jsonb)
returns table (request_id text, outcome text, account_id text, affinity text)
language plpgsql
-- The tables are small and change all the time: an index is right whatever the statistics of the moment say, and a plan
-- that was right once is right again.
set enable_seqscan = off set enable_bitmapscan = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    item jsonb;
    current bigint;
    holder api_keys;
    bound accounts;
    crowded text[];
    candidate accounts;
    life interval;
begin
    perform pg_advisory_xact_lock(hashtextextended('claim ' || pool, 0))
    from (select distinct i->>'pool' as pool from jsonb_array_elements(batch) i order by 1) pools;

    select revision into current from settings;

    for item in select * from jsonb_array_elements(batch) loop
        request_id := item->>'request';
        outcome := 'accounts_busy';
        account_id := null;
        affinity := null;

        select * into holder from api_keys where id = item->>'key';
        if (item->>'revision')::bigint <> current then
            outcome := 'settings_changed';
        elsif holder.id is null or holder.revoked_at is not null or holder.expires_at <= now() then
            outcome := 'key_gone';
        elsif holder.max_in_flight is not null and holder.max_in_flight <= (
            select count(*) from leases l
            where l.key_id = holder.id and l.expires_at > now() and l.request_id <> item->>'request'
        ) then
            outcome := 'key_busy';
        else
            bound := null;
            crowded := '{}';
            life := make_interval(secs => (item->>'session_seconds')::double precision);
            if life is not null then
                select a.* into bound from sessions s join accounts a on a.id = s.account_id
                where s.session = item->>'session' and s.expires_at > now();
                select coalesce(array_agg(account_id), '{}') into crowded from (
                    select l.account_id from leases l
                    where l.session = item->>'session' and l.expires_at > now() and l.request_id <> item->>'request'
                    group by 1 having count(*) >= (item->>'session_in_flight')::integer
                ) under_way;
            end if;
            -- A session goes on where it is, else within the organization, whose caches it can read, else by rank. An account
            -- that has as many of the session's requests under way as it may comes last: so a fan-out spreads.
            for candidate in
                select a.*
                from jsonb_array_elements_text(item->'accounts') with ordinality as wanted (id, place)
                join accounts a on a.id = wanted.id
                where not a.paused
                  and (a.health = 'ready' or a.health_until <= now() or a.probe_at <= now())
                order by
                    a.id = any (crowded),
                    coalesce(a.id = bound.id, false) desc,
                    coalesce(a.organization = bound.organization, false) desc,
                    wanted.place
            loop
                continue when exists (
                    select from family_cooldowns f
                    where f.account_id = candidate.id and f.family = item->>'family' and f.until > now()
                );
                continue when candidate.max_in_flight is not null and candidate.max_in_flight <= (
                    select count(*) from leases l
                    where l.account_id = candidate.id and l.expires_at > now() and l.request_id <> item->>'request'
                );
                continue when (candidate.requests_per_minute is not null or candidate.tokens_per_minute is not null)
                    and not minute_has_room(candidate, (item->>'tokens')::bigint);
                outcome := 'granted';
                account_id := candidate.id;
                exit;
            end loop;
        end if;

        if outcome = 'granted' then
            if life is not null then
                affinity := case
                    when bound.id is null then 'new' when bound.id = candidate.id then 'kept' else 'moved'
                end;
                perform bind(item->>'session', candidate.id, life);
            end if;
            perform take(item, candidate, holder.id);
        end if;
        return next;
    end loop;
end
$$;

-- Leaves a claim's traces: the lease, and where the account has limits or is being tested, what those go by.
create function take(item jsonb, account accounts, key text) returns void language plpgsql as $$
begin
    -- A second claim of the same request moves its lease.
    insert into leases values (
        item->>'request', key, account.id, item->>'session', clock_timestamp(), now() + lease_life(), item->'draft'
    )
    on conflict (request_id) do update set
        account_id = excluded.account_id, claimed_at = excluded.claimed_at,
        expires_at = excluded.expires_at, draft = excluded.draft;

    if account.requests_per_minute is not null or account.tokens_per_minute is not null then
        insert into minutes
        values (account.id, floor(extract(epoch from clock_timestamp()))::bigint, 1, (item->>'tokens')::bigint);
    end if;

    -- Whoever tests an account is the only one for a while.
    if account.probe_at <= now() then
        update accounts set probe_at = now() + interval '15 minutes' where id = account.id;
    end if;
end
$$;

-- Notes where a session is served. One that merely overflows stays bound to where its cache is; one whose account sits out
-- moves for good. It is written only when that says something new, or would soon be forgotten.
create function bind(name text, account text, life interval) returns void language plpgsql as $$
begin
    insert into sessions values (name, account, now() + life)
    on conflict (session) do update set account_id = excluded.account_id, expires_at = excluded.expires_at
    where sessions.expires_at < now() + life / 2 or (
        sessions.account_id <> excluded.account_id and not exists (
            select from accounts a
            where a.id = sessions.account_id and not a.paused and (a.health = 'ready' or a.health_until <= now())
        )
    );
end
$$;

-- Writes ledger rows and frees their leases, together. Writing a row again changes nothing, except that the true row
-- replaces one that was given up as lost.
create function settle(batch jsonb) returns void language plpgsql
set enable_seqscan = off set enable_bitmapscan = off
as $$
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

    with freed as (
        delete from leases
        using jsonb_array_elements(batch) r
        where leases.request_id = r->>'id'
        returning leases.account_id, leases.claimed_at, (leases.draft->>'input_tokens')::bigint as estimate,
            -- Cache reads do not count against the providers' limits.
            coalesce((r->>'input_tokens')::bigint, 0) + coalesce((r->>'cache_write_5m_tokens')::bigint, 0)
            + coalesce((r->>'cache_write_1h_tokens')::bigint, 0) + coalesce((r->>'output_tokens')::bigint, 0) as used
    )
    insert into minutes
    select f.account_id, floor(extract(epoch from f.claimed_at))::bigint, 0, f.used - f.estimate
    from freed f join accounts a on a.id = f.account_id
    where a.tokens_per_minute is not null;
end
$$;

-- Turns the leases of instances that died into ledger rows marked `lost`, and says how many there were. Sweeps out what is
-- too old to matter, too.
create function reap() returns bigint language plpgsql as $$
declare
    lost jsonb;
begin
    delete from minutes where second < floor(extract(epoch from now()))::bigint - 120;
    delete from sessions where session in (
        select s.session from sessions s where s.expires_at <= now() for update skip locked
    );
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
