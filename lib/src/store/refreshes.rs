//! Refreshes of credentials: one instance at a time has the turn, and what it got is stored before anybody uses it.

use std::time::Duration;

use jiff::Timestamp;
use tokio_postgres::types::Type;

use super::Store;
use crate::{error::Result, id::AccountId};

/// A credential as one moment knows it.
#[derive(Debug, Clone)]
pub(crate) struct Version {
    /// Whose it is.
    pub(crate) account: AccountId,
    /// Which one of that account's.
    pub(crate) number: i64,
}

/// What asking for the turn came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It is ours. `interrupted`: a refresh before this one was begun, and its answer was never stored.
    Ours { interrupted: bool },
    /// Another one has it.
    Busy,
    /// A try failed moments ago.
    Resting { reason: String, remedy: Remedy },
    /// There is a newer credential, or the account is gone.
    Newer,
}

/// What can be done about a credential that was not renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// Somebody logs in again.
    Login,
    /// Somebody corrects the gateway's configuration. Until the token ends it does no harm.
    Settings,
    /// Another try.
    Patience,
}

impl Remedy {
    fn as_str(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Settings => "settings",
            Self::Patience => "patience",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        [Self::Login, Self::Settings, Self::Patience].into_iter().find(|remedy| remedy.as_str() == word)
    }
}

/// A new credential, sealed.
#[derive(Debug)]
pub(crate) struct Replacement<'a> {
    /// The sealed credential.
    pub(crate) sealed: &'a [u8],
    /// The last four characters of its secret.
    pub(crate) hint: &'a str,
    /// When it ends.
    pub(crate) expires_at: Option<Timestamp>,
}

/// A try that failed.
#[derive(Debug)]
pub(crate) struct Failure<'a> {
    /// Why.
    pub(crate) reason: &'a str,
    /// What helps.
    pub(crate) remedy: Remedy,
    /// Whether a refresh token may have been used up without anybody having got what it was given for.
    pub(crate) unanswered: bool,
    /// No other try is made within this.
    pub(crate) rest: Duration,
}

impl Store {
    /// Takes the turn for `turn` long, if nobody has it and the credential is still of this version.
    pub(crate) async fn begin_refresh(&self, of: &Version, holder: &str, turn: Duration) -> Result<Turn> {
        let sql = "select turn, failure, remedy from begin_refresh($1, $2, $3, $4)";
        let rows = self
            .rows(
                sql,
                &[
                    (&of.account.as_str(), Type::TEXT),
                    (&of.number, Type::INT8),
                    (&holder, Type::TEXT),
                    (&turn.as_secs_f64(), Type::FLOAT8),
                ],
            )
            .await?;
        let text = |name: &str| rows[0].get::<_, Option<String>>(name).unwrap_or_default();
        Ok(match rows[0].get("turn") {
            "mine" => Turn::Ours { interrupted: false },
            "again" => Turn::Ours { interrupted: true },
            "busy" => Turn::Busy,
            "resting" => Turn::Resting {
                reason: text("failure"),
                remedy: Remedy::parse(&text("remedy")).unwrap_or(Remedy::Patience),
            },
            _ => Turn::Newer,
        })
    }

    /// Stores a new credential in the place of this version and ends the turn. A login that works again is out of
    /// `needs_auth`. When another one was stored first, that one stays.
    pub(crate) async fn keep_refreshed(&self, of: &Version, new: &Replacement<'_>) -> Result<()> {
        let sql = "
            with kept as (
                update accounts set
                    credential = $3, credential_hint = $4, credential_expires_at = $5,
                    health_reason = case when health = 'needs_auth' then null else health_reason end,
                    failures = case when health = 'needs_auth' then 0 else failures end,
                    health = case when health = 'needs_auth' then 'ready' else health end
                where id = $1 and credential_version = $2
                returning id
            )
            delete from refreshes r using kept where r.account_id = kept.id";
        self.rows(
            sql,
            &[
                (&of.account.as_str(), Type::TEXT),
                (&of.number, Type::INT8),
                (&new.sealed, Type::BYTEA),
                (&new.hint, Type::TEXT),
                (&new.expires_at, Type::TIMESTAMPTZ),
            ],
        )
        .await
        .map(drop)
    }

    /// Gives the turn back after a failure.
    pub(crate) async fn rest_refresh(&self, of: &Version, holder: &str, failure: &Failure<'_>) -> Result<()> {
        let sql = "
            update refreshes set
                holder = null, until = clock_timestamp() + make_interval(secs => $4),
                unanswered = $5, failure = $6, remedy = $7
            where account_id = $1 and version = $2 and holder = $3";
        self.rows(
            sql,
            &[
                (&of.account.as_str(), Type::TEXT),
                (&of.number, Type::INT8),
                (&holder, Type::TEXT),
                (&failure.rest.as_secs_f64(), Type::FLOAT8),
                (&failure.unanswered, Type::BOOL),
                (&failure.reason, Type::TEXT),
                (&failure.remedy.as_str(), Type::TEXT),
            ],
        )
        .await
        .map(drop)
    }

    /// Takes an account out because its credential of this version is no longer good. A newer one is given its chance.
    pub(crate) async fn credential_ended(&self, of: &Version, reason: &str) -> Result<()> {
        let sql = "
            update accounts
            set health = 'needs_auth', health_reason = $3, health_until = null, probe_at = null, failures = failures + 1,
                last_error = $3
            where id = $1 and credential_version = $2";
        let of = [(&of.account.as_str() as _, Type::TEXT), (&of.number as _, Type::INT8), (&reason as _, Type::TEXT)];
        self.rows(sql, &of).await.map(drop)
    }
}
