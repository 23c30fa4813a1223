//! Connections on loan: every statement in time, and once more where that is safe and the first connection was gone.

use std::{
    future::Future,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use deadpool_postgres::{Client, Pool};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout_at},
};
use tokio_postgres::{
    Error as Fault, IsolationLevel, Row,
    error::SqlState,
    types::{ToSql, Type},
};

use super::{away, connect, fault, migrate, pool_fault};
use crate::{config::Config, error::Result, secret::Secret};

/// A caller is told within five seconds that the database is away; this leaves room for the answer.
pub(super) const PATIENCE: Duration = Duration::from_millis(4_500);

/// Before that, preparing a statement costs a connection more than it saves.
const COMES_BACK: usize = 3;

/// What a statement is given, each with its type: so that it need not be prepared, and takes one round trip.
pub(super) type Parameters<'a> = [(&'a (dyn ToSql + Sync), Type)];

/// Reads that a client waits for never queue behind a commit: the hot lane carries claims, the other one all else.
pub(super) struct Lanes {
    hot: Pool,
    work: Pool,
    migration_url: Secret,
    /// Set while this instance believes the schema to be one that it knows.
    schema_known: AtomicBool,
    /// Cleared for good where a pooler forgets what was prepared.
    keeps_plans: AtomicBool,
    migrating: Mutex<()>,
}

/// Which pool of connections.
#[derive(Debug, Clone, Copy)]
pub(super) enum Lane {
    /// For what a model call waits for.
    Hot,
    /// For all else.
    Work,
}

impl Lanes {
    /// At most `hot` and `work` connections; none is opened yet.
    pub(super) fn new(config: &Config, hot: usize, work: usize) -> Result<Self> {
        Ok(Self {
            hot: connect::pool(&config.database_url, hot)?,
            work: connect::pool(&config.database_url, work)?,
            migration_url: config.migration_url.clone(),
            schema_known: AtomicBool::new(false),
            keeps_plans: AtomicBool::new(true),
            migrating: Mutex::new(()),
        })
    }

    /// Carries out a statement that does no harm when it is carried out twice.
    pub(super) async fn rows(&self, lane: Lane, sql: &str, parameters: &Parameters<'_>) -> Result<Vec<Row>> {
        self.rows_within(PATIENCE, lane, sql, parameters).await
    }

    /// The same, in less time.
    pub(super) async fn rows_within(
        &self,
        patience: Duration,
        lane: Lane,
        sql: &str,
        parameters: &Parameters<'_>,
    ) -> Result<Vec<Row>> {
        Box::pin(self.carry_out(patience, lane, false, (sql, parameters))).await
    }

    /// Carries out such a statement that is made all the time: a connection that has come back a few times keeps it prepared,
    /// which spares Postgres a sixth of a request that comes alone. One that is new takes it in one round trip, as any other.
    pub(super) async fn rows_often(&self, lane: Lane, sql: &str, parameters: &Parameters<'_>) -> Result<Vec<Row>> {
        Box::pin(self.carry_out(PATIENCE, lane, true, (sql, parameters))).await
    }

