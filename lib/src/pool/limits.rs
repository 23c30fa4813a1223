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
    fn the_tightest_limit_counts() {
        let now = Timestamp::from_second(100).unwrap();
        let limits = [limit(Some(0.5), None, 300), limit(Some(0.9), None, 200), limit(None, None, 50)];
        assert!((headroom(&limits, now).unwrap() - 0.1).abs() < 1e-9);
        assert_eq!(earliest_reset(&limits, now), Timestamp::from_second(200).ok());
        assert_eq!(headroom(&[], now), None);
    }
}
