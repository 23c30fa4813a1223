//! Plays the Messages API: messages, `count_tokens` and models.

mod heard;
mod message;

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use crate::{
    call::Call,
    clock, models,
    scene::{Event, Failure, Scene},
    script::Lifelike,
};

/// The built-in answer.
pub(crate) fn answer(call: &Call, bent: &Lifelike) -> Scene {
    let mut scene = told(call, bent).unwrap_or_else(|refusal| refusal.scene(call));
    scene.headers.extend(headers(call, scene.status));
    scene
}

/// What a script's error is in this API.
pub(crate) fn overloaded(call: &Call) -> Failure {
    let status = StatusCode::from_u16(529).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    let refusal = Refusal { status, kind: "overloaded_error", message: "Overloaded".to_owned() };
    Failure { status, event: Event::new("error", refusal.json(call)) }
}

/// Errors in this API's shape.
struct Refusal {
    status: StatusCode,
    kind: &'static str,
    message: String,
}

impl Refusal {
    fn invalid(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, kind: "invalid_request_error", message: message.into() }
    }

    fn not_found(message: impl Into<String>) -> Self {
        Self { status: StatusCode::NOT_FOUND, kind: "not_found_error", message: message.into() }
    }

    fn json(&self, call: &Call) -> String {
        let message = serde_json::Value::from(self.message.as_str());
        let (kind, id) = (self.kind, request_id(call));
        format!(r#"{{"type":"error","error":{{"type":"{kind}","message":{message}}},"request_id":"{id}"}}"#)
    }

    fn scene(&self, call: &Call) -> Scene {
        Scene::plain(self.status, Event::new("error", self.json(call)))
    }
}

fn told(call: &Call, bent: &Lifelike) -> Result<Scene, Refusal> {
    if call.method == Method::HEAD && matches!(call.path(), "/" | "/api/hello") {
        return Ok(Scene::plain(StatusCode::OK, Event::new("", "")));
    }
    if call.credential().is_none() {
        let message = "x-api-key header is required".to_owned();
        return Err(Refusal { status: StatusCode::UNAUTHORIZED, kind: "authentication_error", message });
    }
    match (call.method.as_str(), call.path()) {
        ("POST", "/v1/messages") => message::scene(call, bent),
        ("POST", "/v1/messages/count_tokens") => count_tokens(call),
        ("GET", "/v1/models") => Ok(Scene::plain(StatusCode::OK, Event::new("", models::anthropic_list()))),
        ("GET", path) if path.starts_with("/v1/models/") => {
            let id = &path["/v1/models/".len()..];
            let entry = models::anthropic(id).ok_or_else(|| Refusal::not_found(format!("model: {id}")))?;
            Ok(Scene::plain(StatusCode::OK, Event::new("", entry)))
        }
        _ => Err(Refusal::not_found("Not Found")),
    }
}

fn count_tokens(call: &Call) -> Result<Scene, Refusal> {
    heard::Request::read(&call.body)?;
    let tokens = call.body.len() / 4 + 1;
    Ok(Scene::plain(StatusCode::OK, Event::new("", format!(r#"{{"input_tokens":{tokens}}}"#))))
}

/// Ids look like the API's and are made from the request's number.
fn request_id(call: &Call) -> String {
    format!("req_011CFake{:012}", call.number)
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// An account's organization is known by its credential, up to a `@` in it: `sk-a@1` and `sk-a@2` share one.
pub(crate) fn organization(credential: &str) -> String {
    let name = credential.split('@').next().unwrap_or(credential);
    let (high, low) = (hash(name), hash(&format!("{name}.")));
    format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        low >> 52,
        low & 0xffff_ffff_ffff
    )
}

/// What the real API sends beside every answer, most of it meant for nobody but the account's owner; errors say
/// nothing of limits unless a script does, and a 401 knows no organization.
pub(crate) fn headers(call: &Call, status: StatusCode) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(24);
    let mut set = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.append(HeaderName::from_static(name), value);
        }
    };
    set("request-id", &request_id(call));
    set("strict-transport-security", "max-age=31536000; includeSubDomains; preload");
    set("server", "cloudflare");
    set("via", "1.1 google");
    set("cf-cache-status", "DYNAMIC");
    set("cf-ray", &format!("{:016x}-FRA", call.number));
    set("x-robots-tag", "none");
    set("set-cookie", &format!("__cf_bm=fake{}; path=/; HttpOnly; Secure; SameSite=None", call.number));
    if let Some(credential) = call.credential().filter(|_| status != StatusCode::UNAUTHORIZED) {
        set("anthropic-organization-id", &organization(credential));
        let limits = match credential.starts_with("sk-ant-oat") {
            _ if !status.is_success() => Vec::new(),
            true => unified_limits(),
            false => key_limits(),
        };
        for (name, value) in limits {
            set(name, &value);
        }
    }
    headers
}

fn key_limits() -> Vec<(&'static str, String)> {
    let reset = clock::rfc3339(Duration::from_secs(1));
    vec![
        ("anthropic-ratelimit-requests-limit", "4000".to_owned()),
        ("anthropic-ratelimit-requests-remaining", "3999".to_owned()),
        ("anthropic-ratelimit-requests-reset", reset.clone()),
        ("anthropic-ratelimit-input-tokens-limit", "2000000".to_owned()),
        ("anthropic-ratelimit-input-tokens-remaining", "1998000".to_owned()),
        ("anthropic-ratelimit-input-tokens-reset", reset.clone()),
        ("anthropic-ratelimit-output-tokens-limit", "400000".to_owned()),
        ("anthropic-ratelimit-output-tokens-remaining", "399000".to_owned()),
        ("anthropic-ratelimit-output-tokens-reset", reset.clone()),
        ("anthropic-ratelimit-tokens-limit", "2400000".to_owned()),
        ("anthropic-ratelimit-tokens-remaining", "2397000".to_owned()),
        ("anthropic-ratelimit-tokens-reset", reset),
    ]
}

fn unified_limits() -> Vec<(&'static str, String)> {
    let (five_hours, week) = (clock::unix(Duration::from_secs(9_000)), clock::unix(Duration::from_secs(300_000)));
    vec![
        ("anthropic-ratelimit-unified-status", "allowed".to_owned()),
        ("anthropic-ratelimit-unified-representative-claim", "five_hour".to_owned()),
        ("anthropic-ratelimit-unified-reset", five_hours.clone()),
        ("anthropic-ratelimit-unified-5h-status", "allowed".to_owned()),
        ("anthropic-ratelimit-unified-5h-utilization", "0.13".to_owned()),
        ("anthropic-ratelimit-unified-5h-reset", five_hours),
        ("anthropic-ratelimit-unified-7d-status", "allowed".to_owned()),
        ("anthropic-ratelimit-unified-7d-utilization", "0.42".to_owned()),
        ("anthropic-ratelimit-unified-7d-reset", week),
        ("anthropic-ratelimit-unified-fallback-percentage", "0.5".to_owned()),
        ("anthropic-ratelimit-unified-overage-status", "rejected".to_owned()),
        ("anthropic-ratelimit-unified-overage-disabled-reason", "org_level_disabled".to_owned()),
    ]
}
