//! The claim: the one round trip before the upstream is called.

use std::{future::Future, sync::Arc};

use bytes::BytesMut;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio_postgres::{
    Row,
    types::{Json, Type},
};

use super::{
    AttemptRecord, Columns, Lane, Lanes, Spent, Store,
    columns::{bigint, integer},
};
use crate::{
    access::{Limit, Standing},
    error::Result,
    id::{AccountId, KeyId, RequestId},
};

/// What a request asks of the database before it may go out.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The request; a second claim of the same moves its lease.
    pub request: RequestId,
    /// The revision of the settings that this was decided on.
    pub revision: i64,
    /// The key.
    pub key: KeyId,
    /// The pool of the key; claims of one pool are made one after the other.
    pub pool: String,
    /// The model family whose cooldowns count.
    pub family: String,
    /// Estimated tokens, for limits by the minute.
    pub tokens: u64,
    /// Accounts, best first; `None`: the caller's own login serves, and no account is taken.
    pub accounts: Option<Vec<AccountId>>,
    /// When the secret ends that was presented, where it was replaced.
    pub secret_ends: Option<Timestamp>,
    /// Where these are only the best of many: the others that may not serve this request, though nothing is wrong with
    /// them. Then the conversation may stay on an account that is not named.
    pub unsuited: Option<Vec<AccountId>>,
    /// The conversation.
    pub session: Option<String>,
    /// Whether no other account can serve it, so that its conversation moves here for good.
    pub pinned: bool,
    /// Whether its conversation would rather wait a moment than leave its account: then no other is taken while that one is
    /// about to have room for it.
    pub patient: bool,
    /// How it stays where it is; `None`: it does not.
    pub affinity: Option<Binding>,
    /// Where Redis counts the minutes; `None`: only Postgres does.
    pub minutes: Option<Minutes>,
    /// What is known of the ledger row.
    pub draft: Draft,
}

/// What a claim knows of minutes that are counted in Redis.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Minutes {
    /// Redis is not there, and Postgres counts.
    Away,
    /// Redis has counted.
    Counted {
        /// The account that the request counts on.
        account: Option<AccountId>,
        /// Accounts that have no room for it.
        full: Vec<AccountId>,
        /// The limit by the minute of the key that it was refused by; then it counts on nothing.
        #[serde(skip_serializing_if = "Option::is_none")]
        limited: Option<Limited>,
    },
}

/// How a conversation stays on its account.
#[derive(Debug, Clone, Copy)]
pub struct Binding {
    /// It is forgotten after so long a silence.
    pub session_seconds: u32,
    /// Requests of it on one account at once.
    pub session_in_flight: u32,
}

/// A ledger row as far as it is known when a request goes out: what it is recorded as should this instance die.
#[derive(Debug, Clone, Serialize)]
pub struct Draft {
    /// The request.
    pub id: RequestId,
    /// When it came.
    pub started_at: Timestamp,
    /// The key.
    pub key_id: KeyId,
    /// The key's pool.
    pub pool: String,
    /// The provider.
    pub provider: &'static str,
    /// What the path asks.
    pub operation: crate::protocol::Operation,
    /// The model asked for.
    pub model: Option<String>,
    /// Whether the answer is a stream.
    pub stream: bool,
    /// The session, as the hash that affinity goes by.
    pub session: Option<String>,
    /// The client's user agent, cut short.
    pub client: Option<String>,
    /// What this attempt is estimated to use and cost, and what those before it did.
    #[serde(flatten)]
    pub spent: Spent,
    /// Those before it, and then it too; empty where there were none.
    pub attempts: Vec<AttemptRecord>,
}

/// A claim that was granted.
#[derive(Debug, Clone)]
pub struct Granted {
    /// The account taken.
    pub account: AccountId,
    /// Whether the conversation is `new`, was `kept` on its account, or `moved`; `None` without affinity.
    pub affinity: Option<String>,
    /// The account that a conversation was on which has moved.
    pub left: Option<AccountId>,
}

/// Why a claim was not granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// The key was revoked, has expired, or was never there.
    KeyGone,
    /// An operator has changed something since: look again.
    SettingsChanged,
    /// The key has as many requests under way as it may.
    KeyBusy,
    /// The key has nothing left of this limit.
    KeyLimited(Box<Standing>),
    /// This account would serve, once Redis has counted the request on it.
    Uncounted(AccountId),
    /// No account of the list is usable now.
    AccountsBusy,
}

impl Refused {
    /// Whether looking again within this request would change nothing.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::KeyGone | Self::KeyLimited(_))
    }
}

/// What comes of a claim.
pub type Outcome = Result<Granted, Refused>;

impl Store {
    /// Takes the first usable account of the list.
    pub async fn claim(&self, claim: Claim) -> Result<Outcome> {
        self.claims.submit(claim).await
    }

    /// The same, and tells `then` what came of it, whoever still waits for that.
    pub fn claim_then(&self, claim: Claim, then: impl FnOnce(Result<Outcome>) + Send + 'static) {
        self.claims.submit_then(claim, then);
    }

    /// Keeps the lease of a request that is still under way.
    pub async fn renew(&self, request: RequestId) -> Result<()> {
        self.renewals.submit(request).await
    }

    /// Records requests whose instance died; answers how many.
    pub async fn reap(&self) -> Result<i64> {
        let rows = self.rows("select reap()", &[]).await?;
        Ok(rows[0].get(0))
    }
}

pub(super) fn run(lanes: &Arc<Lanes>) -> impl Fn(Arc<[Claim]>) -> ClaimRun + Send + Sync + 'static + use<> {
    let lanes = Arc::clone(lanes);
    move |claims| {
        let lanes = Arc::clone(&lanes);
        Box::pin(async move { claim(&lanes, &claims).await })
    }
}

