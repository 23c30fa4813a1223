//! `llm-gateway` as a person runs it: the real program, a real server, a real PostgreSQL, and an upstream played by the fake.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed, and its panic says where")]

mod support;

mod accounts;
mod doctor;
mod elsewhere;
mod keys;
mod ledger;
mod migrate;
mod readme;
mod replay;
mod words;
