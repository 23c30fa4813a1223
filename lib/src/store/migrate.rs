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
];

/// The version this code was written for.
pub const LATEST: i32 = MIGRATIONS.len() as i32;

const CREATE_TABLE: &str = "
    create table if not exists schema_migrations (
        version     integer primary key,
        name        text not null,
        applied_at  timestamptz not null default now()
    )";

/// The newest version applied; 0 in an empty database.
pub(super) async fn version(client: &Client) -> Result<i32> {
    let rows = client
        .query_typed("select case when to_regclass('schema_migrations') is null then 0 else 1 end", &[])
        .await
        .map_err(fault)?;
    if rows[0].get::<_, i32>(0) == 0 {
        return Ok(0);
    }
    let rows =
        client.query_typed("select coalesce(max(version), 0) from schema_migrations", &[]).await.map_err(fault)?;
    Ok(rows[0].get(0))
}

/// Applies what is missing over a connection of its own, all of it or nothing. Answers the versions applied.
pub async fn migrate(url: &Secret) -> Result<Vec<i32>> {
    let (config, tls) = connect::read_url(url)?;
    let (mut client, connection) = config.connect(tls).await.map_err(fault)?;
    let connection = tokio::spawn(connection);
    let applied = apply(&mut client).await;
    drop(client);
    // Its end has nothing to tell: a fault has already reached the statement that met it.
    let _ended = connection.await;
    applied
}

async fn apply(client: &mut Client) -> Result<Vec<i32>> {
    let transaction = client.transaction().await.map_err(fault)?;
    // Held to the end of the transaction, so that instances that start together apply each migration once.
    transaction
        .batch_execute(&format!("select pg_advisory_xact_lock(hashtextextended('migrate', 0)); {CREATE_TABLE}"))
        .await
        .map_err(fault)?;
    let rows =
        transaction.query_typed("select coalesce(max(version), 0) from schema_migrations", &[]).await.map_err(fault)?;
    let present: i32 = rows[0].get(0);
    if present > LATEST {
        tracing::warn!(present, known = LATEST, "the database has a newer schema than this code; it may still serve");
    }
    let mut applied = Vec::new();
    for (version, (name, sql)) in (1..).zip(MIGRATIONS).filter(|(version, _)| *version > present) {
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
