//! What facts add up to: sums by name, and the two histograms.

use std::collections::BTreeMap;

use tokio_postgres::Row;

use super::Histogram;

/// Sums of all measures of the facts `f`, and their histograms.
pub(super) const SUMS: &str = "
    sum(f.requests)::bigint as requests,
    sum(f.requests) filter (where f.status = 'completed')::bigint as completed,
    sum(f.requests) filter (where f.status = 'failed')::bigint as failed,
    sum(f.requests) filter (where f.status = 'refused')::bigint as refused,
    sum(f.requests) filter (where f.status = 'cancelled')::bigint as cancelled,
    sum(f.requests) filter (where f.status = 'lost')::bigint as lost,
    sum(f.input_tokens)::bigint as input_tokens,
    sum(f.cache_read_tokens)::bigint as cache_read_tokens,
    sum(f.cache_write_5m_tokens)::bigint as cache_write_5m_tokens,
    sum(f.cache_write_1h_tokens)::bigint as cache_write_1h_tokens,
    sum(f.output_tokens)::bigint as output_tokens,
    sum(f.thinking_tokens)::bigint as thinking_tokens,
    sum(f.tool_use_tokens)::bigint as tool_use_tokens,
    sum(f.searches)::bigint as searches,
    sum(f.cost_micros)::bigint as cost_micros,
    sum(f.failovers)::bigint as failovers,
    sum(f.estimated)::bigint as estimated,
    sum(f.unpriced)::bigint as unpriced,
    sum(f.kept)::bigint as kept,
    sum(f.kept_prompt)::bigint as kept_prompt,
    sum(f.kept_cache_read)::bigint as kept_cache_read,
    sum(f.moved)::bigint as moved,
    sum(f.moved_prompt)::bigint as moved_prompt,
    sum(f.moved_cache_read)::bigint as moved_cache_read,
    sum(f.moved_cache_write_5m)::bigint as moved_cache_write_5m,
    sum(f.moved_cache_write_1h)::bigint as moved_cache_write_1h,
    sum(f.new)::bigint as new,
    sum(f.new_prompt)::bigint as new_prompt,
    sum(f.new_cache_read)::bigint as new_cache_read,
    sum(f.answers)::bigint as answers,
    sum(f.latency_ms)::bigint as latency_ms,
    sum(f.first_tokens)::bigint as first_tokens,
    sum(f.first_token_ms)::bigint as first_token_ms,
    sum(f.latency) as latency,
    sum(f.first_token) as first_token";

const NAMES: [&str; 33] = [
    "requests",
    "completed",
    "failed",
    "refused",
    "cancelled",
    "lost",
    "input_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
    "thinking_tokens",
    "tool_use_tokens",
    "searches",
    "cost_micros",
    "failovers",
    "estimated",
    "unpriced",
    "kept",
    "kept_prompt",
    "kept_cache_read",
    "moved",
    "moved_prompt",
    "moved_cache_read",
    "moved_cache_write_5m",
    "moved_cache_write_1h",
    "new",
    "new_prompt",
    "new_cache_read",
    "answers",
    "latency_ms",
    "first_tokens",
    "first_token_ms",
];

/// What some requests add up to, by the names of the view `ledger_facts`, and by status.
#[derive(Debug, Clone, Default)]
pub struct Measures {
    sums: BTreeMap<&'static str, i64>,
    /// How long whole answers took.
    pub latency: Histogram,
    /// When first tokens came.
    pub first_token: Histogram,
}

impl Measures {
    pub(super) fn read(row: &Row) -> Self {
        let sum = |name: &&'static str| Some((*name, row.get::<_, Option<i64>>(*name)?));
        Self {
            sums: NAMES.iter().filter_map(sum).collect(),
            latency: row.get::<_, Option<Histogram>>("latency").unwrap_or_default(),
            first_token: row.get::<_, Option<Histogram>>("first_token").unwrap_or_default(),
        }
    }

    /// Adds another's requests.
    pub fn add(&mut self, other: &Self) {
        for (name, sum) in &other.sums {
            *self.sums.entry(name).or_default() += sum;
        }
        self.latency.add(&other.latency);
        self.first_token.add(&other.first_token);
    }

    /// A sum of which something is known; `None`: nobody ever said.
    pub fn known(&self, name: &str) -> Option<i64> {
        self.sums.get(name).copied()
    }

    /// A count.
    pub fn count(&self, name: &str) -> i64 {
        self.known(name).unwrap_or(0)
    }

    /// Tokens of a kind: none, where there was no request to use any.
    pub fn tokens(&self, name: &str) -> Option<i64> {
        self.known(name).or((self.count("requests") == 0).then_some(0))
    }

    /// What part of the prompts was read from caches; `None`: there was no prompt, or nobody knows its length.
    pub fn cache_hit_ratio(&self) -> Option<f64> {
        ratio(self.count("cache_read_tokens"), self.prompt())
    }

    /// The same of the requests whose conversation was `kept` on its account, `moved`, `new`; anything else stands for the
    /// rest, which had no conversation, or a policy without affinity.
    pub fn cache_hit_ratio_of(&self, affinity: &str) -> Option<f64> {
        let of = |affinity: &str| {
            (self.count(&[affinity, "_cache_read"].concat()), self.count(&[affinity, "_prompt"].concat()))
        };
        let (read, prompt) =
            match affinity {
                "kept" | "moved" | "new" => of(affinity),
                _ => ["kept", "moved", "new"].iter().map(|affinity| of(affinity)).fold(
                    (self.count("cache_read_tokens"), self.prompt()),
                    |(read, prompt), (its_read, its_prompt)| (read - its_read, prompt - its_prompt),
                ),
            };
        ratio(read, prompt)
    }

    fn prompt(&self) -> i64 {
        let kinds = ["input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens"];
        kinds.iter().map(|kind| self.count(kind)).sum()
    }
}

/// A part of a whole; `None`: there is no whole.
#[expect(clippy::cast_precision_loss, reason = "a ratio needs no more than an f64 has")]
pub(crate) fn ratio(part: i64, whole: i64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
