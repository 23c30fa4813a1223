//! What bytes mean: which API a path belongs to, what a body asks for, what an answer says and what it used. No IO.
//!
//! The two vendors answer the same questions, one folder each: `anthropic` and `gemini`.

mod api;
mod beginning;
mod call;
mod decode;
mod demand;
mod headers;
mod json;
mod limits;
mod own_login;
mod path;
mod peek;
mod reason;
mod reported;
mod run;
mod session;
mod sse;
mod thing;
mod trace;
mod usage;

mod anthropic;
mod gemini;
mod openai;

use std::{fmt, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Kind},
    http::Response,
    id::RequestId,
};

pub use anthropic::PING;
pub use api::Api;
pub(crate) use beginning::Beginning;
pub use call::Call;
pub use demand::{Demand, Family};
pub(crate) use gemini::code_assist;
pub use headers::{presented_keys, strip_key, to_caller, to_upstream};
pub(crate) use limits::retry_at;
pub use own_login::{IsOurs, to_owner};
pub(crate) use reason::reason;
pub use reported::ReportedLimit;
pub use session::Session;
pub use thing::{Act, Kind as ThingKind, Thing};
pub(crate) use thing::{Finder, Made, Page, PageFrom, downloads, made, made_by_batch, page, results, upload_urls};
pub use trace::{Parent, SpanId, TraceId};
pub use usage::{Charge, Ending, Media, Meter, Tally, Terms, Tier, Usage, meter};

/// Whose account serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// `api.anthropic.com`.
    Anthropic,
    /// `generativelanguage.googleapis.com`, or with a login `cloudcode-pa.googleapis.com`.
    Gemini,
}

impl Provider {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Anthropic, Self::Gemini];

    /// The word for it in SQL, JSON and on pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|provider| provider.as_str() == word)
    }

    /// What an answer means, before the caller has seen any of it.
    pub fn judge(self, answer: &Answer<'_>, now: Timestamp) -> Verdict {
        match self {
            Self::Anthropic => anthropic::judge(answer, now),
            Self::Gemini => gemini::judge(answer, now),
        }
    }

    /// What the first event (or array element) of a stream means: `Deliver` unless it is an error. `name` is its
    /// `event:` line, where it has one; `answer` holds the stream's status and headers, and the event's data.
    pub fn judge_event(self, name: Option<&str>, answer: &Answer<'_>, now: Timestamp) -> Verdict {
        match self {
            Self::Anthropic => anthropic::judge_event(name, answer, now),
            Self::Gemini => gemini::judge_event(answer, now),
        }
    }

    /// What to send into a stream that we have to break off. `None` where the dialect has no such event that clients
    /// understand: then the connection is closed abnormally, never cleanly.
    pub fn error_event(self, form: Form, error: &Error) -> Option<Bytes> {
        match (self, form) {
            (Self::Anthropic, Form::Sse) => Some(anthropic::error_event(error)),
            // Gemini CLI takes an error element for the end of an answer and prints what it has as if all were well.
            (Self::Gemini, _) | (_, Form::Json | Form::JsonArray) => None,
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The dialect the caller speaks; every answer of ours, also a refusal, is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// The Messages API.
    Anthropic,
    /// The Gemini API.
    Gemini,
    /// Chat completions: recognised, so that its clients can read our refusal; not served.
    OpenAi,
}

impl Protocol {
    /// Our "no", in the caller's dialect. `form` is what the caller would have got.
    pub fn refusal(self, form: Form, error: &Error, id: &RequestId) -> Response {
        match self {
            Self::Anthropic => anthropic::refusal(error, id),
            Self::Gemini => gemini::refusal(form, error, id),
            Self::OpenAi => openai::refusal(error, id),
        }
    }
}

/// What a path asks of its API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// An answer of a model.
    Generate,
    /// How many tokens a prompt has; free.
    CountTokens,
    /// Vectors.
    Embed,
    /// The list of models, or one of them.
    Models,
    /// Batches: made, looked at, deleted.
    Batches,
    /// The results of a batch. What they say was used is on a row of its own.
    BatchResults,
    /// Gemini's cached contents.
    Caches,
    /// Files.
    Files,
    /// Another path of the API that is let through.
    Other,
}

impl Operation {
    /// Reads the word that ledger and API have for it.
    pub fn parse(word: &str) -> Option<Self> {
        serde_json::from_value(word.into()).ok()
    }

    /// That word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Generate => "generate",
            Self::CountTokens => "count_tokens",
            Self::Embed => "embed",
            Self::Models => "models",
            Self::Batches => "batches",
            Self::BatchResults => "batch_results",
            Self::Caches => "caches",
            Self::Files => "files",
            Self::Other => "other",
        }
    }

    /// Whether the upstream charges nothing for it.
    pub fn is_free(self) -> bool {
        !matches!(self, Self::Generate | Self::Embed)
    }
}

