//! Accounts at rest.

use std::collections::BTreeMap;

use jiff::Timestamp;
use tokio_postgres::{
    GenericClient, Row, Transaction,
    types::{Json, Type},
};

use super::{Change, Store, audit, fault};
use crate::{
    error::{Error, Kind, Result},
    id::AccountId,
    pool::{Account, Health, Setback, State},
    protocol::{Provider, ReportedLimit},
};

const COLUMNS: &str = "
    id, provider, name, pool, base_url, credential, credential_kind, credential_hint, priority, weight, max_in_flight,
    models, model_map, note, paused, health, health_reason, health_until, failures, last_error, last_checked_at,
    created_at, updated_at, requests_per_minute, tokens_per_minute, use_paid_overage, organization, reported_limits,
    credential_expires_at, credential_version, entitled,
    (select count(*) from leases l where l.account_id = accounts.id and l.expires_at > now()) as in_flight,
    (select jsonb_object_agg(f.family, f.until) from family_cooldowns f
     where f.account_id = accounts.id and f.until > now()) as cooling_families";

impl Store {
    /// Every account of every pool, oldest first.
    pub async fn accounts(&self) -> Result<Vec<Account>> {
        let sql = select(COLUMNS, " from accounts order by created_at, id");
        let rows = self.work().await?.query_typed(&sql, &[]).await.map_err(fault)?;
        rows.iter().map(account).collect()
    }

    /// One account.
    pub async fn account(&self, id: &AccountId) -> Result<Account> {
        let client = self.work().await?;
        find(&**client, id, "").await
    }

    /// Adds an account.
    pub async fn add_account(&self, new: &Account, actor: &str) -> Result<()> {
        let mut client = self.work().await?;
        let transaction = client.transaction().await.map_err(fault)?;
        write(&transaction, new, "
            insert into accounts (
                id, provider, name, pool, base_url, credential, credential_kind, credential_hint, priority, weight,
                max_in_flight, models, model_map, note, paused, health, health_reason, health_until, failures, created_at,
                requests_per_minute, tokens_per_minute, use_paid_overage, credential_expires_at, entitled
            ) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23,
                $24, $25)
        ").await?;
        let change = Change {
            actor,
            action: "account.create",
            subject: new.id.as_str(),
            before: None,
            after: Some(new.settings()),
        };
        audit::write(&transaction, change).await?;
        transaction.commit().await.map_err(fault)
    }

    /// Changes an account; what `change` refuses is left as it was. Answers the account as it is now.
    pub async fn change_account(
        &self,
        id: &AccountId,
        actor: &str,
        action: &str,
        change: impl FnOnce(&mut Account) -> Result<()>,
    ) -> Result<Account> {
        let mut client = self.work().await?;
        let transaction = client.transaction().await.map_err(fault)?;
        let before = find(&*transaction, id, " for update").await?;
        let mut after = before.clone();
        change(&mut after)?;
        write(
            &transaction,
            &after,
            "
            update accounts set
                provider = $2, name = $3, pool = $4, base_url = $5, credential = $6, credential_kind = $7,
                credential_hint = $8, priority = $9, weight = $10, max_in_flight = $11, models = $12, model_map = $13,
                note = $14, paused = $15, health = $16, health_reason = $17, health_until = $18, failures = $19,
                created_at = $20, requests_per_minute = $21, tokens_per_minute = $22, use_paid_overage = $23,
                credential_expires_at = $24, entitled = $25, updated_at = now()
            where id = $1
        ",
        )
        .await?;
        if after.cooling_families.is_empty() {
            transaction
                .execute_typed("delete from family_cooldowns where account_id = $1", &[(&id.as_str(), Type::TEXT)])
                .await
                .map_err(fault)?;
        }
        let told = Change {
            actor,
            action,
            subject: id.as_str(),
            before: Some(before.settings()),
            after: Some(after.settings()),
        };
        audit::write(&transaction, told).await?;
        let changed = find(&*transaction, id, "").await?;
        transaction.commit().await.map_err(fault)?;
        Ok(changed)
    }

    /// Removes an account and its credential; its ledger rows stay.
    pub async fn remove_account(&self, id: &AccountId, actor: &str) -> Result<()> {
        let mut client = self.work().await?;
        let transaction = client.transaction().await.map_err(fault)?;
        let before = find(&*transaction, id, " for update").await?;
        transaction
            .execute_typed("delete from accounts where id = $1", &[(&id.as_str(), Type::TEXT)])
            .await
            .map_err(fault)?;
        let change = Change {
            actor,
            action: "account.delete",
            subject: id.as_str(),
            before: Some(before.settings()),
            after: None,
        };
        audit::write(&transaction, change).await?;
        transaction.commit().await.map_err(fault)
    }

    /// Keeps what an attempt's failure changed.
    pub async fn set_back(&self, id: &AccountId, family: &str, setback: &Setback, error: &str) -> Result<()> {
        let client = self.work().await?;
        let id = id.as_str();
        match setback {
            Setback::Account(health) => {
                let sql = "
                    update accounts
                    set health = $2, health_reason = $3, health_until = $4, failures = $5, last_error = $6
                    where id = $1";
                let failures = i32::try_from(health.failures).unwrap_or(i32::MAX);
                client
                    .execute_typed(
                        sql,
                        &[
                            (&id, Type::TEXT),
                            (&health.last.as_str(), Type::TEXT),
                            (&health.reason, Type::TEXT),
                            (&health.until, Type::TIMESTAMPTZ),
                            (&failures, Type::INT4),
                            (&error, Type::TEXT),
                        ],
                    )
                    .await
            }
            Setback::Family { until } => {
                let sql = "
                    insert into family_cooldowns (account_id, family, until, reason)
                    select id, $2, $3, $4 from accounts where id = $1
                    on conflict (account_id, family) do update
                    set until = excluded.until, reason = excluded.reason, failures = family_cooldowns.failures + 1";
                let of = [
                    (&id as _, Type::TEXT),
                    (&family as _, Type::TEXT),
                    (until as _, Type::TIMESTAMPTZ),
                    (&error as _, Type::TEXT),
                ];
                client.execute_typed(sql, &of).await
            }
        }
        .map_err(fault)?;
        Ok(())
    }

