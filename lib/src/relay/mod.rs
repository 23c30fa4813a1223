//! The life of one proxied request: rank, claim, attempt, and again with another account until an answer may be shown.

mod assist;
mod attempt;
mod body;
mod check;
mod claim;
mod conceal;
mod flow;
mod gather;
mod hold;
mod list;
mod minutes;
mod open;
mod passthrough;
mod project;
mod quota;
mod refresh;
mod setback;
mod settle;
mod silence;
mod source;
mod things;
mod trace;
mod unheard;
mod upkeep;
mod watch;
mod webhooks;

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Uri};
use jiff::Timestamp;
use tokio::time::{sleep, timeout_at};

use crate::{
    access::{ApiKey, PresentedKey},
    error::{Error, Kind, Result},
    gateway::{Context, Snapshot},
    http::Response,
    id::{AccountId, RequestId},
    pool::{Account, Policy},
    protocol::{Act, Api, Demand, Operation, Penalty, Protocol, code_assist},
};

pub(crate) use check::check;
pub(crate) use things::Place;
pub(crate) use trace::Trace;

use attempt::Outcome;
use hold::Held;
use open::Open;
use watch::Watch;

/// The pause before accounts that were all overloaded are asked once more.
const BACKOFF: Duration = Duration::from_millis(750);
/// An upstream that failed is worth asking again after this.
const TRY_AGAIN: Duration = Duration::from_secs(2);

/// Why an answer ended that the host would not have waited for.
const OUT_OF_TIME: &str = "the time that this gateway's host gives a request is over";

/// A request that is ready to be relayed.
pub(crate) struct Arrival {
    pub(crate) id: RequestId,
    pub(crate) at: Timestamp,
    pub(crate) began: Instant,
    /// The caller's address; `None` where the platform does not say.
    pub(crate) from: Option<IpAddr>,
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// The settings and accounts that everything is decided on.
    pub(crate) snapshot: Arc<Snapshot>,
    /// What the caller presented, to read the key again when the settings have changed.
    pub(crate) presented: PresentedKey,
    pub(crate) key: Arc<ApiKey>,
    /// Whose login goes up with it.
    pub(crate) login: Login,
    pub(crate) demand: Demand,
    /// The conversation, by the name that affinity knows it under.
    pub(crate) session: Option<String>,
    /// The gateway's own address, for addresses in answers; empty where it is not known.
    pub(crate) origin: String,
    /// Where tracing is told of it.
    pub(crate) trace: Trace,
    /// Where its things send it.
    pub(crate) place: Place,
}

/// Whose login goes up with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Login {
    /// That of an account of the key's pool.
    Account,
    /// The caller's own, passed through.
    Caller,
}

impl Arrival {
    /// Whether the key may make this call.
    pub(crate) fn allowed(&self) -> Result<()> {
        self.key.must_be_active(self.at)?;
        self.key.must_come_from(self.from)?;
        if self.login == Login::Caller {
            self.key.may_pass_through()?;
        }
        self.demand.may_be_called_with(|model| self.key.may_call(self.demand.provider, model))
    }

    fn policy(&self) -> &Policy {
        self.snapshot.policy(&self.key.pool, self.demand.provider)
    }

    fn family(&self) -> String {
        self.demand.family().map_or_else(String::new, |family| family.as_str().to_owned())
    }

    /// Whether sending it twice does no harm: a call that makes something at the upstream must not make it twice.
    fn may_be_repeated(&self) -> bool {
        let asks_only = matches!(
            self.demand.operation,
            Operation::Generate | Operation::CountTokens | Operation::Embed | Operation::Models
        );
        asks_only
            || self.method == Method::GET
            || (self.demand.api == Api::CodeAssist && code_assist::only_asks(self.uri.path()))
    }
}

/// Relays one request. An error is a refusal of ours, for the caller's dialect to word; nothing was claimed for it, or
/// what was claimed is settled.
pub(crate) async fn relay(cx: &Context, arrival: Arrival) -> Result<Response> {
    upkeep::keep_up(cx);
    refresh::when_due(cx, &arrival.snapshot);
    let open = Open::new(cx, &arrival);
    // Futures that are large, or seldom needed, have a place of their own here and below: a request that waits for its claim
    // shall not hold the room of all that may follow.
    let serving = Box::pin(serve(cx, arrival, open.clone()));
    let Some(ends_at) = cx.background.ends_at() else { return serving.await };
    timeout_at(ends_at, serving).await.unwrap_or_else(|_| {
        // No account pays for it: that it had not answered yet is no fault.
        open.failed(OUT_OF_TIME);
        Err(Error::new(Kind::Unavailable, format!("{OUT_OF_TIME}, and no account has answered yet")))
    })
}

