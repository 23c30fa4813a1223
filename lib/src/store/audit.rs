//! The audit log: written in the transaction of the change it tells of.

use serde_json::Value;
use tokio_postgres::types::{Json, Type};

use super::Transaction;
use crate::error::Result;

/// One change, told without secrets.
#[derive(Debug)]
pub(super) struct Change<'a> {
    /// Who: an admin key's id, or `admin_token`.
    pub(super) actor: &'a str,
    /// What: `account.create`, `key.revoke` …
    pub(super) action: &'a str,
    /// To which account, key, policy or price.
    pub(super) subject: &'a str,
    /// The settings before; `None` for something new.
    pub(super) before: Option<Value>,
    /// The settings after; `None` for something gone.
    pub(super) after: Option<Value>,
}

/// Tells a change, and lets every instance know that what it remembers is old.
pub(super) async fn write(transaction: &Transaction<'_>, change: Change<'_>) -> Result<()> {
    transaction
        .rows(
            "insert into audit_log (actor, action, subject, before, after) values ($1, $2, $3, $4, $5)",
            &[
                (&change.actor, Type::TEXT),
                (&change.action, Type::TEXT),
                (&change.subject, Type::TEXT),
                (&change.before.map(Json), Type::JSONB),
                (&change.after.map(Json), Type::JSONB),
            ],
        )
        .await?;
    transaction.rows("update settings set revision = revision + 1", &[]).await.map(drop)
}
