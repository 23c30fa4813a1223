//! Redis by its own protocol, over one connection that all requests of an instance share.

use redis::{AsyncConnectionConfig, Client, ErrorKind, RedisError, aio::MultiplexedConnection};
use tokio::sync::Mutex;

use super::Fault;
use crate::{
    error::{Error, Kind, Result},
    secret::Secret,
};

/// A database behind a URL.
pub(super) struct Tcp {
    client: Client,
    connection: Mutex<Option<MultiplexedConnection>>,
}

impl Tcp {
    /// Connects to nothing yet.
    pub(super) fn new(url: &Secret) -> Result<Self> {
        // The error may hold the URL, and that a password.
        let client = Client::open(url.expose())
            .map_err(|_| Error::new(Kind::Unavailable, "REDIS_URL is not a URL that Redis can be reached by"))?;
        Ok(Self { client, connection: Mutex::default() })
    }

    /// Carries out one command whose answer is a list of numbers.
    pub(super) async fn command(&self, words: &[&str]) -> Result<Vec<i64>, Fault> {
        let mut connection = self.connection().await?;
        let [name, arguments @ ..] = words else { return Ok(Vec::new()) };
        let answered = redis::cmd(name).arg(arguments).query_async(&mut connection).await;
        let fault = answered.map_err(|error| fault(&error));
        if let Err(Fault::Broken(_)) = fault {
            self.forget().await;
        }
        fault
    }

    /// The next command connects anew: this connection may be dead without having said so.
    pub(super) async fn forget(&self) {
        *self.connection.lock().await = None;
    }

    async fn connection(&self) -> Result<MultiplexedConnection, Fault> {
        let mut shared = self.connection.lock().await;
        if let Some(open) = &*shared {
            return Ok(open.clone());
        }
        // Whoever asks has a time limit of its own.
        let unlimited = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let opened = self.client.get_multiplexed_async_connection_with_config(&unlimited).await;
        let open = opened.map_err(|error| fault(&error))?;
        *shared = Some(open.clone());
        Ok(open)
    }
}

fn fault(error: &RedisError) -> Fault {
    match (error.kind(), error.code()) {
        (ErrorKind::AuthenticationFailed, _) => Fault::said("WRONGPASS"),
        (_, Some(code)) => Fault::said(&format!("{code} {}", error.detail().unwrap_or_default())),
        _ if error.is_connection_refusal() => Fault::Broken("it cannot be connected to"),
        _ => Fault::Broken("the connection broke"),
    }
}
