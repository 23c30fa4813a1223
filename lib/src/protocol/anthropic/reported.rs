//! Limits in the headers of an answer: token buckets of API keys, and the windows of subscriptions.

use std::collections::BTreeMap;

use http::HeaderMap;
use jiff::Timestamp;

use crate::protocol::{Provider, ReportedLimit};

const UNIFIED: &str = "anthropic-ratelimit-unified-";
const BUCKETS: &str = "anthropic-ratelimit-";

/// Reads the families `anthropic-ratelimit-{bucket}-{limit,remaining,reset}` and
/// `anthropic-ratelimit-unified-{window}-{status,utilization,reset}`, whatever buckets and windows there are. Each class of
/// models has buckets of its own, and the answer is by this `model`; a window says itself what it is of.
pub(in crate::protocol) fn reported_limits(headers: &HeaderMap, model: Option<&str>) -> Vec<ReportedLimit> {
    let of_model = std::cell::LazyCell::new(|| model.map(|model| Provider::Anthropic.family(model).to_string()));
    let mut limits: BTreeMap<String, ReportedLimit> = BTreeMap::new();
    for (name, value) in headers {
        let Ok(value) = value.to_str() else { continue };
        let (rest, of_window) = match (name.as_str().strip_prefix(UNIFIED), name.as_str().strip_prefix(BUCKETS)) {
            (Some(rest), _) => (rest, true),
            (None, Some(rest)) => (rest, false),
            (None, None) => continue,
        };
        let Some((of, what)) = rest.rsplit_once('-') else { continue };
        let limit = limits.entry(of.to_owned()).or_insert_with(|| ReportedLimit {
            name: of.to_owned(),
            family: if of_window { family_of(of).map(str::to_owned) } else { of_model.clone() },
            limit: None,
            remaining: None,
            utilization: None,
            resets_at: None,
            status: None,
        });
        match (what, of_window) {
            ("limit", false) => limit.limit = value.parse().ok(),
            ("remaining", false) => limit.remaining = value.parse().ok(),
            ("reset", false) => limit.resets_at = value.parse().ok(),
            ("reset", true) => limit.resets_at = value.parse().ok().and_then(|at| Timestamp::from_second(at).ok()),
            ("utilization", true) => limit.utilization = value.parse().ok().filter(|used: &f64| used.is_finite()),
            ("status", true) => limit.status = Some(value.chars().take(40).collect()),
            _ => {}
        }
    }
    // A word of the family that is no window or bucket has neither a share nor a count.
    limits.into_values().filter(|limit| limit.utilization.is_some() || limit.remaining.is_some()).collect()
}

/// The family of a weekly limit that is not of all models. `7d_oi` does not say its own: it is of Fable, today.
fn family_of(window: &str) -> Option<&str> {
    match window.strip_prefix("7d_")? {
        "oi" => Some("fable"),
        named => Some(named),
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn read(text: &str) -> Vec<ReportedLimit> {
        let headers = text.split_whitespace().map(|line| {
            let (name, value) = line.split_once('=').unwrap();
            (HeaderName::try_from(name).unwrap(), HeaderValue::from_str(value).unwrap())
        });
        reported_limits(&headers.collect(), Some("claude-opus-5-5"))
    }

    #[test]
    fn the_windows_of_a_subscription_are_read_whatever_they_are_called() {
        let limits = read(
            "anthropic-ratelimit-unified-status=allowed_warning anthropic-ratelimit-unified-reset=1795600800
             anthropic-ratelimit-unified-representative-claim=seven_day
             anthropic-ratelimit-unified-5h-status=allowed anthropic-ratelimit-unified-5h-utilization=0.13
             anthropic-ratelimit-unified-5h-reset=1795449600 anthropic-ratelimit-unified-7d_oi-utilization=0.94
             anthropic-ratelimit-unified-7d_oi-surpassed-threshold=0.75 anthropic-ratelimit-unified-fallback=available",
        );
        let names: Vec<_> = limits.iter().map(|limit| (limit.name.as_str(), limit.utilization)).collect();
        assert_eq!(names, [("5h", Some(0.13)), ("7d_oi", Some(0.94))]);
        assert_eq!((limits[0].family.as_deref(), limits[1].family.as_deref()), (None, Some("fable")));
        assert_eq!(limits[0].resets_at.map(Timestamp::as_second), Some(1_795_449_600));
        assert_eq!(limits[0].status.as_deref(), Some("allowed"));
    }

    #[test]
    fn the_buckets_of_a_key_are_read() {
        let limits = read(
            "anthropic-ratelimit-requests-limit=50 anthropic-ratelimit-requests-remaining=49
             anthropic-ratelimit-requests-reset=2026-11-23T15:04:05Z anthropic-ratelimit-input-tokens-limit=40000
             anthropic-ratelimit-input-tokens-remaining=nonsense request-id=req_1",
        );
        assert_eq!(limits.len(), 1, "{limits:?}");
        assert_eq!((limits[0].limit, limits[0].remaining), (Some(50), Some(49)));
        assert_eq!(limits[0].family.as_deref(), Some("opus-5"));
        assert_eq!(limits[0].resets_at, "2026-11-23T15:04:05Z".parse().ok());
    }
}
