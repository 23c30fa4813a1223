//! A look at a database from outside: whether it can be had, what it is, what time it has. It changes nothing.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::time::timeout;
use tokio_postgres::{Client, error::SqlState};

use super::{connect, migrate};
use crate::{clock, secret::Secret};

/// The oldest PostgreSQL that the schema works on, as its major version.
pub const OLDEST_SERVER: i32 = 14;

/// A database that sleeps needs some seconds to wake up.
const PATIENCE: Duration = Duration::from_secs(10);
/// Statements timed; the quickest of them is the latency, for what delays one of them is not the way.
const ROUNDS: usize = 3;

/// What a database is like.
#[derive(Debug)]
pub struct Examined {
    /// PostgreSQL's major version.
    pub server: i32,
    /// The schema's version; 0 in an empty database.
    pub schema: i32,
    /// Whether this is a server that only reads, such as a replica.
    pub read_only: bool,
    /// How long connecting took.
    pub connected_in: Duration,
    /// How long one statement takes, there and back.
    pub round_trip: Duration,
    /// How far its clock is ahead of ours, in seconds; below zero where it is behind.
    pub clock_ahead: f64,
}

/// Why a database cannot be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfit {
    /// The URL is none; with what is wrong with it.
    Url(String),
    /// Nothing answers at its address, or not in time; with what the attempt met.
    Away(String),
    /// The user or the password is refused.
    Refused,
    /// The server has no database of this name.
    NoDatabase,
    /// The server has no connection left.
    Full,
    /// Something else that the server said.
    Fault(String),
}

/// Looks at the database of this URL. Nothing that it says holds the URL.
pub async fn examine(url: &Secret) -> Result<Examined, Unfit> {
    let (config, tls) = connect::read_url(url).map_err(|error| Unfit::Url(cause(&error)))?;
    let began = Instant::now();
    let silent = || Unfit::Away(format!("no answer within {} seconds", PATIENCE.as_secs()));
    let connected = timeout(PATIENCE, config.connect(tls)).await.map_err(|_| silent())?;
    let (client, connection) = connected.map_err(|error| unfit(&error))?;
    let connected_in = began.elapsed();
    let connection = tokio::spawn(connection);
    let examined = timeout(PATIENCE, ask(&client, connected_in)).await.unwrap_or_else(|_| Err(silent()));
    drop(client);
    // Its end has nothing to tell: a fault has already reached the statement that met it.
    let _ended = connection.await;
    examined
}

async fn ask(client: &Client, connected_in: Duration) -> Result<Examined, Unfit> {
    let sql =
        "select current_setting('server_version_num')::int / 10000, current_setting('transaction_read_only') = 'on'";
    let rows = client.query_typed(sql, &[]).await.map_err(|error| unfit(&error))?;
    let (server, read_only) = (rows[0].get(0), rows[0].get(1));
    let (mut round_trip, mut clock_ahead) = (Duration::MAX, 0.0);
    for _ in 0..ROUNDS {
        let (before, began) = (clock::now(), Instant::now());
        let rows = client.query_typed("select clock_timestamp()", &[]).await.map_err(|error| unfit(&error))?;
        let took = began.elapsed();
        if took < round_trip {
            round_trip = took;
            let theirs: Timestamp = rows[0].get(0);
            clock_ahead = theirs.duration_since(before).as_secs_f64() - took.as_secs_f64() / 2.0;
        }
    }
    let schema = migrate::present(client).await.map_err(|error| Unfit::Fault(cause(&error)))?.version;
    Ok(Examined { server, schema, read_only, connected_in, round_trip, clock_ahead })
}

fn unfit(error: &tokio_postgres::Error) -> Unfit {
    match error.code() {
        Some(code) if *code == SqlState::INVALID_PASSWORD => Unfit::Refused,
        Some(code) if *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION => Unfit::Refused,
        Some(code) if *code == SqlState::INVALID_CATALOG_NAME => Unfit::NoDatabase,
        Some(code) if *code == SqlState::TOO_MANY_CONNECTIONS => Unfit::Full,
        Some(_) => Unfit::Fault(cause(error)),
        None => Unfit::Away(cause(error)),
    }
}

/// The innermost cause, which says most.
fn cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
