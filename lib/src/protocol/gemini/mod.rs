//! The Gemini API: what its bodies ask for, what its answers mean, how it says no.

pub(crate) mod code_assist;
mod judge;
pub(super) mod meter;
mod refusal;

use super::{
    demand::{Opening, Reading, not_an_object},
    peek::{Scanner, count_of, text_of},
    thing::{Names, search},
};
use crate::error::Result;

pub(super) use judge::{judge, judge_event};
pub(super) use refusal::refusal;

/// Reads a body of any verb. Names are in camel case as a rule; the service takes snake case too.
pub(super) fn read(body: &[u8]) -> Result<Reading> {
    let mut reading = Reading::default();
    reading.blobs = Scanner::run(body, |json| {
        let object = json.object(|json, key| match key {
            // `countTokens` and Code Assist have the request one level down.
            "request" | "generateContentRequest" | "generate_content_request" => {
                json.object(|json, key| member(json, key, &mut reading)).map(drop)
            }
            _ => member(json, key, &mut reading),
        })?;
        if object { Ok(()) } else { Err(not_an_object()) }
    })?;
    Ok(reading)
}

/// Reads the body of a new cached content, which names its model itself.
pub(super) fn read_cache(body: &[u8]) -> Result<Reading> {
    let mut reading = read(body)?;
    Scanner::run(body, |json| {
        let model = |json: &mut Scanner<'_>, key: &str| {
            if key != "model" {
                return json.skip();
            }
            let model = json.text()?.unwrap_or_default();
            reading.models = vec![model.strip_prefix("models/").unwrap_or(&model).to_owned()];
            Ok(())
        };
        json.object(model).map(drop)
    })?;
    Ok(reading)
}

/// Members that name a file or a cached content.
const NAMING: &[&str] = &["fileUri", "file_uri", "fileName", "file_name", "cachedContent", "cached_content"];
/// Members that mean nothing to the provider: what functions are called with, and what they answer.
const OWN: &[&str] = &["args", "response"];

/// Takes a member of a request.
fn member(json: &mut Scanner<'_>, key: &str, reading: &mut Reading) -> Result<()> {
    match key {
        "session_id" | "sessionId" => {
            reading.traces.named = json.text()?.map(String::from).filter(|id| !id.is_empty());
            Ok(())
        }
        "generationConfig" | "generation_config" => {
            reading.max_output = None;
            json.object(|json, key| {
                let raw = json.raw()?;
                if matches!(key, "maxOutputTokens" | "max_output_tokens") {
                    reading.max_output = count_of(raw);
                }
                Ok(())
            })
            .map(drop)
        }
        "contents" => contents(json, reading),
        "cachedContent" | "cached_content" => {
            if let Some(name) = json.text()? {
                reading.names.gemini(key, &name);
            }
            Ok(())
        }
        // Contents of other shapes: instructions, what is to be embedded, requests of a batch.
        "systemInstruction" | "system_instruction" | "content" | "requests" | "batch" => {
            search(json, NAMING, OWN, &mut |key, text| reading.names.gemini(key, &text))
        }
        _ => json.skip(),
    }
}

/// Takes `contents`, a list of turns.
fn contents(json: &mut Scanner<'_>, reading: &mut Reading) -> Result<()> {
    let mut first = true;
    (reading.traces.opening, reading.tool_loop, reading.has_thinking) = (None, false, false);
    json.array(|json| {
        let mut turn = Turn::default();
        json.object(|json, key| {
            if key == "parts" {
                turn = Turn::default();
                json.array(|json| turn.add(json)).map(drop)
            } else {
                json.skip()
            }
        })?;
        if std::mem::take(&mut first) {
            reading.traces.opening = turn.words.digest();
        }
        reading.tool_loop = turn.tool_result;
        reading.names.extend(turn.names);
        reading.has_thinking |= turn.signed;
        Ok(())
    })
    .map(drop)
}

/// What matters of a turn's parts.
#[derive(Default)]
struct Turn {
    /// The first text: Gemini CLI opens all requests of a session with the same.
    words: Opening,
    spoken: bool,
    tool_result: bool,
    signed: bool,
    names: Names,
}

impl Turn {
    fn add(&mut self, json: &mut Scanner<'_>) -> Result<()> {
        json.object(|json, key| {
            if matches!(key, "fileData" | "file_data" | "functionResponse" | "function_response") {
                self.tool_result |= key.starts_with("function");
                return search(json, NAMING, OWN, &mut |key, text| self.names.gemini(key, &text));
            }
            let raw = json.raw()?;
            match key {
                "thoughtSignature" | "thought_signature" => self.signed = true,
                "text" if !self.spoken && text_of(raw).is_some() => {
                    self.words.add(&raw[1..raw.len() - 1]);
                    self.spoken = true;
                }
                _ => {}
            }
            Ok(())
        })
        .map(drop)
    }
}
