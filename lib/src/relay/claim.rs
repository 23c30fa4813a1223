//! Who serves next: rank the accounts on the snapshot, and let the claim take the first that is free in truth.

use std::{sync::Arc, time::Duration, time::Instant};

use tokio::{sync::oneshot, time::sleep};

use super::{
    Arrival, minutes,
    open::{self, Open},
    unheard,
};
use crate::{
    clock,
    error::{Error, Kind, Result},
    gateway::{Context, Snapshot},
    id::AccountId,
    pool::{Account, Ask, Exclusion, Lot, Ranking, Strategy, rank},
    protocol::Api,
    random,
    store::{Binding, Claim, Granted, Outcome, Refused},
};

/// A busy account is worth asking for again after this.
const BUSY_FOR: Duration = Duration::from_secs(2);
/// A request that has ended holds its lease until its row is written: a cap that is reached is given that long to fall.
const SETTLING: Duration = Duration::from_millis(50);
/// Nobody knows when an account that an operator has to see to will be back.
const AWAY_FOR: Duration = Duration::from_secs(60);
/// So long a request in the middle of a tool loop waits for its conversation's account: what that has in its cache, and has
/// thought, another would have to be told again. `is_soon_back` in the database looks as far ahead.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often it asks meanwhile.
const ASKS_EVERY: Duration = Duration::from_millis(100);
/// How often all may be found busy before the caller is told to come back.
const LOOKS: usize = 4;
/// So long a request is decided anew while an operator changes one thing after the other.
const CHANGING: Duration = Duration::from_secs(4);
/// The accounts that one claim names; when all of them are busy, a further claim names the next.
const NAMED_AT_ONCE: usize = 64;

/// Ranks and claims. What was decided on may turn out to be old, and a cap may be about to fall: then it is looked again.
pub(super) async fn next_account(
    cx: &Context,
    arrival: &mut Arrival,
    open: &Open,
    tried: &[AccountId],
) -> Result<Arc<Account>> {
    let mut looks = Looks::begin();
    let stays = arrival.policy().affinity.enabled && arrival.session.is_some() && arrival.place.only.is_none();
    let patient = arrival.demand.tool_loop && stays && tried.is_empty();
    // The first look is on what is remembered.
    let mut fresh = false;
    loop {
        arrival.allowed()?;
        let asked = Instant::now();
        let snapshot = Arc::clone(&arrival.snapshot);
        let ranking = ranking(cx, arrival, &snapshot, tried);
        if !ranking.is_empty() {
            let patient = patient && looks.may_wait();
            // Who waits for one account has asked the others at its first look.
            let most = if patient && fresh { NAMED_AT_ONCE } else { usize::MAX };
            match claim_in_order(cx, arrival, open, (patient, most), ranking).await? {
                Ok(granted) => return named(&snapshot, &granted.account),
                Err(Refused::AccountsBusy) if patient => sleep(ASKS_EVERY).await,
                Err(refused) => looks.again(refused).await.map_err(|refused| refusal(arrival, refused))?,
            }
        } else if fresh {
            return Err(nobody(arrival, &ranking));
        }
        look_again(cx, arrival, asked).await?;
        fresh = true;
    }
}

/// Claims the first account of the order that is free, among so many.
async fn claim_in_order(
    cx: &Context,
    arrival: &Arrival,
    open: &Open,
    (patient, most): (bool, usize),
    mut ranking: Ranking<'_>,
) -> Result<Result<Granted, Refused>> {
    let mut asked = 0;
    while !ranking.is_empty() && asked < most {
        let mut named = ranking.take(NAMED_AT_ONCE);
        asked += named.len();
        if patient {
            named.extend(soon_back(arrival, &ranking));
        }
        let claim = Claim { patient, ..claim(arrival, open, Some((&named, &ranking))) };
        let outcome = claim_to_the_end(cx, arrival, open, claim).await?;
        if outcome.as_ref().err() != Some(&Refused::AccountsBusy) {
            return Ok(outcome);
        }
    }
    Ok(Err(Refused::AccountsBusy))
}

fn named(snapshot: &Snapshot, id: &AccountId) -> Result<Arc<Account>> {
    snapshot.account(id).cloned().ok_or_else(|| Error::internal("a claim took an account that was not named"))
}

