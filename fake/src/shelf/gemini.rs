//! Gemini's files with their resumable uploads, cached contents and batches.

use http::StatusCode;
use serde_json::{Value, json};

use super::{Account, DAY, Thing, address, now, part, said, texts, told, with};
use crate::{
    call::Call,
    clock, gemini,
    scene::{Event, Scene},
    script::Lifelike,
};

pub(super) fn answer(account: &mut Account<'_>, call: &Call) -> Option<Scene> {
    let segments: Vec<&str> = call.path().split('/').skip(1).collect();
    let answer = match (call.method.as_str(), &segments[..]) {
        ("POST" | "PUT", ["upload", _, "files"]) => match call.query("upload_id") {
            Some(id) => go_on(account, call, id),
            None => begin(account, call),
        },
        ("POST", [_, "models", verb]) if verb.ends_with(":batchGenerateContent") => batch(account, call, verb),
        ("POST", [_, "models", _]) if account.is_empty() => return None,
        ("POST", [_, "models", _]) => return missing(account, call),
        ("POST", [_, "cachedContents"]) => missing(account, call).unwrap_or_else(|| cache(account, call)),
        ("GET", [_, kind @ ("files" | "cachedContents" | "batches")]) => {
            let word = if *kind == "batches" { "operations" } else { kind };
            told(&json!({ word: account.all(&format!("{kind}/")) }))
        }
        (method, [_, kind @ ("files" | "cachedContents" | "batches"), id]) => {
            let (id, verb) = id.split_once(':').unwrap_or((id, ""));
            let name = format!("{kind}/{id}");
            let Some(thing) = account.get(&name) else { return Some(forbidden(&name)) };
            match (method, verb) {
                ("GET", "") if *kind == "batches" => told(&done(call, thing)),
                ("GET", "") => told(&thing.description),
                ("GET", "download") => said(String::from_utf8_lossy(&thing.content)),
                ("PATCH", "") => {
                    thing.description["expireTime"] = clock::rfc3339(DAY).into();
                    told(&thing.description)
                }
                ("DELETE", "") => {
                    account.remove(&name);
                    said("{}")
                }
                ("POST", "cancel") => said("{}"),
                _ => return None,
            }
        }
        _ => return None,
    };
    Some(answer)
}

/// What Google says of a thing of another project, and of none.
fn forbidden(name: &str) -> Scene {
    let message = format!("You do not have permission to access {name} or it may not exist.");
    let body = json!({ "error": { "code": 403, "message": message, "status": "PERMISSION_DENIED" } });
    Scene::plain(StatusCode::FORBIDDEN, Event::new("", body.to_string()))
}

/// The refusal of a call that names what is not on this account.
fn missing(account: &mut Account<'_>, call: &Call) -> Option<Scene> {
    let body: Value = serde_json::from_slice(&call.body).ok()?;
    let mut named = Vec::new();
    texts(&body, &["fileUri", "file_uri", "cachedContent", "cached_content"], &mut named);
    let names = named.iter().filter_map(|name| {
        let at = name.find("files/").or_else(|| name.find("cachedContents/"))?;
        Some(name[at..].to_owned())
    });
    names.into_iter().find(|name| account.get(name).is_none()).map(|name| forbidden(&name))
}

fn begin(account: &mut Account<'_>, call: &Call) -> Scene {
    let upload = format!("fake-upload-{:08}", call.number);
    let resumable = call.headers.get("x-goog-upload-protocol").is_some_and(|value| value == "resumable");
    if !resumable {
        let (_, content) = part(&call.body, "application/octet-stream").unwrap_or_default();
        let file = file(account, call, &Value::Null, content.to_vec());
        return told(&json!({ "file": file }));
    }
    let wanted: Value = serde_json::from_slice(&call.body).unwrap_or_default();
    account.put(&upload, Thing { description: wanted["file"].clone(), content: Vec::new() });
    let path = format!("{}?upload_id={upload}&upload_protocol=resumable", call.path());
    let scene = with(said(""), "x-goog-upload-status", "active");
    let scene = with(scene, "x-goog-upload-control-url", &address(call, &path));
    with(scene, "x-goog-upload-url", &address(call, &path))
}

