//! A wire to the test server that can be taken away: refused, frozen or cut.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite, copy, copy_bidirectional},
    net::{TcpListener, TcpStream, UnixStream},
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep_until},
};
use tokio_postgres::config::Host;

use super::{Database, eventually};

/// How the wire behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    /// Bytes pass.
    Open,
    /// Connections end at once; those that were there are cut.
    Refused,
    /// Connections stay, and nothing comes through any more.
    Frozen,
    /// The server hears everything, and nobody hears the server.
    Mute,
    /// A database that sleeps: it begins to wake at the first connection, and takes so long; all wait for that.
    Asleep(Duration),
}

/// A TCP port in front of the test server.
pub(crate) struct Chaos {
    pub(crate) address: SocketAddr,
    wire: watch::Sender<Wire>,
    /// Held once by every connection that is carried.
    carried: Arc<()>,
    server: JoinHandle<()>,
}

impl Chaos {
    /// An open wire.
    pub(crate) async fn before(database: &Database) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let (wire, state) = watch::channel(Wire::Open);
        let config: tokio_postgres::Config = database.url.parse().expect("a test URL");
        let carried = Arc::new(());
        let count = Arc::clone(&carried);
        let server = tokio::spawn(async move {
            let mut awake = None;
            while let Ok((stream, _)) = listener.accept().await {
                let (config, state, count) = (config.clone(), state.clone(), Arc::clone(&count));
                let waking = match *state.borrow() {
                    Wire::Asleep(takes) => Some(*awake.get_or_insert(Instant::now() + takes)),
                    _ => None,
                };
                tokio::spawn(async move {
                    if let Some(awake) = waking {
                        sleep_until(awake).await;
                    }
                    carry(stream, config, state).await;
                    drop(count);
                });
            }
        });
        Self { address, wire, carried, server }
    }

    /// The database's URL through this wire.
    pub(crate) fn url(&self, database: &Database) -> String {
        database.through(&self.address.to_string())
    }

    /// From now on it behaves like this.
    pub(crate) fn becomes(&self, wire: Wire) {
        self.wire.send_replace(wire);
    }

    /// Cuts every connection that is there; new ones pass.
    pub(crate) async fn cut(&self) {
        self.becomes(Wire::Refused);
        // The server holds one, and so does this.
        eventually("all are cut", || async { (Arc::strong_count(&self.carried) == 2).then_some(()) }).await;
        self.becomes(Wire::Open);
    }
}

impl Drop for Chaos {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn carry(mut client: TcpStream, config: tokio_postgres::Config, mut wire: watch::Receiver<Wire>) {
    let begun_as = *wire.borrow_and_update();
    if matches!(begun_as, Wire::Open | Wire::Asleep(_)) {
        let Ok(mut server) = dial(&config).await else { return };
        tokio::select! {
            _ = copy_bidirectional(&mut client, &mut server) => return,
            // Whatever the change is: bytes have ceased to pass.
            _ = wire.changed() => {}
        }
        if *wire.borrow_and_update() == Wire::Mute {
            tokio::select! {
                _ = copy(&mut client, &mut server) => {}
                _ = wire.changed() => {}
            }
        }
        if *wire.borrow() == Wire::Frozen {
            // Both ends stay connected, to nobody.
            let _thawed = wire.wait_for(|now| *now != Wire::Frozen).await;
        }
    } else if matches!(begun_as, Wire::Frozen | Wire::Mute) {
        let _thawed = wire.wait_for(|now| *now != begun_as).await;
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

async fn dial(config: &tokio_postgres::Config) -> io::Result<Box<dyn Stream>> {
    let port = config.get_ports().first().copied().unwrap_or(5432);
    match &config.get_hosts()[0] {
        Host::Tcp(name) => Ok(Box::new(TcpStream::connect((name.as_str(), port)).await?)),
        Host::Unix(folder) => Ok(Box::new(UnixStream::connect(folder.join(format!(".s.PGSQL.{port}"))).await?)),
    }
}
