//! Who serves next: rank the accounts on the snapshot, and let the claim take the first that is free in truth.

use std::{sync::Arc, time::Duration, time::Instant};

use tokio::time::sleep;

use super::{
    Arrival,
    open::{self, Open},
};
use crate::{
    clock,
    error::{Error, Kind, Result},
    gateway::Context,
    id::AccountId,
    pool::{Account, Ask, Exclusion, Lot, Ranking, rank},
    random,
    store::{Binding, Claim, Granted, Refused},
};

/// A busy account is worth asking for again after this.
const BUSY_FOR: Duration = Duration::from_secs(2);
/// A request that has ended holds its lease until its row is written: a cap that is reached is given that long to fall.
const SETTLING: Duration = Duration::from_millis(50);
/// How often it is given that.
const WAITS: u32 = 2;
/// How often what was decided on may turn out to be old before the caller is told to come back.
const LOOKS: usize = 4;
/// The accounts that one claim names; when all of them are busy, a further claim names the next.
const NAMED_AT_ONCE: usize = 64;

/// Ranks and claims. What was decided on may turn out to be old; then it is read again.
pub(super) async fn next_account(
    cx: &Context,
    arrival: &mut Arrival,
    open: &Open,
    tried: &[AccountId],
) -> Result<Account> {
    let mut waits = 0;
    for _ in 0..LOOKS {
        arrival.allowed()?;
        let asked = Instant::now();
        let snapshot = Arc::clone(&arrival.snapshot);
        let ranking = ranking(cx, arrival, &snapshot.accounts, tried);
        let mut outcome = Err(Refused::AccountsBusy);
        for accounts in ranking.order.chunks(NAMED_AT_ONCE) {
            outcome = claim_to_the_end(cx, arrival, open, claim(arrival, open, Some(accounts))).await?;
            if outcome.as_ref().err() != Some(&Refused::AccountsBusy) {
                break;
            }
        }
        match outcome {
            Ok(granted) => {
                let account = snapshot.accounts.iter().find(|account| account.id == granted.account).cloned();
                return account.ok_or_else(|| Error::internal("a claim took an account that was not named"));
            }
            Err(Refused::KeyGone) => return Err(key_gone()),
            Err(Refused::KeyBusy) if waits == WAITS => return Err(key_busy(arrival)),
            Err(Refused::AccountsBusy) if waits == WAITS || (waits > 0 && ranking.order.is_empty()) => break,
            Err(Refused::KeyBusy | Refused::AccountsBusy) => {
                waits += 1;
                if !ranking.order.is_empty() {
                    sleep(SETTLING).await;
                }
            }
            Err(Refused::SettingsChanged) => {}
        }
        look_again(cx, arrival, asked).await?;
    }
    let ranking = ranking(cx, arrival, &arrival.snapshot.accounts, tried);
    Err(if ranking.order.is_empty() { nobody(arrival, &ranking) } else { everyone_busy(arrival) })
}

/// Claims for a request that comes with its caller's own login: all that holds of the key holds, and no account is taken.
pub(super) async fn passage(cx: &Context, arrival: &mut Arrival, open: &Open) -> Result<AccountId> {
    let mut waits = 0;
    for _ in 0..LOOKS {
        arrival.allowed()?;
        let asked = Instant::now();
        match claim_to_the_end(cx, arrival, open, claim(arrival, open, None)).await? {
            Ok(granted) => return Ok(granted.account),
            Err(Refused::KeyGone) => return Err(key_gone()),
            Err(Refused::KeyBusy) if waits == WAITS => return Err(key_busy(arrival)),
            Err(Refused::KeyBusy) => {
                waits += 1;
                sleep(SETTLING).await;
            }
            Err(Refused::SettingsChanged | Refused::AccountsBusy) => {}
        }
        look_again(cx, arrival, asked).await?;
    }
    let message = "this gateway's settings are being changed; try again shortly";
    Err(Error::new(Kind::Unavailable, message).with_retry_after(BUSY_FOR))
}

/// Makes a claim in a task of its own, so that a caller who hangs up in between leaves no lease behind: the task holds the
/// open request too, and a grant that nobody waits for any more is settled when the task lets go of it.
async fn claim_to_the_end(
    cx: &Context,
    arrival: &Arrival,
    open: &Open,
    claim: Claim,
) -> Result<Result<Granted, Refused>> {
    let (gateway, open, snapshot) = (Arc::clone(&cx.gateway), open.clone(), Arc::clone(&arrival.snapshot));
    let claiming = tokio::spawn(async move {
        let outcome = gateway.store.claim(claim).await?;
        if let Ok(granted) = &outcome {
            open.granted(granted, snapshot);
        }
        Ok(outcome)
    });
    claiming.await.map_err(Error::internal)?
}

