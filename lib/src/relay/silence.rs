//! How long an upstream has said nothing, and its caller heard nothing.

use std::{
    pin::Pin,
    task::{Context as Task, Poll, ready},
};

use tokio::time::{Duration, Instant, Sleep, sleep_until};

/// A client is never left in silence longer than this, where its protocol has a word for "still here".
pub(super) const PING_EVERY: Duration = Duration::from_secs(15);

/// Watches over one answer. A word costs one look at the clock: the alarm is set anew only when it rings.
pub(super) struct Silence {
    /// So long the upstream may be silent.
    patience: Duration,
    /// Whether the caller is pinged meanwhile.
    pings: bool,
    /// When the upstream last said something.
    heard: Instant,
    /// When the caller last got something, or might have got a ping.
    told: Instant,
    alarm: Pin<Box<Sleep>>,
}

/// What a silence has come to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Silent {
    /// It is time for a word of ours.
    Awkward,
    /// Nothing is to be expected any more.
    TooLong,
}

impl Silence {
    /// It begins now.
    pub(super) fn new(patience: Duration) -> Self {
        let now = Instant::now();
        Self { patience, pings: false, heard: now, told: now, alarm: Box::pin(sleep_until(now + patience)) }
    }

    /// Has the caller pinged meanwhile.
    pub(super) fn ping(&mut self) {
        self.pings = true;
        let due = self.due();
        self.alarm.as_mut().reset(due);
    }

    /// So long the upstream may be silent.
    pub(super) fn patience(&self) -> Duration {
        self.patience
    }

    /// The upstream has said something, and the caller gets it.
    pub(super) fn interrupt(&mut self) {
        self.heard = Instant::now();
        self.told = self.heard;
    }

    /// Waits until the silence comes to something.
    pub(super) fn poll(&mut self, task: &mut Task<'_>) -> Poll<Silent> {
        loop {
            ready!(self.alarm.as_mut().poll(task));
            let now = Instant::now();
            if now >= self.heard + self.patience {
                return Poll::Ready(Silent::TooLong);
            }
            let awkward = self.pings && now >= self.told + PING_EVERY;
            if awkward {
                self.told = now;
            }
            let due = self.due();
            self.alarm.as_mut().reset(due);
            if awkward {
                return Poll::Ready(Silent::Awkward);
            }
        }
    }

    fn due(&self) -> Instant {
        let end = self.heard + self.patience;
        if self.pings { end.min(self.told + PING_EVERY) } else { end }
    }
}
