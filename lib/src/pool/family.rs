//! The cooldown of one model family of an account, whose other families go on serving.

use jiff::Timestamp;
use serde::Deserialize;

use super::{
    Cooldown,
    health::{doubled, probe_before},
};
use crate::id::RequestId;

/// One model family that sits out, or did until its next success.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct FamilyCooldown {
    /// Until then; it may be past.
    pub until: Timestamp,
    /// When one request may test whether a long one still holds.
    pub probe_at: Option<Timestamp>,
    /// The request under way that tests it.
    pub tester: Option<RequestId>,
    /// Limits met in a row.
    pub failures: u32,
}

impl FamilyCooldown {
    /// Whether the family sits out by `now`.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.until > now
    }

    /// Whether a request may test by `now` if the family serves again.
    pub fn is_due_for_probe(&self, now: Timestamp) -> bool {
        self.probe_at.is_some_and(|at| at <= now)
    }

    /// The same after a test that met something else than the limit.
    pub fn untested(&self, now: Timestamp) -> Self {
        Self { probe_at: probe_before(Some(self.until), now), tester: None, ..self.clone() }
    }

    /// What a limit does to a family of which this is known. `until` is the reset that the upstream gave; `testing` says
    /// whether the request tested the family. `None`: nothing, because others that were under way with it have told as much.
    pub fn after(
        before: Option<&Self>,
        until: Option<Timestamp>,
        testing: bool,
        rules: &Cooldown,
        now: Timestamp,
    ) -> Option<Self> {
        let known = before.filter(|known| known.holds(now) && !testing);
        if known.is_some_and(|known| until.is_none_or(|until| until <= known.until)) {
            return None;
        }
        let failures = before.map_or(0, |before| before.failures);
        let until = until.unwrap_or_else(|| doubled(rules.rate_limited_seconds, failures, now));
        let failures = failures.saturating_add(1);
        Some(Self { until, probe_at: probe_before(Some(until), now), tester: None, failures })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn after(before: Option<&FamilyCooldown>, until: Option<i64>, testing: bool, now: i64) -> Option<FamilyCooldown> {
        FamilyCooldown::after(before, until.map(at), testing, &Cooldown::default(), at(now))
    }

    #[test]
    fn without_a_reset_it_doubles_by_the_familys_own_count() {
        let (mut known, mut now) = (None, 1_000);
        for wait in [60, 120, 240, 480, 900, 900] {
            let next = after(known.as_ref(), None, false, now).expect("it sits out");
            assert_eq!((next.until, next.probe_at), (at(now + wait), None), "after {known:?}");
            now += wait;
            known = Some(next);
        }
    }

    #[test]
    fn requests_that_meet_a_limit_together_are_one_fact_and_a_later_reset_is_news() {
        let known = after(None, None, false, 1_000).unwrap();
        assert_eq!(after(Some(&known), None, false, 1_001), None);
        assert_eq!(after(Some(&known), Some(1_060), false, 1_001), None);
        let later = after(Some(&known), Some(9_000), false, 1_001).unwrap();
        assert_eq!((later.until, later.failures), (at(9_000), 2));
    }

    #[test]
    fn a_long_one_is_tested_early_and_a_test_that_meets_the_limit_sets_the_next() {
        let long = after(None, Some(9_000), false, 1_000).unwrap();
        assert_eq!(long.probe_at, Some(at(1_900)));
        assert!(!long.is_due_for_probe(at(1_899)) && long.is_due_for_probe(at(1_900)));
        let again = after(Some(&long), Some(9_000), true, 2_000).unwrap();
        assert_eq!((again.until, again.probe_at), (at(9_000), Some(at(2_900))));
        assert!(again.holds(at(8_999)) && !again.holds(at(9_000)));
    }
}