/// How the answer's bytes are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// One JSON value.
    Json,
    /// Server-sent events.
    Sse,
    /// Gemini's stream without `alt=sse`: one JSON array, sent element by element.
    JsonArray,
}

/// The part of an answer that is looked at before the caller sees any of it.
#[derive(Debug)]
pub struct Answer<'a> {
    /// The upstream's status.
    pub status: StatusCode,
    /// The upstream's headers.
    pub headers: &'a HeaderMap,
    /// An error's body (its first 64 KiB, decoded), or the data of a stream's first event.
    pub body: &'a [u8],
}

/// What an answer means for the attempt that got it.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Give it to the caller.
    Deliver,
    /// The caller's own mistake: give it to the caller, and nobody pays.
    CallersFault,
    /// This account cannot serve this request (no such model, no such feature): try another, nobody pays.
    Unsuited,
    /// Try another account, and this one pays.
    Failover(Penalty),
}

/// Why an account pays.
#[derive(Debug, Clone, PartialEq)]
pub enum Penalty {
    /// A limit was hit. `until` is the reset the upstream gave; `None` where it gave none.
    RateLimited {
        /// When the upstream says the limit ends.
        until: Option<Timestamp>,
        /// How far the limit reaches.
        scope: Scope,
    },
    /// The upstream, or one model of it, is overloaded or failing; hardly the account's doing.
    Overloaded,
    /// Out of credit or over a spend limit. `None`: until somebody acts.
    Exhausted {
        /// When it is over, where the upstream says so.
        until: Option<Timestamp>,
    },
    /// The credential is refused.
    NeedsAuth,
    /// No answer at all: connect, TLS, reset or timeout before the first byte.
    Unreachable,
    /// An answer that was not whole: the upstream went away after its beginning had been shown.
    BrokeOff,
}

/// How far a limit reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The whole account.
    Account,
    /// The account's use of the model family that was asked for.
    Family,
}

/// The status of a refusal, where the dialect has no reason to choose another.
fn status(kind: Kind) -> StatusCode {
    match kind {
        Kind::InvalidRequest => StatusCode::BAD_REQUEST,
        Kind::Unauthenticated => StatusCode::UNAUTHORIZED,
        Kind::PermissionDenied => StatusCode::FORBIDDEN,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Kind::Conflict => StatusCode::CONFLICT,
        Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Kind::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// A wait in whole seconds, never too short.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

/// What refusals of every dialect have in common.
///
/// Without `x-should-retry: false` Claude Code tries for minutes what no retry can cure, a 401 above all; and of waits
/// it sits out only those under a minute.
fn answer(status: StatusCode, error: &Error, id: &RequestId, body: String) -> Response {
    let mut response = Response::new(crate::http::full(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-request-id", HeaderValue::from_str(id.as_str()).expect("an id is plain text"));
    let wait = error.retry_after.map(whole_seconds);
    if let Some(seconds) = wait {
        headers.insert(RETRY_AFTER, seconds.into());
    }
    let cured_by_retry = match error.kind {
        Kind::Internal => true,
        Kind::Unavailable => wait.is_none_or(|seconds| seconds < 60),
        Kind::RateLimited => wait.is_some_and(|seconds| seconds < 60),
        _ => false,
    };
    if !cured_by_retry {
        headers.insert("x-should-retry", HeaderValue::from_static("false"));
    }
    response
}

/// Whether a message (in lower case) says `phrase` in the upstream's own words. Upstreams repeat what a caller sent, and
/// a caller must not be able to put an account out by sending such words: after a quotation mark nothing is certain,
/// and a message with a colon is of the form "field: complaint", where the field may have any name.
fn says(message: &str, phrase: &str) -> bool {
    let own = message.find(['"', '`']).map_or(message, |quote| &message[..quote]);
    own.contains(phrase) && !message.contains(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes a refusal apart; its body is all there, so nothing has to be waited for.
    pub(super) fn read(response: Response) -> (http::response::Parts, String) {
        use futures_util::FutureExt as _;
        use http_body_util::BodyExt as _;
        let (head, body) = response.into_parts();
        let body = body.collect().now_or_never().expect("a full body is ready").expect("and whole").to_bytes();
        (head, String::from_utf8(body.into()).expect("refusals are text"))
    }

    #[test]
    fn providers_are_words() {
        for provider in Provider::ALL {
            assert_eq!(Provider::parse(provider.as_str()), Some(provider));
        }
        assert_eq!(Provider::parse("openai"), None);
    }
}
