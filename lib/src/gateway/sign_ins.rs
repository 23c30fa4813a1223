//! How many failed sign-ins an address may make.
//!
//! A good token or key is taken whatever its address has done before: it cannot be guessed, and if failures could shut it
//! out, whoever shares an address with the operator could. So a sign-in that succeeds asks and writes nothing here; what is
//! limited is what failures cost.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::Context;
use crate::error::{Error, Kind};

/// Failures of one address that are answered plainly in one window.
const MOST_FAILURES: i32 = 20;
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses remembered as being over the limit; they are refused without asking the database.
const REMEMBERED: usize = 10_000;

/// The addresses that this instance knows to be over the limit, and until when.
#[derive(Default)]
pub(super) struct Shut(Mutex<HashMap<String, Instant>>);

impl Shut {
    fn rest(&self, origin: &str) -> Option<Duration> {
        let shut = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shut.get(origin).and_then(|until| until.checked_duration_since(Instant::now())).filter(|rest| !rest.is_zero())
    }

    fn remember(&self, origin: String, rest: Duration) {
        let mut shut = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if shut.len() >= REMEMBERED {
            shut.clear();
        }
        shut.insert(origin, Instant::now() + rest);
    }
}

impl Context {
    /// Counts a sign-in that failed; gives the refusal that it is answered with, which is `otherwise` until the caller's
    /// address has failed too often.
    pub(crate) async fn failed_sign_in(&self, otherwise: Error) -> Error {
        let origin = origin(self.from);
        if let Some(rest) = self.gateway.shut.rest(&origin) {
            return too_many(rest);
        }
        match self.gateway.store.count_failed_sign_in(&origin, WINDOW).await {
            Ok((failures, rest)) if failures > MOST_FAILURES => {
                self.gateway.shut.remember(origin, rest);
                too_many(rest)
            }
            Ok(_) => otherwise,
            Err(error) => {
                tracing::warn!(%error, "a failed sign-in could not be counted");
                otherwise
            }
        }
    }
}

fn too_many(rest: Duration) -> Error {
    Error::new(Kind::RateLimited, "too many failed sign-ins from this address; wait before the next")
        .with_retry_after(rest)
}

/// Whom a failure is counted for. A client has a whole /64 of IPv6 addresses to choose from. Where the platform names
/// nobody, all such callers are counted together.
fn origin(from: Option<IpAddr>) -> String {
    match from {
        Some(IpAddr::V6(address)) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{}/64", Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        Some(address) => address.to_string(),
        None => "unknown".to_owned(),
    }
}