    /// What asks holds this in a place of its own, here and below: whoever may ask one day shall not hold the room all along.
    async fn carry_out(
        &self,
        patience: Duration,
        lane: Lane,
        often: bool,
        (sql, parameters): (&str, &Parameters<'_>),
    ) -> Result<Vec<Row>> {
        let until = Instant::now() + patience;
        let mut again = true;
        loop {
            let loan = self.loan(lane, until).await?;
            let keeps = often && loan.has_come_back() && self.keeps_plans.load(Ordering::Relaxed);
            let asked = async {
                match keeps {
                    true => prepared(loan.client(), sql, parameters).await,
                    false => loan.client().query_typed(sql, parameters).await,
                }
            };
            match loan.in_time(asked).await? {
                Ok(rows) => return Ok(rows),
                Err(error) if keeps && self.plan_was_lost(&error) => {}
                Err(error) if again && self.worth_repeating(lane, &error) => again = false,
                Err(error) => return Err(fault(error)),
            }
        }
    }

    /// A connection for a change of several statements. It is tried first, for a change is not made twice.
    pub(super) async fn for_change(&self) -> Result<Loan> {
        Box::pin(self.tried("")).await
    }

    /// A connection for reading with several statements. It is tried first, and so is the schema.
    pub(super) async fn for_reading(&self) -> Result<Loan> {
        Box::pin(self.tried("select from ledger_state")).await
    }

    async fn tried(&self, first: &str) -> Result<Loan> {
        let until = Instant::now() + PATIENCE;
        let mut again = true;
        loop {
            let loan = self.loan(Lane::Work, until).await?;
            match loan.in_time(loan.client().simple_query(first)).await? {
                Ok(_) => return Ok(loan),
                Err(error) if again && self.worth_repeating(Lane::Work, &error) => again = false,
                Err(error) => return Err(fault(error)),
            }
        }
    }

    /// A connection to a database whose schema is at least the one this code knows.
    async fn loan(&self, lane: Lane, until: Instant) -> Result<Loan> {
        let client = timeout_at(until, self.pool(lane).get()).await.map_err(away)?.map_err(pool_fault)?;
        let loan = Loan { client: Some(client), until, stuck: AtomicBool::new(false) };
        if !self.schema_known.load(Ordering::Relaxed) {
            let _one_at_a_time = timeout_at(until, self.migrating.lock()).await.map_err(away)?;
            if !self.schema_known.load(Ordering::Relaxed) {
                loan.in_time(self.ensure_schema(loan.client())).await??;
            }
        }
        Ok(loan)
    }

    fn pool(&self, lane: Lane) -> &Pool {
        match lane {
            Lane::Hot => &self.hot,
            Lane::Work => &self.work,
        }
    }

    async fn ensure_schema(&self, client: &Client) -> Result<()> {
        let present = migrate::present(client).await?;
        present.must_serve_this_code()?;
        if present.version < migrate::LATEST {
            let url = self.migration_url.clone();
            // A task of its own: a caller who has no time for it must not break it off each time anew.
            tokio::spawn(async move { migrate::migrate(&url).await }).await.map_err(away)??;
        }
        self.schema_known.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// A pooler that gives every transaction another connection, and does not know of prepared statements; or a plan that a change
    /// of the schema has made useless. Nothing was carried out, and nothing is kept from now on.
    fn plan_was_lost(&self, error: &Fault) -> bool {
        let lost =
            [SqlState::INVALID_SQL_STATEMENT_NAME, SqlState::DUPLICATE_PSTATEMENT, SqlState::FEATURE_NOT_SUPPORTED];
        let is_one_of = |signs: &[SqlState]| error.code().is_some_and(|code| signs.contains(code));
        // Another's statement of the same name, most likely. But a pooler says so of a server that went away, too.
        let perhaps = is_one_of(&[SqlState::PROTOCOL_VIOLATION]);
        if (perhaps || is_one_of(&lost)) && self.keeps_plans.swap(false, Ordering::Relaxed) {
            tracing::info!(%error, "prepared statements are not kept between here and the database: they are done without");
        }
        is_one_of(&lost)
    }

    /// A connection that was gone before the statement, or a schema that was taken away under this instance.
    fn worth_repeating(&self, lane: Lane, error: &Fault) -> bool {
        let missing = [SqlState::UNDEFINED_TABLE, SqlState::UNDEFINED_FUNCTION, SqlState::UNDEFINED_COLUMN];
        if error.code().is_some_and(|code| missing.contains(code)) {
            self.schema_known.store(false, Ordering::Relaxed);
            return true;
        }
        let broken = std::error::Error::source(error).is_some_and(<dyn std::error::Error>::is::<std::io::Error>);
        let ended = error.code().is_some_and(|code| {
            [SqlState::ADMIN_SHUTDOWN, SqlState::CRASH_SHUTDOWN].contains(code) || code.code().starts_with("08")
        });
        let gone = error.is_closed() || broken || ended;
        if gone {
            // Its neighbours went with it, most likely, and have yet to notice.
            self.pool(lane).retain(|_, _| false);
        }
        gone
    }
}

/// A connection, until its holder has no more time.
pub(super) struct Loan {
    /// There until the loan ends.
    client: Option<Client>,
    until: Instant,
    /// Whether a statement was given up: what comes after it would wait behind it.
    stuck: AtomicBool,
}

impl Loan {
    fn client(&self) -> &Client {
        self.client.as_ref().expect("a loan holds its connection to its end")
    }

    /// Whether it was on loan a few times before, and so is likely to be again.
    fn has_come_back(&self) -> bool {
        self.client.as_ref().is_some_and(|client| Client::metrics(client).recycle_count >= COMES_BACK)
    }

    async fn in_time<T>(&self, statement: impl Future<Output = T>) -> Result<T> {
        in_time(self.until, &self.stuck, statement).await
    }

    /// Begins a transaction. It ends with [`Transaction::commit`], or is undone.
    pub(super) async fn begin(&mut self) -> Result<Transaction<'_>> {
        let Self { client, until, stuck } = self;
        let client = client.as_mut().expect("a loan holds its connection to its end");
        let inner = in_time(*until, stuck, client.transaction()).await?.map_err(fault)?;
        Ok(Transaction { inner, until: *until, stuck })
    }
}

impl Loan {
    /// Begins to read: every statement sees the same moment, and nothing can be changed. It ends when it is dropped.
    pub(super) async fn begin_reading(&mut self) -> Result<Transaction<'_>> {
        let Self { client, until, stuck } = self;
        let client = client.as_mut().expect("a loan holds its connection to its end");
        let begun = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true).start();
        let inner = in_time(*until, stuck, begun).await?.map_err(fault)?;
        Ok(Transaction { inner, until: *until, stuck })
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        if self.stuck.load(Ordering::Relaxed)
            && let Some(client) = self.client.take()
        {
            drop(Client::take(client));
        }
    }
}

/// A change of several statements: all of them, or none.
pub(super) struct Transaction<'a> {
    inner: deadpool_postgres::Transaction<'a>,
    until: Instant,
    stuck: &'a AtomicBool,
}

impl Transaction<'_> {
    /// Carries out one statement of it.
    pub(super) async fn rows(&self, sql: &str, parameters: &Parameters<'_>) -> Result<Vec<Row>> {
        in_time(self.until, self.stuck, self.inner.query_typed(sql, parameters)).await?.map_err(fault)
    }

    /// Makes it true.
    pub(super) async fn commit(self) -> Result<()> {
        in_time(self.until, self.stuck, self.inner.commit()).await?.map_err(fault)
    }
}

async fn prepared(client: &Client, sql: &str, parameters: &Parameters<'_>) -> Result<Vec<Row>, Fault> {
    let types: Vec<Type> = parameters.iter().map(|(_, of)| of.clone()).collect();
    let statement = client.prepare_typed_cached(sql, &types).await?;
    let values: Vec<_> = parameters.iter().map(|(value, _)| *value).collect();
    client.query(&statement, &values).await
}

async fn in_time<T>(until: Instant, stuck: &AtomicBool, statement: impl Future<Output = T>) -> Result<T> {
    timeout_at(until, statement).await.map_err(|late| {
        stuck.store(true, Ordering::Relaxed);
        away(late)
    })
}
