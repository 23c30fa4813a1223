//! What tracing is told of a request: one span for the whole of it, and one for each attempt within.
//!
//! The spans are made when the request is over, of its row: while it is under way only the times of attempts are noted, and
//! even those only where a collector wants them. An upstream gets the caller's own `traceparent`, or none.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::{
    clock,
    error::Error,
    gateway::{Context, Gateway, Snapshot, attribute},
    http::Request,
    id::AccountId,
    protocol::{Operation, Parent, SpanId, TraceId},
    random,
    store::{AttemptRecord, Record, Status},
};

/// OpenTelemetry's numbers for the kinds of spans, and for one that failed.
const SERVER: u8 = 2;
const CLIENT: u8 = 3;
const FAILED: u8 = 2;

/// The trace of a request.
#[derive(Clone, Default)]
pub(crate) struct Trace {
    /// The caller's, else one of our own where a collector wants it; `None`: the request is part of none.
    id: Option<TraceId>,
    /// There where a collector wants it.
    span: Option<Arc<Span>>,
}

struct Span {
    parent: Option<Parent>,
    id: SpanId,
    began: Timestamp,
    method: String,
    path: String,
    /// Whether an account was claimed: the row then says what became of the request.
    claimed: AtomicBool,
    /// How long after the beginning each attempt was decided.
    decided: Mutex<Vec<Duration>>,
}

impl Trace {
    /// Of a request that has just come.
    pub(crate) fn begin(gateway: &Gateway, request: &Request) -> Self {
        let parent = Parent::read(request.headers());
        let known = parent.as_ref().map(|parent| parent.trace);
        let Some(spans) = &gateway.spans else { return Self { id: known, span: None } };
        let id = known.unwrap_or_else(|| TraceId(random::bytes()));
        if !spans.wants(id, parent.as_ref()) {
            return Self { id: known, span: None };
        }
        let span = Span {
            parent,
            id: SpanId(random::bytes()),
            began: clock::now(),
            method: request.method().to_string(),
            // Without its query, where keys may be.
            path: request.uri().path().to_owned(),
            claimed: AtomicBool::new(false),
            decided: Mutex::default(),
        };
        Self { id: Some(id), span: Some(Arc::new(span)) }
    }

    /// What the log calls it.
    pub(super) fn id(&self) -> Option<TraceId> {
        self.id
    }

    /// An account is taken; from now on the request has a row.
    pub(super) fn claimed(&self) {
        if let Some(span) = &self.span {
            span.claimed.store(true, Ordering::Relaxed);
        }
    }

    /// Another attempt is decided, so long after the request came.
    pub(super) fn decided(&self, after: Duration) {
        if let Some(span) = &self.span {
            span.decided().push(after);
        }
    }

    /// The spans of a request that is over.
    pub(super) fn spans(&self, row: &Record, snapshot: &Snapshot) -> Option<Vec<Value>> {
        let (span, trace) = self.span.as_ref().zip(self.id)?;
        let whole = span.of(row, trace, snapshot);
        let decided = span.decided().clone();
        let end = Duration::from_millis(row.duration_ms.into());
        let attempts = row.attempts.iter().enumerate().map(|(place, attempt)| {
            // One that the caller left was never decided.
            let decided = decided.get(place).copied().unwrap_or(end);
            span.of_attempt(attempt, row, (trace, decided), snapshot)
        });
        Some([whole].into_iter().chain(attempts).collect())
    }

    /// Tells of a request that was refused before an account was taken; what got further has a row to tell of.
    pub(crate) fn refused(&self, cx: &Context, status: StatusCode, error: &Error) {
        let Some((span, trace)) = self.span.as_ref().zip(self.id) else { return };
        if span.claimed.load(Ordering::Relaxed) {
            return;
        }
        let mut attributes = span.attributes();
        attributes.insert("http.response.status_code".to_owned(), status.as_u16().into());
        attributes.insert("error.type".to_owned(), status.as_u16().to_string().into());
        let failed = status.is_server_error().then_some(&*error.message);
        let name = format!("{} {}", span.method, span.path);
        let end = clock::now();
        let told = written(span.root(trace), (&name, SERVER), (span.began, end), attributes, failed);
        let gateway = Arc::clone(&cx.gateway);
        cx.background.spawn(async move {
            if let Some(collector) = &gateway.spans {
                collector.send(vec![told]).await;
            }
        });
    }
}

impl Span {
    fn decided(&self) -> MutexGuard<'_, Vec<Duration>> {
        self.decided.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn attributes(&self) -> Map<String, Value> {
        Map::from_iter([
            ("http.request.method".to_owned(), json!(self.method)),
            ("url.path".to_owned(), json!(self.path)),
        ])
    }

    /// Where the span of the whole request belongs.
    fn root(&self, trace: TraceId) -> Value {
        let mut root = json!({ "traceId": trace.to_string(), "spanId": self.id.to_string() });
        if let Some(parent) = &self.parent {
            root["parentSpanId"] = parent.span.to_string().into();
            root["traceState"] = parent.state.clone().unwrap_or_default().into();
        }
        root
    }

