//! Code Assist: the Gemini API's requests and answers in a wrapper of its own, for accounts that hold a login.
//!
//! A request of the public API is put into the wrapper byte for byte, and a call of a client that speaks Code Assist
//! itself keeps every byte but those that name a project, which is the account's, and a model that the account maps.

mod project;
mod quota;
#[cfg(test)]
mod tests;
mod unwrap;

use std::ops::Range;

use bytes::Bytes;
use http::Method;
use serde_json::Value;

use super::member;
use crate::{
    error::Result,
    protocol::{
        Demand, Form, Operation, Verdict,
        demand::{Reading, not_an_object},
        peek::{Scanner, text_of},
    },
};

pub(crate) use project::{Loaded, NO_PROJECT, Onboarded, is_barred_by_policy, load_request, loaded, onboarded};
pub(crate) use quota::quota;
pub(crate) use unwrap::Unwrap;

/// What a method of `/v1internal:…` asks, and how it is called. Those that change the settings of an account's owner are
/// not among them.
pub(in crate::protocol) fn method(segments: &[&str]) -> Option<(Method, Operation)> {
    let name = match segments {
        ["v1internal", "operations", _, ..] => return Some((Method::GET, Operation::Other)),
        [call] => call.strip_prefix("v1internal:")?,
        _ => return None,
    };
    Some(match name {
        "generateContent" | "streamGenerateContent" => (Method::POST, Operation::Generate),
        "countTokens" => (Method::POST, Operation::CountTokens),
        "loadCodeAssist"
        | "onboardUser"
        | "retrieveUserQuota"
        | "listExperiments"
        | "fetchAdminControls"
        | "recordCodeAssistMetrics" => (Method::POST, Operation::Other),
        "getCodeAssistGlobalUserSetting" => (Method::GET, Operation::Other),
        _ => return None,
    })
}

/// Whether a method that makes no answer of a model merely asks, so that it may as well be asked twice.
pub(crate) fn only_asks(path: &str) -> bool {
    let asking = ["loadCodeAssist", "retrieveUserQuota", "listExperiments", "fetchAdminControls"];
    path.strip_prefix("/v1internal:").is_some_and(|method| asking.contains(&method))
}

/// Reads the body of a call that is made in Code Assist's own words.
pub(in crate::protocol) fn read(body: &[u8]) -> Result<Reading> {
    let mut reading = Reading::default();
    if body.is_empty() {
        return Ok(reading);
    }
    reading.blobs = Scanner::run(body, |json| {
        let object = json.object(|json, key| match key {
            "model" => model(json, &mut reading),
            "request" => json
                .object(|json, key| match key {
                    "model" => model(json, &mut reading),
                    _ => member(json, key, &mut reading),
                })
                .map(drop),
            _ => json.skip(),
        })?;
        if object { Ok(()) } else { Err(not_an_object()) }
    })?;
    Ok(reading)
}

/// Takes a model, which `countTokens` writes as `models/NAME`.
fn model(json: &mut Scanner<'_>, reading: &mut Reading) -> Result<()> {
    let named = json.text()?.map(|name| name.strip_prefix("models/").unwrap_or(&name).to_owned());
    reading.model = named.filter(|name| !name.is_empty());
    Ok(())
}

/// Where a request of the public API goes: the method, and the query that makes it stream.
pub(crate) fn path(demand: &Demand) -> &'static str {
    match (demand.operation, demand.form) {
        (Operation::CountTokens, _) => "/v1internal:countTokens",
        (_, Form::Json) => "/v1internal:generateContent",
        (_, Form::Sse | Form::JsonArray) => "/v1internal:streamGenerateContent?alt=sse",
    }
}

/// What the wrapper of a request says beside it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wrapper<'a> {
    /// The model by the account's name for it.
    pub(crate) model: &'a str,
    /// The account's project.
    pub(crate) project: &'a str,
    /// What tells this request from others, for whoever reads the upstream's logs.
    pub(crate) prompt_id: &'a str,
}

