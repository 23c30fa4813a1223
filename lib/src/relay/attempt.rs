//! One attempt on one account: send, hold the beginning of the answer, judge it.

use std::{borrow::Cow, sync::Arc, time::Instant};

use bytes::Bytes;
use http::{
    Method, StatusCode,
    header::{ACCEPT_ENCODING, RANGE},
};
use tokio::time::timeout;

use super::{
    Arrival, assist,
    conceal::conceal,
    hold::{self, Broken, Held, Told},
    open::Open,
    refresh,
    setback::{recover, set_back},
};
use crate::{
    clock,
    error::{Error, Kind, Result},
    gateway::Context,
    id::AccountId,
    pool::{Account, renewed},
    protocol::{Api, Family, Operation, Penalty, Verdict, strip_key, to_upstream},
    store::Report,
    upstream::{Outgoing, address, cause},
};

/// What came of an attempt.
pub(super) enum Outcome {
    /// The caller may see this.
    Committed(Held),
    /// Another account may do better.
    Elsewhere {
        /// What this account pays; `None`: it merely cannot serve this request.
        penalty: Option<Penalty>,
        /// Its answer, if it gave one.
        held: Option<Held>,
    },
}

pub(super) async fn attempt(cx: &Context, arrival: &Arrival, account: &Account, open: &Open) -> Outcome {
    let began = Instant::now();
    let outgoing = match outgoing(cx, arrival, account) {
        Ok(outgoing) => outgoing,
        Err(error) => {
            tracing::error!(account = %account.id, %error, "an account's credential or address cannot be used");
            let reason = error.message.into_owned();
            open.attempted(&account.id, "needs_auth", None, began.elapsed());
            set_back(cx, arrival, account, open, (&Penalty::NeedsAuth, reason)).await;
            return Outcome::Elsewhere { penalty: Some(Penalty::NeedsAuth), held: None };
        }
    };
    let (mut held, verdict) = match send(cx, arrival, account.api(), outgoing, open).await {
        Ok(held) => held,
        Err(unanswered) => {
            unreached(&account.id, &unanswered, open, began);
            set_back(cx, arrival, account, open, (&Penalty::Unreachable, unanswered.reason)).await;
            return Outcome::Elsewhere { penalty: Some(Penalty::Unreachable), held: None };
        }
    };
    learn(cx, arrival, account, &held);
    if verdict != Verdict::Deliver
        && let Ok(credential) = cx.gateway.unseal(account)
    {
        conceal(&mut held, &credential);
    }
    match verdict {
        Verdict::Deliver | Verdict::CallersFault => {
            open.attempted(&account.id, "delivered", Some(&held), began.elapsed());
            if verdict == Verdict::Deliver {
                recover(cx, account, arrival);
                if account.health.breaks > 0 {
                    open.may_mend();
                }
            }
            Outcome::Committed(held)
        }
        Verdict::Unsuited => {
            open.attempted(&account.id, "unsuited", Some(&held), began.elapsed());
            Outcome::Elsewhere { penalty: None, held: Some(held) }
        }
        Verdict::Failover(Penalty::NeedsAuth) if refresh::may_cure(account, &held) => {
            // Nobody pays yet: a new token may do better.
            open.attempted(&account.id, "token_refused", Some(&held), began.elapsed());
            Outcome::Elsewhere { penalty: Some(Penalty::NeedsAuth), held: Some(held) }
        }
        Verdict::Failover(penalty) => {
            open.attempted(&account.id, penalty.name(), Some(&held), began.elapsed());
            set_back(cx, arrival, account, open, (&penalty, held.reason())).await;
            Outcome::Elsewhere { penalty: Some(penalty), held: Some(held) }
        }
    }
}

/// Sends a request to an upstream that speaks `api`, and holds the beginning of its answer.
pub(super) async fn send(
    cx: &Context,
    arrival: &Arrival,
    api: Api,
    outgoing: Outgoing,
    open: &Open,
) -> Result<(Held, Verdict), Unanswered> {
    open.sent();
    let patience = &arrival.policy().patience;
    let answer = timeout(patience.first_byte(), async {
        match cx.gateway.upstream.send(outgoing, patience.connect()).await {
            Ok(response) => hold::hold(response, api, &arrival.demand).await.map_err(Unanswered::from),
            // Without a connection nothing was sent, and nothing can have been charged.
            Err(error) => Err(Unanswered { reason: cause(&error), sent: !error.is_connect(), told: None }),
        }
    });
    let too_late = || Err(Unanswered { reason: "no answer in time".to_owned(), sent: true, told: None });
    answer.await.unwrap_or_else(|_| too_late())
}

