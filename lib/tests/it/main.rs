//! The gateway through its front door: a real server, a real PostgreSQL, and upstreams played by the fake.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed, and its panic says where")]

mod database;
mod files;
mod manage;
mod routing;
mod support;
mod tidy;
mod walk;
