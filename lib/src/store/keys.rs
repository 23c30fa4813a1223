//! API keys at rest: hashes only.

use std::collections::BTreeMap;

use jiff::Timestamp;
use tokio_postgres::{
    Row,
    types::{Json, Type},
};

use super::{Change, Lane, Store, Transaction, audit};
use crate::{
    access::{ApiKey, KeyHash, Limit, PresentedKey, Role},
    clock,
    error::{Error, Kind, Result},
    id::KeyId,
    protocol::Provider,
};

const SELECT: &str = "
    select id, prefix, name, role, pool, providers, models, max_in_flight, limits, time_zone,
        allow_passthrough, rotate_every_days, auto_rotate, rotated_at, null::timestamptz as secret_ends_at, labels, note,
        expires_at, revoked_at, created_at, updated_at, allowed_cidrs
    from api_keys";

impl Store {
    /// The key that has this hash, or had it before its last rotation, in whatever state it is.
    pub async fn key_by_hash(&self, hash: &KeyHash) -> Result<Option<ApiKey>> {
        let former = SELECT.replace("null::timestamptz as", "f.ends_at as");
        let former = [&former, " join former_secrets f on f.key_id = id where f.hash = $1"].concat();
        let sql = [SELECT, " where hash = $1 union all ", &former].concat();
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
        let changed = keep(&transaction, (actor, action), &before, &after).await?;
        transaction.commit().await?;
        Ok(changed)
    }

    /// Gives a key a new secret. `old_ends` says when the one it has ends, or refuses. Answers the key as it is now.
    pub async fn rotate_key(
        &self,
        id: &KeyId,
        actor: &str,
        secret: &PresentedKey,
        old_ends: impl FnOnce(&ApiKey) -> Result<Timestamp>,
    ) -> Result<ApiKey> {
        let mut loan = self.for_change().await?;
        let transaction = loan.begin().await?;
        let before = find(&transaction, id, " for update").await?;
        let ends = old_ends(&before)?;
        transaction
            .rows(
                "insert into former_secrets select hash, id, $2 from api_keys where id = $1",
                &[(&id.as_str(), Type::TEXT), (&ends, Type::TIMESTAMPTZ)],
            )
            .await?;
        let new = [(&id.as_str() as _, Type::TEXT), (&&secret.hash().0[..] as _, Type::BYTEA)];
        transaction.rows("update api_keys set hash = $2 where id = $1", &new).await?;
        let after = ApiKey { prefix: secret.prefix().to_owned(), rotated_at: clock::now(), ..before.clone() };
        let changed = keep(&transaction, (actor, "key.rotate"), &before, &after).await?;
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

/// Writes a change and tells of it, who did what; gives the key as it now is.
async fn keep(
    transaction: &Transaction<'_>,
    (actor, action): (&str, &str),
    before: &ApiKey,
    after: &ApiKey,
) -> Result<ApiKey> {
    write(transaction, after).await?;
    let subject = before.id.as_str();
    let told = Change { actor, action, subject, before: Some(before.settings()), after: Some(after.settings()) };
    audit::write(transaction, told).await?;
    find(transaction, &before.id, "").await
}

/// Everything of a key that can change.
async fn write(transaction: &Transaction<'_>, key: &ApiKey) -> Result<()> {
    let providers: Vec<&str> = key.providers.iter().map(|provider| provider.as_str()).collect();
    let networks: Vec<_> = key.allowed_cidrs.iter().map(ToString::to_string).collect();
    transaction
        .rows(
            "update api_keys set
                name = $2, role = $3, pool = $4, providers = $5, models = $6, max_in_flight = $7, labels = $8,
                note = $9, expires_at = $10, revoked_at = $11, limits = $12, time_zone = $13,
                allow_passthrough = $14, rotate_every_days = $15, auto_rotate = $16, prefix = $17, rotated_at = $18, allowed_cidrs = $19,
                updated_at = now()
             -- It fails here, not in a claim, where the database does not know the zone.
             where id = $1 and now() at time zone $13 is not null",
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
                (&Json(&key.limits), Type::JSONB),
                (&key.time_zone, Type::TEXT),
                (&key.allow_passthrough, Type::BOOL),
                (&key.rotate_every_days, Type::INT4),
                (&key.auto_rotate, Type::BOOL),
                (&key.prefix, Type::TEXT),
                (&key.rotated_at, Type::TIMESTAMPTZ),
                (&networks, Type::TEXT_ARRAY),
            ],
        )
        .await
        .map(drop)
}

fn key(row: &Row) -> Result<ApiKey> {
    let unknown = |what: &str| Error::internal(format!("the database holds an unknown {what}"));
    let providers: Vec<String> = row.get("providers");
    let networks: Vec<String> = row.get("allowed_cidrs");
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
        allowed_cidrs: networks
            .iter()
            .map(|text| text.parse().map_err(|_| unknown("network")))
            .collect::<Result<_>>()?,
        allow_passthrough: row.get("allow_passthrough"),
        max_in_flight: row.get("max_in_flight"),
        limits: row.get::<_, Json<Vec<Limit>>>("limits").0,
        time_zone: row.get("time_zone"),
        rotate_every_days: row.get("rotate_every_days"),
        auto_rotate: row.get("auto_rotate"),
        rotated_at: row.get("rotated_at"),
        secret_ends_at: row.get("secret_ends_at"),
        labels: row.get::<_, Json<BTreeMap<String, String>>>("labels").0,
        note: row.get("note"),
        expires_at: row.get("expires_at"),
        revoked_at: row.get("revoked_at"),
        created_at: row.get("created_at"),
        updated_at: row.get("updated_at"),
    })
}
