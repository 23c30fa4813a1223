//! What a Gemini answer means: whose fault an error is, and how long it lasts.

use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::protocol::{
    Answer, Penalty, Scope, Verdict,
    limits::{ahead, in_seconds, pacific_midnight, retry_at, seconds_of},
    says,
};

/// How long an account sits out a model that it does not have at all.
const NEVER_HAS_IT: f64 = 6.0 * 3600.0;

/// Reasons why a credential, or the project behind it, serves nobody until somebody acts.
const SHUT_OUT: &[&str] = &[
    "API_KEY_INVALID",
    "API_KEY_EXPIRED",
    "API_KEY_SERVICE_BLOCKED",
    "API_KEY_HTTP_REFERRER_BLOCKED",
    "API_KEY_IP_ADDRESS_BLOCKED",
    "SERVICE_DISABLED",
    "CONSUMER_SUSPENDED",
    "CONSUMER_INVALID",
    "VALIDATION_REQUIRED",
    "SECURITY_POLICY_VIOLATED",
];

/// The same in words, for answers without a reason.
const SHUT_OUT_WORDS: &[&str] = &["api key not valid", "api key expired", "reported as leaked"];

pub(in crate::protocol) fn judge(answer: &Answer<'_>, now: Timestamp) -> Verdict {
    if answer.status.is_success() || answer.status == StatusCode::NOT_MODIFIED {
        return Verdict::Deliver;
    }
    Said::read(answer.body).unwrap_or_default().verdict(answer.status, answer.headers, now)
}

pub(in crate::protocol) fn judge_event(answer: &Answer<'_>, now: Timestamp) -> Verdict {
    match Said::read(answer.body) {
        Some(said) => said.verdict(said.status(), answer.headers, now),
        None => Verdict::Deliver,
    }
}

/// An error body, as far as it was one.
#[derive(Default)]
struct Said {
    code: Option<u16>,
    status: String,
    /// In lower case.
    message: String,
    reason: String,
    /// `ErrorInfo`'s metadata.
    metadata: Value,
    retry_delay: Option<f64>,
    /// Of the quotas that were exceeded: id and value.
    quotas: Vec<(String, String)>,
}

impl Said {
    /// `None` when the body holds no error. Streams of arrays have it in an array.
    fn read(body: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Envelope {
            error: Value,
        }
        let error = match body.trim_ascii_start().first()? {
            b'[' => serde_json::from_slice::<Vec<Envelope>>(body).ok()?.into_iter().next()?.error,
            _ => serde_json::from_slice::<Envelope>(body).ok()?.error,
        };
        let text = |value: &Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();
        if !error.is_object() {
            return None;
        }
        let mut said = Self {
            code: error["code"].as_u64().and_then(|code| u16::try_from(code).ok()),
            status: text(&error, "status"),
            message: text(&error, "message").to_lowercase(),
            ..Self::default()
        };
        for detail in error["details"].as_array().into_iter().flatten() {
            match text(detail, "@type").rsplit('.').next() {
                Some("ErrorInfo") => {
                    said.reason = text(detail, "reason");
                    said.metadata = detail["metadata"].clone();
                }
                Some("RetryInfo") => said.retry_delay = seconds_of(&text(detail, "retryDelay")),
                Some("QuotaFailure") => {
                    let violations = detail["violations"].as_array().into_iter().flatten();
                    said.quotas.extend(violations.map(|one| (text(one, "quotaId"), text(one, "quotaValue"))));
                }
                _ => {}
            }
        }
        Some(said)
    }

