//! `llm-gateway serve`: the gateway as one local process.

use gateway::{
    Error, Kind, Result,
    config::{Environment, Local},
    host::{Door, local::Server, log_to_stderr},
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

/// Whether the command line is `serve` and nothing else. Then no other command's options need to be set up first: a server
/// that is started by a request is waited for.
pub(crate) fn is_all_that_is_asked() -> bool {
    let mut words = std::env::args_os().skip(1);
    words.next().is_some_and(|word| word == "serve") && words.next().is_none()
}

/// Serves until SIGTERM or Ctrl-C, and then until open requests have ended.
pub(crate) async fn run(env: &Environment) -> Result<()> {
    log_to_stderr(env);
    let local = Local::read(env)?;
    let (host, port) = (local.host, local.port);
    let listener = TcpListener::bind((host, port)).await.map_err(|source| {
        Error::new(Kind::Unavailable, format!("cannot listen on {host}:{port}")).with_source(source)
    })?;
    let address = listener.local_addr().map_err(Error::internal)?;
    let server = Server::new(Door::open(env), local);
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::internal)?;
    crate::out::say(&format!("llm-gateway listening on http://{address}\n"))?;
    server
        .serve(listener, async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        })
        .await;
    Ok(())
}
