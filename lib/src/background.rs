//! Work that outlives a response.

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use tokio_util::task::TaskTracker;

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A promise of the host that work handed over here runs to its end: on Vercel the invocation stays open for it, locally
/// the process waits for it before it exits. On Vercel the promise only holds for work handed over before the response.
#[derive(Clone)]
pub struct Background(Arc<dyn Fn(Work) + Send + Sync>);

impl Background {
    /// A promise kept by `keep`.
    pub fn new(keep: impl Fn(Work) + Send + Sync + 'static) -> Self {
        Self(Arc::new(keep))
    }

    /// A promise kept by a tracker that its owner drains.
    pub fn tracked(tracker: TaskTracker) -> Self {
        Self::new(move |work| drop(tracker.spawn(work)))
    }

    /// Hands work over; it begins at once.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        (self.0)(Box::pin(work));
    }
}

impl fmt::Debug for Background {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Background")
    }
}
