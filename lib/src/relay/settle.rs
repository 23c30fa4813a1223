//! The settlement of a request: its lease kept while it is open, its row written when it has ended.

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use tokio::{sync::oneshot, time::sleep};

use super::{minutes::Counts, setback};
use crate::{gateway::Gateway, id::RequestId, pool::Cooldown, protocol::TraceId, store::Record};

/// A lease lives 45 seconds; it is renewed well before.
const RENEW_EVERY: Duration = Duration::from_secs(15);
/// Tries to write a row before it is left to the log.
const SETTLE_TRIES: u32 = 8;

/// The row of a request, and that of the batch whose results it has fetched whole.
pub(super) struct Closed {
    pub(super) row: Record,
    pub(super) batch: Option<Box<Record>>,
    /// What the request counts on in Redis.
    pub(super) counts: Option<Counts>,
    pub(super) finish: Finish,
    /// The trace that it is part of.
    pub(super) trace: Option<TraceId>,
    /// What a collector is told; `None`: nobody wants it.
    pub(super) spans: Option<Vec<Value>>,
}

/// What the end of an answer tells of the account that gave it.
pub(super) enum Finish {
    /// Nothing that its beginning had not told.
    Usual,
    /// Answers of the account broke off before; a whole one ends that.
    AfterBreaks,
    /// The upstream went away in the middle of it. The rules say when that is too often.
    BrokeOff(Cooldown),
}

/// Keeps the lease while the request is open, then writes its row.
pub(super) async fn settle(gateway: Arc<Gateway>, id: RequestId, mut told: oneshot::Receiver<Closed>) {
    let closed = loop {
        tokio::select! {
            closed = &mut told => break closed,
            () = sleep(RENEW_EVERY) => {
                if let Err(error) = gateway.store.renew(id.clone()).await {
                    tracing::warn!(request = %id, %error, "a lease could not be renewed");
                }
            }
        }
    };
    // Nothing was claimed.
    let Ok(Closed { row, batch, counts, finish, trace, spans }) = closed else { return };
    let row = Arc::new(row);
    log(&row, trace);
    // Most of its time a settlement waits, and needs little room for that: what comes after has a place of its own.
    // While the request still has its lease: an account that it tests is tested by nobody else before.
    Box::pin(setback::finished(&gateway, &row, finish)).await;
    // The batch first: should this instance die in between, the results are fetched again, and nothing is lost.
    for record in batch.into_iter().map(Arc::from).chain([Arc::clone(&row)]) {
        Box::pin(write(&gateway, record)).await;
    }
    if let (Some(windows), Some(counts)) = (&gateway.windows, counts) {
        Box::pin(counts.correct(windows, &row)).await;
    }
    if let (Some(collector), Some(spans)) = (&gateway.spans, spans) {
        collector.send(spans).await;
    }
}

async fn write(gateway: &Gateway, record: Arc<Record>) {
    let id = &record.id;
    for attempt in 0..SETTLE_TRIES {
        match gateway.store.settle(Arc::clone(&record)).await {
            Ok(()) => return,
            Err(error) => tracing::warn!(request = %id, attempt, %error, "a ledger row could not be written"),
        }
        sleep(Duration::from_millis(250 << attempt.min(5))).await;
    }
    // Everything that is needed to write the row later.
    let record = serde_json::to_string(&*record).unwrap_or_default();
    tracing::error!(target: "gateway::unsettled", request = %id, record, "a ledger row was not written");
}

fn log(record: &Record, trace: Option<TraceId>) {
    tracing::info!(
        request = %record.id,
        trace = trace.map(tracing::field::display),
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
