//! The gateway through its front door: a real server, a real PostgreSQL, and upstreams played by the fake.

mod oauth;
mod support;
mod walk;
