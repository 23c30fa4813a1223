//! The gateway: one URL and one key in front of many accounts. `ARCHITECTURE.md` draws the house.

pub mod credential;
pub mod error;
pub mod http;
pub mod id;
pub mod ledger;
pub mod protocol;
pub mod random;
pub mod secret;

pub use error::{Error, Kind, Result};
