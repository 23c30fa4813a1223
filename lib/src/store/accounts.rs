//! Accounts at rest.

use std::collections::BTreeMap;

use tokio_postgres::{
    Row,
    types::{Json, Type},
};

use super::{Change, Store, Transaction, audit, columns::integer};
use crate::{
    error::{Error, Kind, Result},
    id::{AccountId, RequestId},
    pool::{Account, FamilyCooldown, Health, State},
    protocol::{Provider, ReportedLimit},
};

const COLUMNS: &str = "
    id, provider, name, pool, base_url, credential, credential_kind, credential_hint, priority, weight, max_in_flight,
    models, model_map, note, paused, health, health_reason, health_until, failures, last_error, last_checked_at,
    created_at, updated_at, probe_at, requests_per_minute, tokens_per_minute, use_paid_overage, organization, reported_limits,
    credential_expires_at, credential_version, entitled, breaks,
    (select l.request_id from leases l where l.request_id = accounts.tester and l.expires_at > now()) as tester,
    (select count(*) from leases l where l.account_id = accounts.id and l.expires_at > now()) as in_flight,
    (select jsonb_object_agg(f.family, jsonb_build_object(
         'until', f.until, 'probe_at', f.probe_at, 'failures', f.failures,
         'tester', (select l.request_id from leases l where l.request_id = f.tester and l.expires_at > now())
     )) from family_cooldowns f where f.account_id = accounts.id) as cooling_families";

impl Store {
    /// Every account of every pool, oldest first.
    pub async fn accounts(&self) -> Result<Vec<Account>> {
        let rows = self.rows(&select("order by id"), &[]).await?;
        rows.iter().map(account).collect()
    }

    /// One account.
    pub async fn account(&self, id: &AccountId) -> Result<Account> {
        let rows = self.rows(&select(ONE), &[(&id.as_str(), Type::TEXT)]).await?;
        only(&rows, id)
    }

    /// Adds an account. Answers it as it is kept.
    pub async fn add_account(&self, new: &Account, actor: &str) -> Result<Account> {
        let mut loan = self.for_change().await?;
        let transaction = loan.begin().await?;
        write(&transaction, new, "
            insert into accounts (
                id, provider, name, pool, base_url, credential, credential_kind, credential_hint, priority, weight,
                max_in_flight, models, model_map, note, paused, health, health_reason, health_until, failures, created_at,
                requests_per_minute, tokens_per_minute, use_paid_overage, probe_at, credential_expires_at, entitled, breaks
            ) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23,
                $24, $25, $26, $27)
        ").await?;
        let change =
            Change { actor, action: "account.create", subject: new.id.as_str(), before: None, after: Some(new.told()) };
        audit::write(&transaction, change).await?;
        let kept = find(&transaction, &new.id, "").await?;
        transaction.commit().await?;
        Ok(kept)
    }

    /// Changes an account; what `change` refuses is left as it was. Answers the account as it is now.
    pub async fn change_account(
        &self,
        id: &AccountId,
        actor: &str,
        action: &str,
        change: impl FnOnce(&mut Account) -> Result<()>,
    ) -> Result<Account> {
        let mut loan = self.for_change().await?;
        let transaction = loan.begin().await?;
        let before = find(&transaction, id, " for update").await?;
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
                created_at = $20, requests_per_minute = $21, tokens_per_minute = $22, use_paid_overage = $23, probe_at = $24,
                credential_expires_at = $25, entitled = $26, breaks = $27, updated_at = now()
            where id = $1
        ",
        )
        .await?;
        if after.cooling_families.is_empty() {
            let sql = "delete from family_cooldowns where account_id = $1";
            transaction.rows(sql, &[(&id.as_str(), Type::TEXT)]).await?;
        }
        let told =
            Change { actor, action, subject: id.as_str(), before: Some(before.told()), after: Some(after.told()) };
        audit::write(&transaction, told).await?;
        let changed = find(&transaction, id, "").await?;
        transaction.commit().await?;
        Ok(changed)
    }

    /// Removes an account and its credential; its ledger rows stay.
    pub async fn remove_account(&self, id: &AccountId, actor: &str) -> Result<()> {
        let mut loan = self.for_change().await?;
        let transaction = loan.begin().await?;
        let before = find(&transaction, id, " for update").await?;
        transaction.rows("delete from accounts where id = $1", &[(&id.as_str(), Type::TEXT)]).await?;
        let change =
            Change { actor, action: "account.delete", subject: id.as_str(), before: Some(before.told()), after: None };
        audit::write(&transaction, change).await?;
        transaction.commit().await
    }

    /// An account whose credential was refused, and that was not looked at for ten minutes; whoever gets it here is the one to check it.
    pub async fn due_check(&self) -> Result<Option<Account>> {
        let sql = "
            update accounts set last_checked_at = now()
            where id = (
                select id from accounts
                where health = 'needs_auth' and not paused
                  and coalesce(last_checked_at, updated_at) < now() - interval '10 minutes'
                order by last_checked_at nulls first
                limit 1
                for update skip locked
            )
            returning id";
        let rows = self.rows(sql, &[]).await?;
        match rows.first() {
            Some(row) => self.account(&AccountId::from(row.get::<_, String>(0))).await.map(Some),
            None => Ok(None),
        }
    }
}

const ONE: &str = "where id = $1";

fn select(which: &str) -> String {
    ["select ", COLUMNS, " from accounts ", which].concat()
}

async fn find(transaction: &Transaction<'_>, id: &AccountId, lock: &str) -> Result<Account> {
    let rows = transaction.rows(&select(&[ONE, lock].concat()), &[(&id.as_str(), Type::TEXT)]).await?;
    only(&rows, id)
}

fn only(rows: &[Row], id: &AccountId) -> Result<Account> {
    match rows.first() {
        Some(row) => account(row),
        None => Err(Error::new(Kind::NotFound, format!("there is no account {id}"))),
    }
}

async fn write(transaction: &Transaction<'_>, account: &Account, sql: &str) -> Result<()> {
    transaction
        .rows(
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
                (&integer(account.health.failures), Type::INT4),
                (&account.created_at, Type::TIMESTAMPTZ),
                (&account.requests_per_minute, Type::INT4),
                (&account.tokens_per_minute, Type::INT4),
                (&account.use_paid_overage, Type::BOOL),
                (&account.health.probe_at, Type::TIMESTAMPTZ),
                (&account.credential_expires_at, Type::TIMESTAMPTZ),
                (&account.entitled, Type::BOOL),
                (&integer(account.health.breaks), Type::INT4),
            ],
        )
        .await
        .map(drop)
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
            probe_at: row.get("probe_at"),
            tester: row.get::<_, Option<String>>("tester").map(RequestId::from),
            failures: u32::try_from(row.get::<_, i32>("failures")).unwrap_or(0),
            breaks: u32::try_from(row.get::<_, i32>("breaks")).unwrap_or(0),
        },
        cooling_families: row
            .get::<_, Option<Json<BTreeMap<String, FamilyCooldown>>>>("cooling_families")
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