/// Claims for a request that comes with its caller's own login: all that holds of the key holds, and no account is taken.
pub(super) async fn passage(cx: &Context, arrival: &mut Arrival, open: &Open) -> Result<AccountId> {
    let mut looks = Looks::begin();
    loop {
        arrival.allowed()?;
        let asked = Instant::now();
        match claim_to_the_end(cx, arrival, open, claim(arrival, open, None)).await? {
            Ok(granted) => return Ok(granted.account),
            Err(refused) => looks.again(refused).await.map_err(|refused| refusal(arrival, refused))?,
        }
        look_again(cx, arrival, asked).await?;
    }
}

/// How often, and since when, it has been looked who serves.
struct Looks {
    began: Instant,
    busy: usize,
}

impl Looks {
    fn begin() -> Self {
        Self { began: Instant::now(), busy: 0 }
    }

    /// Whether a conversation's account may still be waited for.
    fn may_wait(&self) -> bool {
        self.began.elapsed() < PATIENCE
    }

    /// Returns when it is worth looking again after a refusal; gives it back when it never will be.
    async fn again(&mut self, refused: Refused) -> Result<(), Refused> {
        if refused == Refused::SettingsChanged && self.began.elapsed() < CHANGING {
            return Ok(());
        }
        self.busy += 1;
        if refused.is_final() || self.busy == LOOKS {
            return Err(refused);
        }
        sleep(SETTLING).await;
        Ok(())
    }
}

/// Makes a claim that goes on when a caller hangs up in between, so that it leaves no lease behind: whatever is told the outcome
/// holds the open request too, and a grant that nobody waits for any more is settled when that lets go of it.
async fn claim_to_the_end(
    cx: &Context,
    arrival: &Arrival,
    open: &Open,
    claim: Claim,
) -> Result<Result<Granted, Refused>> {
    let (tell, told) = oneshot::channel();
    let ended = {
        let (gateway, open, snapshot) = (Arc::clone(&cx.gateway), open.clone(), Arc::clone(&arrival.snapshot));
        let (background, request) = (cx.background.clone(), claim.request.clone());
        move |outcome: Result<Outcome>| {
            match &outcome {
                Ok(Ok(granted)) => open.granted(granted, snapshot),
                Err(_) if open.is_unclaimed() => background.spawn(unheard::let_go(gateway, request)),
                _ => {}
            }
            drop(tell.send(outcome));
        }
    };
    match &cx.gateway.windows {
        None => cx.gateway.store.claim_then(claim, ended),
        Some(windows) => {
            let (windows, gateway, open) = (Arc::clone(windows), Arc::clone(&cx.gateway), open.clone());
            let (key, snapshot) = (Arc::clone(&arrival.key), Arc::clone(&arrival.snapshot));
            tokio::spawn(async move {
                ended(minutes::claim((&windows, &gateway.store), &key, &snapshot, &open, claim).await);
            });
        }
    }
    told.await.map_err(Error::internal)?
}

/// Reads the settings, the accounts and the key as they are after `asked`.
async fn look_again(cx: &Context, arrival: &mut Arrival, asked: Instant) -> Result<()> {
    arrival.snapshot = cx.snapshot_since(asked).await?;
    arrival.key = cx.key(&arrival.snapshot, &arrival.presented).await?;
    Ok(())
}

fn ask<'a>(arrival: &'a Arrival, family: &'a str, tried: &'a [AccountId]) -> Ask<'a> {
    Ask {
        pool: &arrival.key.pool,
        provider: arrival.demand.provider,
        api: arrival.demand.api,
        operation: arrival.demand.operation,
        model: arrival.demand.model.as_deref(),
        family,
        tried,
    }
}

fn ranking<'a>(cx: &Context, arrival: &Arrival, snapshot: &'a Snapshot, tried: &[AccountId]) -> Ranking<'a> {
    let family = arrival.family();
    // A session always draws the same lot, so it finds its account even where nobody remembers it.
    let seed = arrival
        .session
        .as_ref()
        .map_or_else(|| random::draw().to_le_bytes().to_vec(), |session| session.clone().into_bytes());
    let lot = Lot { seed: &seed, turn: cx.gateway.turn() };
    let place = &arrival.place;
    let admitted = snapshot.accounts().filter(|account| place.admits(account));
    let mut ranking = rank(admitted, &ask(arrival, &family, tried), arrival.policy().strategy, &lot, clock::now());
    if let Some(first) = &place.first {
        ranking.prefer(first);
    }
    ranking
}

