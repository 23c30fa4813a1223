-- Answers that end otherwise than they began.

-- Answers in a row that the upstream broke off after their beginning had been shown; only a whole one ends the count, so it
-- stands beside `failures`, which a beginning ends.
alter table accounts add column breaks integer not null default 0;

-- Of a request whose session moved: whether it came to an account of another organization, which cannot read what the model
-- thought before, nor the caches. Null: it did not move, or nobody knows.
alter table ledger add column crossed boolean;

-- Who shares an organization with the account that a session has to leave.
create index on accounts (organization) where organization is not null;
