//! The answer's bytes on their way to the caller: untouched, chunk by chunk, with the meter reading beside them.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context as Task, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame};
use tokio::{
    task::JoinHandle,
    time::{Sleep, sleep, sleep_until, timeout},
};

use super::{
    OUT_OF_TIME,
    gather::Gather,
    hold::Held,
    open::Open,
    silence::{Silence, Silent},
    source::Source,
    watch::Watch,
};
use crate::{
    error::{BoxError, Error, Kind},
    protocol::{Demand, Form, Operation, PING, Provider},
};

/// Time for what was sent to be read before the connection is reset: a reset that comes before a client has read all may look
/// like a mere end to it, after which Gemini CLI does not try again (seen at 20 ms with a busy client).
const BREAK_AFTER: Duration = Duration::from_millis(500);

/// The body of a relayed answer.
pub(super) struct Flow {
    held: VecDeque<Bytes>,
    rest: Option<Rest>,
    open: Open,
    /// The host's limit, where it has one.
    deadline: Option<Pin<Box<Sleep>>>,
    /// Set where the caller reads plain server-sent events of a kind that has pings and errors of its own.
    speaks: Option<Provider>,
    /// Whether an end without the sign of its form is a fault: true of streams.
    must_end_well: bool,
    /// Whether it is read to its end even when the caller goes: what a batch has used is only said here.
    to_the_end: bool,
    watch: Option<Watch>,
    state: State,
}

/// What of an answer is still to come.
struct Rest {
    source: Source,
    gather: Gather,
    silence: Silence,
}

enum State {
    Flowing,
    /// What was made is put on record before the caller hears of it.
    Keeping(JoinHandle<()>, Bytes),
    /// The caller must notice that the answer is not whole: the connection is about to be broken off.
    Breaking(Pin<Box<Sleep>>),
    Done,
}

enum Next {
    Bytes(Bytes),
    /// A word of ours may stand here.
    Ping,
    /// Nothing; and why, where that was to be expected.
    End(Option<&'static str>),
}

impl Flow {
    /// An answer that is metered. `plain`: its bytes are not compressed.
    pub(super) fn new(idle: Duration, demand: &Demand, plain: bool, held: Held, open: Open) -> Self {
        let mut flow = Self::plain(idle, held, open);
        if plain && demand.provider == Provider::Anthropic && demand.form == Form::Sse {
            flow.speaks = Some(demand.provider);
            flow.rest.iter_mut().for_each(|rest| rest.silence.ping());
        }
        flow.must_end_well = demand.form != Form::Json;
        flow.to_the_end = demand.operation == Operation::BatchResults;
        flow
    }

    /// An answer that merely passes through.
    pub(super) fn plain(idle: Duration, held: Held, open: Open) -> Self {
        let rest = |source| Rest { source, gather: Gather::default(), silence: Silence::new(idle) };
        Self {
            held: held.chunks,
            rest: held.rest.map(rest),
            deadline: open.ends_at().map(|at| Box::pin(sleep_until(at))),
            open,
            speaks: None,
            must_end_well: false,
            to_the_end: false,
            watch: None,
            state: State::Flowing,
        }
    }

    /// Has what the answer makes recorded.
    pub(super) fn watch(&mut self, watch: Option<Watch>) {
        self.watch = watch;
    }

    fn poll_next(&mut self, task: &mut Task<'_>) -> Poll<Next> {
        if let Some(chunk) = self.held.pop_front() {
            return Poll::Ready(Next::Bytes(chunk));
        }
        let Some(Rest { source, gather, silence }) = &mut self.rest else { return Poll::Ready(Next::End(None)) };
        // Looked at before the bytes: an upstream that never pauses is ended too.
        let mut is_over = || self.deadline.as_mut().is_some_and(|deadline| deadline.as_mut().poll(task).is_ready());
        if gather.is_empty() && is_over() {
            return Poll::Ready(Next::End(Some(OUT_OF_TIME)));
        }
        // What is no stream comes in large pieces already.
        let arrived = if self.must_end_well { gather.poll_next(source, task) } else { source.poll_chunk(task) };
        match arrived {
            Poll::Ready(Some(Ok(bytes))) => return Poll::Ready(Next::Bytes(bytes)),
            Poll::Ready(Some(Err(_))) => return Poll::Ready(Next::End(Some("the upstream broke off its answer"))),
            Poll::Ready(None) => return Poll::Ready(Next::End(None)),
            Poll::Pending if !gather.is_empty() => return Poll::Pending,
            Poll::Pending => {}
        }
        loop {
            match ready!(silence.poll(task)) {
                Silent::TooLong => return Poll::Ready(Next::End(Some("the upstream fell silent"))),
                Silent::Awkward if self.open.between_events() && !self.open.has_ended() => {
                    return Poll::Ready(Next::Ping);
                }
                Silent::Awkward => {}
            }
        }
    }