fn go_on(account: &mut Account<'_>, call: &Call, id: &str) -> Scene {
    let Some(upload) = account.get(id) else { return forbidden("the upload") };
    upload.content.extend_from_slice(&call.body);
    let commands = call.headers.get("x-goog-upload-command").and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !commands.contains("finalize") {
        return with(said(""), "x-goog-upload-status", "active");
    }
    let upload = account.remove(id).unwrap_or_default();
    let file = file(account, call, &upload.description, upload.content);
    with(told(&json!({ "file": file })), "x-goog-upload-status", "final")
}

fn file(account: &mut Account<'_>, call: &Call, wanted: &Value, content: Vec<u8>) -> Value {
    let name = wanted["name"].as_str().map_or_else(|| format!("files/fake{:08}", call.number), str::to_owned);
    let description = json!({
        "name": name, "displayName": wanted["displayName"], "mimeType": wanted["mimeType"].as_str().unwrap_or("text/plain"),
        "sizeBytes": content.len().to_string(), "createTime": now(), "updateTime": now(),
        "expirationTime": clock::rfc3339(DAY * 2), "sha256Hash": "ZmFrZQ==", "state": "ACTIVE", "source": "UPLOADED",
        "uri": address(call, &format!("/v1beta/{name}")),
        "downloadUri": address(call, &format!("/download/v1beta/{name}:download?alt=media")),
    });
    account.put(&name, Thing { description: description.clone(), content });
    description
}

fn cache(account: &mut Account<'_>, call: &Call) -> Scene {
    let wanted: Value = serde_json::from_slice(&call.body).unwrap_or_default();
    let name = format!("cachedContents/fake{:08}", call.number);
    let description = json!({
        "name": name, "model": wanted["model"], "createTime": now(), "updateTime": now(),
        "expireTime": clock::rfc3339(DAY / 24), "usageMetadata": { "totalTokenCount": call.body.len() / 4 },
    });
    account.put(&name, Thing { description: description.clone(), content: Vec::new() });
    told(&description)
}

fn batch(account: &mut Account<'_>, call: &Call, verb: &str) -> Scene {
    let model = verb.split(':').next().unwrap_or_default();
    let wanted: Value = serde_json::from_slice(&call.body).unwrap_or_default();
    let name = format!("batches/fake{:08}", call.number);
    let description = json!({
        "name": name,
        "metadata": {
            "@type": "type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatch",
            "model": format!("models/{model}"), "displayName": wanted["batch"]["displayName"], "name": name,
            "createTime": now(), "updateTime": now(), "state": "BATCH_STATE_PENDING",
        },
    });
    account.put(&name, Thing { description: description.clone(), content: call.body.to_vec() });
    told(&description)
}

/// A batch is done by the time that somebody looks again: its results stand in its description.
fn done(call: &Call, batch: &mut Thing) -> Value {
    let wanted: Value = serde_json::from_slice(&batch.content).unwrap_or_default();
    let requests = &wanted["batch"]["inputConfig"]["requests"]["requests"];
    let model = batch.description["metadata"]["model"].as_str().unwrap_or_default().to_owned();
    let answer = |request: &Value| {
        let asked = Call {
            method: http::Method::POST,
            uri: format!("/v1beta/{model}:generateContent").parse().unwrap_or_default(),
            headers: call.headers.clone(),
            body: request["request"].to_string().into(),
            number: call.number,
        };
        let scene = gemini::answer(&asked, &Lifelike::default());
        let said = scene.events.first().map_or("null", |event| &event.json);
        json!({ "response": serde_json::from_str::<Value>(said).unwrap_or_default(), "metadata": request["metadata"] })
    };
    let answers: Vec<Value> = requests.as_array().into_iter().flatten().map(answer).collect();
    let output = json!({ "inlinedResponses": { "inlinedResponses": answers } });
    batch.description["metadata"]["state"] = "BATCH_STATE_SUCCEEDED".into();
    batch.description["metadata"]["output"] = output.clone();
    batch.description["done"] = true.into();
    batch.description["response"] = output;
    batch.description.clone()
}
