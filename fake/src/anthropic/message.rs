//! Writes a message: the stream's events by the API's grammar, or the same message in one piece.

use http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::{Refusal, heard::Request, organization};
use crate::{
    call::{Call, Dialect},
    figures::{Cache, Figures},
    scene::{Event, Framing, Scene},
    script::Lifelike,
    turn::{Say, Turn},
};

/// Answers `POST /v1/messages`.
pub(super) fn scene(call: &Call, bent: &Lifelike) -> Result<Scene, Refusal> {
    let request = Request::read(&call.body)?;
    let turn = Turn::answering(&request.heard(), bent);
    let (output, thinking) = turn.tokens();
    let prompt = Figures::of_prompt(&call.body, Cache::asked_in(&call.body), request.turns());
    let message = Message {
        id: format!("msg_01Fake{:012}", call.number),
        tool_id: format!("toolu_01Fake{:012}", call.number),
        model: quoted(&request.model),
        signature: format!("RmFrZVNpZ25hdHVyZQ{}==", organization(call.credential().unwrap_or("")).replace('-', "")),
        shows_thinking: request.shows_thinking(),
        prompt,
        figures: Figures { output, thinking, ..prompt.searched(turn.searches, Dialect::Anthropic) },
        turn: &turn,
    };
    if request.stream == Some(true) {
        let framing = Framing::NamedEvents;
        return Ok(Scene {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            framing,
            events: message.events(),
            gap: turn.gap,
        });
    }
    let event = Event::new("message", message.whole()).saying(message.figures);
    Ok(Scene::plain(StatusCode::OK, event))
}

struct Message<'a> {
    id: String,
    tool_id: String,
    model: String,
    /// Names the organization that made it, as the real ones do in their own way.
    signature: String,
    shows_thinking: bool,
    /// What is known at the start; searches raise it later.
    prompt: Figures,
    figures: Figures,
    turn: &'a Turn,
}

/// As a JSON string.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

impl Message<'_> {
    fn stop_reason(&self) -> &'static str {
        match self.turn.say {
            Say::Text(_) => "end_turn",
            Say::Tool { .. } => "tool_use",
        }
    }

    fn thinking(&self) -> Option<&'static str> {
        let shown = |text| if self.shows_thinking { text } else { "" };
        self.turn.thinking.map(shown)
    }

    fn body(&self, content: &str, stop_reason: &str, figures: &Figures) -> String {
        let Self { id, model, .. } = self;
        let usage = figures.wire(Dialect::Anthropic);
        format!(
            r#"{{"id":"{id}","type":"message","role":"assistant","model":{model},"content":[{content}],"stop_reason":{stop_reason},"stop_sequence":null,"usage":{usage}}}"#
        )
    }

    fn whole(&self) -> String {
        let mut blocks = Vec::new();
        if let Some(text) = self.thinking() {
            let (text, signature) = (quoted(text), &self.signature);
            blocks.push(format!(r#"{{"type":"thinking","thinking":{text},"signature":"{signature}"}}"#));
        }
        blocks.push(match &self.turn.say {
            Say::Text(pieces) => format!(r#"{{"type":"text","text":{}}}"#, quoted(&pieces.concat())),
            Say::Tool { name, arguments } => {
                let (id, name) = (&self.tool_id, quoted(name));
                format!(r#"{{"type":"tool_use","id":"{id}","name":{name},"input":{arguments}}}"#)
            }
        });
        self.body(&blocks.join(","), &quoted(self.stop_reason()), &self.figures)
    }

    fn events(&self) -> Vec<Event> {
        let first = Figures { output: 1, ..self.prompt };
        let start = format!(r#"{{"type":"message_start","message":{}}}"#, self.body("", "null", &first));
        let mut events = vec![Event::new("message_start", start).saying(first)];
        let mut index = 0;
        if self.turn.thinking.is_some() {
            self.thinking_block(&mut events);
            index = 1;
        }
        self.spoken_block(index, &mut events);
        events.insert(2, Event::new("ping", r#"{"type":"ping"}"#));
        let (reason, usage) = (self.stop_reason(), self.figures.wire(Dialect::Anthropic));
        let delta = format!(
            r#"{{"type":"message_delta","delta":{{"stop_reason":"{reason}","stop_sequence":null}},"usage":{usage}}}"#
        );
        events.push(Event::new("message_delta", delta).saying(self.figures));
        events.push(Event::new("message_stop", r#"{"type":"message_stop"}"#));
        events
    }

    fn thinking_block(&self, events: &mut Vec<Event>) {
        events.push(start(0, r#"{"type":"thinking","thinking":"","signature":""}"#));
        if let Some(text) = self.thinking().filter(|text| !text.is_empty()) {
            events.push(delta(0, &format!(r#"{{"type":"thinking_delta","thinking":{}}}"#, quoted(text))));
        }
        events.push(delta(0, &format!(r#"{{"type":"signature_delta","signature":"{}"}}"#, self.signature)));
        events.push(stop(0));
    }

    fn spoken_block(&self, index: usize, events: &mut Vec<Event>) {
        match &self.turn.say {
            Say::Text(pieces) => {
                events.push(start(index, r#"{"type":"text","text":""}"#));
                let text = |piece: &String| format!(r#"{{"type":"text_delta","text":{}}}"#, quoted(piece));
                events.extend(pieces.iter().map(|piece| delta(index, &text(piece))));
            }
            Say::Tool { name, arguments } => {
                let (id, name) = (&self.tool_id, quoted(name));
                events.push(start(index, &format!(r#"{{"type":"tool_use","id":"{id}","name":{name},"input":{{}}}}"#)));
                let arguments = arguments.to_string();
                let middle = arguments.char_indices().nth(arguments.chars().count() / 2).map_or(0, |(at, _)| at);
                let (first, rest) = arguments.split_at(middle);
                for part in ["", first, rest] {
                    let partial = format!(r#"{{"type":"input_json_delta","partial_json":{}}}"#, quoted(part));
                    events.push(delta(index, &partial));
                }
            }
        }
        events.push(stop(index));
    }
}

fn start(index: usize, block: &str) -> Event {
    let json = format!(r#"{{"type":"content_block_start","index":{index},"content_block":{block}}}"#);
    Event::new("content_block_start", json)
}

fn delta(index: usize, delta: &str) -> Event {
    Event::new("content_block_delta", format!(r#"{{"type":"content_block_delta","index":{index},"delta":{delta}}}"#))
}

fn stop(index: usize) -> Event {
    Event::new("content_block_stop", format!(r#"{{"type":"content_block_stop","index":{index}}}"#))
}