    /// What is wrong with this end of the bytes. A stream is whole with the sign of its form, however its connection then
    /// ends, and is not whole without.
    fn fault(&self, broken: Option<&'static str>) -> Option<&'static str> {
        match broken {
            _ if self.must_end_well && self.open.has_ended() => None,
            None if self.must_end_well => Some("the upstream ended its answer early"),
            broken => broken,
        }
    }

    /// Reads the rest for its meter alone. The settlement waits for it.
    fn read_on(&mut self) {
        let (Some(rest), Ok(runtime)) = (self.rest.take(), tokio::runtime::Handle::try_current()) else { return };
        self.held.drain(..).for_each(|bytes| self.open.see(&bytes));
        let (open, mut source, patience) = (self.open.clone(), rest.source, rest.silence.patience());
        runtime.spawn(async move {
            while let Ok(next) = timeout(patience, source.chunk()).await {
                match next {
                    Some(Ok(bytes)) => open.see(&bytes),
                    Some(Err(_)) => break,
                    None => return open.completed(),
                }
            }
        });
    }

    /// The upstream is gone in the middle of its answer. The caller is told in the protocol's own words, or by a broken
    /// connection; never by a clean end. Gives the words.
    fn cut(&mut self, reason: &'static str) -> Option<Bytes> {
        self.rest = None;
        if reason != OUT_OF_TIME {
            self.open.broke_off();
        }
        let Some(provider) = self.speaks else {
            self.state = State::Breaking(Box::pin(sleep(BREAK_AFTER)));
            self.open.failed(reason);
            return None;
        };
        self.state = State::Done;
        let error = Error::new(Kind::Unavailable, reason);
        let event = provider.error_event(Form::Sse, &error).unwrap_or_default();
        // Half an event is ended first, so that ours is not read as a part of it.
        let event = if self.open.between_events() { event } else { [b"\n\n", &event[..]].concat().into() };
        self.open.failed(reason);
        Some(event)
    }
}

impl Body for Flow {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let data = |bytes| Poll::Ready(Some(Ok(Frame::data(bytes))));
        loop {
            match &mut this.state {
                State::Done => return Poll::Ready(None),
                State::Breaking(wait) => {
                    ready!(wait.as_mut().poll(task));
                    this.state = State::Done;
                    return Poll::Ready(Some(Err("the upstream broke off its answer".into())));
                }
                State::Keeping(keeping, bytes) => {
                    // A panic in there is on the log already.
                    let _done = ready!(Pin::new(keeping).poll(task));
                    let bytes = std::mem::take(bytes);
                    this.state = State::Flowing;
                    return data(bytes);
                }
                State::Flowing => {}
            }
            match ready!(this.poll_next(task)) {
                Next::Bytes(bytes) if bytes.is_empty() => {}
                Next::Bytes(bytes) => {
                    this.open.see(&bytes);
                    this.rest.iter_mut().for_each(|rest| rest.silence.interrupt());
                    match this.watch.as_mut().and_then(|watch| watch.see(&bytes)) {
                        None => return data(bytes),
                        Some(keeping) => this.state = State::Keeping(keeping, bytes),
                    }
                }
                Next::Ping => return data(Bytes::from_static(PING)),
                Next::End(broken) => match this.fault(broken) {
                    None => {
                        this.open.completed();
                        this.state = State::Done;
                    }
                    Some(reason) => {
                        if let Some(event) = this.cut(reason) {
                            return data(event);
                        }
                    }
                },
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.state, State::Done)
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        // A server that has sent as many bytes as it announced drops the body without asking for its end.
        let all_sent = || self.held.is_empty() && self.rest.as_ref().is_none_or(|rest| rest.source.is_end_stream());
        let whole = if self.must_end_well { self.open.has_ended() } else { all_sent() };
        if whole {
            self.open.completed();
        } else if self.to_the_end && matches!(self.state, State::Flowing) {
            self.read_on();
        }
    }
}

#[cfg(test)]
mod tests;
