//! An open request: what is known of it so far, and the promise that it ends as one row of the ledger.
//!
//! The row is written by a task that was handed to the host before anything was claimed. It is told the row when the
//! request ends, and an [`Open`] that is dropped ends it: so a caller who hangs up, at whatever point, is on the books.

mod row;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use tokio::sync::oneshot;

use super::{
    Arrival,
    hold::{Held, Told},
    minutes::Counts,
    settle::{Closed, Finish, settle},
    trace::Trace,
};
use crate::{
    gateway::{Context, Snapshot},
    id::{AccountId, RequestId},
    protocol::{Ending, Meter, Operation, Tally, Tier, Usage},
    store::{AttemptRecord, Granted, Record, Spent, Status},
};

pub(super) use row::draft;
use row::{blank, price, provider, unsaid, upstream_request_id};

/// A request between its claim and its last byte. A clone is the same request; when the last one is gone, it has ended.
#[derive(Clone)]
pub(super) struct Open(Arc<Mutex<Entry>>);

/// What is known of the request.
struct Entry {
    record: Record,
    began: Instant,
    /// What an attempt costs if nobody ever says: see [`unsaid`].
    unsaid: Option<Usage>,
    /// Whether a claim was granted: only then is there a row.
    granted: bool,
    /// The organization of the account that its conversation was on, where it has moved.
    left: Option<String>,
    /// What it counts on in Redis.
    counts: Option<Counts>,
    /// From the arrival to the first claim that was granted.
    admitted: Option<Duration>,
    /// Since when an upstream is at work on it.
    at_work: Option<Instant>,
    /// The attempt whose upstream went away without a word, and may have charged for what it did.
    unanswered: Option<usize>,
    /// The status is final; until then a drop means that the caller hung up.
    ended: bool,
    /// What its end will tell of the account that serves it.
    finish: Finish,
    meter: Option<Box<dyn Meter>>,
    /// The service tier that the answer's headers name.
    tier: Option<Tier>,
    /// Prices as they were when an account was taken.
    snapshot: Arc<Snapshot>,
    /// The row of the batch whose results are fetched; what they say was used is written there.
    batch: Option<(RequestId, Timestamp)>,
    /// What they say, where nobody meters them on their way.
    batch_used: Option<Box<(Usage, Option<String>)>>,
    trace: Trace,
    tell: Option<oneshot::Sender<Closed>>,
    /// When the answer has to end, where the host sets a limit.
    ends_at: Option<tokio::time::Instant>,
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
            left: None,
            counts: None,
            admitted: None,
            at_work: None,
            unanswered: None,
            ended: false,
            finish: Finish::Usual,
            meter: None,
            tier: None,
            snapshot: Arc::clone(&arrival.snapshot),
            batch: None,
            batch_used: None,
            trace: arrival.trace.clone(),
            tell: Some(tell),
            ends_at: cx.background.ends_at(),
        };
        Self(Arc::new(Mutex::new(entry)))
    }

    fn entry(&self) -> MutexGuard<'_, Entry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An account is taken.
    pub(super) fn granted(&self, granted: &Granted, snapshot: Arc<Snapshot>) {
        let mut entry = self.entry();
        if let Some(left) = &granted.left {
            // A request that goes on to a third account still comes from the first.
            entry.left = entry.left.take().or_else(|| snapshot.organization(left));
        }
        entry.snapshot = snapshot;
        entry.granted = true;
        entry.trace.claimed();
        let admitted = entry.began.elapsed();
        entry.admitted.get_or_insert(admitted);
        entry.record.account_id = granted.account.clone();
        entry.record.affinity.clone_from(&granted.affinity);
    }

    /// Whether no claim of it was ever granted.
    pub(super) fn is_unclaimed(&self) -> bool {
        !self.entry().granted
    }

    /// It fetches the results of this batch, which has a row of its own.
    pub(super) fn is_about(&self, batch: Option<(RequestId, Timestamp)>) {
        self.entry().batch = batch;
    }

    /// What it counts on in Redis; `None`: nothing was claimed yet, or there is no Redis.
    pub(super) fn counts(&self) -> Option<Counts> {
        self.entry().counts.clone()
    }

    /// It counts on this from now on.
    pub(super) fn counted(&self, counts: Counts) {
        self.entry().counts = Some(counts);
    }

    /// The request is about to leave: from here on an upstream may charge for it.
    pub(super) fn sent(&self) {
        self.entry().at_work = Some(Instant::now());
    }

    /// An attempt is decided, by `held` where the upstream gave an answer.
    pub(super) fn attempted(&self, account: &AccountId, verdict: &'static str, held: Option<&Held>, took: Duration) {
        let mut entry = self.entry();
        let status = held.map(|held| held.status.as_u16());
        let spent = held.and_then(|held| held.told.as_deref()).map(|told| entry.price_told(told));
        let took_ms = millis(took);
        entry.record.attempts.push(AttemptRecord { account: account.clone(), verdict, status, took_ms, spent });
        entry.at_work = None;
        entry.trace.decided(entry.began.elapsed());
    }

    /// The upstream of the last attempt went away after the request had been sent, having told this much.
    pub(super) fn unanswered(&self, told: Option<&Told>) {
        let mut entry = self.entry();
        let spent = told.map(|told| entry.price_told(told));
        entry.unanswered = entry.record.attempts.len().checked_sub(1);
        entry.set_spent(spent);
    }

    /// When the answer has to end, so that its row can be written; `None`: whenever it does.
    pub(super) fn ends_at(&self) -> Option<tokio::time::Instant> {
        self.entry().ends_at
    }

    /// How many attempts there were so far.
    pub(super) fn attempts(&self) -> usize {
        self.entry().record.attempts.len()
    }

    /// The attempts so far.
    fn attempted_so_far(&self) -> Vec<AttemptRecord> {
        self.entry().record.attempts.clone()
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
        entry.crosses(headers);
        // Gemini names the tier here; its answer's body may not.
        entry.tier = headers.get("x-gemini-service-tier").and_then(|tier| Some(Tier::read(tier.to_str().ok()?)));
        entry.meter = Some(meter);
        // From its first byte on, the meter counts what this attempt uses.
        entry.set_spent(None);
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

    /// The upstream went away in the middle of the answer that the caller is shown: its account pays.
    pub(super) fn broke_off(&self) {
        let entry = &mut *self.entry();
        if !entry.ended {
            let policy = entry.snapshot.policy(&entry.record.pool, provider(&entry.record));
            entry.finish = Finish::BrokeOff(policy.cooldown.clone());
        }
    }

    /// Whether its end so far costs the account.
    #[cfg(test)]
    pub(super) fn costs_its_account(&self) -> bool {
        matches!(self.entry().finish, Finish::BrokeOff(_))
    }

    /// Answers of the account broke off before this one: if it is whole, that is over.
    pub(super) fn may_mend(&self) {
        self.entry().finish = Finish::AfterBreaks;
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

    /// Where the conversation has moved: whether the account that answers is of another organization than the one it left,
    /// which cannot read its caches, nor what the model thought.
    fn crosses(&mut self, headers: &HeaderMap) {
        let record = &mut self.record;
        let moved = record.affinity.as_deref() == Some("moved");
        let Some(left) = self.left.as_ref().filter(|_| moved) else { return };
        let here = provider(record).organization(headers).or_else(|| self.snapshot.organization(&record.account_id));
        record.crossed = here.map(|here| here != *left);
    }

    /// What the last attempt used and cost.
    fn set_spent(&mut self, spent: Option<Spent>) {
        if let Some(last) = self.record.attempts.last_mut() {
            last.spent = spent;
        }
    }

    fn price_told(&self, told: &Told) -> Spent {
        price(&self.snapshot.prices, &self.record, told.model.as_deref(), &told.usage)
    }

    /// The rows, as the request now stands.
    fn close(&mut self) -> Closed {
        if let Some(sent) = self.at_work.take() {
            // The caller hung up while an upstream was at work: what that used nobody will ever say.
            let account = self.record.account_id.clone();
            let took_ms = millis(sent.elapsed());
            self.unanswered = Some(self.record.attempts.len());
            self.record.attempts.push(AttemptRecord {
                account,
                verdict: "abandoned",
                status: None,
                took_ms,
                spent: None,
            });
        }
        let mut batch_used = self.batch_used.take().map(|used| *used);
        match self.meter.as_ref().map(|meter| meter.tally()) {
            // What the results of a batch say was used is on the batch's own row.
            Some(tally) if self.record.operation == Operation::BatchResults => {
                batch_used = tally.usage.map(|usage| (usage, tally.model));
            }
            Some(tally) => self.close_metered(tally),
            None => self.close_unsaid(),
        }
        self.record.spent = Spent::of_all(&mut self.record.attempts);
        if let [only] = &mut self.record.attempts[..] {
            only.spent = None;
        }
        self.record.duration_ms = millis(self.began.elapsed());
        let batch = batch_used.and_then(|(usage, model)| self.batch_row(&usage, model));
        let spans = self.trace.spans(&self.record, &self.snapshot);
        let (trace, counts) = (self.trace.id(), self.counts.take());
        let finish = std::mem::replace(&mut self.finish, Finish::Usual);
        Closed { row: self.record.clone(), batch: batch.map(Box::new), counts, finish, trace, spans }
    }

    /// The row of a batch. Writing it again changes nothing, so however often the results are fetched, they count once.
    fn batch_row(&mut self, usage: &Usage, model: Option<String>) -> Option<Record> {
        let (id, started_at) = self.batch.take().filter(|_| self.record.status == Status::Completed)?;
        let row = Record {
            id,
            started_at,
            operation: Operation::Batches,
            // The call that fetches names none, and limits by model go by what is asked for.
            model: self.record.model.clone().or_else(|| model.clone()),
            http_status: None,
            attempts: Vec::new(),
            first_token_ms: None,
            duration_ms: 0,
            upstream_request_id: None,
            ..self.record.clone()
        };
        let spent = price(&self.snapshot.prices, &row, model.as_deref(), usage);
        Some(Record { spent, served_model: model, ..row })
    }

    /// The last attempt's answer was shown, as far as it came.
    fn close_metered(&mut self, Tally { usage, model, ending }: Tally) {
        if let Ending::Failed { kind, message } = ending {
            self.record.status = Status::Failed;
            self.record.error = Some(format!("{kind}: {message}"));
        }
        let spent = usage.map(|mut usage| {
            if let Some(tier) = self.tier.filter(|_| usage.terms.tier == Tier::Standard) {
                usage.terms.tier = tier;
            }
            price(&self.snapshot.prices, &self.record, model.as_deref(), &usage)
        });
        self.record.served_model = model;
        self.set_spent(spent);
    }

    /// No answer was shown that used anything.
    fn close_unsaid(&mut self) {
        let unanswered = self.unanswered.and_then(|place| self.record.attempts.get(place));
        if unanswered.is_some_and(|attempt| attempt.spent.is_none())
            && let Some(usage) = self.unsaid.take()
        {
            let spent = price(&self.snapshot.prices, &self.record, None, &usage);
            let place = self.unanswered.unwrap_or_default();
            self.record.attempts[place].spent = Some(spent);
        }
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

fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}
