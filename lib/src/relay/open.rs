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
use tokio::{sync::oneshot, time::sleep};

use super::{
    Arrival,
    hold::{Held, Told},
    minutes::Counts,
};
use crate::{
    gateway::{Context, Gateway, Snapshot},
    id::{AccountId, RequestId},
    protocol::{Ending, Meter, Tally, Tier, Usage},
    store::{AttemptRecord, Granted, Record, Spent, Status},
};

pub(super) use row::draft;
use row::{blank, price, unsaid, upstream_request_id};

/// A lease lives 45 seconds; it is renewed well before.
const RENEW_EVERY: Duration = Duration::from_secs(15);
/// Tries to write a row before it is left to the log.
const SETTLE_TRIES: u32 = 8;

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
    meter: Option<Box<dyn Meter>>,
    /// The service tier that the answer's headers name.
    tier: Option<Tier>,
    /// Prices as they were when an account was taken.
    snapshot: Arc<Snapshot>,
    tell: Option<oneshot::Sender<(Record, Option<Counts>)>>,
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
            counts: None,
            admitted: None,
            at_work: None,
            unanswered: None,
            ended: false,
            meter: None,
            tier: None,
            snapshot: Arc::clone(&arrival.snapshot),
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
    }

    /// The upstream of the last attempt went away after the request had been sent, having told this much.
    pub(super) fn unanswered(&self, told: Option<&Told>) {
        let mut entry = self.entry();
        let spent = told.map(|told| entry.price_told(told));
        entry.unanswered = entry.record.attempts.len().checked_sub(1);
        entry.set_spent(spent);
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

    /// The caller has got everything.
    pub(super) fn completed(&self) {
        self.entry().end(Status::Completed, None);
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

    /// What the last attempt used and cost.
    fn set_spent(&mut self, spent: Option<Spent>) {
        if let Some(last) = self.record.attempts.last_mut() {
            last.spent = spent;
        }
    }

    fn price_told(&self, told: &Told) -> Spent {
        price(&self.snapshot.prices, &self.record, told.model.as_deref(), &told.usage)
    }

    /// The row, as the request now stands.
    fn close(&mut self) -> Record {
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
        match self.meter.as_ref().map(|meter| meter.tally()) {
            Some(tally) => self.close_metered(tally),
            None => self.close_unsaid(),
        }
        self.record.spent = Spent::of_all(&mut self.record.attempts);
        if let [only] = &mut self.record.attempts[..] {
            only.spent = None;
        }
        self.record.duration_ms = millis(self.began.elapsed());
        self.record.clone()
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
            let _gone = tell.send((self.close(), self.counts.take()));
        }
    }
}

/// Keeps the lease while the request is open, then writes its row.
async fn settle(gateway: Arc<Gateway>, id: RequestId, mut told: oneshot::Receiver<(Record, Option<Counts>)>) {
    let told = loop {
        tokio::select! {
            told = &mut told => break told,
            () = sleep(RENEW_EVERY) => {
                if let Err(error) = gateway.store.renew(id.clone()).await {
                    tracing::warn!(request = %id, %error, "a lease could not be renewed");
                }
            }
        }
    };
    // Nothing was claimed.
    let Ok((record, counts)) = told else { return };
    log(&record);
    write(&gateway, &id, &record).await;
    if let (Some(windows), Some(counts)) = (&gateway.windows, counts) {
        counts.correct(windows, &record).await;
    }
}

async fn write(gateway: &Gateway, id: &RequestId, record: &Record) {
    for attempt in 0..SETTLE_TRIES {
        match gateway.store.settle(record.clone()).await {
            Ok(()) => return,
            Err(error) => tracing::warn!(request = %id, attempt, %error, "a ledger row could not be written"),
        }
        sleep(Duration::from_millis(250 << attempt.min(5))).await;
    }
    // Everything that is needed to write the row later.
    let record = serde_json::to_string(record).unwrap_or_default();
    tracing::error!(target: "gateway::unsettled", request = %id, record, "a ledger row was not written");
}

fn log(record: &Record) {
    tracing::info!(
        request = %record.id,
        key = %record.key_id,
        account = %record.account_id,
        model = record.model.as_deref().unwrap_or("-"),
        status = ?record.status,
        http_status = record.http_status.unwrap_or_default(),
        attempts = record.attempts.len(),
        first_token_ms = record.first_token_ms,
        took_ms = record.duration_ms,
        input = record.spent.tokens.input_tokens,
        output = record.spent.tokens.output_tokens,
        cost_micros = record.spent.cost_micros,
        "request settled"
    );
}

fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}
