//! The refresh grant (RFC 6749, section 6): a refresh token goes to the token endpoint, new tokens come back.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{ACCEPT, CONTENT_TYPE},
};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;
use url::form_urlencoded;

use super::{Outgoing, Upstream};
use crate::{
    clock,
    config::OAuthClient,
    protocol::{Provider, retry_at},
    secret::{Secret, redacted},
};

/// An endpoint that takes longer is taken for gone.
const PATIENCE: Duration = Duration::from_secs(10);
/// Of that, for a connection: while there is none, nothing can have been used up.
const CONNECT: Duration = Duration::from_secs(5);
/// A longer answer is none.
const LONGEST_ANSWER: usize = 64 << 10;
/// The longest text of the endpoint that is kept as a reason.
const REASON_CHARS: usize = 200;

/// What a refresh token was given for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) access_token: Secret,
    /// `None`: the old one goes on.
    pub(crate) refresh_token: Option<Secret>,
    /// `None`: the endpoint did not say.
    pub(crate) expires_at: Option<Timestamp>,
}

/// Why nothing was given, with the endpoint's own words.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// The refresh token is no longer good: somebody has to log in again.
    Ended(String),
    /// The endpoint does not take us for the application that the login was made with.
    Settings(String),
    /// Not now.
    Later {
        /// The endpoint's words.
        reason: String,
        /// When to come back, where it says so.
        at: Option<Timestamp>,
    },
    /// Nobody knows: the endpoint may have used the token up, but its answer did not come through.
    Unanswered(String),
}

/// Asks for new tokens.
pub(crate) async fn refresh(
    upstream: &Upstream,
    client: &OAuthClient,
    provider: Provider,
    refresh_token: &Secret,
) -> Result<Grant, Denied> {
    let Some(id) = &client.id else {
        let name = provider.as_str().to_uppercase();
        return Err(Denied::Settings(format!("{name}_OAUTH_CLIENT_ID is not set")));
    };
    let (content_type, body) = match provider {
        Provider::Anthropic => ("application/json", as_json(id, client, refresh_token)),
        Provider::Gemini => ("application/x-www-form-urlencoded", as_form(id, client, refresh_token)),
    };
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    let outgoing = Outgoing { method: Method::POST, url: client.token_url.clone(), headers, body };
    let asked_at = clock::now();
    match timeout(PATIENCE, exchange(upstream, outgoing)).await {
        Ok(Ok((status, headers, body))) => read(status, &body, refresh_token, asked_at)
            .map_err(|denied| denied.until(retry_at(&headers, clock::now()))),
        Ok(Err(denied)) => Err(denied),
        Err(_) => Err(Denied::Unanswered("the token endpoint did not answer in time".to_owned())),
    }
}

fn as_json(id: &str, client: &OAuthClient, refresh_token: &Secret) -> Bytes {
    let mut body = json!({ "grant_type": "refresh_token", "refresh_token": refresh_token.expose(), "client_id": id });
    if let Some(secret) = &client.secret {
        body["client_secret"] = secret.expose().into();
    }
    body.to_string().into()
}

fn as_form(id: &str, client: &OAuthClient, refresh_token: &Secret) -> Bytes {
    let mut body = form_urlencoded::Serializer::new(String::new());
    body.append_pair("grant_type", "refresh_token")
        .append_pair("refresh_token", refresh_token.expose())
        .append_pair("client_id", id);
    if let Some(secret) = &client.secret {
        body.append_pair("client_secret", secret.expose());
    }
    body.finish().into()
}

async fn exchange(upstream: &Upstream, outgoing: Outgoing) -> Result<(StatusCode, HeaderMap, Bytes), Denied> {
    let broken = |_| Denied::Unanswered("the token endpoint's answer broke off".to_owned());
    let mut response = upstream.send(outgoing, CONNECT).await.map_err(|error| {
        if error.is_connect() {
            Denied::later("the token endpoint cannot be reached")
        } else {
            Denied::Unanswered("the token endpoint gave no answer".to_owned())
        }
    })?;
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(broken)? {
        if body.len() + chunk.len() > LONGEST_ANSWER {
            return Err(Denied::Unanswered("the token endpoint's answer is too long".to_owned()));
        }
        body.extend_from_slice(&chunk);
    }
    Ok((response.status(), std::mem::take(response.headers_mut()), body.freeze()))
}

#[derive(Deserialize)]
struct Given {
    access_token: String,
    refresh_token: Option<String>,
    expires_in: Option<f64>,
}

fn read(status: StatusCode, body: &[u8], sent: &Secret, asked_at: Timestamp) -> Result<Grant, Denied> {
    if status.is_success() {
        let given: Given = serde_json::from_slice(body)
            .map_err(|_| Denied::Unanswered(format!("the token endpoint answered {status} without a token")))?;
        // A few milliseconds early rather than late: the time counts from when the endpoint answered.
        let life = given.expires_in.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        return Ok(Grant {
            access_token: Secret::new(given.access_token),
            refresh_token: given.refresh_token.filter(|token| !token.is_empty()).map(Secret::new),
            expires_at: life.and_then(|life| asked_at.checked_add(life).ok()),
        });
    }
    let (word, reason) = words(status, body, sent);
    Err(match status.as_u16() {
        _ if word == "invalid_grant" => Denied::Ended(reason),
        408 | 429 => Denied::later(reason),
        // The edge in front of an endpoint says so when the endpoint itself went on.
        502 | 504 => Denied::Unanswered(reason),
        400..=499 => Denied::Settings(reason),
        _ => Denied::later(reason),
    })
}

