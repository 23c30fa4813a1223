//! What is left of the limits that upstreams report.

use jiff::Timestamp;

use crate::protocol::ReportedLimit;

/// The share that is left of the tightest limit; `None` when the upstream has reported none.
pub fn headroom<'a>(limits: impl IntoIterator<Item = &'a ReportedLimit>, now: Timestamp) -> Option<f64> {
    limits.into_iter().filter_map(|limit| limit.left(now)).min_by(f64::total_cmp)
}

/// When the first limit is renewed that anything was used of.
pub fn earliest_reset<'a>(limits: impl IntoIterator<Item = &'a ReportedLimit>, now: Timestamp) -> Option<Timestamp> {
    limits.into_iter().filter_map(|limit| limit.resets_at).filter(|reset| *reset > now).min()
}

/// Limits of `before` that were spent and, as `after` reports, are renewed before their time; of a family that has several
/// limits, none may be spent.
pub fn renewed(before: &[ReportedLimit], after: &[ReportedLimit], now: Timestamp) -> Vec<ReportedLimit> {
    let is_renewed = |old: &&ReportedLimit| {
        let mut reported = after.iter().filter(|new| new.name == old.name);
        let mut of_family = after.iter().filter(|new| old.family.is_some() && new.family == old.family);
        old.is_spent(now)
            && reported.next().is_some_and(|new| !new.is_spent(now))
            && !of_family.any(|new| new.is_spent(now))
    };
    before.iter().filter(is_renewed).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(utilization: Option<f64>, counts: Option<(u64, u64)>, resets_at: i64) -> ReportedLimit {
        ReportedLimit {
            name: "x".to_owned(),
            family: None,
            limit: counts.map(|(limit, _)| limit),
            remaining: counts.map(|(_, remaining)| remaining),
            utilization,
            resets_at: Timestamp::from_second(resets_at).ok(),
            status: None,
        }
    }

    #[test]
    fn a_limit_that_was_spent_and_is_not_is_renewed() {
        let now = Timestamp::from_second(100).unwrap();
        let named = |name: &str, family: &str, used| ReportedLimit {
            name: name.to_owned(),
            family: (!family.is_empty()).then(|| family.to_owned()),
            ..limit(Some(used), None, 300)
        };
        let rejected = ReportedLimit { status: Some("rejected".to_owned()), ..named("7d", "", 0.9) };
        let over = ReportedLimit { resets_at: Timestamp::from_second(99).ok(), ..rejected.clone() };
        for (before, after, expect) in [
            (vec![named("7d", "", 1.0)], vec![named("7d", "", 0.1)], 1),
            (vec![rejected.clone()], vec![named("7d", "", 0.9)], 1),
            (vec![rejected.clone()], vec![rejected.clone()], 0),
            (vec![rejected.clone()], vec![named("5h", "", 0.1)], 0),
            (vec![over], vec![named("7d", "", 0.1)], 0),
            (vec![named("7d", "", 0.99)], vec![named("7d", "", 0.1)], 0),
            (vec![named("a requests", "a", 1.0)], vec![named("a requests", "a", 0.1), named("a tokens", "a", 1.0)], 0),
            (vec![named("a requests", "a", 1.0)], vec![named("a requests", "a", 0.1), named("b", "b", 1.0)], 1),
        ] {
            assert_eq!(renewed(&before, &after, now).len(), expect, "{before:?} {after:?}");
        }
    }

    #[test]
    fn the_tightest_limit_counts() {
        let now = Timestamp::from_second(100).unwrap();
        let limits = [limit(Some(0.5), None, 300), limit(Some(0.9), None, 200), limit(None, None, 50)];
        assert!((headroom(&limits, now).unwrap() - 0.1).abs() < 1e-9);
        assert_eq!(earliest_reset(&limits, now), Timestamp::from_second(200).ok());
        assert_eq!(headroom(&[], now), None);
    }
}
