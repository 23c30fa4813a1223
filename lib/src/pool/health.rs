//! An account's health, and what a failed attempt does to it.

use std::time::Duration;

use jiff::Timestamp;

use super::Cooldown;
use crate::protocol::{Penalty, Scope};

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
    /// When the state ends by itself; `None`: when somebody acts.
    pub until: Option<Timestamp>,
    /// When one request may test whether a long cooldown still holds; `None`: the cooldown is short.
    pub probe_at: Option<Timestamp>,
    /// Failures in a row.
    pub failures: u32,
}

impl Health {
    /// Nothing wrong.
    pub fn ready() -> Self {
        Self { last: State::Ready, reason: None, until: None, probe_at: None, failures: 0 }
    }

    /// The state by `now`: a time that has passed has cured it.
    pub fn state(&self, now: Timestamp) -> State {
        if self.until.is_some_and(|until| until <= now) { State::Ready } else { self.last }
    }

    /// Whether one request may test by `now` if the account serves again.
    pub fn is_due_for_probe(&self, now: Timestamp) -> bool {
        self.probe_at.is_some_and(|at| at <= now)
    }

    /// What a failed attempt does to an account of this health.
    pub fn after(&self, penalty: &Penalty, reason: &str, rules: &Cooldown, now: Timestamp) -> Setback {
        let failures = self.failures.saturating_add(1);
        let doubled = |seconds: u32, steps: u32| {
            let longest = LONGEST_COOLDOWN.max(Duration::from_secs(seconds.into()));
            now + Duration::from_secs(u64::from(seconds) << steps.min(16)).min(longest)
        };
        let whole = |last, until: Option<Timestamp>| {
            let probe_at = until.map(|_| now + PROBE_AFTER).filter(|probe| until.is_some_and(|until| *probe < until));
            Setback::Account(Self { last, reason: Some(reason.to_owned()), until, probe_at, failures })
        };
        match penalty {
            Penalty::RateLimited { until, scope } => {
                let until = until.unwrap_or_else(|| doubled(rules.rate_limited_seconds, self.failures));
                match scope {
                    Scope::Account => whole(State::Cooling, Some(until)),
                    Scope::Family => Setback::Family { until },
                }
            }
            // What is out already is not brought back by a lesser fault of a request that was still under way.
            Penalty::Overloaded | Penalty::Unreachable if self.state(now) != State::Ready => {
                Setback::Account(Self { failures, ..self.clone() })
            }
            Penalty::Overloaded | Penalty::Unreachable if failures < rules.failure_threshold => {
                whole(State::Ready, None)
            }
            Penalty::Overloaded | Penalty::Unreachable => {
                let steps = failures - rules.failure_threshold;
                whole(State::Cooling, Some(doubled(rules.overloaded_seconds, steps)))
            }
            Penalty::Exhausted { until } => whole(State::Exhausted, Some(until.unwrap_or(now + EXHAUSTED_FOR))),
            Penalty::NeedsAuth => whole(State::NeedsAuth, None),
        }
    }
}

/// What an attempt's failure changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setback {
    /// The account's health is now this.
    Account(Health),
    /// Only the model family that was asked for sits out.
    Family {
        /// Until then.
        until: Timestamp,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn check(failures_before: u32, penalty: &Penalty, expect: (State, Option<i64>)) {
        let before = Health { failures: failures_before, ..Health::ready() };
        let Setback::Account(after) = before.after(penalty, "why", &Cooldown::default(), at(1_000)) else {
            panic!("{penalty:?} concerns the account");
        };
        assert_eq!((after.last, after.until.map(Timestamp::as_second)), expect, "{penalty:?} after {failures_before}");
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
    fn what_only_a_person_can_mend_waits_for_one() {
        check(0, &Penalty::NeedsAuth, (State::NeedsAuth, None));
        check(0, &Penalty::Exhausted { until: None }, (State::Exhausted, Some(4_600)));
        check(0, &Penalty::Exhausted { until: Some(at(9_000)) }, (State::Exhausted, Some(9_000)));
    }

    #[test]
    fn a_limit_of_one_family_leaves_the_account_alone() {
        let penalty = Penalty::RateLimited { until: Some(at(2_000)), scope: Scope::Family };
        let after = Health::ready().after(&penalty, "why", &Cooldown::default(), at(1_000));
        assert_eq!(after, Setback::Family { until: at(2_000) });
    }

    #[test]
    fn a_long_cooldown_is_tested_early_and_a_short_one_is_sat_out() {
        for (until, probe_at) in [(at(1_000 + 901), Some(at(1_900))), (at(1_900), None), (at(1_060), None)] {
            let penalty = Penalty::RateLimited { until: Some(until), scope: Scope::Account };
            let after = Health::ready().after(&penalty, "why", &Cooldown::default(), at(1_000));
            let Setback::Account(health) = after else { panic!("{penalty:?} concerns the account") };
            assert_eq!(health.probe_at, probe_at, "until {until}");
            assert!(!health.is_due_for_probe(at(1_899)));
            assert_eq!(health.is_due_for_probe(at(1_900)), probe_at.is_some());
        }
    }

    #[test]
    fn a_lesser_fault_leaves_a_graver_one_standing() {
        let refused = Health { last: State::NeedsAuth, reason: Some("401".to_owned()), ..Health::ready() };
        let after = refused.after(&Penalty::Overloaded, "529", &Cooldown::default(), at(1_000));
        assert_eq!(after, Setback::Account(Health { failures: 1, ..refused }));
    }

    #[test]
    fn time_cures() {
        let cooling = Health { last: State::Cooling, until: Some(at(10)), ..Health::ready() };
        assert_eq!(cooling.state(at(9)), State::Cooling);
        assert_eq!(cooling.state(at(10)), State::Ready);
        assert_eq!(
            Health { last: State::NeedsAuth, ..Health::ready() }.state(at(i64::from(u32::MAX))),
            State::NeedsAuth
        );
    }
}
