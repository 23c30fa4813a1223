//! Brings the schema to the version this code knows, once, whoever comes first.

use tokio_postgres::{Client, types::Type};

use super::{connect, fault};
use crate::{
    error::{Error, Kind, Result},
    secret::Secret,
};

/// The migrations, in order; the place in this list is the version, beginning with 1.
const MIGRATIONS: &[(&str, &str)] = &[
    ("accounts", include_str!("../../../migrations/0001_accounts.sql")),
    ("api_keys", include_str!("../../../migrations/0002_api_keys.sql")),
    ("ledger", include_str!("../../../migrations/0003_ledger.sql")),
    ("claim_and_settle", include_str!("../../../migrations/0004_claim_and_settle.sql")),
    ("refreshes", include_str!("../../../migrations/0005_refreshes.sql")),
    ("claim", include_str!("../../../migrations/0006_claim.sql")),
    ("settle", include_str!("../../../migrations/0007_settle.sql")),
    ("passthrough", include_str!("../../../migrations/0009_passthrough.sql")),
    ("objects", include_str!("../../../migrations/0010_objects.sql")),
    ("breaker", include_str!("../../../migrations/0011_breaker.sql")),
    ("key_limits", include_str!("../../../migrations/0012_key_limits.sql")),
    ("security", include_str!("../../../migrations/0013_security.sql")),
    ("rollups", include_str!("../../../migrations/0014_rollups.sql")),
    ("redis", include_str!("../../../migrations/0015_redis.sql")),
    ("families", include_str!("../../../migrations/0016_families.sql")),
    ("breaks", include_str!("../../../migrations/0017_breaks.sql")),
    ("reported_history", include_str!("../../../migrations/0018_reported_history.sql")),
    ("webhooks", include_str!("../../../migrations/0019_webhooks.sql")),
    ("patience", include_str!("../../../migrations/0020_patience.sql")),
    ("by_place", include_str!("../../../migrations/0021_by_place.sql")),
];

/// The version this code was written for.
pub const LATEST: i32 = MIGRATIONS.len() as i32;

/// Is told what is about to be applied.
type Tell<'t> = &'t mut (dyn FnMut(i32, &'static str) + Send);

const CREATE_TABLE: &str = "
    create table if not exists schema_migrations (
        version     integer primary key,
        name        text not null,
        applied_at  timestamptz not null default now()
    )";

/// How far a database is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Present {
    /// The newest version applied; 0 in an empty database.
    pub(super) version: i32,
    /// The version that code must know at least. A migration that takes something away says so, by a column of its own
    /// making: `alter table schema_migrations add column min_code integer; update schema_migrations set min_code = N`.
    min_code: i32,
}

/// A row may lack the column, so it is asked of its JSON.
const READ: &str = "
    select coalesce(max(version), 0), coalesce(max((to_jsonb(m)->>'min_code')::integer), 0) from schema_migrations m";

impl Present {
    /// A schema that only gained something serves older code too; one that lost something does not.
    pub(super) fn must_serve_this_code(&self) -> Result<()> {
        let Self { version, min_code } = self;
        if *min_code <= LATEST {
            return Ok(());
        }
        Err(Error::new(
            Kind::Unavailable,
            format!(
                "the database's schema is at version {version} and serves releases from version {min_code} on, and this \
                 release knows version {LATEST}; deploy the newer release again, or restore a backup from before it"
            ),
        ))
    }
}

/// How far the database is that this client is connected to.
pub(super) async fn present(client: &Client) -> Result<Present> {
    let rows = client
        .query_typed("select case when to_regclass('schema_migrations') is null then 0 else 1 end", &[])
        .await
        .map_err(fault)?;
    if rows[0].get::<_, i32>(0) == 0 {
        return Ok(Present { version: 0, min_code: 0 });
    }
    let rows = client.query_typed(READ, &[]).await.map_err(fault)?;
    Ok(Present { version: rows[0].get(0), min_code: rows[0].get(1) })
}

/// Applies what is missing over a connection of its own, all of it or nothing. Answers the versions applied.
pub async fn migrate(url: &Secret) -> Result<Vec<i32>> {
    migrate_aloud(url, &mut |_, _| {}).await
}

/// The same, and tells the version and the name of each migration before it is applied.
pub async fn migrate_aloud(url: &Secret, tell: Tell<'_>) -> Result<Vec<i32>> {
    let (config, tls) = connect::read_url(url)?;
    let (mut client, connection) = config.connect(tls).await.map_err(fault)?;
    let connection = tokio::spawn(connection);
    let applied = apply(&mut client, tell).await;
    drop(client);
    // Its end has nothing to tell: a fault has already reached the statement that met it.
    let _ended = connection.await;
    applied
}

async fn apply(client: &mut Client, tell: Tell<'_>) -> Result<Vec<i32>> {
    let transaction = client.transaction().await.map_err(fault)?;
    // Held to the end of the transaction, so that instances that start together apply each migration once.
    transaction
        .batch_execute(&format!("select pg_advisory_xact_lock(hashtextextended('migrate', 0)); {CREATE_TABLE}"))
        .await
        .map_err(fault)?;
    let rows = transaction.query_typed(READ, &[]).await.map_err(fault)?;
    let present = Present { version: rows[0].get(0), min_code: rows[0].get(1) };
    present.must_serve_this_code()?;
    if present.version > LATEST {
        tracing::warn!(?present, known = LATEST, "the database has a newer schema than this code; it still serves");
    }
    let mut applied = Vec::new();
    for (version, (name, sql)) in (1..).zip(MIGRATIONS).filter(|(version, _)| *version > present.version) {
        tell(version, name);
        transaction.batch_execute(sql).await.map_err(|source| {
            Error::new(Kind::Unavailable, format!("migration {version} ({name}) failed")).with_source(source)
        })?;
        transaction
            .execute_typed(
                "insert into schema_migrations (version, name) values ($1, $2)",
                &[(&version, Type::INT4), (&name, Type::TEXT)],
            )
            .await
            .map_err(fault)?;
        applied.push(version);
    }
    transaction.commit().await.map_err(fault)?;
    if !applied.is_empty() {
        tracing::info!(versions = ?applied, "schema migrated");
    }
    Ok(applied)
}
