//! Who is calling, and what they may do. No IO.

mod key;
mod limits;
mod rotation;

use std::{collections::BTreeMap, net::IpAddr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    address::Network,
    error::{Error, Kind, Result},
    glob::matches_any,
    id::KeyId,
    protocol::Provider,
};

pub use key::{KeyHash, NotAKey, PresentedKey};
pub use limits::{Limit, NAMED, OF_A_WINDOW, Span, Standing, Window};

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Manages everything, and may call models.
    Admin,
    /// Calls models, and sees its own use.
    Member,
    /// Sees everything, changes nothing, calls no model.
    Viewer,
}

impl Role {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Member => "member",
            Self::Viewer => "viewer",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Admin, Self::Member, Self::Viewer].into_iter().find(|role| role.as_str() == word)
    }
}

/// An issued key, without the key.
#[derive(Debug, Clone)]
pub struct ApiKey {
    /// Its name in the API and the ledger.
    pub id: KeyId,
    /// The first ten characters of the key.
    pub prefix: String,
    /// What the operator calls it.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// Whose accounts serve it.
    pub pool: String,
    /// Whom it may call; empty: everyone.
    pub providers: Vec<Provider>,
    /// Globs of the models it may call; empty: every model.
    pub models: Vec<String>,
    /// The networks it may be used from; empty: any.
    pub allowed_cidrs: Vec<Network>,
    /// Whether its holder may be served by a login of its own, instead of an account.
    pub allow_passthrough: bool,
    /// Requests it may have under way at once; `None`: any number.
    pub max_in_flight: Option<i32>,
    /// What it may use in which time.
    pub limits: Vec<Limit>,
    /// The IANA name of where its days, weeks and months begin.
    pub time_zone: String,
    /// How often it should get a new secret; `None`: never.
    pub rotate_every_days: Option<i32>,
    /// Whether the holder may fetch the new secret.
    pub auto_rotate: bool,
    /// When it got the secret that it has.
    pub rotated_at: Timestamp,
    /// When the secret that was presented ends; `None` for the one that the key has.
    pub secret_ends_at: Option<Timestamp>,
    /// The operator's own marks.
    pub labels: BTreeMap<String, String>,
    /// For the operator.
    pub note: String,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// When it was ended, for good.
    pub revoked_at: Option<Timestamp>,
    /// When it was issued.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl ApiKey {
    /// A key that may do whatever a member may, without limits.
    pub fn new(id: KeyId, prefix: &str, name: String, now: Timestamp) -> Self {
        Self {
            id,
            prefix: prefix.to_owned(),
            name,
            role: Role::Member,
            pool: "default".to_owned(),
            providers: Vec::new(),
            models: Vec::new(),
            allowed_cidrs: Vec::new(),
            max_in_flight: None,
            limits: Vec::new(),
            time_zone: "UTC".to_owned(),
            allow_passthrough: false,
            rotate_every_days: None,
            auto_rotate: false,
            rotated_at: now,
            secret_ends_at: None,
            labels: BTreeMap::new(),
            note: String::new(),
            expires_at: None,
            revoked_at: None,
            created_at: now,
            updated_at: now,
        }
    }

    /// The operator's settings, as the API and the audit log show them.
    pub fn settings(&self) -> Value {
        json!({
            "name": self.name, "prefix": self.prefix, "role": self.role, "pool": self.pool,
            "providers": self.providers, "models": self.models, "allowed_cidrs": self.allowed_cidrs,
            "limits": limits::view(&self.limits, self.max_in_flight), "time_zone": self.time_zone,
            "allow_passthrough": self.allow_passthrough, "rotate_every_days": self.rotate_every_days,
            "auto_rotate": self.auto_rotate, "rotated_at": self.rotated_at, "labels": self.labels, "note": self.note,
            "expires_at": self.expires_at, "revoked_at": self.revoked_at,
        })
    }

