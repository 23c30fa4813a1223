//! Somebody who is told things over HTTP: a collector of traces, or a receiver of webhooks.

use std::{
    collections::VecDeque,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body_util::{BodyExt, Collected, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

use super::eventually;

/// One that listens on a free port, and says 200 to everything unless it is told otherwise.
pub(crate) struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

struct Shared {
    heard: Mutex<Vec<Heard>>,
    statuses: Mutex<VecDeque<u16>>,
    silent: watch::Sender<bool>,
}

/// What it was told.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
    /// What it answered.
    pub(crate) status: u16,
}

impl Heard {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }

    /// A header that has to be there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("{name} in {:?}", self.headers)).to_str().expect("plain text")
    }
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let (heard, statuses) = (Mutex::default(), Mutex::default());
        let shared = Arc::new(Shared { heard, statuses, silent: watch::channel(false).0 });
        let hearing = Arc::clone(&shared);
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&hearing);
                let service = service_fn(move |request| answer(Arc::clone(&shared), request));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, shared, server }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next answers; after them 200 again.
    pub(crate) fn answers(&self, statuses: &[u16]) {
        self.shared.statuses.lock().unwrap_or_else(PoisonError::into_inner).extend(statuses);
    }

    /// Whether it takes requests and never answers them.
    pub(crate) fn is_silent(&self, silent: bool) {
        self.shared.silent.send_replace(silent);
    }

    /// Everything so far.
    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.shared.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until it has heard so much.
    pub(crate) async fn hears(&self, count: usize) -> Vec<Heard> {
        eventually(&format!("{count} are heard"), || async { Some(self.heard()).filter(|heard| heard.len() >= count) })
            .await
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(
    shared: Arc<Shared>,
    request: http::Request<Incoming>,
) -> Result<http::Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(Collected::to_bytes).unwrap_or_default();
    let status = shared.statuses.lock().unwrap_or_else(PoisonError::into_inner).pop_front().unwrap_or(200);
    let (path, body) = (head.uri.to_string(), String::from_utf8_lossy(&body).into_owned());
    let heard = Heard { path, headers: head.headers, body, status };
    shared.heard.lock().unwrap_or_else(PoisonError::into_inner).push(heard);
    let mut silent = shared.silent.subscribe();
    let _closed_counts_too = silent.wait_for(|silent| !silent).await;
    let mut response = http::Response::new(Full::from("{}"));
    *response.status_mut() = http::StatusCode::from_u16(status).expect("a status");
    Ok(response)
}
