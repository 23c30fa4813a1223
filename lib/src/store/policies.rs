//! Routing policies at rest.

use tokio_postgres::types::{Json, Type};

use super::{Change, Store, audit};
use crate::{
    error::{Error, Result},
    pool::Policy,
    protocol::Provider,
};

impl Store {
    /// The revision of the settings; it rises with every change that an operator makes.
    pub async fn revision(&self) -> Result<i64> {
        let rows = self.rows("select revision from settings", &[]).await?;
        Ok(rows[0].get(0))
    }

    /// Every policy that an operator has set.
    pub async fn policies(&self) -> Result<Vec<((String, Provider), Policy)>> {
        let sql = "select pool, provider, policy from routing_policies order by pool, provider";
        let rows = self.rows(sql, &[]).await?;
        rows.iter()
            .map(|row| {
                let provider = Provider::parse(row.get("provider"))
                    .ok_or_else(|| Error::internal("the database holds an unknown provider"))?;
                Ok(((row.get("pool"), provider), row.get::<_, Json<Policy>>("policy").0))
            })
            .collect()
    }

    /// Sets how a pool routes the requests of a provider.
    pub async fn set_policy(&self, pool: &str, provider: Provider, policy: &Policy, actor: &str) -> Result<()> {
        let mut loan = self.for_change().await?;
        let transaction = loan.begin().await?;
        let of = [(&pool as _, Type::TEXT), (&provider.as_str() as _, Type::TEXT), (&Json(policy) as _, Type::JSONB)];
        let before =
            transaction.rows("select policy from routing_policies where pool = $1 and provider = $2", &of[..2]).await?;
        transaction
            .rows(
                "insert into routing_policies (pool, provider, policy) values ($1, $2, $3)
                 on conflict (pool, provider) do update set policy = excluded.policy, updated_at = now()",
                &of,
            )
            .await?;
        let subject = format!("{pool}/{provider}");
        let change = Change {
            actor,
            action: "routing.set",
            subject: &subject,
            before: before.first().map(|row| row.get::<_, Json<serde_json::Value>>(0).0),
            after: Some(serde_json::to_value(policy).map_err(Error::internal)?),
        };
        audit::write(&transaction, change).await?;
        transaction.commit().await
    }
}
