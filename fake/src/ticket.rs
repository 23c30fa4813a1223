//! Follows one request from its arrival to its last byte, and writes into the books what became of it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::{figures::Figures, state::State};

/// Held while a request is in flight; dropping it early means that the client went away.
pub(crate) struct Ticket {
    pub(crate) state: Arc<State>,
    pub(crate) number: u64,
    pub(crate) credential: String,
    /// Tells the connection to end with a reset.
    pub(crate) reset: Arc<AtomicBool>,
    pub(crate) course: Course,
}

/// How far an answer came.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Course {
    pub(crate) status: Option<u16>,
    pub(crate) figures: Option<Figures>,
    pub(crate) finished: bool,
    pub(crate) broken_off: bool,
}

impl Ticket {
    pub(crate) fn answered(&mut self, status: u16) {
        self.course.status = Some(status);
        self.state.progress(self);
    }

    /// Figures that the bytes just handed over say.
    pub(crate) fn says(&mut self, figures: Option<Figures>) {
        if figures.is_some() {
            self.course.figures = figures;
            self.state.progress(self);
        }
    }

    pub(crate) fn finished(&mut self) {
        self.course.finished = true;
    }

    pub(crate) fn broken_off(&mut self) {
        self.course.broken_off = true;
    }

    pub(crate) fn is_broken_off(&self) -> bool {
        self.course.broken_off
    }

    pub(crate) fn reset_connection(&self) {
        self.reset.store(true, Ordering::Relaxed);
    }

    /// Waits for a `release`, one of which lets one waiter go.
    pub(crate) fn released(&self) -> impl Future<Output = ()> + Send + use<> {
        let state = Arc::clone(&self.state);
        async move { state.released().await }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.state.leave(self);
    }
}
