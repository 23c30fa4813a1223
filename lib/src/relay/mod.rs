//! The life of one proxied request: rank, claim, attempt, and again with another account until an answer may be shown.

mod attempt;
mod body;
mod check;
mod flow;
mod hold;
mod open;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Uri};
use jiff::Timestamp;
use tokio::time::sleep;

use crate::{
    access::{ApiKey, PresentedKey},
    clock,
    error::{Error, Kind, Result},
    gateway::{Context, Snapshot},
    http::Response,
    id::{AccountId, RequestId},
    pool::{Account, Ask, Exclusion, Ranking, Strategy, rank},
    protocol::{Demand, Penalty, Protocol},
    random,
    store::{Claim, Refused},
};

pub(crate) use check::check;

use attempt::Outcome;
use hold::Held;
use open::Open;

/// A free account is worth asking for again after this.
const BUSY_FOR: Duration = Duration::from_secs(2);
/// How often a claim is made again because what it was decided on had changed.
const CHANGES: usize = 3;
/// A request that has ended holds its lease until its row is written; before a cap says no it is given that long.
const SETTLING: Duration = Duration::from_millis(50);

/// A request that is ready to be relayed.
pub(crate) struct Arrival {
    pub(crate) id: RequestId,
    pub(crate) at: Timestamp,
    pub(crate) began: Instant,
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// What the caller presented, to read the key again when a claim finds it changed.
    pub(crate) presented: PresentedKey,
    pub(crate) key: Arc<ApiKey>,
    pub(crate) demand: Demand,
}

/// Relays one request. An error is a refusal of ours, for the caller's dialect to word; nothing was claimed for it, or
/// what was claimed is settled.
pub(crate) async fn relay(cx: &Context, mut arrival: Arrival) -> Result<Response> {
    cx.reap_when_due();
    let mut tried: Vec<AccountId> = Vec::new();
    let mut telling: Option<Telling> = None;
    let mut open = Open::new(cx, &arrival, cx.snapshot().await?);
    while tried.len() < cx.gateway.policy.max_attempts as usize {
        let account = match next_account(cx, &mut arrival, open, &tried).await {
            Ok((account, claimed)) => {
                open = claimed;
                account
            }
            // Nobody is left: what an account answered says more than that.
            Err((Some(claimed), _)) if telling.is_some() => {
                open = claimed;
                break;
            }
            Err((_, error)) => return Err(error),
        };
        tried.push(account.id.clone());
        match attempt::attempt(cx, &arrival, &account, &mut open).await {
            Outcome::Committed(held) => return Ok(body::answer(cx, &arrival, &account, held, open)),
            Outcome::Elsewhere { penalty, held } => {
                telling = Some(Telling::of(telling, account, penalty, held));
            }
        }
    }
    match telling {
        Some(Telling { account, held: Some(held), .. }) => Ok(body::failure(cx, &arrival, &account, held, open)),
        _ => {
            open.failed("no account gave an answer");
            Err(Error::new(Kind::Unavailable, "the upstream did not answer; try again shortly")
                .with_retry_after(BUSY_FOR))
        }
    }
}

/// The failed answer that tells the caller most: a limit says when to come back, an overload says to come back, and a
/// refused credential is none of the caller's business.
struct Telling {
    account: Account,
    weight: u8,
    held: Option<Held>,
}

impl Telling {
    fn of(before: Option<Self>, account: Account, penalty: Option<Penalty>, held: Option<Held>) -> Self {
        let weight = match (&held, penalty) {
            (None, _) => 0,
            (Some(_), Some(Penalty::NeedsAuth | Penalty::Exhausted { .. })) => 1,
            (Some(_), None) => 2,
            (Some(_), Some(Penalty::Overloaded | Penalty::Unreachable)) => 3,
            (Some(_), Some(Penalty::RateLimited { .. })) => 4,
        };
        match before {
            Some(before) if before.weight > weight => before,
            _ => Self { account, weight, held },
        }
    }
}

type Claimed = (Account, Open);

/// Ranks and claims. When what was decided on turns out to be old, it is read again. The claim's settlement comes back in
/// every case but one: when it was lost with a failed claim.
async fn next_account(
    cx: &Context,
    arrival: &mut Arrival,
    mut open: Open,
    tried: &[AccountId],
) -> Result<Claimed, (Option<Open>, Error)> {
    let mut snapshot = match cx.snapshot().await {
        Ok(snapshot) => snapshot,
        Err(error) => return Err((Some(open), error)),
    };
    let mut error = None;
    for change in 0..=CHANGES {
        if let Err(error) = must_be_allowed(cx, arrival).await {
            return Err((Some(open), error));
        }
        let ranking = arrival.rank(cx.gateway.policy.strategy, &snapshot, tried);
        if ranking.order.is_empty() {
            error = Some(nobody(arrival, &ranking));
            // An account that was added a moment ago is in a newer snapshot.
            if change > 0 {
                break;
            }
        } else {
            let claim = arrival.claim(&ranking, &snapshot);
            let (claimed, outcome) = claim_to_the_end(cx, open, claim).await.map_err(|error| (None, error))?;
            open = claimed;
            match outcome {
                Ok(granted) => match snapshot.accounts.iter().find(|account| account.id == granted.account) {
                    Some(account) if account.revision == granted.revision => return Ok((account.clone(), open)),
                    // However young the snapshot is, it is too old.
                    _ => cx.gateway.forget_snapshot(),
                },
                Err(Refused::KeyGone) => {
                    cx.gateway.forget_key(&arrival.presented);
                    return Err((Some(open), Error::new(Kind::Unauthenticated, "this API key is revoked or expired")));
                }
                Err(Refused::KeyBusy) => {
                    error = Some(key_busy(&arrival.key));
                    sleep(SETTLING).await;
                }
                Err(Refused::KeyChanged) => match read_key_again(cx, arrival).await {
                    Ok(()) => {}
                    Err(error) => return Err((Some(open), error)),
                },
                Err(Refused::AccountsBusy) => {
                    error = Some(accounts_busy(arrival));
                    sleep(SETTLING).await;
                }
            }
        }
        snapshot = match cx.fresh_snapshot().await {
            Ok(snapshot) => snapshot,
            Err(error) => return Err((Some(open), error)),
        };
    }
    Err((Some(open), error.unwrap_or_else(|| accounts_busy(arrival))))
}

