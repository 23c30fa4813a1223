//! Work that outlives a response.

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use tokio::time::Instant;
use tokio_util::task::TaskTracker;

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A promise of the host that work handed over here runs to its end: on Vercel the invocation stays open for it, locally
/// the process waits for it before it exits. On Vercel the promise only holds for work handed over before the response.
#[derive(Clone)]
pub struct Background {
    keep: Arc<dyn Fn(Work) + Send + Sync>,
    ends_at: Option<Instant>,
}

impl Background {
    /// A promise kept by `keep`.
    pub fn new(keep: impl Fn(Work) + Send + Sync + 'static) -> Self {
        Self { keep: Arc::new(keep), ends_at: None }
    }

    /// The same promise of a host that kills what is not over soon after `ends_at`.
    #[must_use]
    pub fn until(self, ends_at: Instant) -> Self {
        Self { ends_at: Some(ends_at), ..self }
    }

    /// A promise kept by a tracker that its owner drains.
    pub fn tracked(tracker: TaskTracker) -> Self {
        Self::new(move |work| drop(tracker.spawn(work)))
    }

    /// When an answer has to end, so that there is time left for its row; `None`: the host sets no limit.
    pub fn ends_at(&self) -> Option<Instant> {
        self.ends_at
    }

    /// Hands work over; it begins at once.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        (self.keep)(Box::pin(work));
    }
}

impl fmt::Debug for Background {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Background")
    }
}
