//! One local process: the same routers and the dashboard's files on one port.

mod files;
mod names;
mod packing;

use std::{
    future::Future,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use http::Method;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use files::Files;
use packing::{packed, takes_gzip};

use super::Door;
use crate::{
    address::Peer,
    background::Background,
    config::Local,
    http::{Response, incoming},
    routes::Router,
};

/// A client that has not sent its headers by then is not going to.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// Headers a request may have.
const MOST_HEADERS: usize = 100;
/// Bytes that the head of a request may have; no client comes near.
const HEAD_BYTES: usize = 64 << 10;

/// The local server.
#[derive(Clone)]
pub struct Server {
    door: Door,
    local: Arc<Local>,
    files: Arc<Files>,
    background: TaskTracker,
}

/// The connections of a server.
#[derive(Default)]
struct Connections {
    open: TaskTracker,
    /// Ends each of them after the answer that it is giving.
    closing: CancellationToken,
}

impl Server {
    /// A server that shows the dashboard's files where no router answers. Where it listens is up to the caller.
    pub fn new(door: Door, local: Local) -> Self {
        let files = Arc::new(Files::of(&local.public_dir));
        Self { door, local: Arc::new(local), files, background: TaskTracker::new() }
    }

    /// Serves until `shutdown`, then lets streams end and their rows be written, and returns.
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        let connections = Connections::default();
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            let (stream, peer) = tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        // Out of file descriptors, most likely: some will be free in a moment.
                        tracing::warn!(%error, "a connection could not be accepted");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        continue;
                    }
                },
                () = &mut shutdown => break,
            };
            self.connect(stream, peer, &connections);
        }
        drop(listener);
        connections.closing.cancel();
        connections.open.close();
        connections.open.wait().await;
        self.background.close();
        self.background.wait().await;
    }

    fn connect(&self, stream: TcpStream, peer: SocketAddr, connections: &Connections) {
        // Events go out as they come; without this the kernel may keep small ones back.
        let _best_effort = stream.set_nodelay(true);
        let server = self.clone();
        let service = service_fn(move |request| {
            let server = server.clone();
            async move { Ok::<_, std::convert::Infallible>(server.answer(peer.ip(), request).await) }
        });
        let mut connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_headers(MOST_HEADERS)
            .max_buf_size(HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        let closing = connections.closing.clone();
        connections.open.spawn(async move {
            let ended = tokio::select! {
                ended = &mut connection => Some(ended),
                () = closing.cancelled() => None,
            };
            let ended = match ended {
                Some(ended) => ended,
                None => {
                    Pin::new(&mut connection).graceful_shutdown();
                    (&mut connection).await
                }
            };
            let Err(error) = ended else { return };
            tracing::debug!(%peer, %error, "a connection ended early");
            // The answer broke off, and nothing in its protocol can say so. A reset does, where a mere end would be taken for
            // the answer's by some, and by Gemini CLI for a fault that is not worth another try.
            if error.is_user() {
                let _best_effort = connection.into_parts().io.into_inner().set_zero_linger();
            }
        });
    }

    async fn answer(&self, peer: IpAddr, request: http::Request<Incoming>) -> Response {
        let request = request.map(incoming);
        if !names::is_own(&request, &self.local.allowed_hosts) {
            return names::refusal(&request);
        }
        if let Some(router) = Router::of(request.uri().path()) {
            let background = Background::tracked(self.background.clone());
            // Of what is changed, an answer may hold a secret beside words of the caller's own choice.
            let pack = !router.relays() && *request.method() == Method::GET && takes_gzip(request.headers());
            let response = self.door.answer(router, background, Peer::Socket(peer), request).await;
            return if pack { packed(response) } else { response };
        }
        self.files.answer(&request).await
    }
}
