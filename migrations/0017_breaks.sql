-- Answers that end otherwise than they began.

-- Answers in a row that the upstream broke off after their beginning had been shown; only a whole one ends the count, so it
-- stands beside `failures`, which a beginning ends.
alter table accounts add column breaks integer not null default 0;
