//! The vendors' shore: one HTTP client, its connections reused, no redirect followed.

pub(crate) mod code_assist;
pub(crate) mod oauth;

use std::{
    collections::HashMap,
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

/// An idle connection is closed before a load balancer in front of an upstream is likely to.
const IDLE_CONNECTION: Duration = Duration::from_secs(55);

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
}

impl Upstream {
    pub(crate) fn new() -> Self {
        Self { clients: Mutex::default() }
    }

    /// Sends one request and waits for the head of its answer. The error names no URL: it may end up in a log.
    pub(crate) async fn send(
        &self,
        outgoing: Outgoing,
        connect: Duration,
    ) -> Result<reqwest::Response, reqwest::Error> {
        let Outgoing { method, url, headers, body } = outgoing;
        let request = self.client(connect).request(method, url).headers(headers);
        let request = if body.is_empty() { request } else { request.body(body) };
        request.send().await.map_err(reqwest::Error::without_url)
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
        clients.entry(connect).or_insert_with(|| build(connect)).clone()
    }
}

fn build(connect: Duration) -> reqwest::Client {
    let mut config = tls::client_config(tls::web_roots());
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    reqwest::Client::builder()
        .tls_backend_preconfigured(config)
        .redirect(redirect::Policy::none())
        .connect_timeout(connect)
        .pool_idle_timeout(IDLE_CONNECTION)
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
pub(crate) fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
