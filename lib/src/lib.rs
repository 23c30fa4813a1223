//! The gateway: one URL and one key in front of many accounts. `ARCHITECTURE.md` draws the house.
//!
//! From the street inwards: [`host`] is where it runs, [`routes`] is HTTP in and out, `relay` the life of one request,
//! [`gateway`] what a process owns, [`store`], `upstream` and `windows` the three shores, [`access`], [`pool`] and [`ledger`] the
//! decisions, [`protocol`] what bytes mean.

mod relay;
mod routes;
mod upstream;
mod windows;

pub mod access;
pub mod address;
pub mod background;
pub mod batch;
pub mod clock;
pub mod config;
pub mod credential;
pub mod error;
pub mod gateway;
pub mod glob;
pub mod host;
pub mod http;
pub mod id;
pub mod ledger;
pub mod money;
pub mod pool;
pub mod protocol;
pub mod random;
pub mod seal;
pub mod secret;
pub mod store;
pub mod tls;

pub use background::Background;
pub use error::{Error, Kind, Result};
pub use routes::Router;
pub use secret::Secret;