    /// Keeps what an upstream reported of an account's limits, and whom it bills.
    pub async fn report(&self, id: &AccountId, limits: &[ReportedLimit], organization: Option<&str>) -> Result<()> {
        let sql = "
            update accounts
            set reported_limits = $2, reported_at = now(), organization = coalesce($3, organization)
            where id = $1";
        let client = self.work().await?;
        let of = [(&id.as_str() as _, Type::TEXT), (&Json(limits) as _, Type::JSONB), (&organization as _, Type::TEXT)];
        client.execute_typed(sql, &of).await.map_err(fault)?;
        Ok(())
    }

    /// An account that had failed has served: nothing is wrong with it now. A check is noted as one.
    pub async fn recover(&self, id: &AccountId, checked: bool) -> Result<()> {
        let sql = "
            update accounts set health = 'ready', health_reason = null, health_until = null, failures = 0,
                last_checked_at = case when $2 then now() else last_checked_at end
            where id = $1";
        let client = self.work().await?;
        client.execute_typed(sql, &[(&id.as_str(), Type::TEXT), (&checked, Type::BOOL)]).await.map_err(fault)?;
        Ok(())
    }
}

fn select(columns: &str, rest: &str) -> String {
    ["select ", columns, rest].concat()
}

async fn find(client: &impl GenericClient, id: &AccountId, lock: &str) -> Result<Account> {
    let sql = select(COLUMNS, " from accounts where id = $1") + lock;
    let rows = client.query_typed(&sql, &[(&id.as_str(), Type::TEXT)]).await.map_err(fault)?;
    match rows.first() {
        Some(row) => account(row),
        None => Err(Error::new(Kind::NotFound, format!("there is no account {id}"))),
    }
}

async fn write(transaction: &Transaction<'_>, account: &Account, sql: &str) -> Result<()> {
    transaction
        .execute_typed(
            sql,
            &[
                (&account.id.as_str(), Type::TEXT),
                (&account.provider.as_str(), Type::TEXT),
                (&account.name, Type::TEXT),
                (&account.pool, Type::TEXT),
                (&account.base_url, Type::TEXT),
                (&account.sealed, Type::BYTEA),
                (&account.credential_kind, Type::TEXT),
                (&account.credential_hint, Type::TEXT),
                (&account.priority, Type::INT4),
                (&account.weight, Type::INT4),
                (&account.max_in_flight, Type::INT4),
                (&account.models, Type::TEXT_ARRAY),
                (&Json(&account.model_map), Type::JSONB),
                (&account.note, Type::TEXT),
                (&account.paused, Type::BOOL),
                (&account.health.last.as_str(), Type::TEXT),
                (&account.health.reason, Type::TEXT),
                (&account.health.until, Type::TIMESTAMPTZ),
                (&i32::try_from(account.health.failures).unwrap_or(i32::MAX), Type::INT4),
                (&account.created_at, Type::TIMESTAMPTZ),
                (&account.requests_per_minute, Type::INT4),
                (&account.tokens_per_minute, Type::INT4),
                (&account.use_paid_overage, Type::BOOL),
                (&account.credential_expires_at, Type::TIMESTAMPTZ),
                (&account.entitled, Type::BOOL),
            ],
        )
        .await
        .map_err(fault)?;
    Ok(())
}

fn account(row: &Row) -> Result<Account> {
    let unknown = |what: &str| Error::internal(format!("the database holds an unknown {what}"));
    Ok(Account {
        id: AccountId::from(row.get::<_, String>("id")),
        provider: Provider::parse(row.get("provider")).ok_or_else(|| unknown("provider"))?,
        name: row.get("name"),
        pool: row.get("pool"),
        base_url: row.get("base_url"),
        sealed: row.get("credential"),
        credential_kind: row.get("credential_kind"),
        credential_hint: row.get("credential_hint"),
        credential_expires_at: row.get("credential_expires_at"),
        credential_version: row.get("credential_version"),
        entitled: row.get("entitled"),
        priority: row.get("priority"),
        weight: row.get("weight"),
        max_in_flight: row.get("max_in_flight"),
        requests_per_minute: row.get("requests_per_minute"),
        tokens_per_minute: row.get("tokens_per_minute"),
        use_paid_overage: row.get("use_paid_overage"),
        models: row.get("models"),
        model_map: row.get::<_, Json<BTreeMap<String, String>>>("model_map").0,
        note: row.get("note"),
        paused: row.get("paused"),
        health: Health {
            last: State::parse_health(row.get("health")).ok_or_else(|| unknown("health"))?,
            reason: row.get("health_reason"),
            until: row.get("health_until"),
            failures: u32::try_from(row.get::<_, i32>("failures")).unwrap_or(0),
        },
        cooling_families: row
            .get::<_, Option<Json<BTreeMap<String, Timestamp>>>>("cooling_families")
            .map_or_else(BTreeMap::new, |families| families.0),
        in_flight: row.get("in_flight"),
        last_error: row.get("last_error"),
        organization: row.get("organization"),
        reported_limits: row.get::<_, Json<Vec<ReportedLimit>>>("reported_limits").0,
        last_checked_at: row.get("last_checked_at"),
        created_at: row.get("created_at"),
        updated_at: row.get("updated_at"),
    })
}
