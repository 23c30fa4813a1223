-- A request's id as the gateway makes them: when it began, in ten signs of base 32, and what chance gives. By it one request is found.

create function pg_temp.request_id(began timestamptz) returns text language sql as $$
    select 'req_' || string_agg(substr('0123456789abcdefghjkmnpqrstvwxyz', (((extract(epoch from began) * 1000)::bigint >> (5 * place)) & 31)::int + 1, 1), '' order by place desc)
        || substr(md5(random()::text), 1, 16)
    from generate_series(0, 9) place
$$;
