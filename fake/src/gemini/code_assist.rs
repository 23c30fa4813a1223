//! Plays Code Assist: the Gemini API in its wrapper, for logins, and as strict about the wrapper as the real one.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::value::RawValue;

use super::{Refusal, content};
use crate::{
    call::Call,
    scene::{Event, Framing, Scene},
    script::Lifelike,
};

/// The project of every account that is enrolled.
const PROJECT: &str = "fake-project";
/// The one that an account gets with the free tier.
const FREE_PROJECT: &str = "fake-free-project";

const WRAPPER: &[&str] = &["model", "project", "user_prompt_id", "request", "enabled_credit_types"];
const REQUEST: &[&str] = &[
    "contents",
    "systemInstruction",
    "cachedContent",
    "tools",
    "toolConfig",
    "labels",
    "safetySettings",
    "generationConfig",
    "session_id",
];
const METADATA: &[&str] =
    &["ideType", "ideVersion", "ideName", "pluginVersion", "platform", "updateChannel", "duetProject", "pluginType"];

/// Whether a path is one of Code Assist's.
pub(super) fn is_meant(call: &Call) -> bool {
    call.path().starts_with("/v1internal")
}

/// Answers any of its methods.
pub(super) fn scene(call: &Call, bent: &Lifelike) -> Result<Scene, Refusal> {
    if !call.has_bearer() {
        let message = "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or \
                       other valid authentication credential.";
        let (status, name) = (StatusCode::UNAUTHORIZED, "UNAUTHENTICATED");
        return Err(Refusal { status, name, message: message.to_owned() });
    }
    let nowhere = || Refusal::not_found(format!("Not found: {}", call.path()));
    if call.method == Method::GET {
        return match call.path() {
            "/v1internal:getCodeAssistGlobalUserSetting" => Ok(plain(r#"{"freeTierDataCollectionOptin":false}"#)),
            path if path.starts_with("/v1internal/operations/") => Ok(plain(enrolled(FREE_PROJECT))),
            _ => Err(nowhere()),
        };
    }
    let method =
        call.path().strip_prefix("/v1internal:").filter(|_| call.method == Method::POST).ok_or_else(nowhere)?;
    match method {
        "generateContent" => generated(call, Framing::Plain, bent),
        "streamGenerateContent" => {
            let framing = if super::streams_an_array(call) { Framing::Array } else { Framing::DataOnly };
            generated(call, framing, bent)
        }
        "countTokens" => count_tokens(call),
        "loadCodeAssist" => loaded(call),
        "onboardUser" => onboarded(call),
        "retrieveUserQuota" => {
            named_project(&members(&call.body, &["project"], "")?)?;
            Ok(plain(
                r#"{"buckets":[{"modelId":"gemini-2.5-pro","tokenType":"REQUESTS","remainingFraction":0.87,"resetTime":"2096-10-02T07:00:00Z"}]}"#,
            ))
        }
        "listExperiments" => {
            with_metadata(call, &["project", "metadata"])?;
            Ok(plain(r#"{"experimentIds":[],"flags":[]}"#))
        }
        "fetchAdminControls" => members(&call.body, &["project"], "").map(|_| plain("{}")),
        "recordCodeAssistMetrics" => {
            with_metadata(call, &["project", "requestId", "metadata", "metrics"]).map(|_| plain("{}"))
        }
        _ => Err(nowhere()),
    }
}

type Members = BTreeMap<String, Box<RawValue>>;

fn plain(json: impl Into<String>) -> Scene {
    Scene::plain(StatusCode::OK, Event::new("", json))
}

/// An object of which every member is known; the words for one that is not are Google's.
fn members(json: &[u8], known: &[&str], place: &str) -> Result<Members, Refusal> {
    let members: Members = serde_json::from_slice(json)
        .map_err(|error| Refusal::invalid(format!("Invalid JSON payload received. {error}")))?;
    match members.keys().find(|name| !known.contains(&name.as_str())) {
        None => Ok(members),
        Some(name) => {
            let place = if place.is_empty() { String::new() } else { format!(" at '{place}'") };
            let message = format!("Invalid JSON payload received. Unknown name \"{name}\"{place}: Cannot find field.");
            Err(Refusal::invalid(message))
        }
    }
}

/// A member that has to be there, as an object of known members.
fn inside(outer: &Members, name: &str, known: &[&str]) -> Result<Members, Refusal> {
    let raw = outer.get(name).ok_or_else(|| Refusal::invalid(format!("{name} is required")))?;
    members(raw.get().as_bytes(), known, name)
}

fn with_metadata(call: &Call, known: &[&str]) -> Result<Members, Refusal> {
    let members = members(&call.body, known, "")?;
    inside(&members, "metadata", METADATA)?;
    Ok(members)
}

fn text(members: &Members, name: &str) -> Option<String> {
    let text: Option<String> = members.get(name).and_then(|raw| serde_json::from_str(raw.get()).ok());
    text.filter(|text| !text.is_empty())
}

fn named_project(members: &Members) -> Result<String, Refusal> {
    text(members, "project").ok_or_else(|| Refusal::invalid("project is required"))
}

/// The public API's answer to the request in the wrapper, in a wrapper.
fn generated(call: &Call, framing: Framing, bent: &Lifelike) -> Result<Scene, Refusal> {
    let wrapper = members(&call.body, WRAPPER, "")?;
    named_project(&wrapper)?;
    let model = text(&wrapper, "model").filter(|model| !model.starts_with("models/"));
    let model = model.ok_or_else(|| Refusal::invalid("model must be a bare id"))?;
    inside(&wrapper, "request", REQUEST)?;
    let request = wrapper["request"].get().as_bytes();
    let inner = Call {
        method: call.method.clone(),
        uri: call.uri.clone(),
        headers: call.headers.clone(),
        body: Bytes::copy_from_slice(request),
        number: call.number,
    };
    let mut scene = content::scene(&inner, &model, framing, bent)?;
    for event in &mut scene.events {
        event.json = wrapped(&event.json, call.number);
    }
    if let Some(last) = scene.events.last_mut() {
        last.json.pop();
        last.json += r#","remainingCredits":[{"creditType":"GOOGLE_ONE_AI","creditAmount":"25000"}]}"#;
    }
    Ok(scene)
}

/// In several lines, as the real one writes it, and with what stands beside it first.
fn wrapped(json: &str, number: u64) -> String {
    format!("{{\n\"traceId\": \"fake-trace-{number}\",\n\"response\": {json}}}")
}

fn count_tokens(call: &Call) -> Result<Scene, Refusal> {
    let request = inside(&members(&call.body, &["request"], "")?, "request", &["model", "contents"])?;
    if !text(&request, "model").is_some_and(|model| model.starts_with("models/")) {
        return Err(Refusal::invalid("request.model must begin with models/"));
    }
    let contents = request.get("contents").ok_or_else(|| Refusal::invalid("request.contents is required"))?;
    Ok(plain(format!(r#"{{"totalTokens":{}}}"#, contents.get().len() / 4 + 1)))
}

/// An account that is enrolled.
fn loaded(call: &Call) -> Result<Scene, Refusal> {
    with_metadata(call, &["cloudaicompanionProject", "metadata", "mode"])?;
    let tier = r#"{"id":"standard-tier","name":"Gemini Code Assist","userDefinedCloudaicompanionProject":false}"#;
    Ok(plain(format!(
        r#"{{"currentTier":{tier},"allowedTiers":[{tier}],"cloudaicompanionProject":"{PROJECT}","gcpManaged":false}}"#
    )))
}

/// The free tier has a project of Google's and takes none; the others need one.
fn onboarded(call: &Call) -> Result<Scene, Refusal> {
    let asked = with_metadata(call, &["tierId", "cloudaicompanionProject", "metadata"])?;
    let (tier, project) = (text(&asked, "tierId"), text(&asked, "cloudaicompanionProject"));
    match (tier.as_deref(), project) {
        (None, _) => Err(Refusal::invalid("tierId is required")),
        (Some("free-tier"), Some(_)) => {
            let message = "Precondition check failed.".to_owned();
            Err(Refusal { status: StatusCode::BAD_REQUEST, name: "FAILED_PRECONDITION", message })
        }
        (Some("free-tier"), None) => Ok(plain(enrolled(FREE_PROJECT))),
        (Some(_), Some(project)) => Ok(plain(enrolled(&project))),
        (Some(_), None) => Err(Refusal::invalid("cloudaicompanionProject is required")),
    }
}

fn enrolled(project: &str) -> String {
    let kind = "type.googleapis.com/google.internal.cloud.code.v1internal.OnboardUserResponse";
    format!(
        r#"{{"name":"operations/fake-enrolment","done":true,"response":{{"@type":"{kind}","cloudaicompanionProject":{{"id":"{project}","name":"{project}"}}}}}}"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::tests::call;

    fn check(method: &str, body: &str, expect: Result<&str, &str>) {
        let bearer = [("authorization", "Bearer ya29.t")];
        let asked = call(Method::POST, &format!("/v1internal:{method}"), &bearer, body);
        let got = scene(&asked, &Lifelike::default());
        match (got, expect) {
            (Ok(scene), Ok(part)) => assert!(scene.events[0].json.contains(part), "{}", scene.events[0].json),
            (Err(refusal), Err(part)) => assert!(refusal.message.contains(part), "{}", refusal.message),
            (Ok(scene), Err(part)) => panic!("{part}: {}", scene.events[0].json),
            (Err(refusal), Ok(part)) => panic!("{part}: {}", refusal.message),
        }
    }

    #[test]
    fn the_wrapper_is_read_strictly() {
        let contents = r#"{"contents":[{"role":"user","parts":[{"text":"hi"}]}]}"#;
        let generate = |model: &str, more: &str, request: &str| {
            format!(r#"{{"model":"{model}","project":"p","user_prompt_id":"u"{more},"request":{request}}}"#)
        };
        check("generateContent", &generate("m", "", contents), Ok(r#""response": {"candidates""#));
        check("generateContent", contents, Err(r#"Unknown name "contents": Cannot find field"#));
        check("generateContent", &generate("models/m", "", contents), Err("bare id"));
        check("generateContent", &generate("m", r#","contents":[]"#, contents), Err(r#"Unknown name "contents""#));
        check("generateContent", &generate("m", "", r#"{"model":"m"}"#), Err(r#"Unknown name "model" at 'request'"#));
        check("generateContent", r#"{"model":"m","request":{}}"#, Err("project is required"));
        check("countTokens", r#"{"request":{"model":"models/m","contents":[1234]}}"#, Ok(r#"{"totalTokens":2}"#));
        check("countTokens", r#"{"request":{"model":"m","contents":[]}}"#, Err("models/"));
        check("countTokens", r#"{"model":"m","request":{}}"#, Err(r#"Unknown name "model""#));
        check("embedContent", "{}", Err("Not found"));
        let enrol = |tier: &str, more: &str| format!(r#"{{"tierId":"{tier}"{more},"metadata":{{}}}}"#);
        check("onboardUser", &enrol("free-tier", ""), Ok(FREE_PROJECT));
        check("onboardUser", &enrol("free-tier", r#","cloudaicompanionProject":"p""#), Err("Precondition"));
        check("onboardUser", &enrol("standard-tier", r#","cloudaicompanionProject":"p""#), Ok(r#""id":"p""#));
        check("loadCodeAssist", r#"{"metadata":{"pluginType":"GEMINI"}}"#, Ok(PROJECT));
    }

    #[test]
    fn a_key_opens_nothing() {
        let asked = call(Method::POST, "/v1internal:loadCodeAssist", &[("x-goog-api-key", "AIza")], "{}");
        let refusal = scene(&asked, &Lifelike::default()).map(|_| ()).unwrap_err();
        assert_eq!((refusal.status.as_u16(), refusal.name), (401, "UNAUTHENTICATED"));
    }
}
