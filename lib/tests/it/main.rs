//! The gateway through its front door: a real server, a real PostgreSQL, and upstreams played by the fake.

mod routing;
mod support;
mod walk;
