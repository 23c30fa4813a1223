//! Plays an answer out: a body that sends, waits, hangs and breaks off as its steps say.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body::{Body, Frame, SizeHint};

use crate::{clock, figures::Figures, script::STAMP, ticket::Ticket};

/// One thing that happens on the wire.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    /// Bytes, and the figures that they say.
    Send(Bytes, Option<Figures>),
    /// Bytes, with the time of their sending written over the [`STAMP`] that begins here.
    Stamped(Bytes, usize),
    Wait(Duration),
    /// Until a `release`.
    Held,
    Hang,
    /// The connection is closed with the body unfinished.
    Close,
    /// The connection is reset.
    Reset,
}

/// A whole answer, ready to be played.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) steps: Vec<Step>,
}

/// Why a body ended early: the fake meant it to.
#[derive(Debug)]
pub(crate) struct BrokenOff;

impl std::fmt::Display for BrokenOff {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("broken off as scripted")
    }
}

impl std::error::Error for BrokenOff {}

/// The body of an answer that is being played; the ticket hears how far it came.
pub(crate) struct Playing {
    steps: std::vec::IntoIter<Step>,
    pause: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    ticket: Ticket,
}

impl Playing {
    pub(crate) fn new(steps: Vec<Step>, ticket: Ticket) -> Self {
        let mut playing = Self { steps: steps.into_iter(), pause: None, ticket };
        playing.note_end();
        playing
    }

    /// Hyper does not ask again after the last byte of a body of known length, so the end is noted with that byte.
    fn note_end(&mut self) {
        if self.steps.as_slice().is_empty() {
            self.ticket.finished();
        }
    }

    /// Lets hyper flush what it was given before the connection is torn down.
    fn break_off(&mut self) {
        self.pause = Some(Box::pin(tokio::task::yield_now()));
        self.ticket.broken_off();
    }
}

impl Body for Playing {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let this = self.get_mut();
        loop {
            if let Some(pause) = &mut this.pause {
                ready!(pause.as_mut().poll(cx));
                this.pause = None;
                if this.ticket.is_broken_off() {
                    return Poll::Ready(Some(Err(BrokenOff)));
                }
                this.note_end();
            }
            match this.steps.next() {
                Some(Step::Send(bytes, says)) => {
                    this.ticket.says(says);
                    this.note_end();
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                Some(Step::Stamped(bytes, at)) => {
                    this.note_end();
                    return Poll::Ready(Some(Ok(Frame::data(stamped(&bytes, at)))));
                }
                Some(Step::Wait(time)) => this.pause = Some(Box::pin(tokio::time::sleep(time))),
                Some(Step::Held) => this.pause = Some(Box::pin(this.ticket.released())),
                Some(Step::Hang) => this.pause = Some(Box::pin(std::future::pending())),
                Some(Step::Close) => this.break_off(),
                Some(Step::Reset) => {
                    this.ticket.reset_connection();
                    this.break_off();
                }
                None => return Poll::Ready(None),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.steps.as_slice().is_empty() && self.pause.is_none()
    }

    /// Exact for an answer in one piece, so that it has a `content-length`.
    fn size_hint(&self) -> SizeHint {
        match self.steps.as_slice() {
            [] if self.pause.is_none() => SizeHint::with_exact(0),
            [Step::Send(bytes, _)] => SizeHint::with_exact(bytes.len() as u64),
            _ => SizeHint::default(),
        }
    }
}

fn stamped(bytes: &Bytes, at: usize) -> Bytes {
    let mut bytes = bytes.to_vec();
    let width = STAMP.len();
    bytes[at..at + width].copy_from_slice(format!("{:0width$}", clock::micros()).as_bytes());
    bytes.into()
}
