//! One error for the whole house: what a caller may act on, what a caller may read, and what only the log sees.
//!
//! `kind` is the closed list that a caller can act on; it maps to a status in `routes` and to each dialect in
//! `protocol`. `message` is written for the caller and safe to show. `source` is logged once, where the request ends,
//! and never shown. Decisions such as "try another account" are not errors; they have enums of their own.

use std::{borrow::Cow, fmt, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Whatever went wrong underneath; for the log only.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The result of everything that can refuse.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a caller can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The request is wrong and will be wrong again.
    InvalidRequest,
    /// No key, or one that this gateway did not issue.
    Unauthenticated,
    /// The key is good and may not do this.
    PermissionDenied,
    /// No such path or thing.
    NotFound,
    /// The path exists, the method does not.
    MethodNotAllowed,
    /// Someone else holds the name, or the thing changed meanwhile.
    Conflict,
    /// The body is over the limit.
    TooLarge,
    /// A limit of the key, or every account is busy or cooling.
    RateLimited,
    /// Our own fault; the details are in the log.
    Internal,
    /// Something this gateway needs is away: try again.
    Unavailable,
}

/// What a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Measure {
    /// Requests that were admitted, whatever came of them.
    Requests,
    /// Tokens of every kind, those from caches too.
    Tokens,
    /// Millionths of a USD.
    Cost,
}

/// The limit of a key that has nothing left: what clients have headers for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reached {
    /// What it counts.
    pub measure: Measure,
    /// How much it allows, in the measure's unit.
    pub value: i64,
    /// When a request may go again; `None`: not by itself.
    pub resets_at: Option<Timestamp>,
}

/// A refusal.
#[derive(Debug)]
pub struct Error {
    /// What the caller can do about it.
    pub kind: Kind,
    /// Safe to show.
    pub message: Cow<'static, str>,
    /// The field at fault, as the caller wrote it: `limits.max_in_flight`.
    pub param: Option<Cow<'static, str>>,
    /// When trying again can help; `None` when no time is known.
    pub retry_after: Option<Duration>,
    /// The limit that was reached, where the refusal is of one of a key's own.
    pub limit: Option<Box<Reached>>,
    source: Option<BoxError>,
}

impl Error {
    /// A refusal of `kind`, with a message the caller may read.
    pub fn new(kind: Kind, message: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, message: message.into(), param: None, retry_after: None, limit: None, source: None }
    }

    /// A request that is wrong in `param`.
    pub fn invalid(param: impl Into<Cow<'static, str>>, message: impl Into<Cow<'static, str>>) -> Self {
        Self { param: Some(param.into()), ..Self::new(Kind::InvalidRequest, message) }
    }

    /// Our own fault: the caller reads "internal error", the log reads `source`.
    pub fn internal(source: impl Into<BoxError>) -> Self {
        Self { source: Some(source.into()), ..Self::new(Kind::Internal, "internal error") }
    }

    /// Keeps the cause for the log.
    #[must_use]
    pub fn with_source(self, source: impl Into<BoxError>) -> Self {
        Self { source: Some(source.into()), ..self }
    }

    /// Says when trying again can help.
    #[must_use]
    pub fn with_retry_after(self, after: Duration) -> Self {
        Self { retry_after: Some(after), ..self }
    }

    /// Says which limit was reached.
    #[must_use]
    pub fn with_limit(self, limit: Reached) -> Self {
        Self { limit: Some(Box::new(limit)), ..self }
    }

    /// Whether it says that a key's money is spent.
    pub fn is_of_a_budget(&self) -> bool {
        self.limit.as_ref().is_some_and(|limit| limit.measure == Measure::Cost)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.param {
            Some(param) => write!(f, "{param}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source.as_ref() as _)
    }
}
