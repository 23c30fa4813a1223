//! An account's health, and what a failed attempt does to it.

use std::time::Duration;

use jiff::Timestamp;

use super::Cooldown;
use crate::{id::RequestId, protocol::Penalty};

/// No cooldown that we choose ourselves is longer: an account is never believed gone for good.
const LONGEST_COOLDOWN: Duration = Duration::from_secs(15 * 60);
/// A cooldown is never believed blindly: one that is longer than this is tested with one request after this.
const PROBE_AFTER: Duration = Duration::from_secs(15 * 60);
/// An account without credit is tried again after this.
const EXHAUSTED_FOR: Duration = Duration::from_secs(60 * 60);

/// What is shown of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Serves.
    Ready,
    /// Sits out for a while.
    Cooling,
    /// Out of credit, or over a spend limit.
    Exhausted,
    /// Its credential is refused.
    NeedsAuth,
    /// Taken out by the operator.
    Paused,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Ready, Self::Cooling, Self::Exhausted, Self::NeedsAuth, Self::Paused];

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Cooling => "cooling",
            Self::Exhausted => "exhausted",
            Self::NeedsAuth => "needs_auth",
            Self::Paused => "paused",
        }
    }

    /// Reads the word for what traffic can teach; `Paused` is the operator's.
    pub fn parse_health(word: &str) -> Option<Self> {
        [Self::Ready, Self::Cooling, Self::Exhausted, Self::NeedsAuth].into_iter().find(|state| state.as_str() == word)
    }
}

/// What traffic taught about an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// The state it was last put into.
    pub last: State,
    /// Why.
    pub reason: Option<String>,
    /// When the state ends by itself; `None`: when a test succeeds, or somebody acts.
    pub until: Option<Timestamp>,
    /// When one request may test whether it serves again; `None`: its state is sat out. After failures this is the end
    /// of the cooldown, and from then on the account is on probation.
    pub probe_at: Option<Timestamp>,
    /// The request under way that tests it; nobody else is served by it meanwhile.
    pub tester: Option<RequestId>,
    /// Failures in a row.
    pub failures: u32,
    /// Answers in a row that broke off after their beginning had been shown. A beginning ends the row of failures; only a
    /// whole answer ends this one.
    pub breaks: u32,
}

/// What went wrong in an attempt.
#[derive(Debug, Clone, Copy)]
pub struct Fault<'a> {
    /// Why the account pays.
    pub penalty: &'a Penalty,
    /// What the upstream said.
    pub reason: &'a str,
    /// Whether the attempt tested an account that was out, or anew one that was in; else a request that fails on an
    /// account that is out had begun before.
    pub testing: bool,
}

impl Health {
    /// Nothing wrong.
    pub fn ready() -> Self {
        Self { last: State::Ready, reason: None, until: None, probe_at: None, tester: None, failures: 0, breaks: 0 }
    }

    /// The state by `now`: a time that has passed has cured it.
    pub fn state(&self, now: Timestamp) -> State {
        if self.until.is_some_and(|until| until <= now) { State::Ready } else { self.last }
    }

    /// Whether a limit put it out, of which what is free tells nothing.
    pub fn is_limited(&self) -> bool {
        self.until.is_some()
    }

    /// Whether a request may test by `now` if the account serves again.
    pub fn is_due_for_probe(&self, now: Timestamp) -> bool {
        self.probe_at.is_some_and(|at| at <= now)
    }

    /// When something changes by itself: the state ends, or where it does not, a request tests it.
    pub fn changes_at(&self) -> Option<Timestamp> {
        self.until.or(self.probe_at)
    }

    /// Why it sits out by `now`, in words.
    pub fn in_words(&self, now: Timestamp) -> Option<String> {
        let reason = self.reason.as_deref().filter(|_| self.state(now) == self.last)?;
        Some(match (self.is_due_for_probe(now), &self.tester) {
            (true, Some(_)) => format!("on probation, a request is testing it; before that: {reason}"),
            (true, None) => format!("on probation, the next request tests it; before that: {reason}"),
            (false, _) => reason.to_owned(),
        })
    }

