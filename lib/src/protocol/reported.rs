//! What upstreams report of their limits, beside their answers.

use http::HeaderMap;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Provider, anthropic};

/// One limit, as an upstream last reported it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReportedLimit {
    /// The upstream's name for it: `5h`, `7d`, `requests`, `input_tokens` …
    pub name: String,
    /// The model family that it is of, all of its versions where none is named; `None`: of the whole account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<String>,
    /// The whole of it, where it is a count.
    #[serde(default)]
    pub limit: Option<u64>,
    /// What is left of it, where it is a count.
    #[serde(default)]
    pub remaining: Option<u64>,
    /// The share that is used; can exceed 1.
    #[serde(default)]
    pub utilization: Option<f64>,
    /// When it is whole again.
    #[serde(default)]
    pub resets_at: Option<Timestamp>,
    /// The upstream's verdict: `allowed`, `allowed_warning`, `rejected`.
    #[serde(default)]
    pub status: Option<String>,
}

impl ReportedLimit {
    /// Whether requests for models of this family fall under it.
    pub fn covers(&self, family: &str) -> bool {
        let all_versions = || family.trim_end_matches(|c: char| c == '-' || c.is_ascii_digit());
        self.family.as_deref().is_none_or(|of| of == family || of == all_versions())
    }

    /// Whether nothing is left of it by `now`, or the upstream says as much.
    pub fn is_spent(&self, now: Timestamp) -> bool {
        let is_over = self.resets_at.is_some_and(|reset| reset <= now);
        !is_over && (self.status.as_deref() == Some("rejected") || self.left(now) == Some(0.0))
    }

    /// The share that was used when it was reported; can exceed 1. `None`: unknown.
    pub fn used(&self) -> Option<f64> {
        match (self.utilization, self.limit, self.remaining) {
            (Some(used), _, _) => Some(used),
            (None, Some(limit), Some(remaining)) if limit > 0 => Some(1.0 - remaining as f64 / limit as f64),
            _ => None,
        }
    }

    /// The share that is left, from 0 to 1, by `now`; all of it once the reset has passed. `None`: unknown.
    pub fn left(&self, now: Timestamp) -> Option<f64> {
        if self.resets_at.is_some_and(|reset| reset <= now) {
            return Some(1.0);
        }
        Some((1.0 - self.used()?).clamp(0.0, 1.0))
    }
}

impl Provider {
    /// What the headers of an answer by this model say of the account's limits; empty when they say nothing. Gemini never
    /// does.
    pub fn reported_limits(self, headers: &HeaderMap, model: Option<&str>) -> Vec<ReportedLimit> {
        match self {
            Self::Anthropic => anthropic::reported_limits(headers, model),
            Self::Gemini => Vec::new(),
        }
    }

    /// The upstream's name for whom it bills, where an answer says it.
    pub fn organization(self, headers: &HeaderMap) -> Option<String> {
        match self {
            Self::Anthropic => headers.get("anthropic-organization-id")?.to_str().ok().map(str::to_owned),
            Self::Gemini => None,
        }
    }
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
    fn a_limit_of_a_family_covers_that_family_and_without_a_version_all_of_its_versions() {
        for (of, family, expect) in [
            (None, "opus-5", true),
            (Some("fable"), "fable-5", true),
            (Some("fable"), "fable-6-1", true),
            (Some("fable"), "opus-5", false),
            (Some("opus-5"), "opus-5", true),
            (Some("opus-5"), "opus-4", false),
            (Some("gemini-2.5-flash"), "gemini-2.5-flash-lite", false),
            (Some("gemini-2.5-pro"), "gemini-2.5-pro", true),
        ] {
            let limit = ReportedLimit { family: of.map(str::to_owned), ..limit(Some(1.0), None, 200) };
            assert_eq!(limit.covers(family), expect, "{of:?} {family}");
        }
    }

    #[test]
    fn what_is_left_is_told_until_the_reset() {
        let now = Timestamp::from_second(100).unwrap();
        for (limit, expect) in [
            (limit(Some(0.75), None, 200), Some(0.25)),
            (limit(Some(1.2), None, 200), Some(0.0)),
            (limit(Some(0.75), None, 100), Some(1.0)),
            (limit(None, Some((40, 10)), 200), Some(0.25)),
            (limit(None, Some((0, 0)), 200), None),
            (limit(None, None, 200), None),
        ] {
            assert_eq!(limit.left(now), expect, "{limit:?}");
        }
    }
}
