//! The audit log: written in the transaction of the change it tells of.

use serde_json::Value;

use tokio_postgres::{
    Transaction,
    types::{Json, Type},
};

use super::fault;
use crate::error::Result;

/// One change, told without secrets.
#[derive(Debug)]
pub(crate) struct Change<'a> {
    /// Who: an admin key's id, or `admin_token`.
    pub(crate) actor: &'a str,
    /// What: `account.create`, `key.revoke` …
    pub(crate) action: &'a str,
    /// To which account, key, policy or price.
    pub(crate) subject: &'a str,
    /// The settings before; `None` for something new.
    pub(crate) before: Option<Value>,
    /// The settings after; `None` for something gone.
    pub(crate) after: Option<Value>,
}

/// Tells a change, and lets every instance know that what it remembers is old.
pub(super) async fn write(transaction: &Transaction<'_>, change: Change<'_>) -> Result<()> {
    transaction
        .execute_typed(
            "insert into audit_log (actor, action, subject, before, after) values ($1, $2, $3, $4, $5)",
            &[
                (&change.actor, Type::TEXT),
                (&change.action, Type::TEXT),
                (&change.subject, Type::TEXT),
                (&change.before.map(Json), Type::JSONB),
                (&change.after.map(Json), Type::JSONB),
            ],
        )
        .await
        .map_err(fault)?;
    transaction.execute_typed("update settings set revision = revision + 1", &[]).await.map_err(fault)?;
    Ok(())
}