    /// What a failed attempt does to an account of this health; `None`: what it tells is known. A limit of a family is
    /// taken for one of the account: see [`FamilyCooldown::after`](super::FamilyCooldown::after).
    pub fn after(&self, fault: &Fault<'_>, rules: &Cooldown, now: Timestamp) -> Option<Self> {
        if self.state(now) != State::Ready && !fault.testing && !self.is_news(fault.penalty) {
            return None;
        }
        let put = |last, until| self.put(last, until, fault, now);
        Some(match *fault.penalty {
            Penalty::RateLimited { until, .. } => {
                let until = until.unwrap_or_else(|| doubled(rules.rate_limited_seconds, self.failures, now));
                put(State::Cooling, Some(until))
            }
            Penalty::Exhausted { until } => put(State::Exhausted, Some(until.unwrap_or(now + EXHAUSTED_FOR))),
            Penalty::NeedsAuth => put(State::NeedsAuth, None),
            Penalty::Overloaded | Penalty::Unreachable | Penalty::BrokeOff => self.failed(fault, rules, now),
        })
    }

    /// Whether a request that was under way when the account was put out tells more than is known: requests that are under
    /// way together fail together, and that is one fact.
    fn is_news(&self, penalty: &Penalty) -> bool {
        match penalty {
            Penalty::NeedsAuth => self.last != State::NeedsAuth,
            Penalty::RateLimited { until: Some(until), .. } | Penalty::Exhausted { until: Some(until) } => {
                self.changes_at().is_some_and(|ends| ends < *until)
            }
            Penalty::Exhausted { until: None } => self.last == State::Cooling,
            Penalty::RateLimited { until: None, .. }
            | Penalty::Overloaded
            | Penalty::Unreachable
            | Penalty::BrokeOff => false,
        }
    }

    /// The upstream failed, was not there, or broke off its answer: a few times are forgiven. Then the account sits out, and
    /// serves again when a test succeeds.
    fn failed(&self, fault: &Fault<'_>, rules: &Cooldown, now: Timestamp) -> Self {
        let (failures, breaks) = self.counted(fault.penalty);
        let times = if *fault.penalty == Penalty::BrokeOff { breaks } else { failures };
        match (self.state(now), self.until) {
            (State::Ready, _) if times < rules.failure_threshold => self.put(State::Ready, None, fault, now),
            (State::Ready, _) | (State::Cooling, None) => {
                let steps = times.saturating_sub(rules.failure_threshold);
                let probe_at = Some(doubled(rules.overloaded_seconds, steps, now));
                Self { probe_at, ..self.put(State::Cooling, None, fault, now) }
            }
            // A test that failed for a lesser reason leaves a graver one standing.
            _ => Self { probe_at: probe_before(self.until, now), tester: None, failures, breaks, ..self.clone() },
        }
    }

    fn put(&self, last: State, until: Option<Timestamp>, fault: &Fault<'_>, now: Timestamp) -> Self {
        let (failures, breaks) = self.counted(fault.penalty);
        let reason = Some(fault.reason.to_owned());
        Self { last, reason, until, probe_at: probe_before(until, now), tester: None, failures, breaks }
    }

    /// Failures and breaks in a row, with this one.
    fn counted(&self, penalty: &Penalty) -> (u32, u32) {
        match penalty {
            Penalty::BrokeOff => (self.failures, self.breaks.saturating_add(1)),
            _ => (self.failures.saturating_add(1), self.breaks),
        }
    }
}

/// When a state that ends then may be tested, if it is a long one.
pub(super) fn probe_before(until: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
    Some(now + PROBE_AFTER).filter(|probe| until.is_some_and(|until| *probe < until))
}

