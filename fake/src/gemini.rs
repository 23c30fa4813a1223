//! Plays the Gemini API: generateContent and its stream, countTokens, embeddings and models; and Code Assist.

mod code_assist;
mod content;
mod embed;
mod heard;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::Value;

use crate::{
    call::Call,
    models,
    scene::{Event, Failure, Framing, Scene},
    script::Lifelike,
};

/// The built-in answer.
pub(crate) fn answer(call: &Call, bent: &Lifelike) -> Scene {
    let mut scene = told(call, bent).unwrap_or_else(|refusal| refusal.scene(call));
    scene.headers.extend(headers(call));
    scene
}

/// What a script's error is in this API.
pub(crate) fn overloaded() -> Failure {
    let refusal = Refusal {
        status: StatusCode::SERVICE_UNAVAILABLE,
        name: "UNAVAILABLE",
        message: "The model is overloaded. Please try again later.".to_owned(),
    };
    Failure { status: refusal.status, event: Event::new("", refusal.json()) }
}

/// Errors in this API's shape.
struct Refusal {
    status: StatusCode,
    name: &'static str,
    message: String,
}

impl Refusal {
    fn invalid(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, name: "INVALID_ARGUMENT", message: message.into() }
    }

    fn not_found(message: impl Into<String>) -> Self {
        Self { status: StatusCode::NOT_FOUND, name: "NOT_FOUND", message: message.into() }
    }

    fn json(&self) -> String {
        let (code, name, message) = (self.status.as_u16(), self.name, Value::from(self.message.as_str()));
        format!(r#"{{"error":{{"code":{code},"message":{message},"status":"{name}"}}}}"#)
    }

    /// A stream in the array form has its error in an array too.
    fn scene(&self, call: &Call) -> Scene {
        let framing = if streams_an_array(call) { Framing::Array } else { Framing::Plain };
        Scene { framing, ..Scene::plain(self.status, Event::new("", self.json())) }
    }
}

/// Whether the request asks for a stream in the form of a JSON array.
pub(crate) fn streams_an_array(call: &Call) -> bool {
    call.path().ends_with(":streamGenerateContent") && call.query("alt") != Some("sse")
}

fn told(call: &Call, bent: &Lifelike) -> Result<Scene, Refusal> {
    if code_assist::is_meant(call) {
        return code_assist::scene(call, bent);
    }
    if call.credential().is_none() {
        let message = "Request is missing required authentication credential. Expected OAuth 2 access token, \
                       login cookie or other valid authentication credential.";
        let (status, name) = (StatusCode::UNAUTHORIZED, "UNAUTHENTICATED");
        return Err(Refusal { status, name, message: message.to_owned() });
    }
    let nowhere = || Refusal::not_found(format!("Not found: {}", call.path()));
    let (_version, resource) = call.path()[1..].split_once('/').ok_or_else(nowhere)?;
    if call.method == http::Method::GET {
        return list_or_get(resource).ok_or_else(nowhere);
    }
    let (model, verb) = resource.strip_prefix("models/").and_then(|rest| rest.rsplit_once(':')).ok_or_else(nowhere)?;
    match (call.method.as_str(), verb) {
        ("POST", "generateContent") => content::scene(call, model, Framing::Plain, bent),
        ("POST", "streamGenerateContent") => {
            let framing = if streams_an_array(call) { Framing::Array } else { Framing::DataOnly };
            content::scene(call, model, framing, bent)
        }
        ("POST", "countTokens") => embed::count_tokens(call),
        ("POST", "embedContent") => embed::one(call),
        ("POST", "batchEmbedContents") => embed::several(call),
        _ => Err(nowhere()),
    }
}

fn list_or_get(resource: &str) -> Option<Scene> {
    let json = match resource.strip_prefix("models") {
        Some("") => models::gemini_list(),
        Some(rest) => models::gemini(rest.strip_prefix('/')?)?,
        None => return None,
    };
    Some(Scene::plain(StatusCode::OK, Event::new("", json)))
}

/// What Google's front end sends beside every answer.
pub(crate) fn headers(call: &Call) -> HeaderMap {
    let fixed = [
        ("vary", "Origin"),
        ("vary", "X-Origin"),
        ("vary", "Referer"),
        ("server", "scaffolding on HTTPServer2"),
        ("x-xss-protection", "0"),
        ("x-frame-options", "SAMEORIGIN"),
        ("x-content-type-options", "nosniff"),
        ("alt-svc", "h3=\":443\"; ma=2592000"),
        ("x-gemini-service-tier", "standard"),
    ];
    let mut headers = HeaderMap::with_capacity(16);
    for (name, value) in fixed {
        headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    if let Ok(timing) = HeaderValue::from_str(&format!("gfet4t7; dur={}", 100 + call.number % 100)) {
        headers.insert("server-timing", timing);
    }
    headers
}
