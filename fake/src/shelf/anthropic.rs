//! Anthropic's files and message batches.

use http::StatusCode;
use serde_json::{Value, json};

use super::{Account, DAY, Thing, address, now, part, said, texts, told};
use crate::{
    anthropic,
    call::Call,
    clock,
    scene::{Event, Scene},
    script::Lifelike,
};

pub(super) fn answer(account: &mut Account<'_>, call: &Call) -> Option<Scene> {
    let segments: Vec<&str> = call.path().split('/').skip(1).collect();
    let not_found = |what: &str| Some(refusal(call, &format!("{what} not found")));
    let answer = match (call.method.as_str(), &segments[..]) {
        ("POST", ["v1", "messages"]) if account.is_empty() => return None,
        ("POST", ["v1", "messages"]) => {
            let body: Value = serde_json::from_slice(&call.body).ok()?;
            let mut files = Vec::new();
            texts(&body, &["file_id"], &mut files);
            return files.iter().find(|id| account.get(id).is_none()).and_then(|id| not_found(id));
        }
        ("POST", ["v1", "files"]) => upload(account, call),
        ("GET", ["v1", "files"]) => told(&json!({ "data": account.all("file_"), "next_page": null })),
        ("POST", ["v1", "messages", "batches"]) => batch(account, call),
        ("GET", ["v1", "messages", "batches"]) => told(&json!({ "data": account.all("msgbatch_"), "has_more": false })),
        (method, ["v1", "files", id, rest @ ..] | ["v1", "messages", "batches", id, rest @ ..]) => {
            let Some(thing) = account.get(id).cloned() else { return not_found(id) };
            match (method, rest) {
                ("GET", []) => told(&ended(account, call, id, thing)),
                ("DELETE", []) => {
                    account.remove(id);
                    let kind = if id.starts_with("file_") { "file_deleted" } else { "message_batch_deleted" };
                    told(&json!({ "id": id, "type": kind }))
                }
                ("POST", ["cancel"]) => {
                    told(&json!({ "processing_status": "canceling", "id": id, "type": "message_batch" }))
                }
                ("GET", ["content"]) => said(String::from_utf8_lossy(&thing.content)),
                ("GET", ["results"]) => said(results(call, &thing)),
                _ => return None,
            }
        }
        _ => return None,
    };
    Some(answer)
}

fn refusal(call: &Call, message: &str) -> Scene {
    let id = format!("req_011CFake{:012}", call.number);
    let body = json!({ "type": "error", "error": { "type": "not_found_error", "message": message }, "request_id": id });
    Scene::plain(StatusCode::NOT_FOUND, Event::new("error", body.to_string()))
}

fn upload(account: &mut Account<'_>, call: &Call) -> Scene {
    let (head, content) = part(&call.body, "name=\"file\"").unwrap_or_default();
    let filename = head.split("filename=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or("file");
    let id = format!("file_011CFake{:012}", call.number);
    let description = json!({
        "id": id, "type": "file", "filename": filename, "mime_type": "text/plain", "size_bytes": content.len(),
        "created_at": now(), "downloadable": true, "expires_at": null,
    });
    account.put(&id, Thing { description: description.clone(), content: content.to_vec() });
    told(&description)
}

fn batch(account: &mut Account<'_>, call: &Call) -> Scene {
    let id = format!("msgbatch_01Fake{:012}", call.number);
    let body: Value = serde_json::from_slice(&call.body).unwrap_or_default();
    let count = body["requests"].as_array().map_or(0, Vec::len);
    let description = json!({
        "id": id, "type": "message_batch", "processing_status": "in_progress",
        "request_counts": { "processing": count, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0 },
        "created_at": now(), "expires_at": clock::rfc3339(DAY), "ended_at": null, "results_url": null,
    });
    account.put(&id, Thing { description: description.clone(), content: call.body.to_vec() });
    told(&description)
}

/// A batch has ended by the time that somebody looks again.
fn ended(account: &mut Account<'_>, call: &Call, id: &str, thing: Thing) -> Value {
    let mut description = thing.description;
    if description["type"] == "message_batch" {
        let count = description["request_counts"]["processing"].take();
        description["processing_status"] = "ended".into();
        if !count.is_null() && count != 0 {
            description["request_counts"]["succeeded"] = count;
        }
        description["request_counts"]["processing"] = 0.into();
        description["ended_at"] = now().into();
        description["results_url"] = address(call, &format!("/v1/messages/batches/{id}/results")).into();
        if let Some(thing) = account.get(id) {
            thing.description = description.clone();
        }
    }
    description
}

/// A line for each request, with what the model would have said at once.
fn results(call: &Call, batch: &Thing) -> String {
    let body: Value = serde_json::from_slice(&batch.content).unwrap_or_default();
    let requests = body["requests"].as_array().cloned().unwrap_or_default();
    let line = |request: &Value| {
        let asked = Call {
            method: http::Method::POST,
            uri: http::Uri::from_static("/v1/messages"),
            headers: call.headers.clone(),
            body: request["params"].to_string().into(),
            number: call.number,
        };
        let scene = anthropic::answer(&asked, &Lifelike::default());
        let said = scene.events.first().map_or("null", |event| &event.json);
        let said = said.replace(r#""service_tier":"standard""#, r#""service_tier":"batch""#);
        let result = match scene.status.is_success() {
            true => format!(r#"{{"type":"succeeded","message":{said}}}"#),
            false => format!(r#"{{"type":"errored","error":{said}}}"#),
        };
        format!("{{\"custom_id\":{},\"result\":{result}}}\n", request["custom_id"])
    };
    requests.iter().map(line).collect()
}
