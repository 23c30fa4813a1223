//! An open request: what is known of it so far, and the promise that it ends as one row of the ledger.
//!
//! The row is written by a task that was handed to the host before anything was claimed. It is told the row when the
//! request ends, and an [`Open`] that is dropped ends it: so a caller who hangs up, at whatever point, is on the books.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use tokio::sync::oneshot;

use super::{
    Arrival,
    settle::{Closed, settle},
};
use crate::{
    gateway::{Context, Snapshot},
    id::{AccountId, RequestId},
    ledger::PriceTable,
    protocol::{Ending, Form, Meter, Operation, Tally, Tier, Usage},
    store::{AttemptRecord, Draft, Granted, Record, Status, Tokens},
};

/// A user agent is kept up to here.
const CLIENT_CHARS: usize = 120;
/// An upstream's name for a request is kept up to here.
const REQUEST_ID_CHARS: usize = 120;

/// A request between its claim and its last byte. A clone is the same request; when the last one is gone, it has ended.
#[derive(Clone)]
pub(super) struct Open(Arc<Mutex<Entry>>);

/// What is known of the request.
struct Entry {
    record: Record,
    began: Instant,
    /// What the request costs if nobody ever says: see [`unsaid`].
    unsaid: Option<Usage>,
    /// Whether a claim was granted: only then is there a row.
    granted: bool,
    /// From the arrival to the first claim that was granted.
    admitted: Option<Duration>,
    /// Whether an upstream is at work on it.
    at_work: bool,
    /// Whether an upstream went away without a word, and may have charged for what it did.
    unanswered: bool,
    /// The status is final; until then a drop means that the caller hung up.
    ended: bool,
    meter: Option<Box<dyn Meter>>,
    /// The service tier that the answer's headers name.
    tier: Option<Tier>,
    /// Prices as they were when an account was taken.
    snapshot: Arc<Snapshot>,
    /// The row of the batch whose results are fetched; what they say was used is written there.
    batch: Option<(RequestId, Timestamp)>,
    /// What they say, where nobody meters them on their way.
    batch_used: Option<Box<(Usage, Option<String>)>>,
    tell: Option<oneshot::Sender<Closed>>,
}

impl Open {
    /// Hands the settlement to the host.
    pub(super) fn new(cx: &Context, arrival: &Arrival) -> Self {
        let (tell, told) = oneshot::channel();
        cx.background.spawn(settle(Arc::clone(&cx.gateway), arrival.id.clone(), told));
        let entry = Entry {
            record: blank(arrival),
            began: arrival.began,
            unsaid: unsaid(arrival),
            granted: false,
            admitted: None,
            at_work: false,
            unanswered: false,
            ended: false,
            meter: None,
            tier: None,
            snapshot: Arc::clone(&arrival.snapshot),
            batch: arrival.place.batch.clone(),
            batch_used: None,
            tell: Some(tell),
        };
        Self(Arc::new(Mutex::new(entry)))
    }

    fn entry(&self) -> MutexGuard<'_, Entry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An account is taken.
    pub(super) fn granted(&self, granted: &Granted, snapshot: Arc<Snapshot>) {
        let mut entry = self.entry();
        entry.snapshot = snapshot;
        entry.granted = true;
        let admitted = entry.began.elapsed();
        entry.admitted.get_or_insert(admitted);
        entry.record.account_id = granted.account.clone();
        entry.record.affinity.clone_from(&granted.affinity);
    }

    /// The request is about to leave: from here on an upstream may charge for it.
    pub(super) fn sent(&self) {
        self.entry().at_work = true;
    }

    /// An attempt is decided.
    pub(super) fn attempted(&self, account: &AccountId, verdict: &'static str, status: Option<u16>, took: Duration) {
        let mut entry = self.entry();
        let took_ms = millis(took);
        entry.record.attempts.push(AttemptRecord { account: account.clone(), verdict, status, took_ms });
        entry.at_work = false;
    }

    /// The upstream went away without a word after the request had been sent.
    pub(super) fn unanswered(&self) {
        self.entry().unanswered = true;
    }

    /// Attempts so far.
    pub(super) fn attempts(&self) -> usize {
        self.entry().record.attempts.len()
    }