/// Why there was no answer.
pub(super) struct Unanswered {
    pub(super) reason: String,
    /// Whether the upstream may have seen the request.
    sent: bool,
    told: Option<Box<Told>>,
}

impl From<Broken> for Unanswered {
    fn from(Broken { reason, told }: Broken) -> Self {
        Self { reason, sent: true, told }
    }
}

/// Puts an attempt without an answer on the books.
pub(super) fn unreached(account: &AccountId, unanswered: &Unanswered, open: &Open, began: Instant) {
    open.attempted(account, Penalty::Unreachable.name(), None, began.elapsed());
    if unanswered.sent {
        open.unanswered(unanswered.told.as_deref());
    }
}

/// Keeps what an answer says of the account's limits, where it says something new.
fn learn(cx: &Context, arrival: &Arrival, account: &Account, held: &Held) {
    let limits = account.provider.reported_limits(&held.headers, arrival.demand.model.as_deref());
    let organization = account.provider.organization(&held.headers);
    let nothing_new = limits.iter().all(|limit| account.reported_limits.contains(limit));
    let same_organization = organization.is_none() || organization == account.organization;
    if nothing_new && same_organization {
        return;
    }
    // What is spent, or no longer is, must not be missed.
    let renewed = renewed(&account.reported_limits, &limits, clock::now());
    let is_news = held.status == StatusCode::TOO_MANY_REQUESTS || !renewed.is_empty();
    if !is_news && !cx.gateway.may_report(&account.id) {
        return;
    }
    let (gateway, id, family) = (Arc::clone(&cx.gateway), account.id.clone(), arrival.demand.family());
    cx.background.spawn(async move {
        let (organization, family) = (organization.as_deref(), family.as_ref().map(Family::as_str));
        let report = Report { limits: &limits, renewed: &renewed, organization, family };
        if let Err(error) = gateway.store.report(&id, &report).await {
            tracing::warn!(account = %id, %error, "an account's reported limits could not be kept");
        }
    });
}

/// The request as this account's upstream gets it: the caller's bytes, the account's credential and address, and where
/// the account maps the model's name, that name.
fn outgoing(cx: &Context, arrival: &Arrival, account: &Account) -> Result<Outgoing> {
    let demand = &arrival.demand;
    let credential = cx.gateway.unseal(account).map_err(|why| {
        Error::new(Kind::Internal, "the stored credential cannot be opened with this gateway's keys").with_source(why)
    })?;
    let mut headers = to_upstream(&arrival.headers);
    if demand.act.is_some() {
        // Their answers are read, and whole.
        headers.remove(ACCEPT_ENCODING);
        if demand.operation == Operation::BatchResults {
            headers.remove(RANGE);
        }
    }
    demand.provider.authorize(&mut headers, &credential)?;
    if account.api() == Api::CodeAssist {
        let base_url = cx.gateway.base_url(account);
        return assist::outgoing(arrival, account, base_url, &credential, headers);
    }
    let mapped =
        demand.model.as_deref().map(|asked| (asked, account.model_name(asked))).filter(|(asked, to)| asked != to);
    let mut path = Cow::Borrowed(arrival.uri.path());
    let mut body = arrival.body.clone();
    if let Some((asked, to)) = mapped {
        match &demand.model_span {
            Some(span) => body = replace(&body, span.clone(), to),
            None => path = rename_in_path(&path, asked, to).into(),
        }
    }
    let query = arrival.uri.query().and_then(strip_key).map_or_else(String::new, |query| format!("?{query}"));
    Ok(Outgoing {
        method: arrival.method.clone(),
        url: address(cx.gateway.base_url(account), &[&path, query.as_str()].concat())?,
        headers,
        body: if arrival.method == Method::GET { Bytes::new() } else { body },
    })
}

/// The body with another model's name, and no other byte changed.
fn replace(body: &Bytes, span: std::ops::Range<usize>, model: &str) -> Bytes {
    let name = serde_json::Value::from(model).to_string();
    [&body[..span.start], name.as_bytes(), &body[span.end..]].concat().into()
}

/// `/v1beta/models/NAME:verb` with another name.
fn rename_in_path(path: &str, asked: &str, to: &str) -> String {
    path.replacen(&format!("/{asked}"), &format!("/{to}"), 1)
}

impl Penalty {
    /// The word for it in the ledger and in logs.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::RateLimited { .. } => "rate_limited",
            Self::Overloaded => "overloaded",
            Self::Exhausted { .. } => "exhausted",
            Self::NeedsAuth => "needs_auth",
            Self::Unreachable => "unreachable",
            Self::BrokeOff => "broke_off",
        }
    }
}
