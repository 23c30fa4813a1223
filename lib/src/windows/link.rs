//! The way to Redis: bounded waits, and a rest after a failure, for Postgres can do without it.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use ring::digest;
use tokio::time::timeout;

use super::{Fault, rest::Rest, tcp::Tcp};
use crate::{config, error::Result};

const SCRIPT: &str = include_str!("minutes.lua");
/// Without it each call at Upstash locks the whole database; plain Redis does not know it.
const LOCK_KEYS_ONLY: &str = "#!lua flags=allow-key-locking\n";

/// A connection with the script at its other end.
pub(super) struct Link {
    wire: Wire,
    /// A request waits so long, and then goes by Postgres. A switch may cost a window, so it is not made lightly.
    patience: Duration,
    script: String,
    sha: String,
    /// Until when Redis is left alone; `None` while it answers.
    away: Mutex<Option<Instant>>,
}

enum Wire {
    Rest(Box<Rest>),
    Tcp(Box<Tcp>),
}

impl Link {
    /// Connects to nothing yet.
    pub(super) fn new(config: &config::Redis, patience: Duration) -> Result<Self> {
        let (wire, script) = match config {
            config::Redis::Rest { url, token } => {
                (Wire::Rest(Box::new(Rest::new(url.clone(), token.clone()))), [LOCK_KEYS_ONLY, SCRIPT].concat())
            }
            config::Redis::Tcp(url) => (Wire::Tcp(Box::new(Tcp::new(url)?)), SCRIPT.to_owned()),
        };
        let sha = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, script.as_bytes());
        let sha = sha.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { wire, patience, script, sha, away: Mutex::default() })
    }

    /// Whether Redis is asked at the moment.
    pub(super) fn is_open(&self) -> bool {
        self.away().is_none_or(|until| Instant::now() >= until)
    }

    /// Runs the script, again where the connection broke: it does no harm twice. `None`: Redis is away.
    pub(super) async fn run(&self, keys: &[String], arguments: &[String]) -> Option<Vec<i64>> {
        self.tried(keys, arguments, 2).await
    }

    /// Runs the script once: what it adds, it would add again.
    pub(super) async fn run_once(&self, keys: &[String], arguments: &[String]) -> Option<Vec<i64>> {
        self.tried(keys, arguments, 1).await
    }

    async fn tried(&self, keys: &[String], arguments: &[String], tries: usize) -> Option<Vec<i64>> {
        if !self.begin() {
            return None;
        }
        let asked = timeout(self.patience, async {
            let mut answer = self.eval(keys, arguments).await;
            for _ in 1..tries {
                if let Err(Fault::Broken(_)) = answer {
                    answer = self.eval(keys, arguments).await;
                }
            }
            answer
        });
        let answer = match asked.await {
            Ok(answer) => answer,
            Err(_) => {
                if let Wire::Tcp(tcp) = &self.wire {
                    tcp.forget().await;
                }
                Err(Fault::Broken("no answer in time"))
            }
        };
        self.end(answer)
    }

    /// By the script's digest, and by its text where that is not known yet.
    async fn eval(&self, keys: &[String], arguments: &[String]) -> Result<Vec<i64>, Fault> {
        match self.command("EVALSHA", &self.sha, keys, arguments).await {
            Err(Fault::UnknownScript) => self.command("EVAL", &self.script, keys, arguments).await,
            answer => answer,
        }
    }

    async fn command(
        &self,
        name: &str,
        script: &str,
        keys: &[String],
        arguments: &[String],
    ) -> Result<Vec<i64>, Fault> {
        let count = keys.len().to_string();
        let mut words = vec![name, script, &count];
        words.extend(keys.iter().chain(arguments).map(String::as_str));
        match &self.wire {
            Wire::Rest(rest) => rest.command(&words).await,
            Wire::Tcp(tcp) => tcp.command(&words).await,
        }
    }

    /// Whether Redis may be asked. After a rest one request tries, and the others go on without it.
    fn begin(&self) -> bool {
        let mut away = self.away();
        let open = away.is_none_or(|until| Instant::now() >= until);
        if let Some(until) = away.as_mut().filter(|_| open) {
            *until = Instant::now() + self.patience;
        }
        open
    }

    /// Takes note of what came of it, and says it when that is news.
    fn end(&self, answer: Result<Vec<i64>, Fault>) -> Option<Vec<i64>> {
        let mut away = self.away();
        match answer {
            Ok(figures) => {
                if away.take().is_some() {
                    tracing::info!("Redis answers again and counts the minutes");
                }
                Some(figures)
            }
            Err(fault) => {
                if away.is_none() {
                    tracing::warn!(reason = fault.reason(), "Redis is down; Postgres counts the minutes");
                }
                *away = Some(Instant::now() + fault.rest());
                None
            }
        }
    }

    fn away(&self) -> MutexGuard<'_, Option<Instant>> {
        self.away.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
