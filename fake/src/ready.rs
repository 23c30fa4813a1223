//! Ready-made answers: the faults of both APIs, byte for byte as their documentation and clients know them.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    clock,
    script::{Answer, Before, Body, Encoding, End, Lifelike},
};

/// Its fields in Google's order.
#[derive(Serialize)]
struct GoogleError<'a> {
    code: u16,
    message: &'a str,
    status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Value>,
}

impl Answer {
    /// This JSON with this status.
    pub fn json(status: u16, value: Value) -> Self {
        Self { status, body: Body::Json(value), ..Self::default() }
    }

    /// This text with this status, as an edge in front of an API answers: HTML, plain text or nothing.
    pub fn text(status: u16, content_type: &str, text: &str) -> Self {
        let body = Body::Text { content_type: content_type.to_owned(), text: text.to_owned() };
        Self { status, body, ..Self::default() }
    }

    /// The built-in answer, bent.
    pub fn lifelike(bent: Lifelike) -> Self {
        Self { body: Body::Lifelike(bent), ..Self::default() }
    }

    /// The built-in answer in so many words, with so many milliseconds between its events.
    pub fn paced(words: usize, gap_ms: u64) -> Self {
        Self::lifelike(Lifelike { words: Some(words), gap_ms: Some(gap_ms), ..Lifelike::default() })
    }

    /// The built-in answer, stopped after so many events and ended so.
    pub fn cut(events: usize, end: End) -> Self {
        Self { end, ..Self::lifelike(Lifelike { cut_after_events: Some(events), ..Lifelike::default() }) }
    }

    /// The built-in answer, which waits for a `release` after so many events.
    pub fn held_after(events: usize) -> Self {
        Self::lifelike(Lifelike { hold_after_events: Some(events), ..Lifelike::default() })
    }

    /// The built-in answer, compressed.
    pub fn encoded(encoding: Encoding) -> Self {
        Self { encoding: Some(encoding), ..Self::default() }
    }

    /// The built-in answer after a fault or a wait.
    pub fn after(before: Before) -> Self {
        Self { before: Some(before), ..Self::default() }
    }

    /// A 200 whose stream begins with an error: `overloaded_error`, or Google's `UNAVAILABLE`.
    pub fn error_event_first() -> Self {
        Self::error_event_after(0)
    }

    /// The same error after so many events.
    pub fn error_event_after(events: usize) -> Self {
        Self::lifelike(Lifelike { error_after_events: Some(events), ..Lifelike::default() })
    }

    /// Adds a header, or puts it in the place of the API's own.
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// An error of Anthropic's with this `error.type` and message.
    pub fn anthropic_error(status: u16, kind: &str, message: &str) -> Self {
        Self::anthropic(status, &json!(kind), &json!(message), "")
    }

