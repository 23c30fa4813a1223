//! What every test needs: a gateway under test, with a database and a fake upstream of its own.

mod app;
mod database;
mod login;

pub(crate) use app::{ADMIN_TOKEN, App, Instance};
pub(crate) use database::Database;
pub(crate) use login::{TOKEN_PATH, instance_with_logins, pair, soon};

use std::{future::Future, time::Duration};

/// How long a condition may take to come true before a test gives up.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `condition` gives a value; asks again and again rather than sleeping for a guessed time.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut condition: impl FnMut() -> F) -> T {
    let asking = async {
        loop {
            if let Some(value) = condition().await {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    match tokio::time::timeout(PATIENCE, asking).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: not within {PATIENCE:?}"),
    }
}
