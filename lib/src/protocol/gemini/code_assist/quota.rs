//! What Code Assist says of an account's quota, one bucket for each model.

use serde::Deserialize;

use crate::protocol::{Provider, ReportedLimit};

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    buckets: Vec<Bucket>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bucket {
    model_id: Option<String>,
    token_type: Option<String>,
    remaining_amount: Option<String>,
    remaining_fraction: Option<f64>,
    reset_time: Option<String>,
}

/// Reads the answer of `retrieveUserQuota`; empty where it says nothing.
pub(crate) fn quota(body: &[u8]) -> Vec<ReportedLimit> {
    let answer: Option<Answer> = serde_json::from_slice(body).ok();
    answer.map(|answer| answer.buckets).unwrap_or_default().into_iter().filter_map(Bucket::limit).collect()
}

impl Bucket {
    /// `None` where it does not say what is left.
    fn limit(self) -> Option<ReportedLimit> {
        let left = self.remaining_fraction.filter(|left| left.is_finite())?;
        let model = self.model_id.filter(|model| !model.is_empty());
        let kind = self.token_type.unwrap_or_default().to_ascii_lowercase();
        Some(ReportedLimit {
            name: [model.as_deref().unwrap_or_default(), &kind].join(" ").trim().to_owned(),
            family: model.map(|model| Provider::Gemini.family(&model).to_string()),
            limit: None,
            remaining: self.remaining_amount.and_then(|amount| amount.parse().ok()),
            utilization: Some(1.0 - left),
            resets_at: self.reset_time.and_then(|at| at.parse().ok()),
            status: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_limits_of_their_models() {
        let body = br#"{"buckets":[
            {"modelId":"gemini-2.5-pro-001","tokenType":"REQUESTS","remainingAmount":"87","remainingFraction":0.75,
             "resetTime":"2026-11-24T07:00:00Z"},
            {"modelId":"gemini-2.5-flash","remainingFraction":0},{"modelId":"unsaid"},{"remainingFraction":1}]}"#;
        let limits = quota(body);
        let names: Vec<_> = limits.iter().map(|limit| (limit.name.as_str(), limit.family.as_deref())).collect();
        let expect = [
            ("gemini-2.5-pro-001 requests", Some("gemini-2.5-pro")),
            ("gemini-2.5-flash", Some("gemini-2.5-flash")),
            ("", None),
        ];
        assert_eq!(names, expect);
        let left: Vec<_> = limits.iter().map(|limit| limit.left("2026-11-24T00:00:00Z".parse().unwrap())).collect();
        assert_eq!(left, [Some(0.75), Some(0.0), Some(1.0)]);
        assert_eq!((limits[0].remaining, limits[0].resets_at), (Some(87), "2026-11-24T07:00:00Z".parse().ok()));
        assert!(quota(b"<html>").is_empty() && quota(b"{}").is_empty());
    }
}
