-- A model family of an account that sits out long is tested early, as an account is (migration 11): from when on one
-- request may test it, and the one that does, for as long as that is open.
alter table family_cooldowns add column probe_at timestamptz, add column tester text;
