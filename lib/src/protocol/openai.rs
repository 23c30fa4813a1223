//! Our "no" to clients of the OpenAI API, which is recognised and not served.

use serde::Serialize;

use crate::{
    error::{Error, Kind},
    http::Response,
    id::RequestId,
    protocol::answer,
};

#[derive(Serialize)]
struct Envelope<'a> {
    error: Fault<'a>,
}

/// OpenAI varies the words of `type`; its clients go by the status and by `code`.
#[derive(Serialize)]
struct Fault<'a> {
    message: &'a str,
    r#type: &'static str,
    param: Option<&'a str>,
    code: Option<&'static str>,
}

pub(super) fn refusal(error: &Error, id: &RequestId) -> Response {
    let (r#type, code) = match error.kind {
        Kind::Unauthenticated => ("invalid_request_error", Some("invalid_api_key")),
        Kind::RateLimited => ("rate_limit_error", Some("rate_limit_exceeded")),
        Kind::Internal => ("server_error", None),
        Kind::Unavailable => ("server_error", Some("overloaded")),
        Kind::InvalidRequest
        | Kind::PermissionDenied
        | Kind::NotFound
        | Kind::MethodNotAllowed
        | Kind::Conflict
        | Kind::TooLarge => ("invalid_request_error", None),
    };
    let fault = Fault { message: &error.message, r#type, param: error.param.as_deref(), code };
    let body = serde_json::to_string(&Envelope { error: fault }).expect("strings are always JSON");
    answer(super::status(error.kind), error, id, body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Form, Protocol, tests::read};

    #[test]
    fn the_shape_is_openais() {
        let check = |error: Error, status, expect: &str| {
            let (head, body) = read(Protocol::OpenAi.refusal(Form::Json, &error, &RequestId::from("req_1".to_owned())));
            assert_eq!((head.status.as_u16(), body.as_str()), (status, expect));
            assert_eq!(head.headers["x-request-id"], "req_1");
        };
        check(
            Error::new(Kind::NotFound, "no"),
            404,
            r#"{"error":{"message":"no","type":"invalid_request_error","param":null,"code":null}}"#,
        );
        check(
            Error::new(Kind::Unauthenticated, "no"),
            401,
            r#"{"error":{"message":"no","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}"#,
        );
        check(
            Error::invalid("n", "no"),
            400,
            r#"{"error":{"message":"no","type":"invalid_request_error","param":"n","code":null}}"#,
        );
        check(
            Error::new(Kind::RateLimited, "no"),
            429,
            r#"{"error":{"message":"no","type":"rate_limit_error","param":null,"code":"rate_limit_exceeded"}}"#,
        );
        check(
            Error::new(Kind::Unavailable, "no"),
            503,
            r#"{"error":{"message":"no","type":"server_error","param":null,"code":"overloaded"}}"#,
        );
    }
}
