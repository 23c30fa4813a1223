//! Which parts of a span of time are rolled up by the day, which by the hour, and for which the ledger is asked.

use std::collections::BTreeSet;

use jiff::{Timestamp, ToSpan};
use tokio_postgres::types::Type;

use super::Transaction;
use crate::error::Result;

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// The coarsest facts that an answer can be made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grain {
    /// The figures of whole days.
    Day,
    /// The figures of each hour.
    Hour,
    /// Each request.
    Request,
}

/// The parts of a span, each as long as can be: of rollups, and of the ledger. They do not overlap, and make up the span.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Spans {
    /// `day` or `hour`, for each part that is rolled up.
    pub(super) steps: Vec<&'static str>,
    pub(super) rolled_from: Vec<Timestamp>,
    pub(super) rolled_to: Vec<Timestamp>,
    pub(super) ledger_from: Vec<Timestamp>,
    pub(super) ledger_to: Vec<Timestamp>,
}

/// Asks how far the ledger is rolled up.
pub(super) async fn read(reading: &Transaction<'_>, from: Timestamp, to: Timestamp, grain: Grain) -> Result<Spans> {
    let sql = "
        select sealed_until, array(select distinct hour from dirty_hours where hour >= $1 and hour < $2) as dirty
        from ledger_state";
    // The hour that `from` falls into counts too.
    let rows = reading.rows(sql, &[(&(from - 1.hour()), Type::TIMESTAMPTZ), (&to, Type::TIMESTAMPTZ)]).await?;
    let dirty: Vec<Timestamp> = rows[0].get("dirty");
    let dirty = dirty.into_iter().map(Timestamp::as_second).collect();
    Ok(Spans::of((from, to), rows[0].get("sealed_until"), &dirty, grain))
}

impl Spans {
    /// `sealed_until` is a whole hour; `dirty` are hours, in seconds.
    fn of(
        (from, to): (Timestamp, Timestamp),
        sealed_until: Timestamp,
        dirty: &BTreeSet<i64>,
        grain: Grain,
    ) -> Self {
        let mut spans = Self::default();
        let mut at = round_up(from);
        let last = to.min(sealed_until).as_second().div_euclid(HOUR) * HOUR;
        if grain == Grain::Request || at >= last {
            spans.ask_ledger(from, to);
            return spans;
        }
        spans.ask_ledger(from, second(at));
        while at < last {
            let day = grain == Grain::Day
                && at.rem_euclid(DAY) == 0
                && at + DAY <= last
                && dirty.range(at..at + DAY).next().is_none();
            if day {
                spans.read_rollups("day", at, at + DAY);
                at += DAY;
                continue;
            }
            if dirty.contains(&at) {
                spans.ask_ledger(second(at), second(at + HOUR));
            } else {
                spans.read_rollups("hour", at, at + HOUR);
            }
            at += HOUR;
        }
        spans.ask_ledger(second(last), to);
        spans
    }

    fn ask_ledger(&mut self, from: Timestamp, to: Timestamp) {
        if from >= to {
            return;
        }
        match self.ledger_to.last_mut() {
            Some(end) if *end == from => *end = to,
            _ => {
                self.ledger_from.push(from);
                self.ledger_to.push(to);
            }
        }
    }

    fn read_rollups(&mut self, step: &'static str, from: i64, to: i64) {
        let (from, to) = (second(from), second(to));
        match (self.steps.last(), self.rolled_to.last_mut()) {
            (Some(last), Some(end)) if *last == step && *end == from => *end = to,
            _ => {
                self.steps.push(step);
                self.rolled_from.push(from);
                self.rolled_to.push(to);
            }
        }
    }
}

/// The first whole hour at or after a time, in seconds.
fn round_up(at: Timestamp) -> i64 {
    let begun = at.as_second().div_euclid(HOUR) * HOUR;
    if second(begun) == at { begun } else { begun + HOUR }
}

fn second(at: i64) -> Timestamp {
    Timestamp::from_second(at).unwrap_or(if at < 0 { Timestamp::MIN } else { Timestamp::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: &str = "2026-11-01T10:20:00Z";
    const TO: &str = "2026-11-04T02:10:00Z";
    const LATER: &str = "2026-11-09T00:00:00Z";

    fn at(text: &str) -> Timestamp {
        // `1T10` is the hour of that day in November 2026.
        match text.split_once('T') {
            Some((day, hour)) if day.len() < 3 => format!("2026-11-{day:0>2}T{hour}:00:00Z").parse().unwrap(),
            _ => text.parse().unwrap(),
        }
    }

    fn check((from, to, sealed): (&str, &str, &str), dirty: &[&str], grain: Grain, expect: &[(&str, &str, &str)]) {
        let dirty = dirty.iter().map(|hour| at(hour).as_second()).collect();
        let spans = Spans::of((at(from), at(to)), at(sealed), &dirty, grain);
        let rolled = spans.steps.iter().zip(&spans.rolled_from).zip(&spans.rolled_to).map(|((s, f), t)| (*s, *f, *t));
        let ledger = spans.ledger_from.iter().zip(&spans.ledger_to).map(|(f, t)| ("ledger", *f, *t));
        let mut got: Vec<_> = rolled.chain(ledger).collect();
        got.sort_by_key(|(_, from, _)| *from);
        let expect: Vec<_> = expect.iter().map(|(what, from, to)| (*what, at(from), at(to))).collect();
        assert_eq!(got, expect, "{from} to {to}, sealed until {sealed}, {grain:?}");
        let seams = got.windows(2).all(|pair| pair[0].2 == pair[1].1);
        assert!(seams, "they make up the span: {got:?}");
    }

    #[test]
    fn whole_days_come_from_days_and_the_edges_from_hours_and_the_ledger() {
        check((FROM, TO, LATER), &[], Grain::Day, &[
            ("ledger", FROM, "1T11"),
            ("hour", "1T11", "2T00"),
            ("day", "2T00", "4T00"),
            ("hour", "4T00", "4T02"),
            ("ledger", "4T02", TO),
        ]);
        check((FROM, TO, LATER), &[], Grain::Hour, &[
            ("ledger", FROM, "1T11"),
            ("hour", "1T11", "4T02"),
            ("ledger", "4T02", TO),
        ]);
        check((FROM, TO, LATER), &[], Grain::Request, &[("ledger", FROM, TO)]);
        check(("2T00", "3T00", LATER), &[], Grain::Day, &[("day", "2T00", "3T00")]);
    }

    #[test]
    fn what_is_not_sealed_or_has_a_mark_comes_from_the_ledger() {
        check((FROM, TO, "3T05"), &[], Grain::Day, &[
            ("ledger", FROM, "1T11"),
            ("hour", "1T11", "2T00"),
            ("day", "2T00", "3T00"),
            ("hour", "3T00", "3T05"),
            ("ledger", "3T05", TO),
        ]);
        check((FROM, "3T00", LATER), &["2T07", "2T08", "1T11"], Grain::Day, &[
            ("ledger", FROM, "1T12"),
            ("hour", "1T12", "2T07"),
            ("ledger", "2T07", "2T09"),
            ("hour", "2T09", "3T00"),
        ]);
        check((FROM, TO, FROM), &[], Grain::Day, &[("ledger", FROM, TO)]);
        check((FROM, "2026-11-01T10:50:00Z", LATER), &[], Grain::Day, &[("ledger", FROM, "2026-11-01T10:50:00Z")]);
        check((FROM, "2026-11-01T11:50:00Z", LATER), &[], Grain::Day, &[("ledger", FROM, "2026-11-01T11:50:00Z")]);
    }
}
