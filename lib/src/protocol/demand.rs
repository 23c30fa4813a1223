//! What a request asks for, as far as anything here depends on it; the rest of a body is the upstream's business.

use std::{fmt, ops::Range};

use bytes::Bytes;
use http::{HeaderMap, header::CONTENT_ENCODING};
use sha2::{Digest, Sha256};

use super::{
    Api, Call, Form, Operation, Protocol, Provider, anthropic, gemini,
    session::{Session, Traces},
    thing::{Act, Kind as ThingKind, Names, Thing},
};
use crate::error::{Error, Kind, Result};

/// A request, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demand {
    /// The caller's dialect.
    pub protocol: Protocol,
    /// Whose account can serve it.
    pub provider: Provider,
    /// In whose words it is made.
    pub api: Api,
    /// What is asked.
    pub operation: Operation,
    /// How the answer will be laid out.
    pub form: Form,
    /// The model by the caller's name for it; `None` for lists of models and other paths without one.
    pub model: Option<String>,
    /// Where the model's JSON string stands in the body, quotes included, so that an account's model map can replace
    /// it and nothing else; `None` when the model is in the path.
    pub model_span: Option<Range<usize>>,
    /// The conversation, where the request gives any sign of one.
    pub session: Option<Session>,
    /// The limit of output tokens that the caller set.
    pub max_output: Option<u64>,
    /// Our guess of the prompt's tokens; for limits at the claim, corrected by the upstream's count.
    pub input_estimate: u64,
    /// True when the last turn brings results of tools: a bad moment to change the account.
    pub tool_loop: bool,
    /// True when the history holds thinking, which another organization's account would not see.
    pub has_thinking: bool,
    /// What is done with things that live on an account.
    pub act: Option<Act>,
    /// Things that the body names.
    pub names: Vec<Thing>,
    /// True when the answer may tell of things that it has made, because code may run.
    pub runs_code: bool,
    /// The models that the body asks for where there may be several: those of a batch's requests, or a cached content's.
    pub models: Vec<String>,
}

/// What a dialect finds in a body.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) model: Option<String>,
    pub(super) model_span: Option<Range<usize>>,
    pub(super) stream: bool,
    pub(super) max_output: Option<u64>,
    pub(super) traces: Traces,
    pub(super) tool_loop: bool,
    pub(super) has_thinking: bool,
    pub(super) names: Names,
    pub(super) runs_code: bool,
    pub(super) models: Vec<String>,
    /// Bytes of images, documents and signatures, which count for far fewer tokens than text of that length.
    pub(super) blobs: usize,
}

impl Demand {
    /// Reads a body, once, front to back.
    pub fn read(call: Call, headers: &HeaderMap, body: &Bytes) -> Result<Self> {
        let encodings = headers.get_all(CONTENT_ENCODING);
        if encodings.iter().any(|value| !value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity")) {
            return Err(Error::new(Kind::InvalidRequest, "content-encoding of request bodies is not supported"));
        }
        let read = match call.api {
            Api::Anthropic => anthropic::read,
            Api::Gemini => gemini::read,
            Api::CodeAssist => gemini::code_assist::read,
        };
        let reading = match (call.operation, &call.act) {
            (Operation::Batches, Some(Act::Make(ThingKind::Batch))) if call.provider == Provider::Anthropic => {
                anthropic::read_batch(body)?
            }
            (_, Some(Act::Make(ThingKind::Cache))) => gemini::read_cache(body)?,
            (_, Some(Act::Make(ThingKind::Batch))) => read(body)?,
            // Bytes of a file, or nothing.
            (_, Some(_)) | (Operation::Models, None) => Reading::default(),
            // The project in it is not the caller's to choose, so it has to be found.
            (Operation::Other, None) if call.api == Api::CodeAssist => read(body)?,
            // Another path's body may be anything; what can be found in it is a help, not a duty.
            (Operation::Other, None) => read(body).unwrap_or_default(),
            (_, None) => read(body)?,
        };
        let model = call.model.or(reading.model);
        let needs_model = matches!(call.operation, Operation::Generate | Operation::CountTokens | Operation::Embed);
        if model.is_none() && needs_model {
            return Err(Error::invalid("model", "is required, as a string"));
        }
        let streams = call.provider == Provider::Anthropic && call.operation == Operation::Generate && reading.stream;
        Ok(Self {
            protocol: call.protocol,
            provider: call.provider,
            api: call.api,
            operation: call.operation,
            form: if streams { Form::Sse } else { call.form },
            model,
            model_span: reading.model_span,
            // Where such a call goes, its things decide and not its conversation.
            session: call.act.is_none().then(|| Session::of(headers, &reading.traces)).flatten(),
            max_output: reading.max_output,
            input_estimate: if call.act.is_some() { 0 } else { estimate(body.len(), reading.blobs) },
            tool_loop: reading.tool_loop,
            has_thinking: reading.has_thinking,
            act: call.act,
            names: reading.names.into_vec(),
            runs_code: reading.runs_code,
            models: reading.models,
        })
    }

