//! What an attempt teaches of its account's health: decided on the account as it now is, and kept if it still is so then.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::{Arrival, open::Open, settle::Finish, webhooks};
use crate::{
    clock,
    error::{Error, Kind, Result},
    gateway::{Context, Gateway},
    id::RequestId,
    pool::{Account, Cooldown, FamilyCooldown, Fault, State},
    protocol::{Penalty, Scope},
    store::{Record, Status, Store},
};

/// Others may change an account's health at the same moment; so often it is looked at again.
const LOOKS: usize = 32;

/// A failure of an account.
pub(super) struct Failure<'a> {
    /// The account as it was when it failed.
    pub(super) account: &'a Account,
    /// The model family that was asked for.
    pub(super) family: &'a str,
    pub(super) penalty: &'a Penalty,
    pub(super) reason: &'a str,
    /// The request that it failed for; `None`: a check.
    pub(super) request: Option<&'a RequestId>,
}

/// Keeps what a failed attempt changes, before the request goes elsewhere: a conversation then moves for good. It is kept
/// even if the caller hangs up meanwhile, and the request is held open until then: an account that it tested is tested by
/// nobody else before.
pub(super) async fn set_back(
    cx: &Context,
    arrival: &Arrival,
    account: &Account,
    open: &Open,
    (penalty, reason): (&Penalty, String),
) {
    tracing::warn!(request = %arrival.id, account = %account.id, penalty = penalty.name(), reason, "an attempt failed");
    let (beside, open, account, penalty) = (cx.clone(), open.clone(), account.clone(), penalty.clone());
    let (tell, kept) = oneshot::channel::<()>();
    let (request, family, rules) = (arrival.id.clone(), arrival.family(), arrival.policy().cooldown.clone());
    cx.background.spawn(async move {
        let failure =
            Failure { account: &account, family: &family, penalty: &penalty, reason: &reason, request: Some(&request) };
        if let Err(error) = keep(&beside.gateway.store, &failure, &rules).await {
            tracing::error!(account = %account.id, %error, "an account's setback could not be kept");
        }
        beside.gateway.failing.add(&account.id);
        drop((open, tell));
        webhooks::deliver(&beside.gateway).await;
    });
    let _kept_or_not = kept.await;
}

/// Keeps what a failure changes of the account as it now is.
pub(super) async fn keep(store: &Store, failure: &Failure<'_>, rules: &Cooldown) -> Result<()> {
    let Failure { account: Account { id, credential_version, .. }, family, penalty, reason, request } = *failure;
    for _ in 0..LOOKS {
        let account = match store.account(id).await {
            Err(gone) if gone.kind == Kind::NotFound => return Ok(()),
            found => found?,
        };
        // It was given another credential since.
        if *penalty == Penalty::NeedsAuth && account.credential_version != *credential_version {
            return Ok(());
        }
        let known = account.cooling_families.get(family);
        let tests_family = known.is_some_and(|known| known.tester.as_ref().is_some_and(|it| Some(it) == request));
        if let Penalty::RateLimited { until, scope: Scope::Family } = *penalty {
            let Some(after) = FamilyCooldown::after(known, until, tests_family, rules, clock::now()) else {
                return Ok(());
            };
            if store.cool_family((id, family), known, &after, reason).await? {
                return Ok(());
            }
            continue;
        }
        let testing = request.is_none_or(|request| account.health.tester.as_ref() == Some(request));
        let Some(after) = account.health.after(&Fault { penalty, reason, testing }, rules, clock::now()) else {
            return Ok(());
        };
        if store.change_health(id, &account.health, &after, reason).await? {
            return match known.filter(|_| tests_family) {
                // The test was not made: the next one is as far off as after one that failed.
                Some(known) => {
                    store.cool_family((id, family), Some(known), &known.untested(clock::now()), reason).await.map(drop)
                }
                None => Ok(()),
            };
        }
    }
    Err(Error::internal("the account's health changes all the time"))
}

/// Keeps what the end of an answer tells of its account.
pub(super) async fn finished(gateway: &Gateway, row: &Record, finish: Finish) {
    let id = &row.account_id;
    let kept = match finish {
        Finish::BrokeOff(rules) => {
            let reason = row.error.as_deref().unwrap_or_default();
            tracing::warn!(request = %row.id, account = %id, reason, "an answer broke off");
            gateway.breaking.add(id);
            broke_off(&gateway.store, row, reason, &rules).await
        }
        // What is free proves only that the upstream is there.
        _ if row.status != Status::Completed || row.operation.is_free() => return,
        Finish::AfterBreaks => gateway.store.mend(id, &row.id).await,
        Finish::Usual if gateway.breaking.take(id) => gateway.store.mend(id, &row.id).await,
        Finish::Usual => return,
    };
    if let Err(error) = kept {
        tracing::error!(account = %id, %error, "what an answer's end tells of its account could not be kept");
    }
}

async fn broke_off(store: &Store, row: &Record, reason: &str, rules: &Cooldown) -> Result<()> {
    let account = match store.account(&row.account_id).await {
        // Removed since; or the caller's own login served, and there was none.
        Err(gone) if gone.kind == Kind::NotFound => return Ok(()),
        found => found?,
    };
    let penalty = &Penalty::BrokeOff;
    keep(store, &Failure { account: &account, family: "", penalty, reason, request: Some(&row.id) }, rules).await
}

/// An account has served this request; where it, or the model family, had failed before, that is over. What is free proves
/// only that the upstream is there.
pub(super) fn recover(cx: &Context, account: &Account, arrival: &Arrival) {
    if arrival.demand.operation.is_free() && account.state(clock::now()) == State::Ready {
        return;
    }
    let failing = cx.gateway.failing.take(&account.id) || account.health.failures > 0;
    if !failing && account.cooling_families.is_empty() {
        return;
    }
    let family = arrival.family();
    if !failing && !account.cooling_families.contains_key(&family) {
        return;
    }
    let (gateway, id, request) = (Arc::clone(&cx.gateway), account.id.clone(), arrival.id.clone());
    cx.background.spawn(async move {
        if let Err(error) = gateway.store.recover(&id, &family, &request).await {
            tracing::error!(account = %id, %error, "an account's recovery could not be kept");
        }
        webhooks::deliver(&gateway).await;
    });
}
