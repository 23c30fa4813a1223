//! What is told of a panic: where it was, and nothing of what it had in its hands.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    panic::{self, PanicHookInfo},
};

/// From now on panics are told in the log, and not as the runtime does: it prints the message, and that may hold a caller's
/// text or a secret.
pub(super) fn listen() {
    panic::set_hook(Box::new(tell));
}

/// Writes one line of the log. A message is told only where it stands in the code as it is; one that was put together may
/// hold anything. `RUST_BACKTRACE=1` adds the names of the functions.
pub fn tell(panic: &PanicHookInfo<'_>) {
    let at = panic.location().map(ToString::to_string).unwrap_or_default();
    let said = panic.payload().downcast_ref::<&'static str>().copied().unwrap_or("…");
    let trace = Backtrace::capture();
    let trace = (trace.status() == BacktraceStatus::Captured).then(|| trace.to_string());
    tracing::error!(at, said, trace, "a panic");
}