async fn serve(cx: &Context, mut arrival: Arrival, open: Open) -> Result<Response> {
    if arrival.login == Login::Caller {
        return Box::pin(passthrough::relay(cx, arrival, open)).await;
    }
    if let Some(Act::List(kind)) = arrival.demand.act {
        return Box::pin(list::list(cx, arrival, kind)).await;
    }
    if arrival.demand.act.is_some() || !arrival.demand.names.is_empty() {
        arrival.place = match Box::pin(things::place(cx, &arrival)).await {
            Ok(place) => place,
            Err(error) => return Err(unclaimed(cx, &mut arrival).await.err().unwrap_or(error)),
        };
        open.is_about(arrival.place.batch.clone());
    }
    let mut tried: Vec<AccountId> = Vec::new();
    let mut telling: Option<Telling> = None;
    let mut backed_off = false;
    while open.attempts() < arrival.policy().max_attempts.0 as usize {
        let account = match claim::next_account(cx, &mut arrival, &open, &tried).await {
            Ok(account) => account,
            // Nobody is left: what an account answered says more than that.
            Err(_) if telling.is_some() => {
                if backed_off || !telling.as_ref().is_some_and(Telling::may_pass) || !arrival.may_be_repeated() {
                    break;
                }
                // Everyone was asked, and an overload may be over in a moment: each account gets one more chance.
                backed_off = true;
                tried.clear();
                sleep(BACKOFF).await;
                continue;
            }
            Err(error) => return Err(error),
        };
        tried.push(account.id.clone());
        match Box::pin(refresh::attempt(cx, &arrival, &account, &open)).await {
            Outcome::Committed(mut held) => {
                if arrival.demand.act.is_some() {
                    Box::pin(things::note(cx, &arrival, &account, &mut held, &open))
                        .await
                        .inspect_err(|error| open.failed(error.message.clone()))?;
                }
                let watch = Watch::of(cx, &arrival, &account.id, &held.headers);
                return Ok(body::watched(&arrival, &account.id, watch, held, open));
            }
            Outcome::Elsewhere { penalty, held } => {
                let go_on = arrival.may_be_repeated() || penalty.as_ref().is_none_or(Penalty::proves_nothing_was_done);
                telling = Some(Telling::of(telling, account, penalty, held));
                if !go_on {
                    break;
                }
            }
        }
    }
    match telling {
        Some(Telling { account, held: Some(held), .. }) => Ok(body::failure(&arrival, &account.id, held, open)),
        _ => {
            open.failed("no account gave an answer");
            Err(no_answer())
        }
    }
}

/// No claim has looked at the key, and what is remembered of it may be old: refuses what it may not call any more.
async fn unclaimed(cx: &Context, arrival: &mut Arrival) -> Result<()> {
    arrival.snapshot = cx.snapshot_since(Instant::now()).await?;
    arrival.key = cx.key(&arrival.snapshot, &arrival.presented).await?;
    arrival.allowed()
}

fn no_answer() -> Error {
    Error::new(Kind::Unavailable, "the upstream did not answer; try again shortly").with_retry_after(TRY_AGAIN)
}

/// The failed answer that tells the caller most: a limit says when to come back, an overload says to come back, and a
/// refused credential is none of the caller's business.
struct Telling {
    account: Arc<Account>,
    weight: Weight,
    held: Option<Held>,
}

/// How much a failed answer tells the caller; the later, the more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    NoAnswer,
    /// Of the account's credential or credit.
    AccountsOwn,
    Unsuited,
    Overloaded,
    Limited,
}

impl Telling {
    fn of(before: Option<Self>, account: Arc<Account>, penalty: Option<Penalty>, held: Option<Held>) -> Self {
        let weight = match (&held, penalty) {
            (None, _) => Weight::NoAnswer,
            (Some(_), Some(Penalty::NeedsAuth | Penalty::Exhausted { .. })) => Weight::AccountsOwn,
            (Some(_), None) => Weight::Unsuited,
            (Some(_), Some(Penalty::Overloaded | Penalty::Unreachable | Penalty::BrokeOff)) => Weight::Overloaded,
            (Some(_), Some(Penalty::RateLimited { .. })) => Weight::Limited,
        };
        match before {
            Some(before) if before.weight > weight => before,
            _ => Self { account, weight, held },
        }
    }

    /// Whether it tells of something that may be over in a moment.
    fn may_pass(&self) -> bool {
        matches!(self.weight, Weight::NoAnswer | Weight::Overloaded)
    }
}

impl Penalty {
    /// Whether the upstream has refused before doing anything, so that the request can be made elsewhere in any case.
    fn proves_nothing_was_done(&self) -> bool {
        match self {
            Self::RateLimited { .. } | Self::Exhausted { .. } | Self::NeedsAuth => true,
            Self::Overloaded | Self::Unreachable | Self::BrokeOff => false,
        }
    }
}

/// What every relayed answer says of the gateway.
fn sign(headers: &mut HeaderMap, arrival: &Arrival, account: Option<&AccountId>, open: &Open) {
    let text = |value: &str| HeaderValue::from_str(value).expect("ids and figures are plain ASCII");
    headers.insert("x-request-id", text(arrival.id.as_str()));
    if arrival.demand.protocol == Protocol::Anthropic {
        headers.insert("request-id", text(arrival.id.as_str()));
    }
    if let Some(account) = account {
        headers.insert("x-gateway-account", text(account.as_str()));
    }
    headers.insert("x-gateway-attempts", text(&open.attempts().to_string()));
    headers.insert("cache-control", HeaderValue::from_static("no-store, no-transform"));
    let (admit, upstream) = open.timing();
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    headers.insert("server-timing", text(&format!("admit;dur={:.2}, upstream;dur={:.2}", ms(admit), ms(upstream))));
}
