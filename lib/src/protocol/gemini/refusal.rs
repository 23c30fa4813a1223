//! Our "no" to clients of the Gemini API.

use std::time::Duration;

use http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    error::{Error, Kind},
    http::Response,
    id::RequestId,
    protocol::{Form, answer, status, whole_seconds},
};

/// Long enough for every client to give up.
const A_DAY: Duration = Duration::from_secs(86_400);

#[derive(Serialize)]
struct Envelope {
    error: Fault,
}

#[derive(Serialize)]
struct Fault {
    code: u16,
    message: String,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<[Value; 1]>,
}

pub(in crate::protocol) fn refusal(form: Form, error: &Error, id: &RequestId) -> Response {
    // An unknown key is 400 with a reason at Google, and Gemini CLI takes that for final.
    let code = if error.kind == Kind::Unauthenticated { StatusCode::BAD_REQUEST } else { status(error.kind) };
    let details = match (error.kind, error.retry_after) {
        (Kind::Unauthenticated, _) => Some([unknown_key()]),
        (Kind::RateLimited | Kind::Unavailable, Some(after)) => Some([retry_info(after)]),
        // A budget that does not reset: without a wait Gemini CLI would try ten times.
        (Kind::RateLimited, None) if error.limit.is_some() => Some([retry_info(A_DAY)]),
        _ => None,
    };
    let fault = Fault { code: code.as_u16(), message: error.to_string(), status: word(error.kind), details };
    let mut body = serde_json::to_string(&Envelope { error: fault }).expect("strings are always JSON");
    if form == Form::JsonArray {
        body = format!("[{body}]");
    }
    answer(code, error, id, body)
}

/// Google's word for it. It has none for 405 and 413, which it answers as pages; both are wrong and will be wrong
/// again, which is what the word for 400 says to clients that read it rather than the code.
fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::InvalidRequest | Kind::Unauthenticated | Kind::MethodNotAllowed | Kind::TooLarge => "INVALID_ARGUMENT",
        Kind::PermissionDenied => "PERMISSION_DENIED",
        Kind::NotFound => "NOT_FOUND",
        Kind::Conflict => "ABORTED",
        Kind::RateLimited => "RESOURCE_EXHAUSTED",
        Kind::Internal => "INTERNAL",
        Kind::Unavailable => "UNAVAILABLE",
    }
}

fn unknown_key() -> Value {
    json!({
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "API_KEY_INVALID",
        "domain": "googleapis.com",
    })
}

/// The only hint to the wait that Gemini CLI reads. Up to 300 s it waits and tries again; over that it gives up at
/// once, which is kinder than ten long waits for a limit that ends tomorrow. Details of quotas would read as the
/// user's own, so there are none.
fn retry_info(after: Duration) -> Value {
    json!({
        "@type": "type.googleapis.com/google.rpc.RetryInfo",
        "retryDelay": format!("{}s", whole_seconds(after)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        error::{Measure, Reached},
        protocol::{Protocol, tests::read},
    };

    fn check(form: Form, error: &Error, code: u16, expect: &str) {
        let (head, body) = read(Protocol::Gemini.refusal(form, error, &RequestId::from("req_1".to_owned())));
        assert_eq!((head.status.as_u16(), body.as_str()), (code, expect));
        assert_eq!(head.headers["content-type"], "application/json");
        assert_eq!(head.headers["x-request-id"], "req_1");
        assert_eq!(head.headers["cache-control"], "no-store");
    }

    #[test]
    fn codes_and_words() {
        for (kind, code, word) in [
            (Kind::InvalidRequest, 400, "INVALID_ARGUMENT"),
            (Kind::PermissionDenied, 403, "PERMISSION_DENIED"),
            (Kind::NotFound, 404, "NOT_FOUND"),
            (Kind::MethodNotAllowed, 405, "INVALID_ARGUMENT"),
            (Kind::Conflict, 409, "ABORTED"),
            (Kind::TooLarge, 413, "INVALID_ARGUMENT"),
            (Kind::RateLimited, 429, "RESOURCE_EXHAUSTED"),
            (Kind::Internal, 500, "INTERNAL"),
            (Kind::Unavailable, 503, "UNAVAILABLE"),
        ] {
            let expect = format!(r#"{{"error":{{"code":{code},"message":"why","status":"{word}"}}}}"#);
            check(Form::Sse, &Error::new(kind, "why"), code, &expect);
            check(Form::JsonArray, &Error::new(kind, "why"), code, &format!("[{expect}]"));
        }
    }

    #[test]
    fn an_unknown_key_fails_as_googles_own() {
        let expect = concat!(
            r#"{"error":{"code":400,"message":"why","status":"INVALID_ARGUMENT","details":[{"#,
            r#""@type":"type.googleapis.com/google.rpc.ErrorInfo","domain":"googleapis.com","reason":"API_KEY_INVALID"}]}}"#
        );
        check(Form::Json, &Error::new(Kind::Unauthenticated, "why"), 400, expect);
    }

    #[test]
    fn a_budget_that_does_not_reset_is_not_worth_waiting_for() {
        let limit = Reached { measure: Measure::Cost, value: 1, resets_at: None };
        let error = Error::new(Kind::RateLimited, "spent").with_limit(limit);
        let expect = concat!(
            r#"{"error":{"code":429,"message":"spent","status":"RESOURCE_EXHAUSTED","details":[{"#,
            r#""@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"86400s"}]}}"#
        );
        check(Form::Json, &error, 429, expect);
    }

    #[test]
    fn a_wait_is_in_the_body_too() {
        let error = Error::new(Kind::RateLimited, "busy").with_retry_after(Duration::from_millis(4_200));
        let expect = concat!(
            r#"{"error":{"code":429,"message":"busy","status":"RESOURCE_EXHAUSTED","details":[{"#,
            r#""@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"5s"}]}}"#
        );
        check(Form::Json, &error, 429, expect);
        let (head, _) = read(Protocol::Gemini.refusal(Form::Sse, &error, &RequestId::from("r".to_owned())));
        assert_eq!(head.headers["retry-after"], "5");
    }
}
