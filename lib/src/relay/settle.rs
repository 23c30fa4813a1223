//! The settlement of a request: its lease kept while it is open, its row written when it has ended.

use std::{sync::Arc, time::Duration};

use tokio::{sync::oneshot, time::sleep};

use super::minutes::Counts;
use crate::{gateway::Gateway, id::RequestId, store::Record};

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
    let Ok(Closed { row, batch, counts }) = closed else { return };
    log(&row);
    // The batch first: should this instance die in between, the results are fetched again, and nothing is lost.
    for record in batch.as_deref().into_iter().chain([&row]) {
        // Most of its time a settlement waits, and needs little room for that.
        Box::pin(write(&gateway, record)).await;
    }
    if let (Some(windows), Some(counts)) = (&gateway.windows, counts) {
        counts.correct(windows, &row).await;
    }
}

async fn write(gateway: &Gateway, record: &Record) {
    let id = &record.id;
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
