//! The only reader of the clock. Pure rooms take the time as an argument.

use jiff::{RoundMode, Timestamp, TimestampRound, Unit};

/// What time it is, to the microsecond: as exactly as the database keeps it.
#[expect(clippy::disallowed_methods, reason = "this is the one place that may")]
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    now.round(TimestampRound::new().smallest(Unit::Microsecond).mode(RoundMode::Trunc)).unwrap_or(now)
}
