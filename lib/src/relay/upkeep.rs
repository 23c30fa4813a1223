//! What an instance does beside the requests it serves, since nobody else will: no schedule runs more often than daily.

use super::{check::check, quota};
use crate::gateway::Context;

/// Looks, when it is time to, for requests whose instance died and for an account whose check is due, and for a quota that
/// only speaks when it is asked.
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
    });
}
