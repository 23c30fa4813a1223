//! Passes on in one piece what has arrived together, as a reader of the socket would have seen it.
//!
//! The HTTP client hands over one chunk of an upstream's answer at a time, and takes the next from its read buffer only when
//! it is asked and has had a turn. So many small events that came in one packet would leave in as many: each would cost what
//! a packet costs. Nothing is ever waited for here: a turn is what the scheduler has at hand, and takes no time. An event that
//! comes by itself does not even take that.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context as Task, Poll, Wake, Waker, ready},
};

use bytes::{Bytes, BytesMut};
use futures_util::task::AtomicWaker;
use tokio::{
    task::yield_now,
    time::{Duration, Instant},
};

use super::source::Source;

/// What is passed on at once is not much more than this.
const ENOUGH: usize = 16 << 10;
/// What comes sooner than this after what was passed on last is part of one burst.
const BURST: Duration = Duration::from_millis(1);

/// What has arrived and was not passed on yet.
#[derive(Default)]
pub(super) struct Gather {
    first: Bytes,
    /// All that has arrived, where that is more than `first`.
    joined: BytesMut,
    /// Why no more will come, where that was a fault.
    fault: Option<String>,
    /// When something was passed on last.
    last: Option<Instant>,
    turn: Turn,
}

impl Gather {
    /// Whether nothing is held back.
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_empty() && self.joined.is_empty()
    }

    /// The next bytes of `source`, and all that are there already.
    pub(super) fn poll_next(
        &mut self,
        source: &mut Source,
        task: &mut Task<'_>,
    ) -> Poll<Option<Result<Bytes, String>>> {
        if let Some(reason) = self.fault.take() {
            return Poll::Ready(Some(Err(reason)));
        }
        while self.joined.len() < ENOUGH {
            match source.poll_chunk(task) {
                Poll::Ready(Some(Ok(bytes))) => self.add(bytes),
                Poll::Ready(end) if self.is_empty() => return Poll::Ready(end),
                Poll::Ready(end) => {
                    self.fault = end.and_then(Result::err);
                    break;
                }
                Poll::Pending if self.is_empty() => return Poll::Pending,
                Poll::Pending => {
                    if self.last.is_none_or(|last| last.elapsed() < BURST) {
                        ready!(self.turn.poll_passed(task));
                    }
                    break;
                }
            }
        }
        Poll::Ready(Some(Ok(self.take())))
    }

    fn add(&mut self, bytes: Bytes) {
        if self.is_empty() {
            self.first = bytes;
            return;
        }
        if self.joined.is_empty() {
            self.joined.extend_from_slice(&std::mem::take(&mut self.first));
        }
        self.joined.extend_from_slice(&bytes);
    }

    fn take(&mut self) -> Bytes {
        self.last = Some(Instant::now());
        if self.joined.is_empty() { std::mem::take(&mut self.first) } else { self.joined.split().freeze() }
    }
}

/// A turn of the scheduler: everything else that was ready has run.
#[derive(Default)]
struct Turn {
    asked: bool,
    told: Arc<Told>,
}

#[derive(Default)]
struct Told {
    passed: AtomicBool,
    task: AtomicWaker,
}

impl Turn {
    /// Ready when a turn has passed since this was asked for the first time.
    fn poll_passed(&mut self, task: &mut Task<'_>) -> Poll<()> {
        self.told.task.register(task.waker());
        if self.told.passed.swap(false, Ordering::AcqRel) {
            self.asked = false;
            return Poll::Ready(());
        }
        if !self.asked {
            self.asked = true;
            let waker = Waker::from(Arc::clone(&self.told));
            // Asked once, it hands the waker to the scheduler, which wakes it when nobody else is left.
            let _pending = pin!(yield_now()).poll(&mut Task::from_waker(&waker));
        }
        Poll::Pending
    }
}

impl Wake for Told {
    fn wake(self: Arc<Self>) {
        self.passed.store(true, Ordering::Release);
        self.task.wake();
    }
}