    /// An error of Anthropic's whose `details.error_code` says more than its type.
    pub fn anthropic_error_code(status: u16, kind: &str, message: &str, error_code: &str) -> Self {
        let details = format!(r#","details":{{"error_code":{}}}"#, json!(error_code));
        Self::anthropic(status, &json!(kind), &json!(message), &details)
    }

    /// As text, since the fields of a [`Value`] have no order.
    fn anthropic(status: u16, kind: &Value, message: &Value, details: &str) -> Self {
        let error = format!(r#"{{"type":{kind},"message":{message}{details}}}"#);
        let text = format!(r#"{{"type":"error","error":{error},"request_id":"req_011CFakeScripted"}}"#);
        Self::text(status, "application/json", &text)
    }

    /// Anthropic 529.
    pub fn overloaded() -> Self {
        Self::anthropic_error(529, "overloaded_error", "Overloaded")
    }

    /// Anthropic 429 of an API key, with `retry-after` in seconds and the requests bucket empty.
    pub fn rate_limited(retry_after: u64) -> Self {
        let message = "This request would exceed your organization's rate limit of 50 requests per minute. For details, \
                       refer to: https://docs.claude.com/en/api/rate-limits.";
        Self::anthropic_error(429, "rate_limit_error", message)
            .with_header("retry-after", &retry_after.to_string())
            .with_header("anthropic-ratelimit-requests-limit", "50")
            .with_header("anthropic-ratelimit-requests-remaining", "0")
            .with_header("anthropic-ratelimit-requests-reset", &clock::rfc3339(Duration::from_secs(retry_after)))
            .with_header("x-should-retry", "true")
    }

    /// Anthropic 429 without a word about limits: too little capacity, or a model that the plan lacks.
    pub fn rate_limited_silently() -> Self {
        Self::anthropic_error(429, "rate_limit_error", "Error").with_header("x-should-retry", "true")
    }

    /// Anthropic 429 of a subscription: the window (`5h`, `7d`, `7d_oi`) is spent until `reset` in unix seconds.
    pub fn window_spent(window: &str, reset: u64) -> Self {
        let claim = match window {
            "5h" => "five_hour",
            "7d" => "seven_day",
            "7d_oi" => "seven_day_overage_included",
            other => other,
        };
        let name = |part: &str| format!("anthropic-ratelimit-unified-{part}");
        Self::anthropic_error(429, "rate_limit_error", "This request would exceed your account's rate limit.")
            .with_header(&name("status"), "rejected")
            .with_header(&name("representative-claim"), claim)
            .with_header(&name("reset"), &reset.to_string())
            .with_header(&name(&format!("{window}-status")), "rejected")
            .with_header(&name(&format!("{window}-utilization")), "1.01")
            .with_header(&name(&format!("{window}-reset")), &reset.to_string())
    }

    /// Anthropic 401, for a key that is not known.
    pub fn unauthorized() -> Self {
        Self::anthropic_error(401, "authentication_error", "invalid x-api-key")
    }

    /// Anthropic 401, for an access token that has expired.
    pub fn token_expired() -> Self {
        let message = "OAuth token has expired. Please obtain a new token or refresh your existing token.";
        Self::anthropic_error_code(401, "authentication_error", message, "token_expired")
    }

    /// Anthropic 403.
    pub fn forbidden() -> Self {
        let message = "Your API key does not have permission to use the specified resource.";
        Self::anthropic_error(403, "permission_error", message)
    }

    /// Anthropic 400 that is the account's fault: no credit left.
    pub fn credit_too_low() -> Self {
        let message = "Your credit balance is too low to access the Anthropic API. \
                       Please go to Plans & Billing to upgrade or purchase credits.";
        Self::anthropic_error(400, "invalid_request_error", message)
    }

    /// Anthropic 400 that is the caller's own.
    pub fn invalid_request(message: &str) -> Self {
        Self::anthropic_error(400, "invalid_request_error", message)
    }

    /// Anthropic 404 for a model that the account lacks.
    pub fn model_not_found(model: &str) -> Self {
        Self::anthropic_error(404, "not_found_error", &format!("model: {model}"))
    }

    /// Anthropic 500.
    pub fn internal_error() -> Self {
        Self::anthropic_error(500, "api_error", "Internal server error")
    }

    /// A 502 of the edge: HTML without either API's shape.
    pub fn bad_gateway() -> Self {
        let html = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n\
                    <center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>cloudflare</center>\r\n</body>\r\n</html>\r\n";
        Self::text(502, "text/html", html)
    }

    /// An error of Google's.
    pub fn gemini_error(code: u16, status: &str, message: &str) -> Self {
        Self::google(&GoogleError { code, message, status, details: None })
    }

    /// An error of Google's with details.
    pub fn gemini_error_with(code: u16, status: &str, message: &str, details: Value) -> Self {
        Self::google(&GoogleError { code, message, status, details: Some(details) })
    }

    fn google(error: &GoogleError<'_>) -> Self {
        let written = BTreeMap::from([("error", error)]);
        let text = serde_json::to_string_pretty(&written).expect("texts and numbers are JSON");
        Self::text(error.code, "application/json; charset=UTF-8", &format!("{text}\n"))
    }

    /// Google 429 with the quota that is spent and the delay it asks for, such as `"45.578569677s"`.
    pub fn gemini_quota(quota_id: &str, model: &str, retry_delay: &str) -> Self {
        let message = format!(
            "You exceeded your current quota, please check your plan and billing details. For more information on this \
             error, head to: https://ai.google.dev/gemini-api/docs/rate-limits.\n* Quota exceeded for metric: \
             generativelanguage.googleapis.com/generate_content_free_tier_requests, limit: 50, model: {model}\n\
             Please retry in {retry_delay}."
        );
        let violation = json!({
            "quotaMetric": "generativelanguage.googleapis.com/generate_content_free_tier_requests",
            "quotaId": quota_id, "quotaDimensions": {"location": "global", "model": model}, "quotaValue": "50",
        });
        let link = json!({
            "description": "Learn more about Gemini API quotas", "url": "https://ai.google.dev/gemini-api/docs/rate-limits",
        });
        let details = json!([
            {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation]},
            {"@type": "type.googleapis.com/google.rpc.Help", "links": [link]},
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": retry_delay},
        ]);
        Self::gemini_error_with(429, "RESOURCE_EXHAUSTED", &message, details)
    }

    /// Google 429 of the requests in a minute, with the delay it asks for.
    pub fn gemini_rate_limited(model: &str, retry_delay: &str) -> Self {
        Self::gemini_quota("GenerateRequestsPerMinutePerProjectPerModel-FreeTier", model, retry_delay)
    }

    /// Google 429 of the requests in a day; the delay it asks for is short and wrong, as the real one's often is.
    pub fn gemini_day_spent(model: &str) -> Self {
        Self::gemini_quota("GenerateRequestsPerDayPerProjectPerModel-FreeTier", model, "2s")
    }

    /// Google 503.
    pub fn gemini_overloaded() -> Self {
        Self::gemini_error(503, "UNAVAILABLE", "The model is overloaded. Please try again later.")
    }

    /// Google 400 that is the account's fault.
    pub fn gemini_key_invalid() -> Self {
        let details = json!([
            {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID",
             "domain": "googleapis.com", "metadata": {"service": "generativelanguage.googleapis.com"}},
            {"@type": "type.googleapis.com/google.rpc.LocalizedMessage", "locale": "en-US",
             "message": "API key not valid. Please pass a valid API key."},
        ]);
        let message = "API key not valid. Please pass a valid API key.";
        Self::gemini_error_with(400, "INVALID_ARGUMENT", message, details)
    }

    /// Google 400 that is the caller's own.
    pub fn gemini_invalid(message: &str) -> Self {
        Self::gemini_error(400, "INVALID_ARGUMENT", message)
    }
}
