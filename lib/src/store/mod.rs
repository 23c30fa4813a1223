//! Postgres: the one place with SQL, and the one truth that all instances share.

mod accounts;
mod audit;
mod claim;
mod columns;
mod connect;
mod examine;
mod filter;
mod health;
mod keys;
mod lanes;
mod migrate;
mod policies;
mod prices;
mod refreshes;
mod replay;
mod reports;
mod requests;
mod reseal;
mod settle;
mod sign_ins;
mod standing;
mod stats;
mod things;
mod unheard;
mod usage;
mod webhooks;

use std::{sync::Arc, time::Duration};

use deadpool_postgres::PoolError;
use tokio_postgres::{Row, error::SqlState};

use crate::{
    batch::Batch,
    config::Config,
    error::{BoxError, Error, Kind, Result},
};

use columns::Columns;
use lanes::{Lane, Lanes, Loan, Parameters, Transaction};

use audit::Change;
pub use audit::{ChangeFilter, ChangeRow};
pub use claim::{Binding, Claim, Draft, Granted, Limited, Minutes, Outcome, Refused, encode_claims};
pub use examine::{Examined, OLDEST_SERVER, Unfit, examine};
pub use filter::Filter;
pub use migrate::{LATEST as LATEST_SCHEMA, migrate, migrate_aloud};
pub(crate) use refreshes::{Failure, Remedy, Replacement, Turn, Version};
pub use replay::{Replay, Replayed, Unsettled};
pub(crate) use reports::POINT_SECONDS;
pub use reports::{LimitHistory, LimitPoint, Report};
pub use requests::{Attempt, Cursor, Only, RequestRow};
pub(crate) use requests::{TOKENS, usd};
pub use settle::{AttemptRecord, Record, Spent, Status, Tokens, encode_settlements};
pub use standing::Stands;
pub use stats::{
    Counted, CountedAccount, GroupBy, GroupRow, Histogram, Line, Live, Measures, Metric, Series, Sort, Step, Totals,
};
pub(crate) use stats::{points, ratio, steps};
pub(crate) use things::{Cut, Holder, Kept, Shelf};
pub use usage::{Per, Use, Used};
pub use webhooks::{Event, Outbox};

/// Nobody waits for a settlement: under load one statement carries what a few milliseconds bring.
const SETTLEMENTS_REST: Duration = Duration::from_millis(5);

/// The database, behind connections that are opened when they are first needed.
pub struct Store {
    lanes: Arc<Lanes>,
    claims: Batch<Claim, claim::Outcome>,
    settlements: Batch<Arc<Record>, ()>,
    renewals: Batch<crate::id::RequestId, ()>,
    unheard: Batch<crate::id::RequestId, bool>,
}

impl Store {
    /// Knows where the database is; nothing is connected yet.
    pub fn new(config: &Config) -> Result<Self> {
        // On Vercel there are many instances, each with little to do; locally there is one with everything to do.
        let (hot, work) = if config.on_vercel { (1, 1) } else { (2, 8) };
        let lanes = Arc::new(Lanes::new(config, hot, work)?);
        Ok(Self {
            // One at a time: claims of a pool wait for each other anyway, and together they cost less.
            claims: Batch::new(1, claim::run(&lanes)),
            settlements: Batch::new(1, settle::run(&lanes)).resting(SETTLEMENTS_REST),
            renewals: Batch::new(1, claim::renew(&lanes)),
            unheard: Batch::new(1, unheard::run(&lanes)),
            lanes,
        })
    }

    /// Whether the database answers, within a second.
    pub async fn ping(&self) -> Result<()> {
        self.lanes.rows_within(Duration::from_secs(1), Lane::Work, "select 1", &[]).await.map(drop)
    }

    async fn rows(&self, sql: &str, parameters: &Parameters<'_>) -> Result<Vec<Row>> {
        self.lanes.rows(Lane::Work, sql, parameters).await
    }

    async fn for_change(&self) -> Result<Loan> {
        self.lanes.for_change().await
    }

    async fn for_reading(&self) -> Result<Loan> {
        self.lanes.for_reading().await
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

/// Classes of SQLSTATE in which the database cannot be had: connection, sign-in, no such database, resources, a lock that is
/// not to be had in time, an operator at work, read-only, rolled back.
const NOT_NOW: [&str; 8] = ["08", "28", "3D", "53", "55", "57", "25", "40"];

/// What a fault of a statement means to whoever asked: a broken constraint is a conflict; everything that says "not now"
/// is a database that is away; the rest is our own mistake.
fn fault(error: tokio_postgres::Error) -> Error {
    match error.code() {
        Some(code) if *code == SqlState::UNIQUE_VIOLATION => {
            let mut taken = Error::new(Kind::Conflict, "the name is taken").with_source(error);
            taken.param = Some("name".into());
            taken
        }
        Some(code) if *code == SqlState::QUERY_CANCELED => Error::new(
            Kind::Unavailable,
            "this is too much to be answered in a few seconds; ask about a shorter time or for less at once",
        )
        .with_source(error),
        Some(code) if *code == SqlState::INVALID_PARAMETER_VALUE && error.to_string().contains("time zone") => {
            Error::invalid("time_zone", "the database does not know this time zone").with_source(error)
        }
        Some(code) if NOT_NOW.iter().any(|class| code.code().starts_with(class)) => away(error),
        Some(_) => Error::internal(error),
        None => away(error),
    }
}