/// So long from now, doubled so often, within bounds.
pub(super) fn doubled(seconds: u32, steps: u32, now: Timestamp) -> Timestamp {
    let longest = LONGEST_COOLDOWN.max(Duration::from_secs(seconds.into()));
    now + Duration::from_secs(u64::from(seconds) << steps.min(16)).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Scope;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn after(before: &Health, penalty: &Penalty, testing: bool, now: i64) -> Option<Health> {
        before.after(&Fault { penalty, reason: "why", testing }, &Cooldown::default(), at(now))
    }

    fn health_after(before: &Health, penalty: &Penalty, testing: bool, now: i64) -> Health {
        after(before, penalty, testing, now).unwrap_or_else(|| panic!("{penalty:?} changes the account"))
    }

    fn check(failures_before: u32, penalty: &Penalty, expect: (State, Option<i64>)) {
        let before = Health { failures: failures_before, ..Health::ready() };
        let after = health_after(&before, penalty, false, 1_000);
        let changes_at = after.changes_at().map(Timestamp::as_second);
        assert_eq!((after.last, changes_at), expect, "{penalty:?} after {failures_before}");
        assert_eq!((after.failures, after.reason.as_deref()), (failures_before + 1, Some("why")));
    }

    #[test]
    fn a_reset_that_the_upstream_gave_is_kept() {
        let penalty = Penalty::RateLimited { until: Some(at(5_000)), scope: Scope::Account };
        check(0, &penalty, (State::Cooling, Some(5_000)));
        check(7, &penalty, (State::Cooling, Some(5_000)));
    }

    #[test]
    fn a_429_without_a_reset_costs_a_minute_then_doubles_to_a_bound() {
        let penalty = Penalty::RateLimited { until: None, scope: Scope::Account };
        check(0, &penalty, (State::Cooling, Some(1_060)));
        check(1, &penalty, (State::Cooling, Some(1_120)));
        check(40, &penalty, (State::Cooling, Some(1_900)));
    }

    #[test]
    fn one_failure_of_the_upstream_is_forgiven_and_several_are_not() {
        for penalty in [Penalty::Overloaded, Penalty::Unreachable] {
            check(0, &penalty, (State::Ready, None));
            check(1, &penalty, (State::Ready, None));
            check(2, &penalty, (State::Cooling, Some(1_015)));
            check(3, &penalty, (State::Cooling, Some(1_030)));
            check(u32::MAX - 1, &penalty, (State::Cooling, Some(1_900)));
        }
    }

    #[test]
    fn answers_that_break_off_have_a_count_of_their_own_and_cost_what_failures_cost() {
        let mut health = Health { failures: 2, ..Health::ready() };
        for (now, waits_until) in [(1_000, None), (1_001, None), (1_002, Some(1_017)), (2_000, Some(2_030))] {
            health = health_after(&health, &Penalty::BrokeOff, health.last != State::Ready, now);
            assert_eq!((health.until, health.probe_at), (None, waits_until.map(at)), "{health:?}");
        }
        assert_eq!((health.failures, health.breaks, health.last), (2, 4, State::Cooling));
        assert_eq!(after(&health, &Penalty::BrokeOff, false, 2_001), None, "what had begun before breaks together");
        assert_eq!(health_after(&health, &Penalty::NeedsAuth, true, 2_001).breaks, 4);
    }

    #[test]
    fn what_only_a_person_can_mend_waits_for_one() {
        check(0, &Penalty::NeedsAuth, (State::NeedsAuth, None));
        check(0, &Penalty::Exhausted { until: None }, (State::Exhausted, Some(4_600)));
        check(0, &Penalty::Exhausted { until: Some(at(9_000)) }, (State::Exhausted, Some(9_000)));
    }

    #[test]
    fn a_long_cooldown_is_tested_early_and_a_short_one_is_sat_out() {
        for (until, probe_at) in [(at(1_000 + 901), Some(at(1_900))), (at(1_900), None), (at(1_060), None)] {
            let penalty = Penalty::RateLimited { until: Some(until), scope: Scope::Account };
            let health = health_after(&Health::ready(), &penalty, false, 1_000);
            assert_eq!(health.probe_at, probe_at, "until {until}");
            assert!(!health.is_due_for_probe(at(1_899)));
            assert_eq!(health.is_due_for_probe(at(1_900)), probe_at.is_some());
        }
    }

    #[test]
    fn a_cooldown_after_failures_ends_in_probation_and_a_failed_test_doubles_it() {
        let mut health = Health { failures: 2, ..Health::ready() };
        for (now, wait) in [(1_000, 15), (2_000, 30), (3_000, 60)] {
            health = health_after(&health, &Penalty::Unreachable, health.last != State::Ready, now);
            assert_eq!((health.until, health.probe_at), (None, Some(at(now + wait))));
            assert_eq!(health.in_words(at(now + wait - 1)).as_deref(), Some("why"));
            for later in [now + wait, i64::from(u32::MAX)] {
                assert_eq!(health.state(at(later)), State::Cooling, "time alone does not cure it");
                let words = health.in_words(at(later)).unwrap();
                assert_eq!(words, "on probation, the next request tests it; before that: why");
            }
        }
        let tested = Health { tester: Some(RequestId::from("req_1".to_owned())), ..health };
        assert!(tested.in_words(at(4_000)).unwrap().starts_with("on probation, a request is testing it"));
    }

    #[test]
    fn a_test_that_meets_a_limit_turns_probation_into_a_cooldown_that_time_ends() {
        let before = Health { failures: 3, last: State::Cooling, probe_at: Some(at(900)), ..Health::ready() };
        let penalty = Penalty::RateLimited { until: Some(at(1_030)), scope: Scope::Account };
        let health = health_after(&before, &penalty, true, 1_000);
        assert_eq!((health.state(at(1_029)), health.state(at(1_030))), (State::Cooling, State::Ready));
    }

    #[test]
    fn a_burst_that_fails_together_is_one_fact_and_what_tells_more_counts() {
        let until = |second| Penalty::RateLimited { until: Some(at(second)), scope: Scope::Account };
        let silent = Penalty::RateLimited { until: None, scope: Scope::Account };
        let cooling = health_after(&Health::ready(), &until(1_060), false, 1_000);
        let broken = health_after(&Health { failures: 2, ..Health::ready() }, &Penalty::Overloaded, false, 1_000);
        let refused = health_after(&Health::ready(), &Penalty::NeedsAuth, false, 1_000);
        for (before, penalty) in [
            (&cooling, Penalty::Overloaded),
            (&cooling, silent.clone()),
            (&cooling, until(1_060)),
            (&cooling, until(1_030)),
            (&broken, Penalty::Unreachable),
            (&broken, silent),
            (&refused, Penalty::NeedsAuth),
            (&refused, until(9_000)),
            (&refused, Penalty::Exhausted { until: None }),
        ] {
            assert_eq!(after(before, &penalty, false, 1_001), None, "{penalty:?} after {before:?}");
        }
        for (before, penalty, last) in [
            (&cooling, until(5_000), State::Cooling),
            (&broken, until(1_030), State::Cooling),
            (&cooling, Penalty::Exhausted { until: None }, State::Exhausted),
            (&cooling, Penalty::NeedsAuth, State::NeedsAuth),
        ] {
            assert_eq!(health_after(before, &penalty, false, 1_001).last, last, "{penalty:?} after {before:?}");
        }
    }

    #[test]
    fn a_lesser_fault_of_a_test_leaves_a_graver_one_standing() {
        let spent = Health {
            last: State::Exhausted,
            reason: Some("402".to_owned()),
            until: Some(at(9_000)),
            ..Health::ready()
        };
        let kept = health_after(&spent, &Penalty::Overloaded, true, 1_000);
        assert_eq!(kept, Health { failures: 1, probe_at: Some(at(1_900)), ..spent });
        let refused = Health { last: State::NeedsAuth, reason: Some("401".to_owned()), ..Health::ready() };
        let kept = health_after(&refused, &Penalty::Unreachable, true, 1_000);
        assert_eq!(kept, Health { failures: 1, ..refused });
    }

    #[test]
    fn time_cures() {
        let cooling =
            Health { last: State::Cooling, until: Some(at(10)), reason: Some("429".to_owned()), ..Health::ready() };
        assert_eq!((cooling.state(at(9)), cooling.in_words(at(9)).as_deref()), (State::Cooling, Some("429")));
        assert_eq!((cooling.state(at(10)), cooling.in_words(at(10))), (State::Ready, None));
        let refused = Health { last: State::NeedsAuth, ..Health::ready() };
        assert_eq!(refused.state(at(i64::from(u32::MAX))), State::NeedsAuth);
    }
}
