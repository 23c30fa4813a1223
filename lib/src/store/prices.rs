//! Prices that operators put in place of the built-in ones.

use serde_json::Value;
use tokio_postgres::types::{Json, Type};

use super::{Change, Store, audit};
use crate::{
    error::{Error, Kind, Result},
    ledger::Row,
    protocol::Provider,
};

impl Store {
    /// Every replaced price, as rows of the price table. One that the table cannot read any more is passed over.
    pub async fn price_rows(&self) -> Result<Vec<Row>> {
        let prices = self.prices().await?;
        Ok(prices.into_iter().filter_map(|price| serde_json::from_value(price).ok()).collect())
    }

    /// Every replaced price, as objects with the price table's columns.
    pub async fn prices(&self) -> Result<Vec<Value>> {
        let sql = "
            select price || jsonb_build_object('provider', provider, 'model', model) from prices order by provider, model";
        let rows = self.rows(sql, &[]).await?;
        Ok(rows.iter().map(|row| row.get::<_, Json<Value>>(0).0).collect())
    }

    /// Puts a price in place of the built-in one, or of one put there before.
    pub async fn set_price(&self, provider: Provider, model: &str, price: &Value, actor: &str) -> Result<()> {
        let mut loan = self.for_change().await?;
        let transaction = loan.begin().await?;
        let of = [(&provider.as_str() as _, Type::TEXT), (&model as _, Type::TEXT), (&Json(price) as _, Type::JSONB)];
        let before = transaction.rows("select price from prices where provider = $1 and model = $2", &of[..2]).await?;
        transaction
            .rows(
                "insert into prices (provider, model, price) values ($1, $2, $3)
                 on conflict (provider, model) do update set price = excluded.price, updated_at = now()",
                &of,
            )
            .await?;
        let change = Change {
            actor,
            action: "price.set",
            subject: model,
            before: before.first().map(|row| row.get::<_, Json<Value>>(0).0),
            after: Some(price.clone()),
        };
        audit::write(&transaction, change).await?;
        transaction.commit().await
    }

    /// Gives a model its built-in price back.
    pub async fn unset_price(&self, provider: Provider, model: &str, actor: &str) -> Result<()> {
        let mut loan = self.for_change().await?;
        let transaction = loan.begin().await?;
        let rows = transaction
            .rows(
                "delete from prices where provider = $1 and model = $2 returning price",
                &[(&provider.as_str(), Type::TEXT), (&model, Type::TEXT)],
            )
            .await?;
        let Some(row) = rows.first() else {
            return Err(Error::new(Kind::NotFound, format!("{model} has no price of its own")));
        };
        let before = Some(row.get::<_, Json<Value>>(0).0);
        let change = Change { actor, action: "price.unset", subject: model, before, after: None };
        audit::write(&transaction, change).await?;
        transaction.commit().await
    }
}