impl Denied {
    fn later(reason: impl Into<String>) -> Self {
        Self::Later { reason: reason.into(), at: None }
    }

    fn until(self, at: Option<Timestamp>) -> Self {
        match self {
            Self::Later { reason, .. } => Self::Later { reason, at },
            other => other,
        }
    }
}

/// The error's word, and what may be shown of it: on one line, short, and without the token should it be repeated.
fn words(status: StatusCode, body: &[u8], sent: &Secret) -> (String, String) {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str);
    let word = text("/error").or_else(|| text("/error/type")).unwrap_or_default().to_owned();
    let told = text("/error_description").or_else(|| text("/error/message")).unwrap_or_default();
    let all = match (word.as_str(), told) {
        ("", _) => format!("the token endpoint answered {}", status.as_u16()),
        (word, "") => word.to_owned(),
        (word, told) => format!("{word}: {told}"),
    };
    let plain = redacted(&all.replace(sent.expose(), "…"))
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect::<String>();
    (word, plain.chars().take(REASON_CHARS).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn check(status: u16, body: &str, expect: &Result<Grant, Denied>) {
        let status = StatusCode::from_u16(status).unwrap();
        assert_eq!(read(status, body.as_bytes(), &Secret::new("old-refresh"), at(1_000)), *expect, "{status} {body}");
    }

    #[test]
    fn a_grant_is_read() {
        let grant = |refresh: Option<&str>, expires| Grant {
            access_token: Secret::new("a"),
            refresh_token: refresh.map(Secret::new),
            expires_at: expires,
        };
        let rotated = r#"{"access_token":"a","refresh_token":"r","expires_in":3600,"token_type":"Bearer","scope":"x"}"#;
        check(200, rotated, &Ok(grant(Some("r"), Some(at(4_600)))));
        check(200, r#"{"access_token":"a","expires_in":3599,"id_token":"i"}"#, &Ok(grant(None, Some(at(4_599)))));
        check(200, r#"{"access_token":"a","refresh_token":""}"#, &Ok(grant(None, None)));
        check(200, r#"{"access_token":"a","expires_in":1e300}"#, &Ok(grant(None, None)));
        check(200, r#"{"access_token":"a","expires_in":-5}"#, &Ok(grant(None, None)));
        let nothing = || Err(Denied::Unanswered("the token endpoint answered 200 OK without a token".to_owned()));
        check(200, "<html>", &nothing());
        check(200, "{}", &nothing());
    }

    #[test]
    fn a_denial_says_what_it_means() {
        let ended = |reason: &str| Err(Denied::Ended(reason.to_owned()));
        check(
            400,
            r#"{"error":"invalid_grant","error_description":"Token has been expired or revoked."}"#,
            &ended("invalid_grant: Token has been expired or revoked."),
        );
        check(401, r#"{"error":"invalid_grant"}"#, &ended("invalid_grant"));
        check(400, r#"{"error":{"type":"invalid_grant","message":"Gone"}}"#, &ended("invalid_grant: Gone"));
        check(401, r#"{"error":"invalid_client"}"#, &Err(Denied::Settings("invalid_client".to_owned())));
        check(404, "nothing here", &Err(Denied::Settings("the token endpoint answered 404".to_owned())));
        check(429, "", &Err(Denied::later("the token endpoint answered 429")));
        check(503, "<html>", &Err(Denied::later("the token endpoint answered 503")));
        check(504, "", &Err(Denied::Unanswered("the token endpoint answered 504".to_owned())));
    }

    #[test]
    fn a_reason_never_repeats_the_token() {
        let body = r#"{"error":"invalid_grant","error_description":"no such token:\nold-refresh"}"#;
        check(400, body, &Err(Denied::Ended("invalid_grant: no such token: …".to_owned())));
    }

    #[test]
    fn each_provider_is_asked_in_its_own_form() {
        let client = OAuthClient {
            token_url: "https://token.example.com".parse().unwrap(),
            id: None,
            secret: Some(Secret::new("s+s")),
        };
        assert_eq!(
            as_form("id", &client, &Secret::new("1//r")),
            "grant_type=refresh_token&refresh_token=1%2F%2Fr&client_id=id&client_secret=s%2Bs"
        );
        let bare = OAuthClient { secret: None, ..client };
        let body: Value = serde_json::from_slice(&as_json("id", &bare, &Secret::new("r"))).unwrap();
        assert_eq!(body, json!({ "grant_type": "refresh_token", "refresh_token": "r", "client_id": "id" }));
    }
}
