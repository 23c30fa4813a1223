//! Answers of the management API.

use http::{HeaderValue, StatusCode, header};
use http_body::Body as _;
use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::{
    error::{Error, Kind, Result},
    http::{Response, full},
    id::RequestId,
};

/// A JSON answer.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Result<Response> {
    let mut response = Response::new(full(serde_json::to_vec(value).map_err(Error::internal)?));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// 200 and JSON.
pub(super) fn ok(value: &impl Serialize) -> Result<Response> {
    json(StatusCode::OK, value)
}

/// 204, where there is nothing to say.
pub(super) fn done() -> Response {
    let mut response = Response::new(full(""));
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// A page of a list. `next` is where the next one begins.
pub(super) fn page(data: &impl Serialize, next: Option<&str>) -> Result<Response> {
    ok(&json!({ "data": data, "next_cursor": next }))
}

/// A refusal, in the management API's shape.
pub(super) fn refusal(error: &Error) -> Response {
    let (status, word) = match error.kind {
        Kind::InvalidRequest => (StatusCode::BAD_REQUEST, "invalid_request"),
        Kind::Unauthenticated => (StatusCode::UNAUTHORIZED, "unauthenticated"),
        Kind::PermissionDenied => (StatusCode::FORBIDDEN, "permission_denied"),
        Kind::NotFound => (StatusCode::NOT_FOUND, "not_found"),
        Kind::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
        Kind::Conflict => (StatusCode::CONFLICT, "conflict"),
        Kind::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
        Kind::RateLimited => (StatusCode::TOO_MANY_REQUESTS, "rate_limited"),
        Kind::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        Kind::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
    };
    let mut inner = json!({ "type": word, "message": error.message });
    if let Some(param) = &error.param {
        inner["param"] = json!(param);
    }
    let mut response = Response::new(full(json!({ "error": inner }).to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(after) = error.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
    }
    response
}

/// What every answer of the management API carries.
pub(super) fn finish(mut response: Response, id: &RequestId) -> Response {
    let headers = response.headers_mut();
    headers.insert("x-request-id", HeaderValue::from_str(id.as_str()).expect("an id is plain ASCII"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// The answer without its body, whose length is told where it is known.
pub(super) fn head_of(response: Response) -> Response {
    let (mut head, body) = response.into_parts();
    if let Some(length) = body.size_hint().exact() {
        head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    Response::from_parts(head, full(""))
}

/// An error is logged once, here, with its cause.
pub(super) fn log(id: &RequestId, error: &Error) {
    let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    match error.kind {
        Kind::Internal | Kind::Unavailable => {
            tracing::error!(request = %id, kind = ?error.kind, message = %error.message, cause, "request not answered");
        }
        _ => tracing::debug!(request = %id, kind = ?error.kind, message = %error.message, cause, "request refused"),
    }
}

/// Compares by digest: how long it takes says nothing of how much of the secret was right.
pub(super) fn same_secret(secret: &str, presented: &str) -> bool {
    Sha256::digest(secret) == Sha256::digest(presented)
}
