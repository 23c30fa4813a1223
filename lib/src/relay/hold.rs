//! Holds an answer back until it is clear whether the caller may see it. What is held goes out first, unchanged.

use std::collections::VecDeque;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::source::Source;
use crate::{
    clock,
    protocol::{
        Answer, Api, Beginning, Demand, Form, Operation, Usage, Verdict,
        code_assist::{self, Unwrap},
        meter, reason,
    },
};

/// An answer in one piece is held up to here; what is longer goes out as it comes.
const MOST_HELD: usize = 1 << 20;

/// An answer whose beginning has been read.
pub(super) struct Held {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// What has been read.
    pub(super) chunks: VecDeque<Bytes>,
    /// What is still to come; `None` when all has been read.
    pub(super) rest: Option<Source>,
    /// The error, unpacked, where it is one: its body's beginning, or the data of a stream's event.
    pub(super) error: Vec<u8>,
    /// What it says that it used, where it is an error.
    pub(super) told: Option<Box<Told>>,
}

/// What an answer that failed says that it used: it has cost money like any other.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub(super) usage: Usage,
    /// The model that served, as the upstream calls it.
    pub(super) model: Option<String>,
}

/// Why nothing came that could be shown.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) reason: String,
    pub(super) told: Option<Box<Told>>,
}

/// Reads as much of the answer of an upstream that speaks `api` as its verdict needs: an error's body, a stream's first
/// event, or an answer in one piece whole.
pub(super) async fn hold(
    mut response: reqwest::Response,
    api: Api,
    demand: &Demand,
) -> Result<(Held, Verdict), Broken> {
    let status = response.status();
    let mut headers = std::mem::take(response.headers_mut());
    let unwrap = Unwrap::new(api, demand, status, &mut headers);
    let mut source = Source::new(response, unwrap);
    let mut beginning = Beginning::new(&headers);
    let mut chunks = VecDeque::new();
    let (mut held_bytes, mut ended) = (0, false);
    let decided = loop {
        if let Some(decided) = first_event_verdict(status, &headers, &beginning, demand) {
            break Some(decided);
        }
        let enough = match demand.form {
            _ if !status.is_success() => beginning.is_full(),
            // Its caller can do nothing with a part of it, and while it is held another account can still give a whole one.
            Form::Json if demand.operation != Operation::Other && demand.act.is_none() => held_bytes > MOST_HELD,
            Form::Json => !chunks.is_empty(),
            Form::Sse | Form::JsonArray => beginning.is_full(),
        };
        if enough || ended {
            break None;
        }
        match source.chunk().await {
            Some(Ok(chunk)) => {
                beginning.see(&chunk);
                held_bytes += chunk.len();
                chunks.push_back(chunk);
            }
            None => ended = true,
            // Nothing has reached the caller yet, so this attempt can be made elsewhere.
            Some(Err(reason)) => return Err(Broken { reason, told: told(demand, status, beginning.plain()) }),
        }
    };
    let (verdict, error) = decided.unwrap_or_else(|| {
        let answer = Answer { status, headers: &headers, body: beginning.plain() };
        let verdict = || demand.provider.judge(&answer, clock::now());
        match status.is_success() {
            true => (Verdict::Deliver, Vec::new()),
            false if api == demand.api => (verdict(), beginning.plain().to_vec()),
            false => (code_assist::of_wrapped(verdict(), answer.body), beginning.plain().to_vec()),
        }
    });
    let told = if verdict == Verdict::Deliver { None } else { told(demand, status, beginning.plain()) };
    Ok((Held { status, headers, chunks, rest: (!ended).then_some(source), error, told }, verdict))
}

/// What a stream's first event means, once it is there, and its data where it is an error.
fn first_event_verdict(
    status: StatusCode,
    headers: &HeaderMap,
    beginning: &Beginning,
    demand: &Demand,
) -> Option<(Verdict, Vec<u8>)> {
    if !status.is_success() {
        return None;
    }
    let first = beginning.first(demand.form)?;
    let answer = Answer { status, headers, body: &first.data };
    let verdict = demand.provider.judge_event(first.name.as_deref(), &answer, clock::now());
    let error = if verdict == Verdict::Deliver { Vec::new() } else { first.data.into_owned() };
    Some((verdict, error))
}

/// What an answer that is not shown says of its use: only what it does say counts, and nothing is estimated.
fn told(demand: &Demand, status: StatusCode, plain: &[u8]) -> Option<Box<Told>> {
    let form = if status.is_success() { demand.form } else { Form::Json };
    let mut meter = meter(demand.provider, demand.operation, form, None, 0);
    meter.see(plain);
    if form == Form::Sse {
        // Half an event is read as far as it goes.
        meter.see(b"\n\n");
    }
    let tally = meter.tally();
    let usage = tally.usage.filter(|usage| !usage.is_nothing())?;
    Some(Box::new(Told { usage, model: tally.model }))
}

impl Held {
    /// Whether the upstream says that an access token has ended. Every 401 does; a 403 says it in so many words.
    pub(super) fn refuses_token(&self) -> bool {
        let says = |phrase: &[u8]| self.error.windows(phrase.len()).any(|part| part.eq_ignore_ascii_case(phrase));
        match self.status {
            StatusCode::UNAUTHORIZED => true,
            StatusCode::FORBIDDEN => says(b"token_expired") || says(b"token has expired"),
            // A stream whose first event is an error has the status of a stream.
            status => status.is_success() && says(b"authentication_error"),
        }
    }

    /// What the upstream gave as the reason, in one line.
    pub(super) fn reason(&self) -> String {
        reason(self.status, &self.error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: u16, error: &str, expect: bool) {
        let status = StatusCode::from_u16(status).unwrap();
        let held = Held {
            status,
            headers: HeaderMap::new(),
            chunks: VecDeque::new(),
            rest: None,
            error: error.as_bytes().to_vec(),
            told: None,
        };
        assert_eq!(held.refuses_token(), expect, "{status} {error}");
    }

    #[test]
    fn a_refused_token_is_told_from_other_refusals() {
        check(401, "", true);
        check(403, r#"{"error":{"details":{"error_code":"token_expired"}}}"#, true);
        check(403, r#"{"error":{"message":"OAuth token has expired. Log in again."}}"#, true);
        check(403, r#"{"error":{"details":{"error_code":"oauth_not_allowed_for_organization"}}}"#, false);
        check(400, r#"{"error":{"message":"OAuth token has expired"}}"#, false);
        check(200, r#"{"type":"error","error":{"type":"authentication_error"}}"#, true);
        check(200, r#"{"type":"error","error":{"type":"overloaded_error"}}"#, false);
    }
}
