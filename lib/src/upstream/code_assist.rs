//! The questions that the gateway itself asks of Code Assist: who an account is there, and to be enrolled.

use std::time::Duration;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{ACCEPT, CONTENT_TYPE},
};
use serde_json::Value;

use super::{Outgoing, Upstream, address};
use crate::{
    credential::Credential,
    error::{Error, Result},
    protocol::Provider,
};

/// A question that takes longer is not answered.
const PATIENCE: Duration = Duration::from_secs(15);

/// What an answer was: its status, its headers and its whole body. The error is the reason why there is none.
pub(crate) type Told = Result<(StatusCode, HeaderMap, Bytes), String>;

/// Calls `/v1internal:METHOD` at an account's address, with its login.
pub(crate) async fn call(
    upstream: &Upstream,
    base_url: &str,
    credential: &Credential,
    method: &str,
    body: &Value,
) -> Result<Told> {
    let path = ["/v1internal:", method].concat();
    let mut outgoing = outgoing(Method::POST, base_url, credential, &path)?;
    outgoing.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    outgoing.body = body.to_string().into();
    Ok(upstream.ask(outgoing, PATIENCE).await)
}

/// Asks how an operation stands.
pub(crate) async fn operation(
    upstream: &Upstream,
    base_url: &str,
    credential: &Credential,
    name: &str,
) -> Result<Told> {
    let outgoing = outgoing(Method::GET, base_url, credential, &["/v1internal/", name].concat())?;
    Ok(upstream.ask(outgoing, PATIENCE).await)
}

fn outgoing(method: Method, base_url: &str, credential: &Credential, path: &str) -> Result<Outgoing> {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    Provider::Gemini.authorize(&mut headers, credential).map_err(Error::internal)?;
    Ok(Outgoing { method, url: address(base_url, path)?, headers, body: Bytes::new() })
}
