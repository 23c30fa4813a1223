//! What the fake remembers: every request exactly as it came, what it was told, and counts by credential.

use std::collections::{BTreeMap, VecDeque};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::{call::Dialect, figures::Figures};

/// One request exactly as it came, and what became of it.
#[derive(Debug, Clone, Serialize)]
pub struct Seen {
    /// Counts requests from 1 since the start.
    pub number: u64,
    /// Counts connections from 1, to tell which requests shared one.
    pub connection: u64,
    /// Whose API it meant.
    pub dialect: Dialect,
    /// Milliseconds since the fake started.
    pub at_ms: u64,
    /// The method.
    pub method: String,
    /// Path and query, exactly as sent.
    pub path_and_query: String,
    /// In their order, names in small letters, values that are no UTF-8 made so.
    pub headers: Vec<(String, String)>,
    /// The body's exact bytes; base64 in JSON.
    #[serde(serialize_with = "base64")]
    pub body: Bytes,
    /// The key or token it was made with.
    pub credential: Option<String>,
    /// What it was told so far.
    pub answered: Answered,
}

impl Seen {
    /// Only made when somebody asks, for it costs time and the figures hold the same.
    fn with_usage(mut self) -> Self {
        let figures = self.answered.figures;
        self.answered.usage = figures.and_then(|figures| serde_json::from_str(&figures.wire(self.dialect)).ok());
        self
    }

    /// The values of a header, in order.
    pub fn header_values(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
    }
}

fn base64<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD.encode(bytes))
}

/// What a request was told, as far as it was sent.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Answered {
    /// `None` until the head of the answer was made, and for ever if the connection broke before.
    pub status: Option<u16>,
    /// The last figures sent, in the API's own words; `None` where none were.
    pub usage: Option<Value>,
    /// The same figures in the ledger's words.
    pub figures: Option<Figures>,
    /// All bytes were handed to the connection.
    pub finished: bool,
    /// The client went away before that.
    pub hung_up: bool,
}

/// Counts of one credential, or of all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// Requests that arrived whole.
    pub requests: u64,
    /// Requests not yet answered to the end.
    pub in_flight: u64,
    /// The most that were at any moment.
    pub max_in_flight: u64,
    /// How many were answered with each status; those that broke before one are missing.
    pub by_status: BTreeMap<u16, u64>,
    /// The sum of what finished and unfinished answers said.
    pub figures: Figures,
}

impl Count {
    pub(crate) fn arrive(&mut self) {
        self.requests += 1;
        self.in_flight += 1;
        self.max_in_flight = self.max_in_flight.max(self.in_flight);
    }

    pub(crate) fn leave(&mut self, status: Option<u16>, figures: Option<&Figures>) {
        self.in_flight -= 1;
        if let Some(status) = status {
            *self.by_status.entry(status).or_default() += 1;
        }
        if let Some(figures) = figures {
            self.figures.add(figures);
        }
    }

    fn forget(&mut self) {
        *self = Self { in_flight: self.in_flight, max_in_flight: self.in_flight, ..Self::default() };
    }
}

/// All counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Over all credentials.
    pub total: Count,
    /// By credential; requests without one are under the empty text.
    pub by_credential: BTreeMap<String, Count>,
}

impl Stats {
    /// Forgets all but what is in flight.
    pub(crate) fn forget(&mut self) {
        self.total.forget();
        self.by_credential.retain(|_, count| count.in_flight > 0);
        self.by_credential.values_mut().for_each(Count::forget);
    }
}

/// The newest requests, up to a cap on their number and on their bodies' bytes.
#[derive(Default)]
pub(crate) struct Memory {
    seen: VecDeque<Seen>,
    bytes: usize,
}

/// Older requests are forgotten, so that a long run does not fill the memory.
const MAX_SEEN: usize = 100_000;
const MAX_SEEN_BYTES: usize = 512 << 20;

impl Memory {
    pub(crate) fn keep(&mut self, seen: Seen) {
        self.bytes += seen.body.len();
        self.seen.push_back(seen);
        while self.seen.len() > MAX_SEEN || self.bytes > MAX_SEEN_BYTES {
            self.bytes -= self.seen.pop_front().map_or(0, |oldest| oldest.body.len());
        }
    }

    /// `None` where it was forgotten since.
    pub(crate) fn of(&mut self, number: u64) -> Option<&mut Seen> {
        let index = self.seen.binary_search_by_key(&number, |seen| seen.number).ok()?;
        self.seen.get_mut(index)
    }

    pub(crate) fn all(&self) -> Vec<Seen> {
        self.seen.iter().cloned().map(Seen::with_usage).collect()
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(number: u64, body: Bytes) -> Seen {
        Seen {
            number,
            connection: 1,
            dialect: Dialect::Gemini,
            at_ms: 0,
            method: "POST".to_owned(),
            path_and_query: "/".to_owned(),
            headers: Vec::new(),
            body,
            credential: None,
            answered: Answered::default(),
        }
    }

    #[test]
    fn the_oldest_are_forgotten_past_either_cap() {
        let mut memory = Memory::default();
        (1..=MAX_SEEN as u64 + 3).for_each(|number| memory.keep(seen(number, Bytes::new())));
        assert_eq!((memory.all().len(), memory.all()[0].number), (MAX_SEEN, 4));
        assert!(memory.of(3).is_none());
        assert_eq!(memory.of(9).map(|seen| seen.number), Some(9));

        let half = Bytes::from(vec![0; MAX_SEEN_BYTES / 2]);
        (200_000..200_003).for_each(|number| memory.keep(seen(number, half.clone())));
        let kept: Vec<u64> = memory.all().iter().map(|seen| seen.number).collect();
        assert_eq!(kept, [200_001, 200_002]);
    }

    #[test]
    fn forgetting_keeps_what_is_in_flight() {
        let mut stats = Stats::default();
        for key in ["a", "b"] {
            stats.by_credential.entry(key.to_owned()).or_default().arrive();
            stats.total.arrive();
        }
        stats.by_credential.entry("b".to_owned()).or_default().leave(Some(200), None);
        stats.total.leave(Some(200), None);
        stats.forget();
        let waiting = Count { in_flight: 1, max_in_flight: 1, ..Count::default() };
        assert_eq!(stats, Stats { total: waiting.clone(), by_credential: [("a".to_owned(), waiting)].into() });
    }
}
