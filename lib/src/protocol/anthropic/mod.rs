//! The Messages API: what its bodies ask for, what its answers mean, how it says no.

mod judge;
pub(super) mod meter;
mod refusal;
mod reported;

use super::{
    demand::{Opening, Reading, not_an_object},
    peek::{Scanner, count_of, text_of},
    thing::{Kind, Names, Thing, code_file, search},
};
use crate::error::Result;

pub(super) use judge::{judge, judge_event};
pub use refusal::PING;
pub(super) use refusal::{error_event, refusal};
pub(super) use reported::reported_limits;

/// Reads a body of `/v1/messages` or `/v1/messages/count_tokens`.
pub(super) fn read(body: &[u8]) -> Result<Reading> {
    let mut reading = Reading::default();
    let (mut system, mut messages) = (Opening::default(), Messages::default());
    reading.blobs = Scanner::run(body, |json| {
        let object = json.object(|json, key| {
            match key {
                "model" => {
                    let span = json.value()?;
                    reading.model = text_of(&body[span.clone()]).map(String::from).filter(|model| !model.is_empty());
                    reading.model_span = Some(span);
                }
                "stream" => reading.stream = json.raw()? == b"true",
                "max_tokens" => reading.max_output = count_of(json.raw()?),
                "metadata" => {
                    (reading.traces.named, reading.traces.end_user) = (None, None);
                    json.object(|json, key| {
                        let text = json.text()?;
                        if key == "user_id" {
                            (reading.traces.named, reading.traces.end_user) = identity(text.as_deref());
                        }
                        Ok(())
                    })?;
                }
                "system" => {
                    system = Opening::default();
                    reading.names.extend(content(json, &mut system)?.names);
                }
                "container" => {
                    reading.runs_code = true;
                    container(json, &mut reading.names)?;
                }
                "tools" => reading.runs_code |= runs_code(json)?,
                "messages" => {
                    messages = Messages::default();
                    json.array(|json| messages.add(json))?;
                }
                _ => json.skip()?,
            }
            Ok(())
        })?;
        if object { Ok(()) } else { Err(not_an_object()) }
    })?;
    if let Some(first) = messages.first.digest() {
        system.add(&first);
        reading.traces.opening = system.digest();
    }
    reading.tool_loop = messages.tool_loop;
    reading.has_thinking = messages.thinking;
    reading.names.extend(messages.names);
    Ok(reading)
}

/// Takes `container`, which is an id or an object with one.
fn container(json: &mut Scanner<'_>, names: &mut Names) -> Result<()> {
    let mut add = |id: Option<std::borrow::Cow<'_, str>>| names.add(id.map(|id| Thing::new(Kind::Container, id)));
    if json.next_byte() == Some(b'"') {
        add(json.text()?);
        return Ok(());
    }
    json.object(|json, key| if key == "id" { json.text().map(&mut add) } else { json.skip() }).map(drop)
}

/// Takes `tools`, and answers whether one of them may run code.
fn runs_code(json: &mut Scanner<'_>) -> Result<bool> {
    let mut runs = false;
    json.array(|json| {
        json.object(|json, key| {
            if key != "type" {
                return json.skip();
            }
            runs |= json.text()?.is_some_and(|kind| code_file(&kind));
            Ok(())
        })
        .map(drop)
    })?;
    Ok(runs)
}

/// Reads the body of a new batch: what its requests name, and their models.
pub(super) fn read_batch(body: &[u8]) -> Result<Reading> {
    let mut batch = Reading::default();
    let mut params = |params: &[u8]| {
        let reading = read(params)?;
        batch.names.extend(reading.names);
        if let Some(model) = reading.model.filter(|model| !batch.models.contains(model)) {
            batch.models.push(model);
        }
        Ok(())
    };
    let mut object = false;
    Scanner::run(body, |json| {
        object = json.object(|json, key| {
            if key != "requests" {
                return json.skip();
            }
            let request = |json: &mut Scanner<'_>| {
                json.object(|json, key| if key == "params" { params(json.raw()?) } else { json.skip() }).map(drop)
            };
            json.array(request).map(drop)
        })?;
        Ok(())
    })?;
    if object { Ok(batch) } else { Err(not_an_object()) }
}

/// What `metadata.user_id` names: a session, or an end user. Claude Code packs the session into it, today as JSON,
/// formerly behind `_session_`.
fn identity(user_id: Option<&str>) -> (Option<String>, Option<String>) {
    #[derive(serde::Deserialize)]
    struct Packed {
        session_id: String,
    }
    let Some(user_id) = user_id.filter(|id| !id.is_empty()) else { return (None, None) };
    let packed = serde_json::from_str(user_id).map(|packed: Packed| packed.session_id).ok();
    let session = packed.or_else(|| user_id.rsplit_once("_session_").map(|(_, session)| session.to_owned()));
    match session.filter(|session| !session.is_empty()) {
        Some(session) => (Some(session), None),
        None => (None, Some(user_id.to_owned())),
    }
}

/// What matters of `messages`.
#[derive(Default)]
struct Messages {
    first: Opening,
    begun: bool,
    tool_loop: bool,
    thinking: bool,
    names: Names,
}

impl Messages {
    fn add(&mut self, json: &mut Scanner<'_>) -> Result<()> {
        let (mut system, mut words, mut blocks) = (false, Opening::default(), Blocks::default());
        json.object(|json, key| {
            match key {
                "role" => system = json.raw()? == b"\"system\"",
                "content" => {
                    words = Opening::default();
                    blocks = content(json, &mut words)?;
                }
                _ => json.skip()?,
            }
            Ok(())
        })?;
        self.thinking |= blocks.thinking;
        self.names.extend(blocks.names);
        // Claude Code puts entries of role system after the user's: they are neither the first words nor the last.
        if !system {
            if !self.begun {
                self.first = words;
            }
            self.begun = true;
            self.tool_loop = blocks.tool_result;
        }
        Ok(())
    }
}

/// What kinds of block a content has.
#[derive(Default)]
struct Blocks {
    thinking: bool,
    tool_result: bool,
    names: Names,
}

/// Takes a content, which is a string or a list of blocks.
fn content(json: &mut Scanner<'_>, words: &mut Opening) -> Result<Blocks> {
    let mut found = Blocks::default();
    if json.next_byte() == Some(b'"') {
        let raw = json.raw()?;
        words.add(&raw[1..raw.len() - 1]);
        return Ok(found);
    }
    json.array(|json| {
        let (mut kind, mut text) = (None, None);
        json.object(|json, key| {
            match key {
                "type" => kind = json.text()?,
                "text" => text = Some(json.raw()?),
                // What a tool is called with is between the caller and the model.
                "input" => json.skip()?,
                "file_id" => {
                    if let Some(id) = json.text()? {
                        found.names.anthropic(key, &id);
                    }
                }
                _ => search(json, &["file_id"], &["input"], &mut |key, id| found.names.anthropic(key, &id))?,
            }
            Ok(())
        })?;
        match kind.as_deref() {
            Some("thinking" | "redacted_thinking") => found.thinking = true,
            Some("tool_result") => found.tool_result = true,
            _ => {}
        }
        if let Some(text) = text.filter(|text| text_of(text).is_some()) {
            words.add(&text[1..text.len() - 1]);
        }
        Ok(())
    })?;
    Ok(found)
}
