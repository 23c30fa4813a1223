//! Our "no" to clients of the Messages API.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use serde::Serialize;

use crate::{
    error::{Error, Kind, Measure, Reached},
    http::Response,
    id::RequestId,
    protocol::{answer, status},
};

/// Keeps a silent stream alive; it may stand between any two events.
pub const PING: &[u8] = b"event: ping\ndata: {\"type\":\"ping\"}\n\n";

#[derive(Serialize)]
struct Envelope<'a> {
    r#type: &'static str,
    error: Fault,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

#[derive(Serialize)]
struct Fault {
    r#type: &'static str,
    message: String,
}

fn envelope(error: &Error, request_id: Option<&str>) -> String {
    let r#type = match error.kind {
        Kind::InvalidRequest | Kind::MethodNotAllowed => "invalid_request_error",
        Kind::Unauthenticated => "authentication_error",
        Kind::PermissionDenied => "permission_error",
        Kind::NotFound => "not_found_error",
        Kind::Conflict => "conflict_error",
        Kind::TooLarge => "request_too_large",
        // Claude Code takes it for final and shows the message.
        Kind::RateLimited if error.is_of_a_budget() => "billing_error",
        Kind::RateLimited => "rate_limit_error",
        Kind::Internal | Kind::Unavailable => "api_error",
    };
    let envelope = Envelope { r#type: "error", error: Fault { r#type, message: error.to_string() }, request_id };
    serde_json::to_string(&envelope).expect("strings are always JSON")
}

pub(in crate::protocol) fn refusal(error: &Error, id: &RequestId) -> Response {
    let mut response = answer(status(error.kind), error, id, envelope(error, Some(id.as_str())));
    let id = HeaderValue::from_str(id.as_str()).expect("an id is plain text");
    response.headers_mut().insert("request-id", id);
    if let Some(limit) = &error.limit {
        name_limit(response.headers_mut(), limit);
    }
    response
}

/// The key's own limit, in the names of the API for an account's. Claude Code shows its user only those with `unified` in
/// them, of which there is none here; for money the API has no name.
fn name_limit(headers: &mut HeaderMap, limit: &Reached) {
    let [most, left, reset] = match limit.measure {
        Measure::Requests => [
            "anthropic-ratelimit-requests-limit",
            "anthropic-ratelimit-requests-remaining",
            "anthropic-ratelimit-requests-reset",
        ],
        Measure::Tokens => [
            "anthropic-ratelimit-tokens-limit",
            "anthropic-ratelimit-tokens-remaining",
            "anthropic-ratelimit-tokens-reset",
        ],
        Measure::Cost => return,
    };
    headers.insert(most, limit.value.into());
    headers.insert(left, 0.into());
    if let Some(at) = limit.resets_at {
        let at = at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        headers.insert(reset, HeaderValue::from_str(&at).expect("a time is plain text"));
    }
}