    /// Whether every model that is asked for may be called.
    pub(crate) fn may_be_called_with(&self, may: impl Fn(Option<&str>) -> Result<()>) -> Result<()> {
        may(self.model.as_deref())?;
        self.models.iter().try_for_each(|model| may(Some(model)))
    }

    /// The family of the model asked for; `None` when none is.
    pub fn family(&self) -> Option<Family> {
        self.model.as_deref().map(|model| self.provider.family(model))
    }
}

/// Four bytes of text make a token, near enough. An image of a megabyte makes some 1 600, a page of a document a few
/// thousand: one for every 64 bytes keeps both in the right order of magnitude.
fn estimate(bytes: usize, blobs: usize) -> u64 {
    (bytes.saturating_sub(blobs) / 4 + blobs / 64) as u64
}

/// Models that share an upstream's limits: cooldowns belong to an account and a family.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Family(String);

impl Family {
    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Provider {
    /// The family of a model.
    ///
    /// Anthropic pools limits by name and major version (all Opus 4.x together, Opus 5 apart): `opus-4`. Models up to
    /// 3.7 have limits of their own: `haiku-3-5`. Gemini limits each model; its numbered releases (`-001`) are one.
    pub fn family(self, model: &str) -> Family {
        let model = model.to_ascii_lowercase();
        Family(match self {
            Self::Anthropic => claude_family(&model).unwrap_or(model),
            Self::Gemini => match model.rsplit_once('-') {
                Some((name, release)) if release.len() == 3 && is_number(release) => name.to_owned(),
                _ => model,
            },
        })
    }
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `claude-opus-4-8` and `claude-3-5-haiku-20241022`: the name stands before the version or after it.
fn claude_family(model: &str) -> Option<String> {
    let mut words = model.strip_prefix("claude-")?.split('-').peekable();
    let mut version = Vec::new();
    while let Some(word) = words.next_if(|word| is_number(word) && word.len() <= 2) {
        version.push(word);
    }
    let name = words.next().filter(|name| name.starts_with(|c: char| c.is_ascii_alphabetic()))?;
    if version.is_empty() {
        version.extend(words.next().filter(|word| is_number(word) && word.len() <= 2));
    }
    Some([&[name], version.as_slice()].concat().join("-"))
}

/// The refusal of a body that is JSON, and no request.
pub(super) fn not_an_object() -> Error {
    Error::new(Kind::InvalidRequest, "the request body must be a JSON object")
}

/// Of each piece of text, so much tells a conversation from others. Hashing a prompt of 400 kB takes longer than all else.
const OPENING_BYTES: usize = 32 << 10;

/// Hashes the words that a conversation opened with, however they are wrapped: a client may move cache marks, or turn a
/// string into a list of one text, from one turn to the next.
#[derive(Default)]
pub(super) struct Opening(Option<Sha256>);

impl Opening {
    /// Takes a piece of text, as it stands in the body. Of a long one its length stands for the rest: two that begin alike
    /// and are of one length are one conversation.
    pub(super) fn add(&mut self, text: &[u8]) {
        let hash = self.0.get_or_insert_default();
        match text.split_at_checked(OPENING_BYTES) {
            Some((beginning, rest)) if !rest.is_empty() => {
                hash.update(beginning);
                hash.update(text.len().to_le_bytes());
            }
            _ => hash.update(text),
        }
        hash.update([0]);
    }

    /// `None` when there were no words.
    pub(super) fn digest(self) -> Option<[u8; 32]> {
        self.0.map(|hash| hash.finalize().into())
    }
}

#[cfg(test)]
mod tests;
