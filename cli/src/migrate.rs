//! `llm-gateway migrate`: bring the database's schema up to date.

use gateway::{
    Result,
    config::{Environment, migration_url},
    store::{LATEST_SCHEMA, migrate_aloud},
};
use serde_json::json;

use crate::out::{Out, remark};

/// Applies what is missing, and tells each step.
pub(crate) async fn run(env: &Environment, out: &Out) -> Result<()> {
    let mut tell = |version: i32, name: &str| remark(&format!("migration {version} of {LATEST_SCHEMA}: {name}"));
    let applied = migrate_aloud(&migration_url(env)?, &mut tell).await?;
    out.answer(&json!({ "applied": applied, "schema": LATEST_SCHEMA }), || match applied.len() {
        0 => out.line(&format!("the schema is up to date: version {LATEST_SCHEMA}")),
        many => out.line(&format!("applied {many} migrations; the schema is at version {LATEST_SCHEMA}")),
    })
}
