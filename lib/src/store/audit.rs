//! The audit log: written in the transaction of the change it tells of, and read page by page.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use tokio_postgres::{
    Row,
    types::{Json, Type},
};

use super::{Store, Transaction, stats};
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

/// Which changes are meant; an empty field means any.
#[derive(Debug, Clone, Default)]
pub struct ChangeFilter {
    /// Who made it.
    pub actor: Option<String>,
    /// What was done.
    pub action: Option<String>,
    /// How what was done begins: `key.` means every change of a key.
    pub action_prefix: Option<String>,
    /// To what it was done.
    pub subject: Option<String>,
    /// From this time on.
    pub from: Option<Timestamp>,
    /// Up to, not including, this time.
    pub to: Option<Timestamp>,
}

/// One entry of the audit log.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "the names are those of the table's columns, which the migration explains")]
pub struct ChangeRow {
    pub id: i64,
    pub at: Timestamp,
    pub actor: String,
    pub actor_name: Option<String>,
    pub action: String,
    pub subject: String,
    pub before: Option<Value>,
    pub after: Option<Value>,
}

impl Store {
    /// A page of the audit log, newest first, of what was before the entry with this number.
    pub async fn changes(&self, filter: &ChangeFilter, before: Option<i64>, limit: i64) -> Result<Vec<ChangeRow>> {
        let sql = "
            select a.id, a.at, a.actor, k.name as actor_name, a.action, a.subject, a.before, a.after
            from audit_log a left join api_keys k on k.id = a.actor
            where ($1::text is null or a.actor = $1) and ($2::text is null or a.action = $2)
              and ($3::text is null or starts_with(a.action, $3)) and ($4::text is null or a.subject = $4)
              and ($5::timestamptz is null or a.at >= $5) and ($6::timestamptz is null or a.at < $6)
              and ($7::bigint is null or a.id < $7)
            order by a.id desc limit $8";
        let of = [
            (&filter.actor as _, Type::TEXT),
            (&filter.action as _, Type::TEXT),
            (&filter.action_prefix as _, Type::TEXT),
            (&filter.subject as _, Type::TEXT),
            (&filter.from as _, Type::TIMESTAMPTZ),
            (&filter.to as _, Type::TIMESTAMPTZ),
            (&before as _, Type::INT8),
            (&limit as _, Type::INT8),
        ];
        let mut loan = self.for_reading().await?;
        let reading = stats::begin(&mut loan).await?;
        let rows = reading.rows(sql, &of).await?;
        let value = |row: &Row, name: &str| row.get::<_, Option<Json<Value>>>(name).map(|json| json.0);
        Ok(rows
            .iter()
            .map(|row| ChangeRow {
                id: row.get("id"),
                at: row.get("at"),
                actor: row.get("actor"),
                actor_name: row.get("actor_name"),
                action: row.get("action"),
                subject: row.get("subject"),
                before: value(row, "before"),
                after: value(row, "after"),
            })
            .collect())
    }
}
