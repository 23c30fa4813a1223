//! Reads what a Messages API answer used, from its events or from the message itself.

mod iterations;
mod report;
#[cfg(test)]
mod tests;

use std::mem;

use serde::Deserialize;

use self::report::Report;
use crate::protocol::{
    json::{Field, Found, Scanner},
    sse::Event,
    usage::{self, Ending, Tally, Usage, string, tokens_of},
};

/// Where the parts of an answer are, for events and for whole messages alike.
static ANSWER: [Field<Slot>; 9] = [
    Field::value("type", Slot::Type),
    Field::inside("message", &MESSAGE),
    Field::inside("content_block", &BLOCK),
    Field::inside("delta", &DELTA),
    Field::value("error", Slot::Error),
    MESSAGE[0],
    MESSAGE[1],
    MESSAGE[2],
    MESSAGE[3],
];

const MESSAGE: [Field<Slot>; 4] = [
    Field::value("model", Slot::Model),
    Field::inside("content", &BLOCK),
    Field::value("stop_reason", Slot::StopReason),
    Field::inside("usage", &USAGE),
];

/// A tool's `input` is here in whole messages only; in streams it comes as `partial_json`.
const BLOCK: [Field<Slot>; 3] = [Field::text("text"), Field::text("thinking"), Field::text("input")];

const DELTA: [Field<Slot>; 4] = [
    Field::text("text"),
    Field::text("thinking"),
    Field::text("partial_json"),
    Field::value("stop_reason", Slot::StopReason),
];

const USAGE: [Field<Slot>; 11] = [
    Field::value("input_tokens", Slot::Input),
    Field::value("cache_read_input_tokens", Slot::CacheRead),
    Field::value("cache_creation_input_tokens", Slot::CacheWrite),
    Field::inside(
        "cache_creation",
        &[
            Field::value("ephemeral_5m_input_tokens", Slot::Write5m),
            Field::value("ephemeral_1h_input_tokens", Slot::Write1h),
        ],
    ),
    Field::value("output_tokens", Slot::Output),
    Field::inside("output_tokens_details", &[Field::value("thinking_tokens", Slot::Thinking)]),
    Field::inside("server_tool_use", &[Field::value("web_search_requests", Slot::Searches)]),
    Field::value("service_tier", Slot::Tier),
    Field::value("speed", Slot::Speed),
    Field::value("inference_geo", Slot::Geo),
    Field::value("iterations", Slot::Iterations),
];

#[derive(Clone, Copy)]
enum Slot {
    Type,
    Model,
    StopReason,
    Error,
    Input,
    CacheRead,
    CacheWrite,
    Write5m,
    Write1h,
    Output,
    Thinking,
    Searches,
    Tier,
    Speed,
    Geo,
    Iterations,
}

/// Reads one answer.
pub(in crate::protocol) struct Reader {
    scanner: Scanner<Slot>,
    /// The event that is being read, or the whole message.
    part: Part,
    said: Report,
    model: Option<String>,
    refused: bool,
    failure: Option<Failure>,
    /// Characters of the model's output.
    chars: u64,
    /// Some output of the model has come.
    begun: bool,
    /// The output figure in hand covers all output seen.
    settled: bool,
    stopped: bool,
}

#[derive(Default)]
struct Part {
    kind: Kind,
    report: Report,
    chars: u64,
    model: Option<String>,
    refused: bool,
    failure: Option<Failure>,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Kind {
    #[default]
    Other,
    MessageStart,
    Content,
    MessageDelta,
    MessageStop,
    Error,
}

#[derive(Default, Clone, Deserialize)]
#[serde(default)]
struct Failure {
    #[serde(rename = "type")]
    kind: String,
    message: String,
}

impl Reader {
    /// A reader for one answer.
    pub(in crate::protocol) fn new() -> Self {
        Self {
            scanner: Scanner::new(&ANSWER),
            part: Part::default(),
            said: Report::default(),
            model: None,
            refused: false,
            failure: None,
            chars: 0,
            begun: false,
            settled: false,
            stopped: false,
        }
    }

    fn usage(&self, input_estimate: u64) -> Option<Usage> {
        if self.failure.is_some() && !self.begun && self.said.is_silent() {
            return None;
        }
        let mut usage = self.said.usage(input_estimate);
        if !self.settled {
            usage.estimated = true;
            usage.output = usage.output.max(tokens_of(self.chars));
        }
        usage.charges = iterations::charges(self.said.iterations.as_deref().unwrap_or_default(), &usage, self.refused);
        Some(usage)
    }
}

impl usage::Reader for Reader {
    fn event(&mut self, event: Event<'_>) {
        let part = &mut self.part;
        *part = Part::default();
        self.scanner.reset();
        self.scanner.push(event.data, &mut |found| part.note(found));
        if part.kind == Kind::Other {
            part.kind = Kind::of(event.name);
        }
        match part.kind {
            Kind::MessageStart => {
                self.said = mem::take(&mut part.report);
                self.model = part.model.take();
            }
            Kind::Content => {
                self.chars += part.chars;
                self.begun = true;
                self.settled = false;
            }
            Kind::MessageDelta => {
                self.settled |= part.report.output.is_some();
                self.refused |= part.refused;
                self.said.follow(mem::take(&mut part.report));
            }
            Kind::MessageStop => self.stopped = true,
            Kind::Error => self.failure = Some(part.failure.take().unwrap_or_default()),
            Kind::Other => {}
        }
    }

    fn json(&mut self, bytes: &[u8]) {
        let part = &mut self.part;
        self.scanner.push(bytes, &mut |found| part.note(found));
        self.stopped = self.scanner.closed();
        self.settled = self.stopped && part.report.output.is_some();
        self.said = part.report.clone();
        self.model = part.model.clone();
        self.refused = part.refused;
        self.failure = part.failure.clone();
        self.chars = part.chars;
        self.begun = part.chars > 0 || part.report.output.is_some();
    }

    fn tally(&self, input_estimate: u64) -> Tally {
        let ending = match &self.failure {
            Some(Failure { kind, message }) => Ending::Failed { kind: kind.clone(), message: message.clone() },
            None if self.stopped => Ending::Complete,
            None => Ending::Cut,
        };
        Tally { usage: self.usage(input_estimate), model: self.model.clone(), ending }
    }

    fn first_output(&self) -> bool {
        self.begun
    }
}

impl Kind {
    fn of(word: &str) -> Self {
        match word {
            "message_start" => Self::MessageStart,
            "content_block_start" | "content_block_delta" => Self::Content,
            "message_delta" => Self::MessageDelta,
            "message_stop" => Self::MessageStop,
            "error" => Self::Error,
            _ => Self::Other,
        }
    }
}

impl Part {
    fn note(&mut self, found: Found<'_, Slot>) {
        let (slot, raw) = match found {
            Found::Text(chars) => return self.chars += chars,
            Found::Value(slot, raw) => (slot, raw),
            Found::Entered(_) | Found::Element => return,
        };
        match slot {
            Slot::Type => self.kind = Kind::of(&string(raw).unwrap_or_default()),
            Slot::Model => self.model = string(raw),
            Slot::StopReason => self.refused = raw == b"\"refusal\"",
            Slot::Error => self.failure = serde_json::from_slice(raw).ok(),
            _ => self.report.note(slot, raw),
        }
    }
}