    /// `active`, `rotation_due`, `expired` or `revoked`.
    pub fn state(&self, now: Timestamp) -> &'static str {
        match (self.revoked_at, self.expires_at) {
            (Some(_), _) => "revoked",
            (None, Some(end)) if end <= now => "expired",
            _ if self.rotation().is_some_and(|rotation| rotation.opens_at <= now) => "rotation_due",
            _ => "active",
        }
    }

    /// Refuses a key that is revoked or past its time, and a secret that was replaced.
    pub fn must_be_active(&self, now: Timestamp) -> Result<()> {
        match self.state(now) {
            "active" | "rotation_due" if self.secret_ends_at.is_some_and(|end| end <= now) => {
                Err(Error::new(Kind::Unauthenticated, "this API key was replaced by a newer one"))
            }
            "active" | "rotation_due" => Ok(()),
            ended => Err(Error::new(Kind::Unauthenticated, format!("this API key is {ended}"))),
        }
    }

    /// Refuses a key that is used from elsewhere than it may be, or from nobody knows where.
    pub fn must_come_from(&self, from: Option<IpAddr>) -> Result<()> {
        let allowed = |from| self.allowed_cidrs.iter().any(|network| network.contains(from));
        if self.allowed_cidrs.is_empty() || from.is_some_and(allowed) {
            return Ok(());
        }
        Err(Error::new(Kind::PermissionDenied, "this API key may not be used from this address"))
    }

    /// Refuses what this key may not call. A model that is not allowed is the request's mistake, not the key's: clients
    /// read 403 as a failed sign-in.
    pub fn may_call(&self, provider: Provider, model: Option<&str>) -> Result<()> {
        if self.role == Role::Viewer {
            return Err(Error::new(Kind::PermissionDenied, "a key with the role `viewer` may not call models"));
        }
        if !self.providers.is_empty() && !self.providers.contains(&provider) {
            return Err(Error::new(Kind::PermissionDenied, format!("this API key may not call {provider}")));
        }
        match model {
            Some(model) if !self.models.is_empty() && !matches_any(&self.models, model) => {
                Err(Error::invalid("model", format!("this API key may not call the model {model}")))
            }
            _ => Ok(()),
        }
    }

    /// Refuses a key whose holder is to be served by accounts only.
    pub fn may_pass_through(&self) -> Result<()> {
        match self.allow_passthrough {
            true => Ok(()),
            false => {
                let message = "this API key may not pass a login of your own through (its allow_passthrough is false)";
                Err(Error::new(Kind::PermissionDenied, message))
            }
        }
    }
}

/// Who calls the management API.
#[derive(Debug, Clone)]
pub enum Caller {
    /// The holder of `ADMIN_TOKEN`.
    Operator,
    /// The holder of a key.
    Holder(Box<ApiKey>),
}

impl Caller {
    /// What they may do.
    pub fn role(&self) -> Role {
        match self {
            Self::Operator => Role::Admin,
            Self::Holder(key) => key.role,
        }
    }

    /// What the audit log calls them.
    pub fn name(&self) -> &str {
        match self {
            Self::Operator => "admin_token",
            Self::Holder(key) => key.id.as_str(),
        }
    }

    /// Lets only those pass who may see everything.
    pub fn may_view(&self) -> Result<()> {
        match self.role() {
            Role::Admin | Role::Viewer => Ok(()),
            Role::Member => Err(Error::new(Kind::PermissionDenied, "this needs the role `viewer` or `admin`")),
        }
    }

    /// Lets only those pass who may change things.
    pub fn may_manage(&self) -> Result<()> {
        match self.role() {
            Role::Admin => Ok(()),
            Role::Member | Role::Viewer => Err(Error::new(Kind::PermissionDenied, "this needs the role `admin`")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(role: Role, providers: &[Provider], models: &[&str]) -> ApiKey {
        ApiKey {
            role,
            providers: providers.to_vec(),
            models: models.iter().map(|&glob| glob.to_owned()).collect(),
            ..ApiKey::new(KeyId::from("key_a".to_owned()), "gw_abcdefg", "a".to_owned(), Timestamp::UNIX_EPOCH)
        }
    }

    #[test]
    fn a_key_calls_what_it_may() {
        use Provider::{Anthropic, Gemini};
        for (key, provider, model, expect) in [
            (key(Role::Member, &[], &[]), Gemini, Some("any"), None),
            (key(Role::Admin, &[], &[]), Anthropic, None, None),
            (key(Role::Viewer, &[], &[]), Gemini, Some("any"), Some(Kind::PermissionDenied)),
            (key(Role::Member, &[Gemini], &[]), Anthropic, Some("any"), Some(Kind::PermissionDenied)),
            (key(Role::Member, &[Gemini], &[]), Gemini, Some("any"), None),
            (key(Role::Member, &[], &["claude-sonnet-*"]), Anthropic, Some("claude-sonnet-5-5"), None),
            (
                key(Role::Member, &[], &["claude-sonnet-*"]),
                Anthropic,
                Some("claude-opus-5"),
                Some(Kind::InvalidRequest),
            ),
            (key(Role::Member, &[], &["claude-sonnet-*"]), Anthropic, None, None),
        ] {
            let got = key.may_call(provider, model).err().map(|error| error.kind);
            assert_eq!(got, expect, "{key:?} {provider} {model:?}");
        }
    }

    #[test]
    fn an_ended_key_is_refused_from_the_moment_it_ends() {
        let end = Timestamp::from_second(1_000).unwrap();
        let expiring = ApiKey { expires_at: Some(end), ..key(Role::Member, &[], &[]) };
        assert!(expiring.must_be_active(Timestamp::from_second(999).unwrap()).is_ok());
        assert_eq!(expiring.must_be_active(end).unwrap_err().message, "this API key is expired");
        let revoked = ApiKey { revoked_at: Some(end), ..expiring };
        assert_eq!(revoked.must_be_active(Timestamp::UNIX_EPOCH).unwrap_err().message, "this API key is revoked");
    }
}
