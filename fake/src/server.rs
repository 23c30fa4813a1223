//! Accepts connections and serves each with hyper; a connection can be told to end with a reset.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Either, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::{
    call::Call,
    control,
    play::{BrokenOff, Playing},
    reply::reply,
    script::Before,
    state::State,
};

/// Serves until it is dropped, and then drops all connections.
pub(crate) async fn serve(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    for number in 1.. {
        let Ok((stream, _)) = listener.accept().await else {
            // No file descriptor is left: trying again at once would only spin.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        connections.spawn(connection(stream, number, Arc::clone(&state)));
        while connections.try_join_next().is_some() {}
    }
}

/// How a connection ends is the client's to see, and nobody's to handle here.
async fn connection(stream: TcpStream, number: u64, state: Arc<State>) {
    let _ = stream.set_nodelay(true);
    let reset = Arc::new(AtomicBool::new(false));
    let wire = Wire { stream, reset: Arc::clone(&reset) };
    let service = service_fn(move |request| answer(request, number, Arc::clone(&state), Arc::clone(&reset)));
    let _ = http1::Builder::new().serve_connection(TokioIo::new(wire), service).await;
}

type Answered = Response<Either<Playing, Full<Bytes>>>;

async fn answer(
    request: Request<Incoming>,
    connection: u64,
    state: Arc<State>,
    reset: Arc<AtomicBool>,
) -> Result<Answered, BrokenOff> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| BrokenOff)?.to_bytes();
    let mut call = Call { method: head.method, uri: head.uri, headers: head.headers, body, number: 0 };
    if call.path().starts_with("/_fake/") {
        return Ok(control::answer(&state, &call).map(Either::Right));
    }
    let mut ticket = state.arrive(&mut call, connection, &reset);
    let answer = state.scripted(&call).unwrap_or_default();
    match answer.before {
        None => {}
        Some(Before::Hang) => std::future::pending().await,
        Some(Before::Held) => state.released().await,
        Some(Before::DelayMs(time)) => tokio::time::sleep(Duration::from_millis(time)).await,
        Some(Before::Reset) => {
            ticket.reset_connection();
            ticket.broken_off();
            return Err(BrokenOff);
        }
    }
    let reply = reply(&call, &answer, &state.shelf);
    ticket.answered(reply.status.as_u16());
    let mut response = Response::new(Either::Left(Playing::new(reply.steps, ticket)));
    *response.status_mut() = reply.status;
    *response.headers_mut() = reply.headers;
    Ok(response)
}

/// A connection that ends with a reset (RST) where it was told so, instead of a proper close (FIN).
struct Wire {
    stream: TcpStream,
    reset: Arc<AtomicBool>,
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.reset.load(Ordering::Relaxed) {
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// A FIN before the reset would let the client read a clean end.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.reset.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