/// The event that ends a stream which the upstream left unfinished.
pub(in crate::protocol) fn error_event(error: &Error) -> Bytes {
    format!("event: error\ndata: {}\n\n", envelope(error, None)).into()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::protocol::{Form, Protocol, Provider, tests::read};

    #[test]
    fn statuses_and_types() {
        for (kind, status, r#type, retry) in [
            (Kind::InvalidRequest, 400, "invalid_request_error", Some("false")),
            (Kind::Unauthenticated, 401, "authentication_error", Some("false")),
            (Kind::PermissionDenied, 403, "permission_error", Some("false")),
            (Kind::NotFound, 404, "not_found_error", Some("false")),
            (Kind::MethodNotAllowed, 405, "invalid_request_error", Some("false")),
            (Kind::Conflict, 409, "conflict_error", Some("false")),
            (Kind::TooLarge, 413, "request_too_large", Some("false")),
            (Kind::RateLimited, 429, "rate_limit_error", Some("false")),
            (Kind::Internal, 500, "api_error", None),
            (Kind::Unavailable, 503, "api_error", None),
        ] {
            let (head, body) = read(Protocol::Anthropic.refusal(
                Form::Sse,
                &Error::new(kind, "why"),
                &RequestId::from("req_1".to_owned()),
            ));
            assert_eq!(head.status.as_u16(), status);
            let expect =
                format!(r#"{{"type":"error","error":{{"type":"{type}","message":"why"}},"request_id":"req_1"}}"#);
            assert_eq!(body, expect);
            assert_eq!(head.headers.get("x-should-retry").map(|value| value.to_str().unwrap()), retry, "{kind:?}");
            for (name, value) in [
                ("content-type", "application/json"),
                ("cache-control", "no-store"),
                ("request-id", "req_1"),
                ("x-request-id", "req_1"),
            ] {
                assert_eq!(head.headers[name], value);
            }
        }
    }

    #[test]
    fn a_wait_is_rounded_up_and_a_long_one_is_not_worth_retrying() {
        for (kind, millis, after, retry) in [
            (Kind::RateLimited, 1, "1", None),
            (Kind::RateLimited, 2_000, "2", None),
            (Kind::RateLimited, 58_200, "59", None),
            (Kind::RateLimited, 59_001, "60", Some("false")),
            (Kind::RateLimited, 3_600_000, "3600", Some("false")),
            (Kind::Unavailable, 5_000, "5", None),
            (Kind::Unavailable, 61_000, "61", Some("false")),
        ] {
            let error = Error::new(kind, "why").with_retry_after(Duration::from_millis(millis));
            let (head, _) = read(Protocol::Anthropic.refusal(Form::Json, &error, &RequestId::from("req_1".to_owned())));
            assert_eq!(head.headers["retry-after"], after);
            assert_eq!(head.headers.get("x-should-retry").map(|value| value.to_str().unwrap()), retry, "{millis}");
        }
    }

    #[test]
    fn a_limit_of_the_key_is_named_as_an_accounts_is_and_a_spent_budget_is_final() {
        let id = RequestId::from("req_1".to_owned());
        let resets_at = jiff::Timestamp::from_second(90).ok();
        let of = |measure| Error::new(Kind::RateLimited, "why").with_limit(Reached { measure, value: 100, resets_at });
        for (measure, name, r#type) in [
            (Measure::Requests, "requests", "rate_limit_error"),
            (Measure::Tokens, "tokens", "rate_limit_error"),
            (Measure::Cost, "", "billing_error"),
        ] {
            let (head, body) = read(refusal(&of(measure).with_retry_after(Duration::from_secs(90)), &id));
            assert!(body.contains(&format!(r#""type":"{type}""#)), "{body}");
            assert_eq!(head.headers["x-should-retry"], "false");
            let limits = head.headers.iter().filter(|(name, _)| name.as_str().starts_with("anthropic-"));
            let limits: Vec<_> = limits.map(|(name, value)| (name.to_string(), value.to_str().unwrap())).collect();
            let expect = [("limit", "100"), ("remaining", "0"), ("reset", "1970-01-01T00:01:30Z")]
                .map(|(what, value)| (format!("anthropic-ratelimit-{name}-{what}"), value));
            assert_eq!(limits, if name.is_empty() { Vec::new() } else { expect.to_vec() });
        }
    }

    #[test]
    fn a_param_is_named_as_anthropic_names_it() {
        let (_, body) = read(refusal(&Error::invalid("model", "is \"odd\""), &RequestId::from("r".to_owned())));
        assert_eq!(
            body,
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"model: is \"odd\""},"request_id":"r"}"#
        );
    }

    #[test]
    fn a_broken_stream_ends_with_an_event_only_where_clients_read_one() {
        let error = Error::new(Kind::Unavailable, "the upstream\nbroke off");
        let event = Provider::Anthropic.error_event(Form::Sse, &error).unwrap();
        let expect = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"the upstream\\nbroke off\"}}\n\n";
        assert_eq!(event, expect);
        assert_eq!(Provider::Anthropic.error_event(Form::Json, &error), None);
        for form in [Form::Sse, Form::Json, Form::JsonArray] {
            assert_eq!(Provider::Gemini.error_event(form, &error), None);
        }
    }
}
