//! Plays the Anthropic and Gemini APIs: in process for Rust tests, as a process for everything else.
//!
//! Without a script it answers as the real APIs do, with figures derived from the request. Words in the last user
//! message steer it (`[[say TEXT]]`, `[[words N]]`, `[[gap MS]]`, `[[search N]]`, `[[tool NAME {…}]]`), and a
//! [`Script`] overrides it.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! use fake_upstream::{Answer, Fake, Script};
//!
//! let fake = Fake::start().await;
//! fake.script(Script::once(Answer::overloaded()).of("sk-first").on("/v1/messages"));
//! // … send requests to fake.url() …
//! fake.idle().await;
//! assert!(fake.seen().iter().all(|seen| seen.answered.finished));
//! # }
//! ```
//!
//! As a process the same is under `/_fake/`: `POST script` (a script or a list of them), `GET seen`, `GET stats`,
//! `POST clear`, `POST release` (`{"count": 1}`).

mod anthropic;
mod call;
mod clock;
mod control;
mod figures;
mod gemini;
mod json;
mod models;
mod play;
mod ready;
mod reply;
mod scene;
mod schema;
mod script;
mod seen;
mod server;
mod shelf;
mod state;
mod ticket;
mod turn;

use std::{io, net::SocketAddr, sync::Arc};

use tokio::{net::TcpListener, task::JoinHandle};

pub use call::Dialect;
pub use clock::micros;
pub use figures::Figures;
pub use script::{Answer, Before, Body, Chunk, Data, Encoding, End, Lifelike, STAMP, Script};
pub use seen::{Answered, Count, Seen, Stats};

use state::State;

/// A running fake; dropping it closes the port and every connection.
pub struct Fake {
    address: SocketAddr,
    state: Arc<State>,
    server: JoinHandle<()>,
}

/// Whether requests are kept for [`Fake::seen`]; counting costs next to nothing, keeping bodies does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Keeps the newest hundred thousand requests whole, or fewer where their bodies pass 512 MiB.
    Requests,
    /// Counts only, for benchmarks.
    Counts,
}

impl Fake {
    /// Starts one on a free port of 127.0.0.1, served by the current tokio runtime.
    pub async fn start() -> Self {
        Self::bind(([127, 0, 0, 1], 0).into(), Keep::Requests).await.expect("the loopback interface has a free port")
    }

    /// Like [`Fake::start`], but counts only.
    pub async fn quiet() -> Self {
        Self::bind(([127, 0, 0, 1], 0).into(), Keep::Counts).await.expect("the loopback interface has a free port")
    }

    /// Starts one at this address.
    ///
    /// # Errors
    /// Where the address cannot be bound.
    pub async fn bind(address: SocketAddr, keep: Keep) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State::new(keep == Keep::Counts));
        let server = tokio::spawn(server::serve(listener, Arc::clone(&state)));
        Ok(Self { address, state, server })
    }

    /// The base URL, without a slash at its end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Adds a script after those that are there.
    pub fn script(&self, script: Script) {
        self.state.script(script);
    }

    /// Every request since the last [`Fake::clear`], in the order of arrival; empty where only counts are kept.
    pub fn seen(&self) -> Vec<Seen> {
        self.state.seen()
    }

    /// Counts since the last [`Fake::clear`].
    pub fn stats(&self) -> Stats {
        self.state.stats()
    }

    /// Drops all scripts, requests and counts; what is in flight stays counted.
    pub fn clear(&self) {
        self.state.clear();
    }

    /// Lets so many held answers go, those that wait or those that will.
    pub fn release(&self, count: usize) {
        self.state.release(count);
    }

    /// Waits until so many requests have arrived since the last [`Fake::clear`].
    pub async fn arrived(&self, count: u64) {
        self.state.until(|stats| stats.total.requests >= count).await;
    }

    /// Waits until no request is in flight: each is answered to its end, or its client's leaving was noticed.
    pub async fn idle(&self) {
        self.state.until(|stats| stats.total.in_flight == 0).await;
    }

    /// Closes the port and every connection, and returns when that is done: from then on connecting is refused.
    pub async fn stop(mut self) {
        self.server.abort();
        // The server was aborted, so the only possible outcome is that it says so.
        let _ = (&mut self.server).await;
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.server.abort();
    }
}
