//! Which pages of other sites may call models from a browser: those that the operator names, and no page ever anything else.
//!
//! A page has to bring a key of its own: no cookie and no stored sign-in goes along, whatever the browser holds.

use http::{HeaderValue, Method, StatusCode, header};

use crate::http::{Request, Response, full};

/// What a page may read of an answer besides what every page may.
const EXPOSED: &str = "request-id, x-request-id, retry-after, x-should-retry, x-gateway-account, x-gateway-attempts, \
                       x-goog-upload-url, x-goog-upload-status, x-goog-upload-chunk-granularity, \
                       x-goog-upload-size-received";

/// The leave that a page has.
pub(super) struct Leave(HeaderValue);

/// The leave of the page that sends this; `None`: it is no page's, or not one that is named.
pub(super) fn leave(origins: &[String], request: &Request) -> Option<Leave> {
    if origins.is_empty() || request.uri().path().starts_with("/api/") {
        return None;
    }
    let origin = request.headers().get(header::ORIGIN)?;
    let named = origins.iter().any(|named| named == "*" || named.as_bytes() == origin.as_bytes());
    named.then(|| Leave(origin.clone()))
}

/// Whether a browser asks before it sends what a page wants sent.
pub(super) fn asks_first(request: &Request) -> bool {
    request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

impl Leave {
    /// The answer to a browser that asks first.
    pub(super) fn given(&self, request: &Request) -> Response {
        let mut response = Response::new(full(""));
        *response.status_mut() = StatusCode::NO_CONTENT;
        let asked = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, PATCH, PUT, DELETE"));
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
        if let Some(asked) = asked {
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked);
        }
        self.on(response)
    }

    /// Lets the page read an answer.
    pub(super) fn on(&self, mut response: Response) -> Response {
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, self.0.clone());
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
        headers.append(header::VARY, HeaderValue::from_static("origin"));
        response
    }
}
