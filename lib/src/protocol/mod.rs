//! What bytes mean: which API a path belongs to, what a body asks for, what an answer says and what it used. No IO.
//!
//! The two vendors answer the same questions, one file each: [`anthropic`] and [`gemini`].

mod decode;
mod json;
pub(crate) mod sse;
mod usage;

pub mod anthropic {
    //! The Messages API.
    pub(super) mod meter;
}
pub mod gemini {
    //! The Gemini API.
    pub(super) mod meter;
}

use std::fmt;

use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use usage::{Charge, Ending, Media, Meter, Tally, Terms, Tier, Usage, meter};

/// Whose account serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// `api.anthropic.com`.
    Anthropic,
    /// `generativelanguage.googleapis.com`.
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

    /// Where an account's requests go unless it says otherwise.
    pub fn default_base_url(self) -> &'static str {
        match self {
            Self::Anthropic => "https://api.anthropic.com",
            Self::Gemini => "https://generativelanguage.googleapis.com",
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
    /// Another path of the API that is let through.
    Other,
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
}

/// How far a limit reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The whole account.
    Account,
    /// The account's use of the model family that was asked for.
    Family,
}
