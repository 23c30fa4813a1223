//! The same credentials, sealed with another key.

use serde_json::json;
use tokio_postgres::types::Type;

use super::{Change, Store, audit};
use crate::{error::Result, id::AccountId};

impl Store {
    /// Puts `resealed` in the place of `former`. False: another credential is there by now.
    pub(crate) async fn reseal(&self, account: &AccountId, former: &[u8], resealed: &[u8]) -> Result<bool> {
        let parameters =
            [(&account.as_str() as _, Type::TEXT), (&former as _, Type::BYTEA), (&resealed as _, Type::BYTEA)];
        let rows = self.rows("select reseal($1, $2, $3) as replaced", &parameters).await?;
        Ok(rows[0].get("replaced"))
    }

    /// Tells that so many credentials were sealed anew.
    pub(crate) async fn told_of_resealing(&self, count: usize, actor: &str) -> Result<()> {
        let mut loan = self.for_change().await?;
        let transaction = loan.begin().await?;
        let after = Some(json!({ "resealed": count }));
        let change = Change { actor, action: "encryption.rotate", subject: "credentials", before: None, after };
        audit::write(&transaction, change).await?;
        transaction.commit().await
    }
}