    /// The gateway's own part of the time so far, and the upstream's.
    pub(super) fn timing(&self) -> (Duration, Duration) {
        let entry = self.entry();
        let admitted = entry.admitted.unwrap_or_default();
        (admitted, entry.began.elapsed().saturating_sub(admitted))
    }

    /// The caller is shown an answer: `meter` counts it.
    pub(super) fn answering(&self, status: StatusCode, headers: &HeaderMap, meter: Box<dyn Meter>) {
        let mut entry = self.entry();
        entry.record.http_status = Some(status.as_u16());
        entry.record.upstream_request_id = upstream_request_id(headers);
        // Gemini names the tier here; its answer's body may not.
        entry.tier = headers.get("x-gemini-service-tier").and_then(|tier| Some(Tier::read(tier.to_str().ok()?)));
        entry.meter = Some(meter);
    }

    /// Bytes of the answer, on their way to the caller.
    pub(super) fn see(&self, bytes: &[u8]) {
        let entry = &mut *self.entry();
        let Some(meter) = &mut entry.meter else { return };
        meter.see(bytes);
        if entry.record.first_token_ms.is_none() && meter.first_output() {
            entry.record.first_token_ms = Some(millis(entry.began.elapsed()));
        }
    }

    /// Whether an event of ours may follow what the caller has got.
    pub(super) fn between_events(&self) -> bool {
        self.entry().meter.as_ref().is_some_and(|meter| meter.between_events())
    }

    /// Whether the answer has ended by itself: with the sign of its form, or with an error of its own.
    pub(super) fn has_ended(&self) -> bool {
        self.entry().meter.as_ref().is_none_or(|meter| meter.tally().ending != Ending::Cut)
    }

    /// The caller has got a refusal of the upstream, whole.
    pub(super) fn refused(&self, reason: String) {
        self.entry().end(Status::Refused, Some(reason));
    }

    /// The upstream gave no answer, or broke off.
    pub(super) fn failed(&self, reason: impl Into<String>) {
        self.entry().end(Status::Failed, Some(reason.into()));
    }

    /// The caller has got everything.
    pub(super) fn completed(&self) {
        self.entry().end(Status::Completed, None);
    }

    /// What the results of a batch say was used, and by which model.
    pub(super) fn batch_used(&self, usage: Usage, model: Option<String>) {
        self.entry().batch_used = Some(Box::new((usage, model)));
    }

    /// What the caller's status was, for an answer without a meter.
    pub(super) fn answered(&self, status: u16) {
        self.entry().record.http_status = Some(status);
    }
}

impl Entry {
    fn end(&mut self, status: Status, error: Option<String>) {
        if !self.ended {
            self.ended = true;
            self.record.status = status;
            self.record.error = error;
        }
    }

    /// The rows, as the request now stands.
    fn close(&mut self) -> Closed {
        let tally = self.meter.as_ref().map(|meter| meter.tally());
        if let Some(Tally { ending: Ending::Failed { kind, message }, .. }) = &tally {
            self.record.status = Status::Failed;
            self.record.error = Some(format!("{kind}: {message}"));
        }
        let (mut usage, model) = match tally {
            Some(Tally { usage, model, .. }) => (usage, model),
            // An upstream was at work when the caller hung up, or went away: what it used nobody will ever say.
            None if self.at_work || self.unanswered => (self.unsaid.take(), None),
            None => (None, None),
        };
        self.record.duration_ms = millis(self.began.elapsed());
        if self.record.operation.is_free() {
            let used = self.batch_used.take().map(|used| *used).or_else(|| usage.map(|usage| (usage, model)));
            return Closed { row: self.record.clone(), batch: self.batch_row(used).map(Box::new) };
        }
        self.record.served_model = model;
        if let (Some(usage), Some(tier)) = (&mut usage, self.tier)
            && usage.terms.tier == Tier::Standard
        {
            usage.terms.tier = tier;
        }
        if let Some(usage) = usage {
            self.price(&usage);
        }
        Closed { row: self.record.clone(), batch: None }
    }

