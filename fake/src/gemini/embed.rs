//! Counts tokens and makes embeddings, which are numbers from a hash of the request.

use std::hash::{DefaultHasher, Hash, Hasher};

use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::Refusal;
use crate::{
    call::Call,
    figures::Figures,
    json,
    scene::{Event, Scene},
};

const DIMENSIONS: usize = 768;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    content: Option<Value>,
    #[serde(alias = "output_dimensionality")]
    output_dimensionality: Option<usize>,
}

#[derive(Deserialize)]
struct Batch {
    requests: Vec<Request>,
}

/// Answers `:countTokens`.
pub(super) fn count_tokens(call: &Call) -> Result<Scene, Refusal> {
    read::<Value>(call)?;
    let tokens = call.body.len() / 4 + 1;
    let json =
        format!(r#"{{"totalTokens":{tokens},"promptTokensDetails":[{{"modality":"TEXT","tokenCount":{tokens}}}]}}"#);
    Ok(Scene::plain(StatusCode::OK, Event::new("", json)))
}

/// Answers `:embedContent`.
pub(super) fn one(call: &Call) -> Result<Scene, Refusal> {
    let request: Request = read(call)?;
    Ok(said(call, &format!(r#""embedding":{}"#, embedding(&request))))
}

/// Answers `:batchEmbedContents`.
pub(super) fn several(call: &Call) -> Result<Scene, Refusal> {
    let batch: Batch = read(call)?;
    let embeddings: Vec<String> = batch.requests.iter().map(embedding).collect();
    Ok(said(call, &format!(r#""embeddings":[{}]"#, embeddings.join(","))))
}

fn read<T: serde::de::DeserializeOwned>(call: &Call) -> Result<T, Refusal> {
    json::read(&call.body).map_err(|error| Refusal::invalid(format!("Invalid JSON payload received. {error}")))
}

fn said(call: &Call, field: &str) -> Scene {
    let input = call.body.len() as u64 / 4 + 1;
    let usage = format!(r#"{{"promptTokenCount":{input},"totalTokenCount":{input}}}"#);
    let event = Event::new("", format!(r#"{{{field},"usageMetadata":{usage}}}"#));
    Scene::plain(StatusCode::OK, event.saying(Figures { input, ..Figures::default() }))
}

fn embedding(request: &Request) -> String {
    let text = request.content.as_ref().map(Value::to_string).unwrap_or_default();
    let values: Vec<String> =
        (0..request.output_dimensionality.unwrap_or(DIMENSIONS)).map(|i| value(&text, i)).collect();
    format!(r#"{{"values":[{}]}}"#, values.join(","))
}

/// Between -1 and 1, the same for the same text.
fn value(text: &str, dimension: usize) -> String {
    let mut hasher = DefaultHasher::new();
    (text, dimension).hash(&mut hasher);
    format!("{:.6}", (hasher.finish() % 2_000_000) as f64 / 1e6 - 1.0)
}