/// Reads the settings, the accounts and the key as they are after `asked`.
async fn look_again(cx: &Context, arrival: &mut Arrival, asked: Instant) -> Result<()> {
    arrival.snapshot = cx.snapshot_since(asked).await?;
    arrival.key = cx.key(&arrival.snapshot, &arrival.presented).await?;
    Ok(())
}

fn ranking<'a>(cx: &Context, arrival: &Arrival, accounts: &'a [Account], tried: &[AccountId]) -> Ranking<'a> {
    let family = arrival.family();
    let ask = Ask {
        pool: &arrival.key.pool,
        provider: arrival.demand.provider,
        model: arrival.demand.model.as_deref(),
        family: &family,
        tried,
    };
    // A session always draws the same lot, so it finds its account even where nobody remembers it.
    let seed = arrival
        .session
        .as_ref()
        .map_or_else(|| random::draw().to_le_bytes().to_vec(), |session| session.clone().into_bytes());
    let lot = Lot { seed: &seed, turn: cx.gateway.turn() };
    rank(accounts, &ask, arrival.policy().strategy, &lot, clock::now())
}

fn claim(arrival: &Arrival, open: &Open, accounts: Option<&[&Account]>) -> Claim {
    let session = arrival.session.clone();
    let affinity = &arrival.policy().affinity;
    let binding = Binding { session_seconds: affinity.ttl_seconds, session_in_flight: affinity.max_in_flight };
    Claim {
        request: arrival.id.clone(),
        revision: arrival.snapshot.revision,
        key: arrival.key.id.clone(),
        pool: arrival.key.pool.clone(),
        family: arrival.family(),
        // What the upstream charges nothing for is no use of a limit either.
        tokens: if arrival.demand.operation.is_free() { 0 } else { arrival.demand.input_estimate },
        accounts: accounts.map(|accounts| accounts.iter().map(|account| account.id.clone()).collect()),
        affinity: (affinity.enabled && session.is_some() && accounts.is_some()).then_some(binding),
        session,
        draft: open::draft(arrival, open, &arrival.snapshot.prices),
    }
}

fn key_gone() -> Error {
    Error::new(Kind::Unauthenticated, "this API key is revoked or expired")
}

fn key_busy(arrival: &Arrival) -> Error {
    let cap = arrival.key.max_in_flight.unwrap_or_default();
    Error::new(Kind::RateLimited, format!("this API key has {cap} requests in flight, its limit (max_in_flight)"))
        .with_retry_after(BUSY_FOR)
}

fn everyone_busy(arrival: &Arrival) -> Error {
    let provider = arrival.demand.provider;
    Error::new(Kind::RateLimited, format!("every {provider} account is busy; try again shortly"))
        .with_retry_after(BUSY_FOR)
}

/// Why there is no account to ask at all.
fn nobody(arrival: &Arrival, ranking: &Ranking<'_>) -> Error {
    let (provider, pool) = (arrival.demand.provider, &arrival.key.pool);
    let comes_back = ranking.excluded.iter().filter_map(|(_, why)| match why {
        Exclusion::Cooling { until } | Exclusion::Spent { until } => Some(*until),
        _ => None,
    });
    if let Some(until) = comes_back.min() {
        let wait = Duration::try_from(until - clock::now()).unwrap_or_default().max(Duration::from_secs(1));
        return Error::new(Kind::RateLimited, format!("every {provider} account is cooling down"))
            .with_retry_after(wait);
    }
    let unsuited = ranking.excluded.iter().any(|(_, why)| *why == Exclusion::Model);
    match (&arrival.demand.model, ranking.excluded.is_empty()) {
        (_, true) => Error::new(Kind::Unavailable, format!("there is no {provider} account in the pool `{pool}` yet")),
        (Some(model), _) if unsuited => {
            Error::invalid("model", format!("no usable {provider} account in the pool `{pool}` serves {model}"))
        }
        _ => {
            Error::new(Kind::Unavailable, format!("no {provider} account in the pool `{pool}` is usable at the moment"))
        }
    }
}
