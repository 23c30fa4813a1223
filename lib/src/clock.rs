//! The only reader of the clock. Pure rooms take the time as an argument.

use jiff::Timestamp;

/// What time it is.
#[expect(clippy::disallowed_methods, reason = "this is the one place that may")]
pub fn now() -> Timestamp {
    Timestamp::now()
}
