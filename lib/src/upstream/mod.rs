//! The vendors' shore: one HTTP client, its connections reused, no redirect followed.

use std::{sync::OnceLock, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method};
use reqwest::redirect;
use url::Url;

use crate::{
    error::{Error, Result},
    tls,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// An idle connection is closed before a load balancer in front of an upstream is likely to.
const IDLE_CONNECTION: Duration = Duration::from_secs(55);

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
    /// Built when the first request goes out, for a function that starts has better things to do.
    client: OnceLock<reqwest::Client>,
}

impl Upstream {
    pub(crate) fn new() -> Self {
        Self { client: OnceLock::new() }
    }

    /// Sends one request and waits for the head of its answer. The error names no URL: it may end up in a log.
    pub(crate) async fn send(&self, outgoing: Outgoing) -> Result<reqwest::Response, reqwest::Error> {
        let Outgoing { method, url, headers, body } = outgoing;
        let request = self.client().request(method, url).headers(headers);
        let request = if body.is_empty() { request } else { request.body(body) };
        request.send().await.map_err(reqwest::Error::without_url)
    }

    fn client(&self) -> &reqwest::Client {
        self.client.get_or_init(|| {
            let mut config = tls::client_config(tls::web_roots());
            config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
            reqwest::Client::builder()
                .tls_backend_preconfigured(config)
                .redirect(redirect::Policy::none())
                .connect_timeout(CONNECT_TIMEOUT)
                .pool_idle_timeout(IDLE_CONNECTION)
                .tcp_nodelay(true)
                .build()
                .expect("the client's settings are constant and valid")
        })
    }
}

/// The address of `path_and_query` at an account: its base URL, whose own path is kept, then the path as it came.
pub(crate) fn address(base_url: &str, path_and_query: &str) -> Result<Url> {
    let joined = [base_url.trim_end_matches('/'), path_and_query].concat();
    Url::parse(&joined).map_err(Error::internal)
}
