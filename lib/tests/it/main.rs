//! The gateway through its front door: a real server, a real PostgreSQL, and upstreams played by the fake.

#![cfg(test)]

mod support;

mod books;
mod bytes;
mod failover;
mod keys;
mod limits;
mod meters;
mod paths;
mod refusals;
mod routing;
mod streams;
mod walk;
