//! Where the gateway runs: as functions, or as one local process. Both answer through the same door.

pub mod local;
pub mod panics;
pub mod vercel;

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures_util::FutureExt;
use http::HeaderValue;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};

use crate::{
    address::{self, Peer},
    background::Background,
    clock,
    config::{Config, Environment, log_filter},
    error::{Error, Kind, Result},
    gateway::Gateway,
    http::{Request, Response, full},
    id::RequestId,
    routes::{Router, Visit},
};

/// What every request comes to: the gateway, or what the operator has yet to set.
#[derive(Clone)]
pub struct Door(Arc<Result<Arc<Gateway>>>);

impl Door {
    /// Reads the configuration. What is wrong with it is told to whoever knocks, not to a crash log.
    pub fn open(env: &Environment) -> Self {
        let gateway = Config::read(env).and_then(Gateway::new).map(Arc::new);
        if let Err(error) = &gateway {
            tracing::error!(%error, "the gateway is not set up");
        }
        Self(Arc::new(gateway))
    }

    /// The gateway, where everything is set.
    pub fn gateway(&self) -> Result<Arc<Gateway>> {
        match &*self.0 {
            Ok(gateway) => Ok(Arc::clone(gateway)),
            Err(error) => Err(Error::new(error.kind, error.message.clone())),
        }
    }

    /// Answers a request. A panic of ours becomes a 500, and what was claimed is settled as its pieces are dropped.
    pub async fn answer(&self, router: Router, background: Background, peer: Peer, request: Request) -> Response {
        let id = RequestId::new(clock::now());
        let trusted = self.0.as_ref().as_ref().map_or(&[][..], |gateway| &gateway.config.trusted_proxies);
        let from = address::client(peer, request.headers(), trusted);
        let answer = router.answer(&self.0, Visit { id: id.clone(), from, background }, request);
        AssertUnwindSafe(answer).catch_unwind().await.unwrap_or_else(|_| {
            tracing::error!(request = %id, "a panic was caught at the door");
            let mut response = Response::new(full(r#"{"error":{"type":"internal","message":"internal error"}}"#));
            *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
            let id = HeaderValue::from_str(id.as_str()).expect("an id is plain ASCII");
            response.headers_mut().insert("x-request-id", id);
            response
        })
    }
}

/// Whether `LOG` can be understood. A server with a filter that cannot logs at `info`.
pub fn check_log_filter(env: &Environment) -> Result<()> {
    let filter = log_filter(env).parse::<Targets>();
    filter.map(drop).map_err(|why| Error::new(Kind::InvalidRequest, format!("LOG is not a tracing filter: {why}")))
}

/// Sends log lines to standard error, one for each event; a panic is one, too.
pub fn log_to_stderr(env: &Environment) {
    panics::listen();
    let filter = log_filter(env).parse().unwrap_or_else(|_| Targets::new().with_default(LevelFilter::INFO));
    let lines = tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).with_writer(std::io::stderr).finish();
    // A second subscriber in one process is refused; the first goes on serving.
    let _already_set = lines.with(filter).try_init();
}
