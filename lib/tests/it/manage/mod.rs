//! The management API, by its contract.

mod accounts;
mod audit;
pub(crate) mod document;
mod keys;
mod matrix;
mod roles;
mod secrets;
mod setup;
mod sign_in;
mod stats;
