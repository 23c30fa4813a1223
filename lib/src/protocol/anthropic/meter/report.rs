//! What a `usage` object says, and how those of one stream become one.

use super::{
    Slot,
    iterations::{self, Entry},
};
use crate::protocol::usage::{Figure, Terms, Tier, Usage, string};

/// One `usage` object, or several merged; `None` where it says nothing.
#[derive(Default, Clone)]
pub(super) struct Report {
    input: Option<u64>,
    cache_read: Option<u64>,
    cache_write: Option<u64>,
    write_5m: Option<u64>,
    write_1h: Option<u64>,
    pub(super) output: Option<u64>,
    thinking: Option<u64>,
    searches: Option<u64>,
    terms: Terms,
    pub(super) iterations: Option<Vec<Entry>>,
    /// A figure was impossible.
    impossible: bool,
}

impl Report {
    /// Takes up one member; those that are no part of `usage` are none of its business.
    pub(super) fn note(&mut self, slot: Slot, raw: &[u8]) {
        let place = match slot {
            Slot::Input => &mut self.input,
            Slot::CacheRead => &mut self.cache_read,
            Slot::CacheWrite => &mut self.cache_write,
            Slot::Write5m => &mut self.write_5m,
            Slot::Write1h => &mut self.write_1h,
            Slot::Output => &mut self.output,
            Slot::Thinking => &mut self.thinking,
            Slot::Searches => &mut self.searches,
            Slot::Tier => return self.terms.tier = Tier::read(&string(raw).unwrap_or_default()),
            Slot::Speed => return self.terms.fast = raw == b"\"fast\"",
            Slot::Geo => return self.terms.us_only = raw == b"\"us\"",
            Slot::Iterations => {
                match iterations::read(raw) {
                    Ok(entries) => self.iterations = entries,
                    Err(_) => self.impossible = true,
                }
                return;
            }
            Slot::Type | Slot::Model | Slot::StopReason | Slot::Error => return,
        };
        Figure::read(raw).put(place, &mut self.impossible);
    }

    /// Merges the report of a `message_delta`: the output is cumulative, the prompt can only have grown (a search adds to
    /// it), and what was served was said at the start.
    pub(super) fn follow(&mut self, later: Self) {
        self.input = self.input.max(later.input);
        self.cache_read = self.cache_read.max(later.cache_read);
        self.cache_write = self.cache_write.max(later.cache_write);
        self.write_5m = self.write_5m.max(later.write_5m);
        self.write_1h = self.write_1h.max(later.write_1h);
        self.output = later.output.or(self.output);
        self.thinking = later.thinking.or(self.thinking);
        self.searches = later.searches.or(self.searches);
        self.iterations = later.iterations.or_else(|| self.iterations.take());
        self.impossible |= later.impossible;
    }

    /// Whether it says nothing of tokens.
    pub(super) fn is_silent(&self) -> bool {
        [self.input, self.cache_read, self.cache_write, self.output].iter().all(Option::is_none)
    }

    /// The figures as they stand, without the charges; a prompt that was never said is taken to be `input_estimate` long.
    pub(super) fn usage(&self, input_estimate: u64) -> Usage {
        let (cache_write_5m, cache_write_1h) = split_writes(self.cache_write, self.write_5m, self.write_1h);
        let cache_read = self.cache_read.unwrap_or(0);
        let cached = cache_read + cache_write_5m + cache_write_1h;
        let broken_entry = self.iterations.iter().flatten().any(|entry| entry.impossible);
        Usage {
            input: self.input.unwrap_or_else(|| input_estimate.saturating_sub(cached)),
            cache_read,
            cache_write_5m,
            cache_write_1h,
            output: self.output.unwrap_or(0),
            thinking: self.thinking.unwrap_or(0),
            searches: self.searches.unwrap_or(0),
            estimated: self.impossible || broken_entry || self.input.is_none(),
            terms: self.terms.clone(),
            ..Usage::default()
        }
    }
}

/// Cache writes of five minutes and of an hour. The total counts, where it is said; what its split leaves over is of
/// five minutes.
pub(super) fn split_writes(total: Option<u64>, write_5m: Option<u64>, write_1h: Option<u64>) -> (u64, u64) {
    let write_1h = write_1h.unwrap_or(0);
    let total = total.unwrap_or_else(|| write_1h + write_5m.unwrap_or(0));
    let write_1h = write_1h.min(total);
    (total - write_1h, write_1h)
}
