//! Writes generated content: chunks of a stream, or the same content in one piece.

use http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::{Refusal, heard::Request};
use crate::{
    call::{Call, Dialect},
    figures::Figures,
    scene::{Event, Framing, Scene},
    script::Lifelike,
    turn::{Say, Turn},
};

/// Answers `:generateContent` and `:streamGenerateContent`.
pub(super) fn scene(call: &Call, model: &str, framing: Framing, bent: &Lifelike) -> Result<Scene, Refusal> {
    let request = Request::read(&call.body)?;
    let turn = Turn::answering(&request.heard(), bent);
    let (output, thinking) = turn.tokens();
    let prompt = call.body.len() as u64 / 4 + 1;
    let cache_read = if request.reads_a_cache() { prompt / 2 } else { 0 };
    let prompt = Figures { input: prompt - cache_read, cache_read, ..Figures::default() };
    let figures = Figures { output, thinking, ..prompt.searched(turn.searches, Dialect::Gemini) };
    let content = Content { number: call.number, model: Value::from(model), prompt, figures };
    let parts = parts(&turn, call.number);
    let events = match framing {
        Framing::Plain => vec![content.last_chunk(&parts.join(","))],
        _ => content.chunks(&parts),
    };
    Ok(Scene { status: StatusCode::OK, headers: HeaderMap::new(), framing, events, gap: turn.gap })
}

/// The parts of the answer, each of which is a chunk of a stream.
fn parts(turn: &Turn, number: u64) -> Vec<String> {
    let thought = turn.thinking.map(|text| format!(r#"{{"text":{},"thought":true}}"#, Value::from(text)));
    let said = match &turn.say {
        Say::Text(pieces) => {
            pieces.iter().map(|piece| format!(r#"{{"text":{}}}"#, Value::from(piece.as_str()))).collect()
        }
        Say::Tool { name, arguments } => {
            let call = format!(r#"{{"name":{},"args":{arguments}}}"#, Value::from(name.as_str()));
            vec![format!(r#"{{"functionCall":{call},"thoughtSignature":"RmFrZVRob3VnaHQ{number:04}=="}}"#)]
        }
    };
    thought.into_iter().chain(said).collect()
}

struct Content {
    number: u64,
    model: Value,
    /// What early chunks say.
    prompt: Figures,
    figures: Figures,
}

impl Content {
    /// `end` is what only the last chunk has.
    fn chunk(&self, parts: &str, end: &str, figures: Figures) -> Event {
        let Self { number, model, .. } = self;
        let usage = figures.wire(Dialect::Gemini);
        let json = format!(
            r#"{{"candidates":[{{"content":{{"parts":[{parts}],"role":"model"}}{end},"index":0}}],"usageMetadata":{usage},"modelVersion":{model},"responseId":"fake{number:012}"}}"#
        );
        Event::new("", json).saying(figures)
    }

    fn last_chunk(&self, parts: &str) -> Event {
        let mut end = r#","finishReason":"STOP""#.to_owned();
        let queries: Vec<String> = (1..=self.figures.searches).map(|query| format!(r#""query {query}""#)).collect();
        if !queries.is_empty() {
            end += &format!(r#","groundingMetadata":{{"webSearchQueries":[{}]}}"#, queries.join(","));
        }
        self.chunk(parts, &end, self.figures)
    }

    /// Early chunks know the prompt only, as Google's often do; the last one says everything.
    fn chunks(&self, parts: &[String]) -> Vec<Event> {
        let last = parts.len().saturating_sub(1);
        let mut events: Vec<Event> = parts[..last].iter().map(|part| self.chunk(part, "", self.prompt)).collect();
        events.push(self.last_chunk(&parts[last..].concat()));
        events
    }
}
