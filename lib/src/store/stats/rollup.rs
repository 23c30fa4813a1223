//! Keeping the rollups up, and the ledger from growing for ever.

use jiff::Timestamp;
use tokio_postgres::types::Type;

use crate::{error::Result, store::Store};

impl Store {
    /// Rolls up the newest hour that needs it. True: there may be more to do.
    pub async fn roll_up(&self) -> Result<bool> {
        Ok(self.rows("select roll_up()", &[]).await?[0].get(0))
    }

    /// The time before which the ledger was dropped and only rollups are left; `None`: nothing was dropped yet.
    pub async fn kept_from(&self) -> Result<Option<Timestamp>> {
        Ok(self.rows("select kept_from from ledger_state", &[]).await?[0].get(0))
    }

    /// Drops the oldest partition of the ledger if all of it is more than `days` old and rolled up; answers its name. It waits for
    /// no lock longer than a moment, and looks once an hour whoever asks.
    pub async fn drop_old_partition(&self, days: i32) -> Result<Option<String>> {
        Ok(self.rows("select drop_old_partition($1)", &[(&days, Type::INT4)]).await?[0].get(0))
    }
}
