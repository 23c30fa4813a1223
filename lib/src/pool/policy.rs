//! How a pool routes: the settings, their defaults and their bounds.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How a pool orders the accounts of a tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Always in the same order, the oldest account first.
    Priority,
    /// By chance, in proportion to the weights.
    #[default]
    Weighted,
    /// One after the other.
    RoundRobin,
    /// The one with the fewest requests under way, for its weight.
    LeastInFlight,
    /// The one with most left of the limits its upstream reports.
    Headroom,
    /// The one whose reported limit is renewed soonest: what would expire is spent first.
    EarliestReset,
}

impl Strategy {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Priority, Self::Weighted, Self::RoundRobin, Self::LeastInFlight, Self::Headroom, Self::EarliestReset];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Priority => "priority",
            Self::Weighted => "weighted",
            Self::RoundRobin => "round_robin",
            Self::LeastInFlight => "least_in_flight",
            Self::Headroom => "headroom",
            Self::EarliestReset => "earliest_reset",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|strategy| strategy.as_str() == word)
    }
}

/// How a pool routes the requests of one provider, whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Policy {
    /// How accounts of a tier are ordered.
    pub strategy: Strategy,
    /// How many accounts one request may try.
    pub max_attempts: Attempts,
    /// Whether conversations stay where their caches are.
    pub affinity: Affinity,
    /// How long each step of an attempt may take.
    #[serde(flatten)]
    pub patience: Patience,
    /// How long failing accounts sit out.
    pub cooldown: Cooldown,
}

/// How many accounts one request may try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Attempts(pub u32);

/// Whether conversations stay where their caches are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Affinity {
    /// False: every request goes by strategy alone.
    pub enabled: bool,
    /// A conversation that has been silent for so long has no cache any more.
    pub ttl_seconds: u32,
    /// Requests of one conversation on its account at once; further ones go by strategy, because subagents share their
    /// conversation's name.
    pub max_in_flight: u32,
}

/// How long each step of an attempt may take, in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Patience {
    /// To connect to the upstream.
    pub connect_timeout_ms: u32,
    /// From the sent request to the first bytes of an answer.
    pub first_byte_timeout_ms: u32,
    /// Between two pieces of an answer.
    pub idle_timeout_ms: u32,
}

impl Patience {
    /// For the first bytes of an answer.
    pub fn first_byte(&self) -> Duration {
        Duration::from_millis(self.first_byte_timeout_ms.into())
    }

    /// For the next bytes of an answer.
    pub fn idle(&self) -> Duration {
        Duration::from_millis(self.idle_timeout_ms.into())
    }

    /// For a connection.
    pub fn connect(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms.into())
    }
}

/// How long failing accounts sit out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cooldown {
    /// After a 429 that says no reset; doubles with each in a row.
    pub rate_limited_seconds: u32,
    /// After `failure_threshold` failures of the upstream in a row; doubles with each further one.
    pub overloaded_seconds: u32,
    /// Failures in a row before an account sits out.
    pub failure_threshold: u32,
}

impl Default for Attempts {
    fn default() -> Self {
        Self(3)
    }
}

impl Default for Affinity {
    fn default() -> Self {
        Self { enabled: true, ttl_seconds: 3_600, max_in_flight: 4 }
    }
}

impl Default for Patience {
    /// A plain answer of a thinking model may take minutes before its first byte.
    fn default() -> Self {
        Self { connect_timeout_ms: 10_000, first_byte_timeout_ms: 600_000, idle_timeout_ms: 300_000 }
    }
}

impl Default for Cooldown {
    fn default() -> Self {
        Self { rate_limited_seconds: 60, overloaded_seconds: 15, failure_threshold: 3 }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_policy_reads_back_and_a_stored_one_may_be_older() {
        let policy = Policy { strategy: Strategy::EarliestReset, ..Policy::default() };
        let stored = serde_json::to_value(&policy).unwrap();
        assert_eq!(stored["strategy"], "earliest_reset");
        assert_eq!(stored["idle_timeout_ms"], 300_000);
        assert_eq!(serde_json::from_value::<Policy>(stored).unwrap(), policy);
        let older = json!({ "strategy": "priority", "affinity": { "enabled": false }, "gone": 1 });
        let read: Policy = serde_json::from_value(older).unwrap();
        assert_eq!((read.strategy, read.affinity.enabled, read.max_attempts.0), (Strategy::Priority, false, 3));
    }

    #[test]
    fn every_word_reads_back() {
        for strategy in Strategy::ALL {
            assert_eq!(Strategy::parse(strategy.as_str()), Some(strategy));
        }
    }
}
