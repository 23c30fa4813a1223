//! The gateway through its front door: a real server, a real PostgreSQL, and upstreams played by the fake.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed, and its panic says where")]

mod support;

mod again;
mod books;
mod breaker;
mod breaks;
mod bytes;
mod claims;
mod code_assist;
mod costs;
mod database;
mod exits;
mod failover;
mod families;
mod files;
mod fuzz;
mod keys;
mod keys_books;
mod keys_exact;
mod keys_limits;
mod keys_rotation;
mod limits;
mod manage;
mod meters;
mod oauth;
mod organizations;
mod packing;
mod passthrough;
mod paths;
mod patience;
mod redis;
mod refusals;
mod routing;
mod security;
mod spent;
mod stats;
mod streams;
mod things;
mod tidy;
mod traces;
mod walk;
mod webhooks;
