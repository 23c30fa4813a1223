//! Reads what a Gemini answer used, from its events, its array's elements or the one object.

mod report;
#[cfg(test)]
mod tests;

use serde::Deserialize;
use serde_json::value::RawValue;

use self::report::Report;
use crate::protocol::{
    Form,
    json::{Field, Found, Scanner},
    sse::Event,
    usage::{self, Ending, Tally, Usage, string},
};

/// Where the parts of an answer are; Code Assist wraps the same object in `response`.
static ANSWER: [Field<Slot>; 6] =
    [Field::inside("response", &BODY), BODY[0], BODY[1], BODY[2], BODY[3], Field::value("error", Slot::Error)];

const BODY: [Field<Slot>; 4] = [
    Field::inside("candidates", &CANDIDATE),
    Field::inside("promptFeedback", &[Field::value("blockReason", Slot::End)]),
    Field::inside("usageMetadata", &USAGE),
    Field::value("modelVersion", Slot::Model),
];

const CANDIDATE: [Field<Slot>; 3] = [
    Field::inside(
        "content",
        &[Field::enter(
            "parts",
            Slot::Parts,
            &[Field::text("text"), Field::text("functionCall"), Field::text("executableCode")],
        )],
    ),
    Field::value("finishReason", Slot::End),
    Field::enter("groundingMetadata", Slot::Grounding, &[Field::value("webSearchQueries", Slot::Queries)]),
];

const USAGE: [Field<Slot>; 11] = [
    Field::value("promptTokenCount", Slot::Prompt),
    Field::value("cachedContentTokenCount", Slot::Cached),
    Field::value("candidatesTokenCount", Slot::Candidates),
    Field::value("thoughtsTokenCount", Slot::Thoughts),
    Field::value("toolUsePromptTokenCount", Slot::ToolUse),
    Field::value("totalTokenCount", Slot::Total),
    Field::value("promptTokensDetails", Slot::PromptDetails),
    Field::value("cacheTokensDetails", Slot::CacheDetails),
    Field::value("candidatesTokensDetails", Slot::CandidatesDetails),
    Field::value("serviceTier", Slot::Tier),
    Field::value("trafficType", Slot::Tier),
];

#[derive(Clone, Copy)]
enum Slot {
    Parts,
    /// A finish reason, or the reason why the prompt was blocked.
    End,
    Grounding,
    Queries,
    Model,
    Error,
    Prompt,
    Cached,
    Candidates,
    Thoughts,
    ToolUse,
    Total,
    PromptDetails,
    CacheDetails,
    CandidatesDetails,
    Tier,
}

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::protocol) enum Asked {
    /// Text, pictures, speech: output.
    Answer,
    /// Embeddings: there are no output tokens.
    Vectors,
}

/// Reads one answer.
pub(in crate::protocol) struct Reader {
    form: Form,
    asked: Asked,
    scanner: Scanner<Slot>,
    seen: Seen,
}

#[derive(Default)]
struct Seen {
    /// The last value of each figure.
    report: Report,
    model: Option<String>,
    failure: Option<Failure>,
    /// Characters of the model's output.
    chars: u64,
    /// Some output of the model has come.
    begun: bool,
    ended: bool,
    grounded: bool,
    /// Queries of the last chunk that named any.
    queries: u64,
    /// Queries of the chunk that is being read.
    chunk_queries: Option<u64>,
}

#[derive(Clone)]
struct Failure {
    kind: String,
    message: String,
}

impl Reader {
    /// A reader for one answer in this form.
    pub(in crate::protocol) fn new(form: Form, asked: Asked) -> Self {
        Self { form, asked, scanner: Scanner::new(&ANSWER), seen: Seen::default() }
    }

    /// Whether the figures in hand are the last.
    fn is_final(&self) -> bool {
        match self.form {
            Form::Json => self.scanner.closed(),
            Form::Sse | Form::JsonArray => self.seen.ended,
        }
    }

    fn is_complete(&self) -> bool {
        self.is_final() && (self.form != Form::JsonArray || self.scanner.closed())
    }

    fn usage(&self, input_estimate: u64) -> Option<Usage> {
        let seen = &self.seen;
        if seen.failure.is_some() && !seen.begun && seen.report.is_silent() {
            return None;
        }
        let chars = match self.asked {
            Asked::Answer => seen.chars,
            Asked::Vectors => 0,
        };
        let mut usage = seen.report.usage(input_estimate, chars);
        usage.estimated |= !self.is_final();
        usage.searches = seen.searches();
        Some(usage)
    }
}

impl usage::Reader for Reader {
    fn event(&mut self, event: Event<'_>) {
        self.scanner.reset();
        self.json(event.data);
    }

    fn json(&mut self, bytes: &[u8]) {
        let seen = &mut self.seen;
        self.scanner.push(bytes, &mut |found| seen.note(found));
    }

    fn tally(&self, input_estimate: u64) -> Tally {
        let ending = match &self.seen.failure {
            Some(Failure { kind, message }) => Ending::Failed { kind: kind.clone(), message: message.clone() },
            None if self.is_complete() => Ending::Complete,
            None => Ending::Cut,
        };
        Tally { usage: self.usage(input_estimate), model: self.seen.model.clone(), ending }
    }

    fn first_output(&self) -> bool {
        self.seen.begun
    }
}

impl Seen {
    fn note(&mut self, found: Found<'_, Slot>) {
        let (slot, raw) = match found {
            Found::Text(chars) => return self.chars += chars,
            Found::Entered(Slot::Parts) => return self.begun = true,
            Found::Entered(_) => return self.grounded = true,
            Found::Element => return self.queries = self.chunk_queries.take().unwrap_or(self.queries),
            Found::Value(slot, raw) => (slot, raw),
        };
        match slot {
            Slot::End => self.ended |= raw != b"null",
            Slot::Model => self.model = string(raw).or_else(|| self.model.take()),
            Slot::Error => self.failure = Failure::read(raw).or_else(|| self.failure.take()),
            Slot::Queries => {
                let queries = serde_json::from_slice::<Vec<&RawValue>>(raw).map_or(0, |queries| queries.len() as u64);
                self.chunk_queries = Some(self.chunk_queries.unwrap_or(0) + queries);
            }
            _ => self.report.note(slot, raw),
        }
    }

    /// Searches that are billed: each query, but before Gemini 3 one for the whole request.
    fn searches(&self) -> u64 {
        let model = self.model.as_deref().unwrap_or_default();
        if model.trim_start_matches("models/").starts_with("gemini-2") {
            return u64::from(self.grounded);
        }
        self.queries.max(self.chunk_queries.unwrap_or(0))
    }
}

impl Failure {
    /// `None` for null, which some send with every chunk.
    fn read(raw: &[u8]) -> Option<Self> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Raw<'a> {
            #[serde(borrow)]
            code: Option<&'a RawValue>,
            status: Option<String>,
            message: Option<String>,
        }
        if raw == b"null" {
            return None;
        }
        let raw: Raw<'_> = serde_json::from_slice(raw).unwrap_or_default();
        let code = || raw.code.map(|code| code.get().trim_matches('"').to_owned());
        Some(Self { kind: raw.status.or_else(code).unwrap_or_default(), message: raw.message.unwrap_or_default() })
    }
}
