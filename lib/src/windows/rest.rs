//! Redis over HTTP, as Upstash speaks it: one command is one POST of a JSON array.

use std::time::Duration;

use http::{StatusCode, header};
use reqwest::redirect;
use serde::Deserialize;
use url::Url;

use super::Fault;
use crate::{secret::Secret, tls};

/// An idle connection is closed before the service is likely to.
const IDLE_CONNECTION: Duration = Duration::from_secs(55);
/// A longer answer is none.
const LONGEST_ANSWER: usize = 1 << 20;

/// A database behind an address and a token.
pub(super) struct Rest {
    url: Url,
    token: Secret,
    client: reqwest::Client,
}

/// An answer has one of the two.
#[derive(Deserialize)]
struct Answer {
    result: Option<Vec<i64>>,
    error: Option<String>,
}

impl Rest {
    /// Connects to nothing yet.
    pub(super) fn new(url: Url, token: Secret) -> Self {
        let mut config = tls::client_config(tls::web_roots());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(config)
            .redirect(redirect::Policy::none())
            .pool_idle_timeout(IDLE_CONNECTION)
            .tcp_nodelay(true)
            .build()
            .expect("the client's settings are constant and valid");
        Self { url, token, client }
    }

    /// Carries out one command whose answer is a list of numbers.
    pub(super) async fn command(&self, words: &[&str]) -> Result<Vec<i64>, Fault> {
        let body = serde_json::to_vec(words).map_err(|_| Fault::Broken("the command cannot be written"))?;
        let sent = self
            .client
            .post(self.url.clone())
            .bearer_auth(self.token.expose())
            .header(header::CONTENT_TYPE, "application/json")
            .body(body)
            .send();
        let mut response = sent.await.map_err(|error| broken(&error))?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| broken(&error))? {
            if body.len() + chunk.len() > LONGEST_ANSWER {
                return Err(Fault::Broken("its answer is too long"));
            }
            body.extend_from_slice(&chunk);
        }
        match serde_json::from_slice(&body) {
            Ok(Answer { result: Some(figures), .. }) => Ok(figures),
            // Whatever it says: our own token is not for the log.
            Ok(Answer { error: Some(text), .. }) => Err(Fault::said(&text.replace(self.token.expose(), "…"))),
            _ if status == StatusCode::UNAUTHORIZED => Err(Fault::said("Unauthorized")),
            _ => Err(Fault::Broken("what answers at its address is not Redis")),
        }
    }
}

/// What became of an exchange, without its address.
fn broken(error: &reqwest::Error) -> Fault {
    Fault::Broken(if error.is_connect() { "it cannot be connected to" } else { "the connection broke" })
}
