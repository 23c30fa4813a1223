//! The vendors' shore: one HTTP client, its connections reused, no redirect followed.

pub(crate) mod code_assist;
mod dial;
pub(crate) mod oauth;

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode};
use reqwest::redirect;
use tokio::time::timeout;
use url::Url;

use crate::{
    error::{Error, Result},
    tls,
};

use dial::PublicOnly;
pub(crate) use dial::must_be_public;

/// An idle connection is closed before a load balancer in front of an upstream is likely to.
const IDLE_CONNECTION: Duration = Duration::from_secs(55);

/// More of them are closed at once: after a crowd there are as many, and an upstream that speaks HTTP/2 needs only one.
const IDLE_CONNECTIONS: usize = 256;

/// A longer answer to a question of our own is none.
const LONGEST_ANSWER: usize = 4 << 20;

/// A request as it goes out.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// The client that sends them.
pub(crate) struct Upstream {
    /// One for each connect timeout that a policy names; built when a request first needs it, for a function that starts
    /// has better things to do.
    clients: Mutex<HashMap<Duration, reqwest::Client>>,
    /// Whether plain HTTP and private addresses will do.
    insecure: bool,
}

/// Why a request got no answer. It names no URL and no secret: it may end up in a log.
#[derive(Debug)]
pub(crate) enum SendError {
    /// The address may not be dialled; the text says why.
    Refused(&'static str),
    /// It was dialled, or its name was not found.
    Failed(reqwest::Error),
}

impl SendError {
    /// Whether there was no connection, so that nothing can have been sent.
    pub(crate) fn is_connect(&self) -> bool {
        match self {
            Self::Refused(_) => true,
            Self::Failed(error) => error.is_connect(),
        }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) => write!(f, "the account's address {why}"),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SendError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Refused(_) => None,
            Self::Failed(error) => error.source(),
        }
    }
}

impl Upstream {
    /// `insecure` lets requests go over plain HTTP and to private addresses.
    pub(crate) fn new(insecure: bool) -> Self {
        Self { clients: Mutex::default(), insecure }
    }

    /// Sends one request and waits for the head of its answer.
    pub(crate) async fn send(&self, outgoing: Outgoing, connect: Duration) -> Result<reqwest::Response, SendError> {
        let Outgoing { method, url, headers, body } = outgoing;
        if !self.insecure {
            must_be_public(&url).map_err(SendError::Refused)?;
        }
        let mut request = reqwest::Request::new(method, url);
        *request.headers_mut() = headers;
        if !body.is_empty() {
            *request.body_mut() = Some(body.into());
        }
        self.client(connect).execute(request).await.map_err(|error| SendError::Failed(error.without_url()))
    }

    /// Sends a small request of our own and reads its whole answer, all within `patience`. The error is the reason why there
    /// is none.
    pub(crate) async fn ask(
        &self,
        outgoing: Outgoing,
        patience: Duration,
    ) -> Result<(StatusCode, HeaderMap, Bytes), String> {
        let asked = timeout(patience, async {
            let mut response = self.send(outgoing, patience).await.map_err(|error| cause(&error))?;
            let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
            let mut body = BytesMut::new();
            while let Some(chunk) = response.chunk().await.map_err(|error| cause(&error))? {
                if body.len() + chunk.len() > LONGEST_ANSWER {
                    return Err("the answer is too long".to_owned());
                }
                body.extend_from_slice(&chunk);
            }
            Ok((status, headers, body.freeze()))
        });
        asked.await.unwrap_or_else(|_| Err("no answer in time".to_owned()))
    }

    fn client(&self, connect: Duration) -> reqwest::Client {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients.entry(connect).or_insert_with(|| build(connect, self.insecure)).clone()
    }
}

fn build(connect: Duration, insecure: bool) -> reqwest::Client {
    let mut config = tls::client_config(tls::web_roots());
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let builder = reqwest::Client::builder();
    let builder = if insecure { builder } else { builder.dns_resolver(PublicOnly) };
    builder
        .tls_backend_preconfigured(config)
        .redirect(redirect::Policy::none())
        // A proxy that the environment names would look names up by itself, and dial what it finds.
        .no_proxy()
        .connect_timeout(connect)
        .pool_idle_timeout(IDLE_CONNECTION)
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .tcp_nodelay(true)
        .build()
        .expect("the client's settings are constant and valid")
}

/// The address of `path_and_query` at an account: its base URL, whose own path is kept, then the path as it came.
pub(crate) fn address(base_url: &str, path_and_query: &str) -> Result<Url> {
    let joined = [base_url.trim_end_matches('/'), path_and_query].concat();
    Url::parse(&joined).map_err(Error::internal)
}

/// The innermost cause of a failed exchange, which names what happened; the outer ones only say "error sending request".
pub(crate) fn cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// B4: the check belongs to the connection, so a name that changes its meaning (DNS rebinding) gains nothing.
    #[tokio::test]
    async fn a_name_is_looked_at_when_it_is_dialled() {
        let dial = async |insecure| {
            let client = Upstream::new(insecure).client(Duration::from_secs(5));
            let error = client.get("https://localhost:1/").send().await.expect_err("nobody listens there");
            let mut cause: &dyn std::error::Error = &error;
            while let Some(source) = cause.source() {
                cause = source;
            }
            cause.to_string()
        };
        assert!(dial(false).await.contains("no public address"), "{}", dial(false).await);
        assert!(!dial(true).await.contains("no public address"), "{}", dial(true).await);
    }
}
