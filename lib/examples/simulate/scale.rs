//! How large a simulation is.

/// Accounts, and requests in a day.
#[derive(Clone, Copy)]
pub(crate) struct Scale {
    pub(crate) accounts: usize,
    pub(crate) requests: u64,
}

/// What a conversation comes to on average, subagents included; only sets how often one begins.
const REQUESTS_OF_A_CONVERSATION: u64 = 56;
/// What a request uses of a limit when its prompt's beginning is read from a cache.
const UNITS_OF_A_REQUEST: u64 = 11_000;

impl Scale {
    /// Milliseconds between the beginnings of two conversations.
    pub(crate) fn between_conversations(self) -> f64 {
        (crate::upstream::DAY * REQUESTS_OF_A_CONVERSATION) as f64 / self.requests as f64
    }

    /// What all accounts together may use in five hours: enough for the day if caches are used well, and for a part of it
    /// if they are not.
    pub(crate) fn units_in_five_hours(self) -> u64 {
        self.requests * UNITS_OF_A_REQUEST * 35 / 100
    }
}
