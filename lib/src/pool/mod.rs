//! Which account serves a call. Accounts, time and chance are arguments; no IO.

mod family;
mod health;
mod limits;
mod policy;
mod rank;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    credential::Credential,
    id::AccountId,
    protocol::{Api, Provider, ReportedLimit},
};

pub use family::FamilyCooldown;
pub use health::{Fault, Health, State};
pub use limits::{earliest_reset, headroom, renewed};
pub use policy::{Affinity, Attempts, Cooldown, Patience, Policy, Strategy};
pub use rank::{Ask, Exclusion, Lot, Ranking, rank};

/// One upstream identity, as the database holds it.
#[derive(Debug, Clone)]
pub struct Account {
    /// Its name in the API and the ledger.
    pub id: AccountId,
    /// Whose API it is for.
    pub provider: Provider,
    /// What the operator calls it.
    pub name: String,
    /// Whose keys it serves.
    pub pool: String,
    /// Where its requests go; `None`: the address of its API.
    pub base_url: Option<String>,
    /// The credential, sealed for this account.
    pub sealed: Vec<u8>,
    /// `api_key` or `oauth`.
    pub credential_kind: String,
    /// The last four characters of the secret.
    pub credential_hint: String,
    /// When the credential ends by itself; `None`: never, or nobody knows.
    pub credential_expires_at: Option<Timestamp>,
    /// Rises with every new credential, an operator's or a renewed one.
    pub credential_version: i64,
    /// The operator's statement that the provider's terms allow a login to be used this way.
    pub entitled: bool,
    /// The tier: accounts of tier 0 are tried before those of tier 1.
    pub priority: i32,
    /// The share of its tier under `weighted`.
    pub weight: i32,
    /// Requests it may have under way at once; `None`: any number.
    pub max_in_flight: Option<i32>,
    /// Requests it may be sent in any sixty seconds; `None`: any number.
    pub requests_per_minute: Option<i32>,
    /// Tokens it may be sent and asked for in any sixty seconds; `None`: any number.
    pub tokens_per_minute: Option<i32>,
    /// Whether it may go on into use that is paid extra.
    pub use_paid_overage: bool,
    /// Globs of the models it serves; empty: every model.
    pub models: Vec<String>,
    /// Names of models as callers know them, to the names this account has for them.
    pub model_map: BTreeMap<String, String>,
    /// For the operator.
    pub note: String,
    /// Taken out by the operator.
    pub paused: bool,
    /// What traffic taught about it.
    pub health: Health,
    /// Model families that sit out, or did until their next success.
    pub cooling_families: BTreeMap<String, FamilyCooldown>,
    /// Requests under way when this was read.
    pub in_flight: i64,
    /// The last thing that went wrong.
    pub last_error: Option<String>,
    /// The upstream's name for whom it bills.
    pub organization: Option<String>,
    /// What the upstream last said of its limits.
    pub reported_limits: Vec<ReportedLimit>,
    /// When it was last checked.
    pub last_checked_at: Option<Timestamp>,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl Account {
    /// One with nothing set but what it must have; its credential is yet to be sealed.
    pub fn new(id: AccountId, provider: Provider, name: String, now: Timestamp) -> Self {
        Self {
            id,
            provider,
            name,
            pool: "default".to_owned(),
            base_url: None,
            sealed: Vec::new(),
            credential_kind: String::new(),
            credential_hint: String::new(),
            credential_expires_at: None,
            credential_version: 1,
            entitled: false,
            priority: 0,
            weight: 1,
            max_in_flight: None,
            requests_per_minute: None,
            tokens_per_minute: None,
            use_paid_overage: true,
            models: Vec::new(),
            model_map: BTreeMap::new(),
            note: String::new(),
            paused: false,
            health: Health::ready(),
            cooling_families: BTreeMap::new(),
            in_flight: 0,
            last_error: None,
            organization: None,
            reported_limits: Vec::new(),
            last_checked_at: None,
            created_at: now,
            updated_at: now,
        }
    }

    /// What its upstream speaks: Google serves keys and logins by different APIs.
    pub fn api(&self) -> Api {
        match self.provider {
            Provider::Anthropic => Api::Anthropic,
            Provider::Gemini if self.credential_kind == Credential::OAUTH => Api::CodeAssist,
            Provider::Gemini => Api::Gemini,
        }
    }

    /// The reported limits that a request for a model of this family falls under.
    pub fn limits_of<'a>(&'a self, family: &'a str) -> impl Iterator<Item = &'a ReportedLimit> {
        self.reported_limits.iter().filter(move |limit| limit.covers(family))
    }

    /// What this account calls the model.
    pub fn model_name<'a>(&'a self, asked: &'a str) -> &'a str {
        self.model_map.get(asked).map_or(asked, String::as_str)
    }

    /// The operator's settings, as the API shows them; no secret is among them.
    pub fn settings(&self) -> Value {
        json!({
            "provider": self.provider, "name": self.name, "pool": self.pool, "base_url": self.base_url,
            "credential": {
                "kind": self.credential_kind, "hint": self.credential_hint, "expires_at": self.credential_expires_at,
            },
            "entitled": self.entitled,
            "priority": self.priority, "weight": self.weight, "max_in_flight": self.max_in_flight,
            "requests_per_minute": self.requests_per_minute, "tokens_per_minute": self.tokens_per_minute,
            "use_paid_overage": self.use_paid_overage,
            "models": self.models, "model_map": self.model_map, "note": self.note, "paused": self.paused,
        })
    }

    /// The settings and the health, as the audit log shows them.
    pub fn told(&self) -> Value {
        let mut told = self.settings();
        told["health"] = json!({
            "state": self.health.last.as_str(), "reason": self.health.reason, "until": self.health.until,
            "failures": self.health.failures, "breaks": self.health.breaks,
        });
        told["cooling_families"] =
            self.cooling_families.iter().map(|(family, it)| (family.clone(), json!(it.until))).collect();
        told
    }

    /// What is shown: the operator's pause before everything, then the health as it is by `now`.
    pub fn state(&self, now: Timestamp) -> State {
        if self.paused { State::Paused } else { self.health.state(now) }
    }
}
