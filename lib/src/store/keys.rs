//! API keys at rest: hashes only.

use std::collections::BTreeMap;

use tokio_postgres::{
    Row,
    types::{Json, Type},
};

use super::{Change, Lane, Store, Transaction, audit};
use crate::{
    access::{ApiKey, KeyHash, Role},
    error::{Error, Kind, Result},
    id::KeyId,
    protocol::Provider,
};

const SELECT: &str = "
    select id, prefix, name, role, pool, providers, models, allow_passthrough, max_in_flight, labels, note, expires_at, revoked_at,
        created_at, updated_at
    from api_keys";

impl Store {
    /// The key that has this hash, in whatever state it is.
    pub async fn key_by_hash(&self, hash: &KeyHash) -> Result<Option<ApiKey>> {
        let sql = [SELECT, " where hash = $1"].concat();
        let rows = self.lanes.rows(Lane::Hot, &sql, &[(&&hash.0[..], Type::BYTEA)]).await?;
        rows.first().map(key).transpose()
    }

    /// One key.
    pub async fn key(&self, id: &KeyId) -> Result<ApiKey> {
        let rows = self.rows(&[SELECT, ONE].concat(), &[(&id.as_str(), Type::TEXT)]).await?;
        only(&rows, id)
    }

    /// Keys, newest first, that were issued before the one named.
    pub async fn keys(&self, before: Option<&KeyId>, limit: i64) -> Result<Vec<ApiKey>> {
        let sql = [SELECT, " where $1::text is null or id < $1 order by id desc limit $2"].concat();
        let before = before.map(KeyId::as_str);
        let rows = self.rows(&sql, &[(&before, Type::TEXT), (&limit, Type::INT8)]).await?;
        rows.iter().map(key).collect()
    }

    /// Issues a key. Answers it as it is kept.
    pub async fn issue_key(&self, new: &ApiKey, hash: &KeyHash, actor: &str) -> Result<ApiKey> {
        let mut loan = self.for_change().await?;
        let transaction = loan.begin().await?;
        transaction
            .rows(
                "insert into api_keys (id, hash, prefix, name, role, created_at) values ($1, $2, $3, $4, $5, $6)",
                &[
                    (&new.id.as_str(), Type::TEXT),
                    (&&hash.0[..], Type::BYTEA),
                    (&new.prefix, Type::TEXT),
                    (&new.name, Type::TEXT),
                    (&new.role.as_str(), Type::TEXT),
                    (&new.created_at, Type::TIMESTAMPTZ),
                ],
            )
            .await?;
        write(&transaction, new).await?;
        let change =
            Change { actor, action: "key.create", subject: new.id.as_str(), before: None, after: Some(new.settings()) };
        audit::write(&transaction, change).await?;
        let kept = find(&transaction, &new.id, "").await?;
        transaction.commit().await?;
        Ok(kept)
    }

    /// Changes a key; what `change` refuses is left as it was. Answers the key as it is now.
    pub async fn change_key(
        &self,
        id: &KeyId,
        actor: &str,
        action: &str,
        change: impl FnOnce(&mut ApiKey) -> Result<()>,
    ) -> Result<ApiKey> {
        let mut loan = self.for_change().await?;
        let transaction = loan.begin().await?;
        let before = find(&transaction, id, " for update").await?;
        let mut after = before.clone();
        change(&mut after)?;
        write(&transaction, &after).await?;
        let told = Change {
            actor,
            action,
            subject: id.as_str(),
            before: Some(before.settings()),
            after: Some(after.settings()),
        };
        audit::write(&transaction, told).await?;
        let changed = find(&transaction, id, "").await?;
        transaction.commit().await?;
        Ok(changed)
    }
}

const ONE: &str = " where id = $1";

async fn find(transaction: &Transaction<'_>, id: &KeyId, lock: &str) -> Result<ApiKey> {
    let rows = transaction.rows(&[SELECT, ONE, lock].concat(), &[(&id.as_str(), Type::TEXT)]).await?;
    only(&rows, id)
}

fn only(rows: &[Row], id: &KeyId) -> Result<ApiKey> {
    match rows.first() {
        Some(row) => key(row),
        None => Err(Error::new(Kind::NotFound, format!("there is no key {id}"))),
    }
}

/// Everything of a key that can change.
async fn write(transaction: &Transaction<'_>, key: &ApiKey) -> Result<()> {
    let providers: Vec<&str> = key.providers.iter().map(|provider| provider.as_str()).collect();
    transaction
        .rows(
            "update api_keys set
                name = $2, role = $3, pool = $4, providers = $5, models = $6, max_in_flight = $7, labels = $8,
                note = $9, expires_at = $10, revoked_at = $11, allow_passthrough = $12, updated_at = now()
             where id = $1",
            &[
                (&key.id.as_str(), Type::TEXT),
                (&key.name, Type::TEXT),
                (&key.role.as_str(), Type::TEXT),
                (&key.pool, Type::TEXT),
                (&providers, Type::TEXT_ARRAY),
                (&key.models, Type::TEXT_ARRAY),
                (&key.max_in_flight, Type::INT4),
                (&Json(&key.labels), Type::JSONB),
                (&key.note, Type::TEXT),
                (&key.expires_at, Type::TIMESTAMPTZ),
                (&key.revoked_at, Type::TIMESTAMPTZ),
                (&key.allow_passthrough, Type::BOOL),
            ],
        )
        .await
        .map(drop)
}

fn key(row: &Row) -> Result<ApiKey> {
    let unknown = |what: &str| Error::internal(format!("the database holds an unknown {what}"));
    let providers: Vec<String> = row.get("providers");
    Ok(ApiKey {
        id: KeyId::from(row.get::<_, String>("id")),
        prefix: row.get("prefix"),
        name: row.get("name"),
        role: Role::parse(row.get("role")).ok_or_else(|| unknown("role"))?,
        pool: row.get("pool"),
        providers: providers
            .iter()
            .map(|word| Provider::parse(word).ok_or_else(|| unknown("provider")))
            .collect::<Result<_>>()?,
        models: row.get("models"),
        allow_passthrough: row.get("allow_passthrough"),
        max_in_flight: row.get("max_in_flight"),
        labels: row.get::<_, Json<BTreeMap<String, String>>>("labels").0,
        note: row.get("note"),
        expires_at: row.get("expires_at"),
        revoked_at: row.get("revoked_at"),
        created_at: row.get("created_at"),
        updated_at: row.get("updated_at"),
    })
}