/// A limit that has nothing left, as the database says it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Limited {
    rule: Limit,
    used: i64,
    resets_at: Option<Timestamp>,
}

impl From<Standing> for Limited {
    fn from(Standing { limit, used, resets_at }: Standing) -> Self {
        Self { rule: limit, used, resets_at }
    }
}

type ClaimRun = std::pin::Pin<Box<dyn Future<Output = Result<Vec<Outcome>>> + Send>>;
type RenewRun = std::pin::Pin<Box<dyn Future<Output = Result<Vec<()>>> + Send>>;

const CLAIM: &str = "
    select outcome, account_id, affinity, limited, left_account
    from claim_all($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)";

async fn claim(lanes: &Lanes, claims: &[Claim]) -> Result<Vec<Outcome>> {
    let rows = lanes.rows_often(Lane::Hot, CLAIM, &columns(claims).parameters()).await?;
    Ok(rows.iter().map(outcome).collect())
}

/// A batch of claims as the bytes that Postgres gets: for whoever measures what that costs.
pub fn encode_claims(claims: &[Claim]) -> Result<BytesMut> {
    columns(claims).encoded()
}

fn columns(claims: &[Claim]) -> Columns<'_, Claim> {
    Columns::of(claims)
        .add(Type::TEXT_ARRAY, |claim| claim.request.as_str())
        .add(Type::INT8_ARRAY, |claim| claim.revision)
        .add(Type::TEXT_ARRAY, |claim| claim.key.as_str())
        .add(Type::TEXT_ARRAY, |claim| &*claim.pool)
        .add(Type::TEXT_ARRAY, |claim| &*claim.family)
        .add(Type::INT8_ARRAY, |claim| bigint(claim.tokens))
        .add(Type::TEXT_ARRAY, Claim::named)
        .add(Type::TEXT_ARRAY, |claim| claim.session.as_deref())
        .add(Type::INT4_ARRAY, |claim| Some(integer(claim.affinity?.session_seconds)))
        .add(Type::INT4_ARRAY, |claim| Some(integer(claim.affinity?.session_in_flight)))
        .add(Type::BOOL_ARRAY, Claim::is_special)
        .add(Type::JSONB_ARRAY, |claim| More::of(claim).map(Json))
        .add(Type::JSON_ARRAY, |claim| Json(&claim.draft))
        .add(Type::TIMESTAMPTZ_ARRAY, |claim| claim.draft.started_at)
        .add(Type::TEXT_ARRAY, |claim| claim.draft.model.as_deref())
        .add(Type::INT8_ARRAY, |claim| bigint(claim.draft.spent.tokens.all()))
        .add(Type::INT8_ARRAY, |claim| claim.draft.spent.cost_micros)
}

impl Claim {
    /// The accounts as one text.
    fn named(&self) -> Option<String> {
        let ids: Vec<_> = self.accounts.as_ref()?.iter().map(AccountId::as_str).collect();
        Some(ids.join(","))
    }

    /// Whether something other than the state of key and accounts has a say in it.
    fn is_special(&self) -> bool {
        self.pinned
            || self.secret_ends.is_some()
            || matches!(self.minutes, Some(Minutes::Away))
            || self.accounts.is_none()
    }
}

/// What few claims have.
#[derive(Debug, Serialize)]
struct More<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    unsuited: Option<&'a [AccountId]>,
    pinned: bool,
    patient: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_ends: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    minutes: Option<&'a Minutes>,
}

impl<'a> More<'a> {
    fn of(claim: &'a Claim) -> Option<Self> {
        let Claim { unsuited, pinned, patient, secret_ends, minutes, .. } = claim;
        let more = Self {
            unsuited: unsuited.as_deref(),
            pinned: *pinned,
            patient: *patient,
            secret_ends: *secret_ends,
            minutes: minutes.as_ref(),
        };
        (more.pinned || more.patient || more.unsuited.is_some() || more.secret_ends.is_some() || more.minutes.is_some())
            .then_some(more)
    }
}

fn outcome(row: &Row) -> Outcome {
    let account = |column: &str| row.get::<_, Option<String>>(column).map(AccountId::from);
    match (row.get("outcome"), account("account_id")) {
        ("granted", Some(account_id)) => {
            Ok(Granted { account: account_id, affinity: row.get("affinity"), left: account("left_account") })
        }
        ("key_gone", _) => Err(Refused::KeyGone),
        ("settings_changed", _) => Err(Refused::SettingsChanged),
        ("key_busy", _) => Err(Refused::KeyBusy),
        ("uncounted", Some(account_id)) => Err(Refused::Uncounted(account_id)),
        ("key_limited", _) => {
            let Json(Limited { rule, used, resets_at }) = row.get("limited");
            Err(Refused::KeyLimited(Box::new(Standing { limit: rule, used, resets_at })))
        }
        _ => Err(Refused::AccountsBusy),
    }
}

pub(super) fn renew(lanes: &Arc<Lanes>) -> impl Fn(Arc<[RequestId]>) -> RenewRun + Send + Sync + 'static + use<> {
    let lanes = Arc::clone(lanes);
    move |requests| {
        let lanes = Arc::clone(&lanes);
        Box::pin(async move {
            let ids: Vec<&str> = requests.iter().map(RequestId::as_str).collect();
            let sql = "update leases set expires_at = now() + lease_life() where request_id = any($1)";
            lanes.rows(Lane::Work, sql, &[(&ids, Type::TEXT_ARRAY)]).await?;
            Ok(vec![(); requests.len()])
        })
    }
}
