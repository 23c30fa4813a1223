//! A database for one test, on the server that `TEST_DATABASE_URL` names.

use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;
use tokio_postgres::{Client, NoTls, types::Json};

/// An empty database; it is dropped by the next run of the server's owner, not by the test.
pub(crate) struct Database {
    pub(crate) url: String,
    client: Client,
}

impl Database {
    /// Makes one. A missing server fails the test: it never skips.
    pub(crate) async fn create() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let server = server_url();
        let name = format!("test_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let admin = connect(&server).await;
        admin.batch_execute(&format!("drop database if exists {name} with (force)")).await.unwrap();
        admin.batch_execute(&format!("create database {name}")).await.unwrap();
        let (base, query) = server.split_once('?').map_or((&*server, None), |(base, query)| (base, Some(query)));
        let base = &base[..base.rfind('/').expect("a URL names a database")];
        let url = match query {
            Some(query) => format!("{base}/{name}?{query}"),
            None => format!("{base}/{name}"),
        };
        let client = connect(&url).await;
        Self { url, client }
    }

    /// Its URL at another address, such as a proxy's.
    pub(crate) fn through(&self, address: &str) -> String {
        let config: tokio_postgres::Config = self.url.parse().expect("a test URL");
        let user = config.get_user().expect("a test URL names a user");
        let password = config.get_password().map(|word| format!(":{}", String::from_utf8_lossy(word)));
        format!("postgresql://{user}{}@{address}/{}", password.unwrap_or_default(), self.name())
    }

    /// The same database over a connection of its own.
    pub(crate) async fn again(&self) -> Self {
        Self { url: self.url.clone(), client: connect(&self.url).await }
    }

    /// Its name on the server.
    pub(crate) fn name(&self) -> String {
        let config: tokio_postgres::Config = self.url.parse().expect("a test URL");
        config.get_dbname().expect("a test URL names a database").to_owned()
    }

    /// The rows of a query, each as one JSON object.
    pub(crate) async fn rows(&self, sql: &str) -> Vec<Value> {
        let rows = self.client.query(&format!("select to_jsonb(q) from ({sql}) q"), &[]).await.unwrap();
        rows.iter().map(|row| row.get::<_, Json<Value>>(0).0).collect()
    }

    /// The one number that a query answers.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        self.client.query_one(&format!("select ({sql})::bigint"), &[]).await.unwrap().get(0)
    }

    /// Changes something behind the gateway's back.
    pub(crate) async fn execute(&self, sql: &str) {
        self.client.batch_execute(sql).await.unwrap();
    }
}

#[expect(clippy::disallowed_methods, reason = "tests are told their server by the environment")]
fn server_url() -> String {
    std::env::var("TEST_DATABASE_URL")
        .expect("set TEST_DATABASE_URL to a PostgreSQL that may create databases; `npm test` does")
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("the test server answers");
    tokio::spawn(connection);
    client
}
