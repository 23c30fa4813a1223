//! The gateway through its front door: a real server, a real PostgreSQL, and upstreams played by the fake.

mod routing;
mod support;

mod books;
mod bytes;
mod failover;
mod keys;
mod limits;
mod paths;
mod refusals;
mod streams;
mod walk;
