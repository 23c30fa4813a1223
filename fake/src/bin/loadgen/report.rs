//! What a run measured.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

use crate::expected::Reading;

/// Figures of one run; latencies are in microseconds.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    /// Requests sent, the warm-up's too: so many has the server to account for.
    pub(crate) sent: u64,
    /// Answers that came whole in the time that was measured.
    pub(crate) answered: u64,
    /// Answers a second in that time.
    pub(crate) per_second: f64,
    /// Everything that was not as it must be, and how often.
    pub(crate) faults: BTreeMap<String, u64>,
    /// Pieces of answers after the first that told when they were sent.
    pub(crate) events: u64,
    /// To the last byte.
    pub(crate) whole: Spread,
    /// To the first piece.
    pub(crate) first: Spread,
    /// How long the later pieces were under way.
    pub(crate) transit: Spread,
    /// From the arrival of one piece to that of the next.
    pub(crate) gap: Spread,
    /// How late requests went out that had an hour: what the generator itself could not keep up with.
    pub(crate) late: Spread,
}

/// How figures are spread.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Spread {
    p50: u64,
    p90: u64,
    p99: u64,
    max: u64,
}

/// What one or several tasks saw.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) sent: u64,
    faults: BTreeMap<String, u64>,
    whole: Vec<u64>,
    first: Vec<u64>,
    transit: Vec<u64>,
    gap: Vec<u64>,
    late: Vec<u64>,
}

impl Tally {
    /// Nothing yet, of a request that goes out so long after its hour.
    pub(crate) fn late_by(time: Duration) -> Self {
        Self { late: vec![in_micros(time)], ..Self::default() }
    }

    pub(crate) fn answered(&mut self, reading: &Reading<'_>) {
        self.whole.push(in_micros(reading.began().elapsed()));
        self.first.push(in_micros(reading.first()));
        self.transit.extend(reading.transits());
        self.gap.extend(reading.gaps().iter().copied().map(in_micros));
    }

    pub(crate) fn fault(&mut self, fault: String) {
        *self.faults.entry(fault).or_default() += 1;
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.sent += other.sent;
        other.faults.into_iter().for_each(|(fault, count)| *self.faults.entry(fault).or_default() += count);
        self.whole.extend(other.whole);
        self.first.extend(other.first);
        self.transit.extend(other.transit);
        self.gap.extend(other.gap);
        self.late.extend(other.late);
    }

    /// The figures; the answers came in so much time.
    pub(crate) fn report(self, measured: Duration) -> Report {
        let answered = self.whole.len() as u64;
        Report {
            sent: self.sent,
            answered,
            per_second: answered as f64 / measured.as_secs_f64(),
            faults: self.faults,
            events: self.transit.len() as u64,
            whole: Spread::of(self.whole),
            first: Spread::of(self.first),
            transit: Spread::of(self.transit),
            gap: Spread::of(self.gap),
            late: Spread::of(self.late),
        }
    }
}

impl Spread {
    fn of(mut figures: Vec<u64>) -> Self {
        figures.sort_unstable();
        let rank = |percent: usize| {
            let rank = (figures.len() * percent).div_ceil(100).max(1) - 1;
            figures.get(rank).copied().unwrap_or_default()
        };
        Self { p50: rank(50), p90: rank(90), p99: rank(99), max: rank(100) }
    }
}

fn in_micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_the_nearest() {
        let check = |figures: Vec<u64>, expect: [u64; 4]| {
            let spread = Spread::of(figures);
            assert_eq!([spread.p50, spread.p90, spread.p99, spread.max], expect);
        };
        check((1..=200).rev().collect(), [100, 180, 198, 200]);
        check(vec![7], [7; 4]);
        check(vec![], [0; 4]);
    }
}
