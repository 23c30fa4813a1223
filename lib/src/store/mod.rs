//! Postgres: the one place with SQL, and the one truth that all instances share.

mod accounts;
mod audit;
mod claim;
mod connect;
mod keys;
mod migrate;
mod policies;
mod prices;
mod refreshes;
mod requests;
mod settle;

use std::{sync::Arc, time::Duration};

use deadpool_postgres::{Client, Pool, PoolError};
use tokio::{sync::OnceCell, time::timeout};
use tokio_postgres::error::SqlState;

use crate::{
    batch::Batch,
    config::Config,
    error::{BoxError, Error, Kind, Result},
    secret::Secret,
};

pub(crate) use audit::Change;
pub use claim::{Binding, Claim, Draft, Granted, Refused};
pub(crate) use connect::client_config;
pub use migrate::{LATEST as LATEST_SCHEMA, migrate};
pub(crate) use refreshes::{Failure, Remedy, Replacement, Turn, Version};
pub use requests::{Cursor, Filter, Per, RequestRow, Summary, Use};
pub use settle::{AttemptRecord, Record, Status, Tokens};

/// The database, behind connections that are opened when they are first needed.
pub struct Store {
    lanes: Arc<Lanes>,
    claims: Batch<Claim, claim::Outcome>,
    settlements: Batch<Record, ()>,
    renewals: Batch<crate::id::RequestId, ()>,
}

/// Reads that a client waits for never queue behind a commit: the hot lane carries claims, the other one all else.
struct Lanes {
    hot: Pool,
    work: Pool,
    migration_url: Secret,
    /// Set once this instance has seen a schema that it knows.
    schema: OnceCell<()>,
}

impl Store {
    /// Knows where the database is; nothing is connected yet.
    pub fn new(config: &Config) -> Result<Self> {
        // On Vercel there are many instances, each with little to do; locally there is one with everything to do.
        let (hot, work) = if config.on_vercel { (1, 2) } else { (2, 8) };
        let lanes = Arc::new(Lanes {
            hot: connect::pool(&config.database_url, hot)?,
            work: connect::pool(&config.database_url, work)?,
            migration_url: config.migration_url.clone(),
            schema: OnceCell::new(),
        });
        Ok(Self {
            claims: Batch::new(hot, claim::run(&lanes)),
            settlements: Batch::new(1, settle::run(&lanes)),
            renewals: Batch::new(1, claim::renew(&lanes)),
            lanes,
        })
    }

    /// Whether the database answers, within a second.
    pub async fn ping(&self) -> Result<()> {
        let answer = async {
            let client = self.work().await?;
            client.simple_query("select 1").await.map_err(fault)
        };
        match timeout(Duration::from_secs(1), answer).await {
            Ok(answer) => answer.map(drop),
            Err(_) => Err(away("it did not answer within a second")),
        }
    }

    async fn work(&self) -> Result<Client> {
        self.lanes.work().await
    }
}

impl Lanes {
    async fn hot(&self) -> Result<Client> {
        self.client(&self.hot).await
    }

    async fn work(&self) -> Result<Client> {
        self.client(&self.work).await
    }

    /// A connection to a database whose schema is at least the one this code knows.
    async fn client(&self, pool: &Pool) -> Result<Client> {
        let client = pool.get().await.map_err(pool_fault)?;
        self.schema
            .get_or_try_init(|| async {
                if migrate::version(&client).await? < migrate::LATEST {
                    migrate(&self.migration_url).await?;
                }
                Ok(())
            })
            .await?;
        Ok(client)
    }
}

/// The answer while the database cannot be reached.
fn away(source: impl Into<BoxError>) -> Error {
    Error::new(Kind::Unavailable, "the gateway's database is not answering; try again shortly")
        .with_retry_after(Duration::from_secs(5))
        .with_source(source)
}

fn pool_fault(error: PoolError) -> Error {
    match error {
        PoolError::Backend(error) => fault(error),
        other => away(other),
    }
}

/// What a fault of a statement means to whoever asked: a broken constraint is a conflict; everything that says "not now"
/// is a database that is away; the rest is our own mistake.
fn fault(error: tokio_postgres::Error) -> Error {
    match error.code() {
        Some(code) if *code == SqlState::UNIQUE_VIOLATION => {
            Error::new(Kind::Conflict, "the name is taken").with_source(error)
        }
        Some(code) if ["08", "53", "57", "25", "40"].iter().any(|class| code.code().starts_with(class)) => away(error),
        Some(_) => Error::internal(error),
        None => away(error),
    }
}