/// A request of the public API as Code Assist takes it. The request itself is what the client sent; of one to count,
/// Code Assist counts the contents and takes nothing else.
pub(crate) fn wrap(operation: Operation, wrapper: &Wrapper<'_>, request: &[u8]) -> Result<Bytes> {
    let text = |text: &str| Value::from(text).to_string();
    if operation == Operation::CountTokens {
        let model = text(&["models/", wrapper.model].concat());
        let contents = contents(request)?.map_or(&b"[]"[..], |span| &request[span]);
        let head = format!(r#"{{"request":{{"model":{model},"contents":"#);
        return Ok([head.as_bytes(), contents, b"}}"].concat().into());
    }
    let (model, project, prompt) = (text(wrapper.model), text(wrapper.project), text(wrapper.prompt_id));
    let head = format!(r#"{{"model":{model},"project":{project},"user_prompt_id":{prompt},"request":"#);
    Ok([head.as_bytes(), request, b"}"].concat().into())
}

/// Where the contents stand that are to be counted: at the top, or in a whole request.
fn contents(request: &[u8]) -> Result<Option<Range<usize>>> {
    let mut found = None;
    Scanner::run(request, |json| {
        let mut take = |json: &mut Scanner<'_>| json.value().map(|span| found = Some(span));
        json.object(|json, key| match key {
            "contents" => take(json),
            "generateContentRequest" | "generate_content_request" => {
                json.object(|json, key| if key == "contents" { take(json) } else { json.skip() }).map(drop)
            }
            _ => json.skip(),
        })
        .map(drop)
    })?;
    Ok(found)
}

/// A call in Code Assist's own words as it leaves for an account: with that account's project wherever the client named
/// one, or had to, and its name for the model where it maps it.
pub(crate) fn made_the_accounts(
    operation: Operation,
    project: &str,
    model: Option<&str>,
    body: &Bytes,
) -> Result<Bytes> {
    if body.is_empty() {
        return Ok(body.clone());
    }
    let project = Value::from(project).to_string();
    let mut edits: Vec<(Range<usize>, String)> = Vec::new();
    let mut named = false;
    Scanner::run(body, |json| {
        json.object(|json, key| match key {
            "project" => {
                named = true;
                json.value().map(|span| edits.push((span, project.clone())))
            }
            "cloudaicompanionProject" => named_project(json, body, &project, &mut edits),
            "metadata" => json
                .object(|json, key| match key {
                    "duetProject" => named_project(json, body, &project, &mut edits),
                    _ => json.skip(),
                })
                .map(drop),
            "model" => rename(json, body, model, &mut edits),
            "request" => json
                .object(|json, key| if key == "model" { rename(json, body, model, &mut edits) } else { json.skip() })
                .map(drop),
            _ => json.skip(),
        })
        .map(drop)
    })?;
    if operation == Operation::Generate && !named {
        // After the brace that opens the body; what follows is at least the model, so a comma is in place.
        let first = body.iter().position(|byte| *byte == b'{').map_or(0, |at| at + 1);
        edits.insert(0, (first..first, format!(r#""project":{project},"#)));
    }
    Ok(spliced(body, &edits))
}

/// Takes a project that may be left out; null names none.
fn named_project(
    json: &mut Scanner<'_>,
    body: &[u8],
    project: &str,
    edits: &mut Vec<(Range<usize>, String)>,
) -> Result<()> {
    let span = json.value()?;
    if &body[span.clone()] != b"null" {
        edits.push((span, project.to_owned()));
    }
    Ok(())
}

/// Takes a model, and writes the account's name in its place in the way the client wrote it.
fn rename(
    json: &mut Scanner<'_>,
    body: &[u8],
    model: Option<&str>,
    edits: &mut Vec<(Range<usize>, String)>,
) -> Result<()> {
    let span = json.value()?;
    if let (Some(model), Some(written)) = (model, text_of(&body[span.clone()])) {
        let prefix = if written.starts_with("models/") { "models/" } else { "" };
        edits.push((span, Value::from([prefix, model].concat()).to_string()));
    }
    Ok(())
}

/// The bytes with other ones in these places, which stand in order.
fn spliced(body: &Bytes, edits: &[(Range<usize>, String)]) -> Bytes {
    if edits.is_empty() {
        return body.clone();
    }
    let mut made = Vec::with_capacity(body.len() + 64);
    let mut at = 0;
    for (span, text) in edits {
        made.extend_from_slice(&body[at..span.start]);
        made.extend_from_slice(text.as_bytes());
        at = span.end;
    }
    made.extend_from_slice(&body[at..]);
    made.into()
}

/// What a verdict on a wrapped request is worth: Code Assist knows fewer fields than the public API, so a field that it
/// does not know may be good elsewhere.
pub(crate) fn of_wrapped(verdict: Verdict, body: &[u8]) -> Verdict {
    let unknown = b"Unknown name";
    let unsuited = verdict == Verdict::CallersFault && body.windows(unknown.len()).any(|part| part == unknown);
    if unsuited { Verdict::Unsuited } else { verdict }
}
