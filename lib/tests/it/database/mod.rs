//! Postgres: its schema, the ways to it, and what happens while it is away.

mod asleep;
mod outage;
mod poison;
mod pooler;
mod schema;
mod upgrade;
