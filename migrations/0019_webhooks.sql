-- What an operator should know: events, each kept until the receiver has it.
--
-- An event is written in the transaction that makes it true, whichever instance that is, so there is one of each. Without a
-- receiver they are forgotten after three days.

create table webhook_events (
    id          text primary key default 'msg_' || replace(gen_random_uuid()::text, '-', ''),
    type        text not null,
    data        jsonb not null,
    created_at  timestamptz not null default clock_timestamp(),
    -- When it may be sent next. Whoever takes it to send it moves this into the future first.
    due_at      timestamptz not null default clock_timestamp(),
    attempts    integer not null default 0,
    last_error  text
);
create index on webhook_events (due_at);

create function tell(type text, data jsonb) returns void language sql as $$
    delete from webhook_events where created_at < clock_timestamp() - interval '3 days';
    insert into webhook_events (type, data) values (type, jsonb_strip_nulls(data));
$$;

-- A shorter rest is everyday.
create function is_long(until timestamptz) returns boolean stable language sql as $$
    select coalesce(until >= clock_timestamp() + interval '10 minutes', false)
$$;

-- What the last event said of an account: `needs_auth`, `exhausted` or `cooling`; null: nothing, or that it serves again.
alter table accounts add column told text;

create function tell_of_account() returns trigger language plpgsql as $$
declare
    word text := case
        when new.health = 'ready' then null
        when new.health in ('needs_auth', 'exhausted') then new.health
        when is_long(greatest(new.health_until, new.probe_at)) then 'cooling'
        else new.told
    end;
begin
    if word is distinct from new.told then
        perform tell('account.' || coalesce(word, 'recovered'), jsonb_build_object(
            'account_id', new.id, 'name', new.name, 'provider', new.provider, 'pool', new.pool,
            'reason', new.health_reason, 'until', new.health_until
        ));
        new.told := word;
    end if;
    return new;
end
$$;
create trigger tell_of_account before update of health, health_until, probe_at on accounts for each row
when (
    old.health is distinct from new.health or old.health_until is distinct from new.health_until
    or old.probe_at is distinct from new.probe_at
)
execute function tell_of_account();

-- Whether an event has said that the family sits out long.
alter table family_cooldowns add column told boolean not null default false;

create function tell_of_family() returns trigger language plpgsql as $$
declare
    one family_cooldowns;
    gone boolean := tg_op = 'DELETE';
begin
    if gone then
        one := old;
    else
        one := new;
    end if;
    if gone and not one.told then
        return null;
    end if;
    if not gone then
        if not is_long(one.until) or (one.told and old.until > clock_timestamp()) then
            return null;
        end if;
        update family_cooldowns f set told = true where f.account_id = one.account_id and f.family = one.family;
    end if;
    perform tell(case when gone then 'account.recovered' else 'account.cooling' end, jsonb_build_object(
        'account_id', a.id, 'name', a.name, 'provider', a.provider, 'pool', a.pool, 'model_family', one.family,
        'reason', case when not gone then one.reason end, 'until', case when not gone then one.until end
    ))
    from accounts a where a.id = one.account_id;
    return null;
end
$$;
create trigger tell_of_family after insert or update of until or delete on family_cooldowns for each row
execute function tell_of_family();

create table webhook_state (
    only_row     boolean primary key default true check (only_row),
    -- When somebody last looked for what no single row tells; null: nobody ever did, for there was no receiver.
    looked_at    timestamptz,
    -- Since when errors are as many as an event has said; null: they are not.
    burst_since  timestamptz
);
insert into webhook_state default values;

-- How far events have said that a key has used a limit up, in percent.
create table budget_marks (
    key_id  text not null references api_keys (id) on delete cascade,
    rule    jsonb not null,
    level   integer not null,
    began   timestamptz not null,
    primary key (key_id, rule)
);

-- Four fifths of each limit of a key that was used lately, and the whole of it. In a rolling window what is used comes and goes:
-- it is told anew after less than seven tenths.
create function tell_of_budgets() returns void language plpgsql as $$
declare
    one record;
    level integer;
    known budget_marks;
begin
    for one in
        select k.id, k.name, s.rule, s.used, s.resets_at, (s.rule->>'value')::bigint as value,
            case s.rule->>'span'
                when 'hours' then 'epoch' else limit_began(s.rule, k.time_zone, clock_timestamp())
            end as began
        from api_keys k cross join lateral key_standing(k.id) s
        where k.revoked_at is null and s.rule->>'span' <> 'minute' and (s.rule->>'value')::bigint > 0
          and exists (
              select from key_usage u
              where u.key_id = k.id and u.span = 'quarter' and u.start >= clock_timestamp() - interval '30 minutes'
          )
    loop
        delete from budget_marks m
        where m.key_id = one.id and m.rule = one.rule and (m.began <> one.began or one.used * 10 < one.value * 7);
        level := case when one.used >= one.value then 100 when one.used * 5 >= one.value * 4 then 80 else 0 end;
        select * into known from budget_marks m where m.key_id = one.id and m.rule = one.rule;
        if level > coalesce(known.level, 0) then
            insert into budget_marks values (one.id, one.rule, level, one.began)
            on conflict (key_id, rule) do update set level = excluded.level;
            perform tell('key.budget', jsonb_build_object(
                'key_id', one.id, 'name', one.name, 'percent', level, 'rule', one.rule, 'used', one.used,
                'resets_at', one.resets_at
            ));
        end if;
    end loop;
end
$$;

-- At least ten failures within five minutes, and at least a tenth of all requests; told anew after it was less than half that.
create function tell_of_errors() returns void language plpgsql as $$
declare
    failed bigint;
    every bigint;
begin
    select count(*) filter (where status in ('failed', 'lost')), count(*) into failed, every
    from ledger where started_at > clock_timestamp() - interval '5 minutes';
    if failed >= 10 and failed * 10 >= every then
        update webhook_state set burst_since = clock_timestamp() where burst_since is null;
        if found then
            perform tell('errors.burst', jsonb_build_object('failed', failed, 'requests', every, 'minutes', 5));
        end if;
    elsif failed < 5 or failed * 20 < every then
        update webhook_state set burst_since = null where burst_since is not null;
    end if;
end
$$;

-- Looks for what no single row tells: one instance does it for all, every ten seconds at most. Answers how many events were given
-- up, because the receiver has not taken them for three days.
create function look_for_events() returns bigint language plpgsql as $$
declare
    was timestamptz;
    given_up bigint;
begin
    select looked_at into was from webhook_state
    where looked_at is null or looked_at < clock_timestamp() - interval '10 seconds'
    for update skip locked;
    if not found then
        return 0;
    end if;
    update webhook_state set looked_at = clock_timestamp();
    -- With the first receiver ever, what is old is no news.
    delete from webhook_events
    where created_at < clock_timestamp() - case when was is null then interval '5 minutes' else interval '3 days' end;
    get diagnostics given_up = row_count;
    perform tell_of_budgets();
    perform tell_of_errors();
    return case when was is null then 0 else given_up end;
end
$$;
