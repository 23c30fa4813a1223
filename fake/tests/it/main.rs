//! The fake as its users meet it: over the wire, by a client that knows nothing of its inside.

mod client;
mod endings;
mod lifelike;
mod process;
mod scripts;
