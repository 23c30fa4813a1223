//! The one place that reads the clock: for the resets that limits name, and the stamps that measured pieces carry.

use std::time::Duration;

use jiff::Timestamp;

#[expect(clippy::disallowed_methods, reason = "this is the fake's clock.rs")]
fn seconds_from_now(ahead: Duration) -> Timestamp {
    let second = Timestamp::now().as_second().saturating_add_unsigned(ahead.as_secs());
    Timestamp::from_second(second).unwrap_or(Timestamp::MAX)
}

/// So far ahead of now, as `2026-11-23T15:04:05Z`.
pub(crate) fn rfc3339(ahead: Duration) -> String {
    seconds_from_now(ahead).to_string()
}

/// So far ahead of now, in unix seconds.
pub(crate) fn unix(ahead: Duration) -> String {
    seconds_from_now(ahead).as_second().to_string()
}

/// Microseconds since the epoch; the clock of this machine, so another process of it can tell how long ago that was.
#[expect(clippy::disallowed_methods, reason = "this is the fake's clock.rs")]
pub fn micros() -> u64 {
    Timestamp::now().as_microsecond().unsigned_abs()
}