    /// The status that an element of a stream stands for; what is not known is the service's fault.
    fn status(&self) -> StatusCode {
        let named = match self.status.as_str() {
            "INVALID_ARGUMENT" | "FAILED_PRECONDITION" => 400,
            "UNAUTHENTICATED" => 401,
            "PERMISSION_DENIED" => 403,
            "NOT_FOUND" => 404,
            "ABORTED" => 409,
            "OUT_OF_RANGE" => 416,
            "RESOURCE_EXHAUSTED" => 429,
            "CANCELLED" => 499,
            "UNAVAILABLE" => 503,
            "DEADLINE_EXCEEDED" => 504,
            _ => 500,
        };
        let code = self.code.filter(|code| (400..600).contains(code)).unwrap_or(named);
        StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn verdict(&self, status: StatusCode, headers: &HeaderMap, now: Timestamp) -> Verdict {
        let failover = Verdict::Failover;
        let shut_out = SHUT_OUT.contains(&self.reason.as_str());
        if status.is_client_error() {
            if shut_out || SHUT_OUT_WORDS.iter().any(|words| says(&self.message, words)) {
                return failover(Penalty::NeedsAuth);
            }
            if matches!(self.reason.as_str(), "BILLING_DISABLED" | "INSUFFICIENT_G1_CREDITS_BALANCE")
                || says(&self.message, "prepayment credits are depleted")
            {
                return failover(Penalty::Exhausted { until: None });
            }
        }
        match status.as_u16() {
            400 if self.status == "FAILED_PRECONDITION" && self.speaks_of_the_account() => {
                failover(Penalty::Exhausted { until: None })
            }
            401 => failover(Penalty::NeedsAuth),
            402 => failover(Penalty::Exhausted { until: None }),
            403 => self.denied(),
            404 if self.message.contains("model") => Verdict::Unsuited,
            // 499 is the service's own word for a call that it gave up; our caller is still there.
            408 | 499 => failover(Penalty::Overloaded),
            429 => failover(self.limited(headers, now)),
            _ if status.is_client_error() => Verdict::CallersFault,
            // A redirect is no answer of this API: something else stands at the account's base URL.
            _ if status.is_redirection() => failover(Penalty::Unreachable),
            _ => failover(Penalty::Overloaded),
        }
    }

    /// Whether a failed precondition is the account's: free tiers end at borders, and billing may be missing.
    fn speaks_of_the_account(&self) -> bool {
        says(&self.message, "location is not supported") || says(&self.message, "billing")
    }

    /// A 403 whose reason does not tell. Files and caches of other accounts are the caller's matter. Otherwise another
    /// account may do, and nobody pays: if a caller could provoke it, one caller could take every account out.
    fn denied(&self) -> Verdict {
        let names_a_thing =
            ["file", "cachedcontent", "cached content"].iter().any(|thing| self.message.contains(thing));
        if names_a_thing { Verdict::CallersFault } else { Verdict::Unsuited }
    }

    /// A 429: of a project and a model, as a rule.
    fn limited(&self, headers: &HeaderMap, now: Timestamp) -> Penalty {
        let metadata = |name: &str| self.metadata[name].as_str().unwrap_or_default();
        let said =
            self.retry_delay.or_else(|| seconds_of(metadata("quotaResetDelay"))).or_else(|| self.retry_in_words());
        let wait = || said.and_then(|seconds| in_seconds(seconds, now)).or_else(|| retry_at(headers, now));
        let family = |until| Penalty::RateLimited { until, scope: Scope::Family };
        match self.reason.as_str() {
            "MODEL_CAPACITY_EXHAUSTED" => Penalty::Overloaded,
            "QUOTA_EXHAUSTED" => {
                let reset = metadata("quotaResetTimeStamp").parse().ok().and_then(|reset| ahead(reset, now));
                let delay = seconds_of(metadata("quotaResetDelay")).and_then(|seconds| in_seconds(seconds, now));
                let scope = if metadata("model").is_empty() { Scope::Account } else { Scope::Family };
                let day = || self.is_of_a_day().then(|| pacific_midnight(now)).flatten();
                Penalty::RateLimited { until: reset.or(delay).or_else(day).or_else(wait), scope }
            }
            _ if self.has_no_quota() => family(in_seconds(NEVER_HAS_IT, now)),
            // The delay that comes with a day's quota is often seconds, and wrong.
            _ if self.is_of_a_day() => family(pacific_midnight(now)),
            _ => family(wait()),
        }
    }

    fn is_of_a_day(&self) -> bool {
        self.quotas.iter().any(|(id, _)| id.contains("PerDay"))
    }

    /// A limit of zero: the account's plan does not have the model.
    fn has_no_quota(&self) -> bool {
        let zero = |rest: &str| !rest.starts_with(|c: char| c.is_ascii_digit()) && !rest.starts_with(".");
        let said = self.message.split("limit: 0").skip(1).any(|rest| zero(rest) || rest.starts_with(". "));
        said || self.quotas.iter().any(|(_, value)| value == "0")
    }

    /// The wait in "Please retry in 45.57s."
    fn retry_in_words(&self) -> Option<f64> {
        let after = self.message.split_once("please retry in ")?.1;
        let end = after.find(|c: char| !c.is_alphanumeric() && c != '.').unwrap_or(after.len());
        seconds_of(after[..end].trim_end_matches('.'))
    }
}

#[cfg(test)]
mod tests;
