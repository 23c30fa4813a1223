//! The fake as its users meet it: over the wire, by a client that knows nothing of its inside.

// The attributes tell clippy that helpers are tests too, where unwrapping is fine.
#[cfg(test)]
mod client;
#[cfg(test)]
mod endings;
#[cfg(test)]
mod lifelike;
#[cfg(test)]
mod process;
#[cfg(test)]
mod scripts;