    fn of(&self, row: &Record, trace: TraceId, snapshot: &Snapshot) -> Value {
        let mut attributes = self.attributes();
        attributes.extend(of_model(row));
        let tokens = &row.spent.tokens;
        let prompt = [tokens.cache_read_tokens, tokens.cache_write_5m_tokens, tokens.cache_write_1h_tokens];
        let prompt = tokens.input_tokens.map(|input| input + prompt.into_iter().flatten().sum::<u64>());
        let written_to_cache =
            tokens.cache_write_5m_tokens.map(|short| short + tokens.cache_write_1h_tokens.unwrap_or(0));
        let told = json!({
            "http.response.status_code": row.http_status,
            "error.type": failure(row),
            "user_agent.original": row.client,
            "gen_ai.conversation.id": row.session,
            "gen_ai.response.model": row.served_model,
            "gen_ai.usage.input_tokens": prompt,
            "gen_ai.usage.output_tokens": tokens.output_tokens,
            "gen_ai.usage.cache_read.input_tokens": tokens.cache_read_tokens,
            "gen_ai.usage.cache_creation.input_tokens": written_to_cache,
            "llm_gateway.request.id": row.id,
            "llm_gateway.key.id": row.key_id,
            "llm_gateway.pool": row.pool,
            "llm_gateway.account.id": row.account_id,
            "llm_gateway.account.name": name_of(snapshot, &row.account_id),
            "llm_gateway.status": row.status,
            "llm_gateway.attempts": row.attempts.len(),
            "llm_gateway.stream": row.stream,
            "llm_gateway.cost_micros": row.spent.cost_micros,
            "llm_gateway.estimated": row.spent.estimated,
            "llm_gateway.first_token_ms": row.first_token_ms,
        });
        attributes.extend(into_map(told));
        let failed = (row.status == Status::Failed).then(|| row.error.as_deref().unwrap_or_default());
        let times = (self.began, self.began + Duration::from_millis(row.duration_ms.into()));
        written(self.root(trace), (&name(row), SERVER), times, attributes, failed)
    }

    fn of_attempt(
        &self,
        attempt: &AttemptRecord,
        row: &Record,
        (trace, decided): (TraceId, Duration),
        snapshot: &Snapshot,
    ) -> Value {
        let delivered = attempt.verdict == "delivered";
        let account = &attempt.account;
        let mut attributes = Map::from_iter(of_model(row));
        attributes.extend(into_map(json!({
            "http.response.status_code": attempt.status,
            "error.type": (!delivered).then_some(attempt.verdict),
            "llm_gateway.account.id": account,
            "llm_gateway.account.name": name_of(snapshot, account),
            "llm_gateway.verdict": attempt.verdict,
        })));
        let id = SpanId(random::bytes()).to_string();
        let place = json!({ "traceId": trace.to_string(), "spanId": id, "parentSpanId": self.id.to_string() });
        // How long it took, before it was decided.
        let took = Duration::from_millis(attempt.took_ms.into());
        // The answer that the caller gets flows on.
        let end = if delivered { Duration::from_millis(row.duration_ms.into()) } else { decided };
        let times = (self.began + decided.saturating_sub(took), self.began + end);
        written(place, (&name(row), CLIENT), times, attributes, (!delivered).then_some(attempt.verdict))
    }
}

/// What OpenTelemetry calls the operation; `None`: it is none of a model.
fn operation(row: &Record) -> Option<&'static str> {
    match (row.operation, row.provider) {
        (Operation::Generate, "anthropic") => Some("chat"),
        (Operation::Generate, _) => Some("generate_content"),
        (Operation::Embed, _) => Some("embeddings"),
        _ => None,
    }
}

fn name(row: &Record) -> String {
    let operation = operation(row).unwrap_or(row.operation.as_str());
    row.model.as_deref().map_or_else(|| operation.to_owned(), |model| format!("{operation} {model}"))
}

fn of_model(row: &Record) -> Map<String, Value> {
    let provider = if row.provider == "gemini" { "gcp.gemini" } else { row.provider };
    into_map(json!({
        "gen_ai.provider.name": provider,
        "gen_ai.operation.name": operation(row),
        "gen_ai.request.model": row.model,
    }))
}

fn failure(row: &Record) -> Option<&str> {
    match row.status {
        Status::Completed => None,
        Status::Cancelled => Some("cancelled"),
        Status::Refused => Some("refused"),
        Status::Failed => Some(row.attempts.last().map_or("failed", |last| match last.verdict {
            "delivered" => "failed",
            verdict => verdict,
        })),
    }
}

fn name_of<'s>(snapshot: &'s Snapshot, account: &AccountId) -> Option<&'s str> {
    snapshot.account(account).map(|known| known.name.as_str())
}

/// What is not known is left out.
fn into_map(object: Value) -> Map<String, Value> {
    match object {
        Value::Object(map) => map.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        _ => Map::new(),
    }
}

/// A span in the protocol's JSON.
fn written(
    mut span: Value,
    (name, kind): (&str, u8),
    (began, ended): (Timestamp, Timestamp),
    attributes: Map<String, Value>,
    failed: Option<&str>,
) -> Value {
    span["name"] = name.into();
    span["kind"] = kind.into();
    span["startTimeUnixNano"] = began.as_nanosecond().to_string().into();
    span["endTimeUnixNano"] = ended.max(began).as_nanosecond().to_string().into();
    span["attributes"] = attributes.into_iter().map(|(key, value)| attribute(&key, value)).collect();
    if let Some(message) = failed {
        span["status"] = json!({ "code": FAILED, "message": message });
    }
    span
}