    /// The row of a batch. Writing it again changes nothing, so however often the results are fetched, they count once.
    fn batch_row(&mut self, used: Option<(Usage, Option<String>)>) -> Option<Record> {
        let (usage, model) = used.filter(|_| self.record.status == Status::Completed)?;
        let (id, at) = self.batch.take()?;
        let fetch = self.record.clone();
        let record = &mut self.record;
        (record.id, record.started_at, record.operation) = (id, at, Operation::Batches);
        (record.served_model, record.attempts, record.duration_ms) = (model, Vec::new(), 0);
        (record.http_status, record.upstream_request_id, record.first_token_ms) = (None, None, None);
        self.price(&usage);
        Some(std::mem::replace(&mut self.record, fetch))
    }

    fn price(&mut self, usage: &Usage) {
        let record = &mut self.record;
        let provider = crate::protocol::Provider::parse(record.provider).expect("a record holds a provider's word");
        let asked = record.model.as_deref().unwrap_or_default();
        let priced = self.snapshot.prices.price(provider, asked, record.served_model.as_deref(), usage);
        record.cost_micros = priced.cost.0;
        record.unpriced = priced.unpriced;
        record.estimated = usage.estimated;
        record.tokens = Tokens {
            input_tokens: Some(usage.input),
            cache_read_tokens: Some(usage.cache_read),
            cache_write_5m_tokens: Some(usage.cache_write_5m),
            cache_write_1h_tokens: Some(usage.cache_write_1h),
            output_tokens: Some(usage.output),
            thinking_tokens: Some(usage.thinking),
            tool_use_tokens: Some(usage.tool_use),
            searches: Some(usage.searches),
        };
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(tell) = self.tell.take().filter(|_| self.granted) {
            // The settlement is only gone when the process is; then the lease's end records the request.
            let _gone = tell.send(self.close());
        }
    }
}

fn blank(arrival: &Arrival) -> Record {
    Record {
        id: arrival.id.clone(),
        started_at: arrival.at,
        key_id: arrival.key.id.clone(),
        account_id: AccountId::from(String::new()),
        pool: arrival.key.pool.clone(),
        provider: arrival.demand.provider.as_str(),
        operation: arrival.demand.operation,
        model: arrival.demand.model.clone(),
        served_model: None,
        stream: arrival.demand.form != Form::Json,
        session: arrival.session.clone(),
        client: client(arrival),
        affinity: None,
        status: Status::Cancelled,
        http_status: None,
        error: None,
        attempts: Vec::new(),
        tokens: Tokens::default(),
        cost_micros: 0,
        estimated: false,
        unpriced: false,
        first_token_ms: None,
        duration_ms: 0,
        upstream_request_id: None,
    }
}

/// What a request used of which nobody will ever say it: its prompt, by estimate. `None` where the upstream charges nothing.
fn unsaid(arrival: &Arrival) -> Option<Usage> {
    let demand = &arrival.demand;
    (!demand.operation.is_free()).then(|| Usage::estimate(demand.input_estimate))
}

/// What the request is recorded as should this instance die.
pub(super) fn draft(arrival: &Arrival, prices: &PriceTable) -> Draft {
    let blank = blank(arrival);
    let usage = unsaid(arrival);
    let asked = blank.model.as_deref().unwrap_or_default();
    let priced = usage.as_ref().map(|usage| prices.price(arrival.demand.provider, asked, None, usage));
    Draft {
        id: blank.id,
        started_at: blank.started_at,
        key_id: blank.key_id,
        pool: blank.pool,
        provider: blank.provider,
        operation: blank.operation,
        model: blank.model,
        stream: blank.stream,
        session: blank.session,
        client: blank.client,
        cost_micros: priced.as_ref().map_or(0, |priced| priced.cost.0),
        unpriced: priced.is_some_and(|priced| priced.unpriced),
        estimated: usage.is_some(),
        input_tokens: usage.map(|usage| usage.input),
        attempts: [],
    }
}

fn client(arrival: &Arrival) -> Option<String> {
    let agent = arrival.headers.get(http::header::USER_AGENT)?.to_str().ok()?;
    Some(agent.chars().take(CLIENT_CHARS).collect())
}

fn upstream_request_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get("request-id").or_else(|| headers.get("x-cloud-trace-context"))?;
    Some(id.to_str().ok()?.chars().take(REQUEST_ID_CHARS).collect())
}

fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}