/// Makes a claim in a task of its own, so that a caller who hangs up in between leaves no lease behind: the settlement
/// travels with the claim, and ends it when nobody takes it back.
async fn claim_to_the_end(
    cx: &Context,
    mut open: Open,
    claim: Claim,
) -> Result<(Open, Result<crate::store::Granted, Refused>)> {
    let gateway = Arc::clone(&cx.gateway);
    let claiming = tokio::spawn(async move {
        let outcome = gateway.store.claim(claim).await?;
        if let Ok(granted) = &outcome {
            open.granted(&granted.account);
        }
        Ok((open, outcome))
    });
    claiming.await.map_err(Error::internal)?
}

/// A no is checked against the key as it now is: it may have been widened since it was read.
async fn must_be_allowed(cx: &Context, arrival: &mut Arrival) -> Result<()> {
    if arrival.allowed().is_ok() {
        return Ok(());
    }
    read_key_again(cx, arrival).await?;
    arrival.allowed()
}

async fn read_key_again(cx: &Context, arrival: &mut Arrival) -> Result<()> {
    cx.gateway.forget_key(&arrival.presented);
    arrival.key = cx.gateway.key(&arrival.presented).await?;
    Ok(())
}

impl Arrival {
    /// Whether the key may make this call.
    fn allowed(&self) -> Result<()> {
        self.key.must_be_active(self.at)?;
        self.key.may_call(self.demand.provider, self.demand.model.as_deref())
    }

    fn family(&self) -> String {
        self.demand.family().map_or_else(String::new, |family| family.as_str().to_owned())
    }

    fn session(&self) -> Option<String> {
        self.demand.session.as_ref().map(|session| session.under(&self.key.id))
    }

    fn rank<'a>(&self, strategy: Strategy, snapshot: &'a Snapshot, tried: &[AccountId]) -> Ranking<'a> {
        let family = self.family();
        let ask = Ask {
            pool: &self.key.pool,
            provider: self.demand.provider,
            model: self.demand.model.as_deref(),
            family: &family,
            tried,
        };
        // A session always draws the same lot, so it stays on the account that holds its prompt cache.
        let seed = self.session().map_or_else(|| random::draw().to_le_bytes().to_vec(), String::into_bytes);
        rank(&snapshot.accounts, &ask, strategy, &seed, clock::now())
    }

    fn claim(&self, ranking: &Ranking<'_>, snapshot: &Snapshot) -> Claim {
        Claim {
            request: self.id.clone(),
            key: self.key.id.clone(),
            key_revision: self.key.revision,
            pool: self.key.pool.clone(),
            family: self.family(),
            accounts: ranking.order.iter().map(|account| account.id.clone()).collect(),
            draft: open::draft(self, &snapshot.prices),
        }
    }
}

fn key_busy(key: &ApiKey) -> Error {
    let cap = key.max_in_flight.unwrap_or_default();
    Error::new(Kind::RateLimited, format!("this API key has {cap} requests in flight, its limit (max_in_flight)"))
        .with_retry_after(BUSY_FOR)
}

fn accounts_busy(arrival: &Arrival) -> Error {
    let provider = arrival.demand.provider;
    Error::new(Kind::RateLimited, format!("every {provider} account is busy; try again shortly"))
        .with_retry_after(BUSY_FOR)
}

/// Why there is no account to ask at all.
fn nobody(arrival: &Arrival, ranking: &Ranking<'_>) -> Error {
    let (provider, pool) = (arrival.demand.provider, &arrival.key.pool);
    let cooling_until = ranking.excluded.iter().filter_map(|(_, why)| match why {
        Exclusion::Cooling { until } => Some(*until),
        _ => None,
    });
    if let Some(until) = cooling_until.min() {
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

/// What every relayed answer says of the gateway.
fn sign(headers: &mut HeaderMap, arrival: &Arrival, account: &Account, open: &Open) {
    let text = |value: &str| HeaderValue::from_str(value).expect("ids and figures are plain ASCII");
    headers.insert("x-request-id", text(arrival.id.as_str()));
    if arrival.demand.protocol == Protocol::Anthropic {
        headers.insert("request-id", text(arrival.id.as_str()));
    }
    headers.insert("x-gateway-account", text(account.id.as_str()));
    headers.insert("x-gateway-attempts", text(&open.attempts().to_string()));
    headers.insert("cache-control", HeaderValue::from_static("no-store, no-transform"));
    let (admit, upstream) = open.timing();
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    headers.insert("server-timing", text(&format!("admit;dur={:.2}, upstream;dur={:.2}", ms(admit), ms(upstream))));
}
