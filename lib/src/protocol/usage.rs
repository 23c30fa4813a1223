//! What a request used, in the words that both vendors share.

use serde::{Deserialize, Serialize};

/// Token counts of one request, and what else its price depends on.
///
/// The four prompt figures do not overlap: the prompt is their sum plus `tool_use`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Prompt tokens that were neither read from a cache nor written to one.
    pub input: u64,
    /// Prompt tokens read from a cache.
    pub cache_read: u64,
    /// Prompt tokens written to a cache that lives five minutes.
    pub cache_write_5m: u64,
    /// Prompt tokens written to a cache that lives an hour.
    pub cache_write_1h: u64,
    /// Output tokens, thinking included.
    pub output: u64,
    /// Output tokens that were thinking.
    pub thinking: u64,
    /// Results of the provider's own tools fed back into the prompt (Gemini).
    pub tool_use: u64,
    /// Searches that are billed each.
    pub searches: u64,
    /// True when any figure is our estimate, because the upstream never said it, or said something impossible.
    pub estimated: bool,
    /// What the price depends on besides the figures above, one entry for each separately priced part; empty when
    /// the figures above are priced as they stand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub charges: Vec<Charge>,
}