/// Accounts that rest, but not for long: one of them may be the one that a conversation would wait for.
fn soon_back<'a>(arrival: &Arrival, ranking: &Ranking<'a>) -> Vec<&'a Account> {
    let soon = clock::now() + PATIENCE;
    let rests =
        ranking.excluded.iter().filter(|(_, why)| matches!(why, Exclusion::Cooling { until } if *until <= soon));
    let resting: Vec<_> = rests.map(|(account, _)| *account).collect();
    // Something else may keep one of them from serving, too.
    let lot = Lot { seed: &[], turn: 0 };
    rank(resting, &ask(arrival, &arrival.family(), &[]), Strategy::Priority, &lot, soon).take(NAMED_AT_ONCE)
}

fn claim(arrival: &Arrival, open: &Open, among: Option<(&[&Account], &Ranking<'_>)>) -> Claim {
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
        pinned: arrival.place.only.is_some(),
        patient: false,
        accounts: among.map(|(named, _)| named.iter().map(|account| account.id.clone()).collect()),
        unsuited: among.filter(|(_, others)| !others.is_empty()).map(|(_, others)| unsuited(others)),
        secret_ends: arrival.key.secret_ends_at,
        affinity: (affinity.enabled && session.is_some() && among.is_some()).then_some(binding),
        session,
        minutes: None,
        draft: open::draft(arrival, open, &arrival.snapshot.prices),
    }
}

fn unsuited(ranking: &Ranking<'_>) -> Vec<AccountId> {
    ranking.excluded.iter().map(|(account, _)| account.id.clone()).collect()
}

fn refusal(arrival: &Arrival, refused: Refused) -> Error {
    match refused {
        Refused::KeyGone => Error::new(Kind::Unauthenticated, "this API key is revoked or expired"),
        Refused::KeyLimited(standing) => standing.refusal(clock::now()),
        Refused::KeyBusy => key_busy(arrival),
        Refused::SettingsChanged => {
            Error::new(Kind::Unavailable, "this gateway's settings are being changed; try again shortly")
                .with_retry_after(BUSY_FOR)
        }
        Refused::AccountsBusy | Refused::Uncounted(_) => everyone_busy(arrival),
    }
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

/// Why the one account that holds what the request names cannot be asked. No other can take its place.
fn away(ranking: &Ranking<'_>) -> Error {
    let busy = |why, wait| Error::new(Kind::RateLimited, why).with_retry_after(wait);
    let out = |why| Error::new(Kind::Unavailable, why).with_retry_after(AWAY_FOR);
    match ranking.excluded.first().map(|(_, why)| *why) {
        Some(Exclusion::Cooling { until } | Exclusion::Spent { until }) => {
            let wait = Duration::try_from(until - clock::now()).unwrap_or_default().max(Duration::from_secs(1));
            busy("the account that holds what this request names is cooling down", wait)
        }
        Some(Exclusion::Tested) => busy("the account that holds what this request names is being tested", BUSY_FOR),
        Some(Exclusion::Api(_)) => {
            Error::new(Kind::InvalidRequest, "the account that holds what this request names does not serve this API")
        }
        Some(Exclusion::Model) => {
            Error::invalid("model", "is not served by the account that holds what this request names")
        }
        Some(Exclusion::Paused) => out("the account that holds what this request names is paused"),
        Some(_) => out("the account that holds what this request names is not usable at the moment"),
        None => out("the account that holds what this request names is no longer in this pool"),
    }
}

/// Why there is no account to ask at all.
fn nobody(arrival: &Arrival, ranking: &Ranking<'_>) -> Error {
    if arrival.place.only.is_some() {
        return away(ranking);
    }
    let (provider, pool) = (arrival.demand.provider, &arrival.key.pool);
    let excluded = &ranking.excluded;
    if !excluded.is_empty() && excluded.iter().all(|(_, why)| matches!(why, Exclusion::Api(_))) {
        return wrong_kind(arrival);
    }
    let comes_back = ranking.excluded.iter().filter_map(|(_, why)| match why {
        Exclusion::Cooling { until } | Exclusion::Spent { until } => Some(*until),
        Exclusion::Tested => Some(clock::now() + BUSY_FOR),
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

/// The pool has accounts of the provider, and none that such a call can be made with.
fn wrong_kind(arrival: &Arrival) -> Error {
    let pool = &arrival.key.pool;
    let message = match arrival.demand.api {
        Api::CodeAssist => format!("Code Assist needs an account with a login, and the pool `{pool}` has none"),
        _ => format!(
            "every {} account in the pool `{pool}` holds a login and is served by Code Assist, which has only \
             generateContent, streamGenerateContent and countTokens; this call needs an account with an API key",
            arrival.demand.provider
        ),
    };
    Error::new(Kind::InvalidRequest, message)
}
