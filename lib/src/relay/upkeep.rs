//! What an instance does beside the requests it serves, since nobody else will: no schedule runs more often than daily.

use super::{check::check, quota, webhooks};
use crate::gateway::Context;

/// Hours that one round rolls up. There is one to do each hour, and more only after a rest or a first start.
const HOURS_A_ROUND: u32 = 24;

/// Looks, when it is time to, for requests whose instance died and for an account whose check is due, for a quota that
/// only speaks when it is asked, after the ledger, and for what the operator should know.
pub(super) fn keep_up(cx: &Context) {
    if !cx.gateway.is_time_for_upkeep() {
        return;
    }
    let beside = cx.clone();
    cx.background.spawn(async move {
        match beside.gateway.store.reap().await {
            Ok(0) => {}
            Ok(lost) => tracing::warn!(lost, "requests of an instance that died were recorded as lost"),
            Err(error) => tracing::debug!(%error, "lost requests could not be looked for"),
        }
        if let Err(error) = beside.gateway.store.forget_expired_things().await {
            tracing::debug!(%error, "what the providers have forgotten could not be forgotten");
        }
        keep_ledger(&beside).await;
        let checked = match beside.gateway.store.due_check().await {
            Ok(Some(account)) => check(&beside, &account).await.map(|finding| Some((account.id, finding.ok))),
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        };
        match checked {
            Ok(None) => {}
            Ok(Some((account, well))) => tracing::info!(%account, well, "an account was checked"),
            Err(error) => tracing::debug!(%error, "a due check could not be made"),
        }
        let asked = match beside.gateway.store.due_quota().await {
            Ok(Some(account)) => quota::ask(&beside, &account).await,
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = asked {
            tracing::debug!(%error, "a quota could not be asked for");
        }
        webhooks::keep_up(&beside.gateway).await;
    });
}

/// Rolls up the hours that are over, and drops what is too old to be kept.
async fn keep_ledger(cx: &Context) {
    for _ in 0..HOURS_A_ROUND {
        match cx.gateway.store.roll_up().await {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => return tracing::warn!(%error, "the ledger could not be rolled up"),
        }
    }
    let Some(days) = cx.gateway.config.ledger_retention_days else { return };
    if let Err(error) = cx.gateway.store.forget_old_reports(days).await {
        tracing::debug!(%error, "what upstreams reported long ago could not be forgotten");
    }
    match cx.gateway.store.drop_old_partition(days).await {
        Ok(Some(partition)) => tracing::info!(partition, days, "a week of the ledger was too old to be kept"),
        Ok(None) => {}
        Err(error) => tracing::warn!(%error, "what is too old in the ledger could not be dropped"),
    }
}
