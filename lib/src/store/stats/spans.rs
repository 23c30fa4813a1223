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

/// The parts of a span, each as long as can be. They do not overlap, and make up the span.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Spans {
    /// For which the rollups of days are asked.
    pub(super) days: Parts,
    /// For which the rollups of hours are asked.
    pub(super) hours: Parts,
    /// For which the ledger itself is asked.
    pub(super) ledger: Parts,
}

/// Beginnings and ends, as the database takes them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Parts {
    pub(super) from: Vec<Timestamp>,
    pub(super) to: Vec<Timestamp>,
}

impl Parts {
    fn push(&mut self, from: Timestamp, to: Timestamp) {
        if from >= to {
            return;
        }
        match self.to.last_mut() {
            Some(end) if *end == from => *end = to,
            _ => {
                self.from.push(from);
                self.to.push(to);
            }
        }
    }
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
    fn of((from, to): (Timestamp, Timestamp), sealed_until: Timestamp, dirty: &BTreeSet<i64>, grain: Grain) -> Self {
        let mut spans = Self::default();
        let mut at = round_up(from);
        let last = to.min(sealed_until).as_second().div_euclid(HOUR) * HOUR;
        if grain == Grain::Request || at >= last {
            spans.ledger.push(from, to);
            return spans;
        }
        spans.ledger.push(from, second(at));
        while at < last {
            let day = grain == Grain::Day
                && at.rem_euclid(DAY) == 0
                && at + DAY <= last
                && dirty.range(at..at + DAY).next().is_none();
            let (parts, end) = match (day, dirty.contains(&at)) {
                (true, _) => (&mut spans.days, at + DAY),
                (false, false) => (&mut spans.hours, at + HOUR),
                (false, true) => (&mut spans.ledger, at + HOUR),
            };
            parts.push(second(at), second(end));
            at = end;
        }
        spans.ledger.push(second(last), to);
        spans
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
        let parts = [("day", spans.days), ("hour", spans.hours), ("ledger", spans.ledger)];
        let named = |(what, parts): (&'static str, Parts)| {
            parts.from.into_iter().zip(parts.to).map(move |(from, to)| (what, from, to))
        };
        let mut got: Vec<_> = parts.into_iter().flat_map(named).collect();
        got.sort_by_key(|(_, from, _)| *from);
        let expect: Vec<_> = expect.iter().map(|(what, from, to)| (*what, at(from), at(to))).collect();
        assert_eq!(got, expect, "{from} to {to}, sealed until {sealed}, {grain:?}");
        let seams = got.windows(2).all(|pair| pair[0].2 == pair[1].1);
        assert!(seams, "they make up the span: {got:?}");
    }

    #[test]
    fn whole_days_come_from_days_and_the_edges_from_hours_and_the_ledger() {
        check(
            (FROM, TO, LATER),
            &[],
            Grain::Day,
            &[
                ("ledger", FROM, "1T11"),
                ("hour", "1T11", "2T00"),
                ("day", "2T00", "4T00"),
                ("hour", "4T00", "4T02"),
                ("ledger", "4T02", TO),
            ],
        );
        check(
            (FROM, TO, LATER),
            &[],
            Grain::Hour,
            &[("ledger", FROM, "1T11"), ("hour", "1T11", "4T02"), ("ledger", "4T02", TO)],
        );
        check((FROM, TO, LATER), &[], Grain::Request, &[("ledger", FROM, TO)]);
        check(("2T00", "3T00", LATER), &[], Grain::Day, &[("day", "2T00", "3T00")]);
    }

    #[test]
    fn what_is_not_sealed_or_has_a_mark_comes_from_the_ledger() {
        check(
            (FROM, TO, "3T05"),
            &[],
            Grain::Day,
            &[
                ("ledger", FROM, "1T11"),
                ("hour", "1T11", "2T00"),
                ("day", "2T00", "3T00"),
                ("hour", "3T00", "3T05"),
                ("ledger", "3T05", TO),
            ],
        );
        check(
            (FROM, "3T00", LATER),
            &["2T07", "2T08", "1T11"],
            Grain::Day,
            &[("ledger", FROM, "1T12"), ("hour", "1T12", "2T07"), ("ledger", "2T07", "2T09"), ("hour", "2T09", "3T00")],
        );
        check((FROM, TO, FROM), &[], Grain::Day, &[("ledger", FROM, TO)]);
        check((FROM, "2026-11-01T10:50:00Z", LATER), &[], Grain::Day, &[("ledger", FROM, "2026-11-01T10:50:00Z")]);
        check((FROM, "2026-11-01T11:50:00Z", LATER), &[], Grain::Day, &[("ledger", FROM, "2026-11-01T11:50:00Z")]);
    }
}
