//! When a limit ends: the many forms in which upstreams write a moment or a wait.

use std::time::Duration;

use http::HeaderMap;
use jiff::{Timestamp, ToSpan, tz::TimeZone};

/// No upstream's limit lasts longer.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// When `retry-after-ms` or `retry-after` (seconds, also with a fraction, or an HTTP date) says to come back.
pub(crate) fn retry_at(headers: &HeaderMap, now: Timestamp) -> Option<Timestamp> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let seconds = |text: &str| text.parse::<f64>().ok();
    if let Some(millis) = text("retry-after-ms").and_then(seconds) {
        return in_seconds(millis / 1000.0, now);
    }
    let text = text("retry-after")?;
    match seconds(text) {
        Some(seconds) => in_seconds(seconds, now),
        None => ahead(Timestamp::try_from(httpdate::parse_http_date(text).ok()?).ok()?, now),
    }
}

/// A moment that is still to come; `None` for one that is past, or so far off that it cannot be meant.
pub(super) fn ahead(at: Timestamp, now: Timestamp) -> Option<Timestamp> {
    let latest = now.checked_add(LONGEST).ok()?;
    (now < at && at <= latest).then_some(at)
}

/// `now` and a wait; `None` for a wait that makes no sense.
pub(super) fn in_seconds(seconds: f64, now: Timestamp) -> Option<Timestamp> {
    // Not a number is no wait, and one too long for a `Duration` is still a wait.
    let wait = Some(seconds).filter(|seconds| *seconds >= 0.0)?.min(LONGEST.as_secs_f64());
    now.checked_add(Duration::try_from_secs_f64(wait).ok()?).ok()
}

/// Reads a protobuf or Go duration: `45.57s`, `900ms`, `1h16m0.6s`.
pub(super) fn seconds_of(mut text: &str) -> Option<f64> {
    let mut sum = 0.0;
    while !text.is_empty() {
        let number = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let rest = &text[number..];
        let unit = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let scale = match &rest[..unit] {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" | "μs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        sum += text[..number].parse::<f64>().ok()? * scale;
        text = &rest[unit..];
    }
    (sum > 0.0).then_some(sum)
}

/// The next midnight in California, when Gemini's daily quotas begin anew.
pub(super) fn pacific_midnight(now: Timestamp) -> Option<Timestamp> {
    let pacific = TimeZone::get("America/Los_Angeles").ok()?;
    Some(now.to_zoned(pacific).tomorrow().ok()?.start_of_day().ok()?.timestamp())
}

/// The first moment of next month, UTC, when Anthropic's spend limits begin anew.
pub(super) fn next_month(now: Timestamp) -> Option<Timestamp> {
    let first = now.to_zoned(TimeZone::UTC).first_of_month().ok()?.start_of_day().ok()?;
    Some(first.checked_add(1.month()).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a moment")
    }

    #[test]
    fn retry_after_has_three_forms() {
        let now = at("2026-11-23T10:00:00Z");
        let check = |name: &'static str, value: &str, expect: Option<&str>| {
            let headers = HeaderMap::from_iter([(HeaderName::from_static(name), value.parse().unwrap())]);
            assert_eq!(retry_at(&headers, now), expect.map(at), "{name}: {value}");
        };
        check("retry-after", "30", Some("2026-11-23T10:00:30Z"));
        check("retry-after", " 0.5 ", Some("2026-11-23T10:00:00.5Z"));
        check("retry-after", "0", Some("2026-11-23T10:00:00Z"));
        check("retry-after", "Mon, 23 Nov 2026 11:00:00 GMT", Some("2026-11-23T11:00:00Z"));
        check("retry-after-ms", "1500", Some("2026-11-23T10:00:01.5Z"));
        check("retry-after", "1e300", Some("2027-11-24T10:00:00Z"));
        for nonsense in ["-1", "soon", "", "NaN", "Mon, 23 Nov 2020 11:00:00 GMT", "Tue, 23 Nov 2099 11:00:00 GMT"] {
            check("retry-after", nonsense, None);
        }
    }

    #[test]
    fn milliseconds_are_finer_than_seconds() {
        let headers = HeaderMap::from_iter([
            (HeaderName::from_static("retry-after"), "60".parse().unwrap()),
            (HeaderName::from_static("retry-after-ms"), "100".parse().unwrap()),
        ]);
        let now = at("2026-11-23T10:00:00Z");
        assert_eq!(retry_at(&headers, now), Some(at("2026-11-23T10:00:00.1Z")));
        assert_eq!(retry_at(&HeaderMap::new(), now), None);
    }

    #[test]
    fn durations() {
        for (text, expect) in [
            ("47s", Some(47.0)),
            ("45.578569677s", Some(45.578569677)),
            ("900ms", Some(0.9)),
            ("579.27ms", Some(0.57927)),
            ("1h16m0.6s", Some(4560.6)),
            ("161h39m41.300432511s", Some(581_981.300432511)),
            ("33740.9s", Some(33740.9)),
            ("5µs", Some(5e-6)),
            ("0s", None),
            ("", None),
            ("12", None),
            ("s", None),
            ("-3s", None),
            ("3 s", None),
            ("3d", None),
            ("1.2.3s", None),
        ] {
            match (seconds_of(text), expect) {
                (Some(got), Some(want)) => assert!((got - want).abs() < 1e-6, "{text}: {got}"),
                (got, want) => assert_eq!(got, want, "{text}"),
            }
        }
    }

    #[test]
    fn midnight_in_california_knows_summer_time() {
        for (now, midnight) in [
            ("2026-11-23T10:00:00Z", "2026-11-24T08:00:00Z"),
            ("2026-07-01T06:59:59Z", "2026-07-01T07:00:00Z"),
            ("2026-07-01T07:00:00Z", "2026-07-02T07:00:00Z"),
            // 2026-03-08 has 23 hours, 2026-11-01 has 25.
            ("2026-03-08T08:00:00Z", "2026-03-09T07:00:00Z"),
            ("2026-03-08T07:59:00Z", "2026-03-08T08:00:00Z"),
            ("2026-11-01T07:00:00Z", "2026-11-02T08:00:00Z"),
            ("2026-11-01T06:59:00Z", "2026-11-01T07:00:00Z"),
        ] {
            assert_eq!(pacific_midnight(at(now)), Some(at(midnight)), "{now}");
        }
    }

    #[test]
    fn months_end() {
        assert_eq!(next_month(at("2026-12-31T23:59:59Z")), Some(at("2027-01-01T00:00:00Z")));
        assert_eq!(next_month(at("2026-02-01T00:00:00Z")), Some(at("2026-03-01T00:00:00Z")));
        assert_eq!(next_month(at("2026-01-31T12:00:00Z")), Some(at("2026-02-01T00:00:00Z")));
    }
}
