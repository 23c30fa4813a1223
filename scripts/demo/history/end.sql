-- After the demo's past is written: rollups begin where it begins, and limits count what is in it.

alter table ledger enable trigger late_row;
update ledger_state set sealed_until = (select date_trunc('hour', min(started_at), 'UTC') from ledger);

-- What the keys' limits count by.
insert into key_usage
select l.key_id, s.span, date_bin(s.length, l.started_at, 'epoch'), left(coalesce(l.model, ''), 200),
    count(*), count(*) filter (where l.status not in ('completed', 'cancelled')), sum(ledger_tokens(l)), sum(l.cost_micros)
from ledger l cross join (values ('quarter', interval '15 minutes'), ('day', interval '24 hours')) s (span, length)
group by 1, 2, 3, 4
on conflict do nothing;
analyze ledger, reported_history;
