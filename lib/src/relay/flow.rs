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
    time::{Instant, Sleep, sleep, sleep_until, timeout},
};

use super::{OUT_OF_TIME, hold::Held, open::Open, source::Source, watch::Watch};
use crate::{
    error::{BoxError, Error, Kind},
    protocol::{Demand, Form, Operation, PING, Provider},
};

/// A client is never left in silence longer than this, where its protocol has a word for "still here".
const PING_EVERY: Duration = Duration::from_secs(15);
/// Time for what was sent to be read before the connection is reset: a reset that comes before a client has read all may look
/// like a mere end to it, after which Gemini CLI does not try again (seen at 20 ms with a busy client).
const BREAK_AFTER: Duration = Duration::from_millis(500);

/// The body of a relayed answer.
pub(super) struct Flow {
    held: VecDeque<Bytes>,
    rest: Option<Source>,
    open: Open,
    idle: Timer,
    /// The host's limit, where it has one.
    deadline: Option<Pin<Box<Sleep>>>,
    /// Set where the caller reads plain server-sent events of a kind that has pings and errors of its own.
    events: Option<Events>,
    /// Whether an end without the sign of its form is a fault: true of streams.
    must_end_well: bool,
    /// Whether it is read to its end even when the caller goes: what a batch has used is only said here.
    to_the_end: bool,
    watch: Option<Watch>,
    state: State,
}

struct Events {
    provider: Provider,
    ping: Timer,
}

struct Timer {
    every: Duration,
    sleep: Pin<Box<Sleep>>,
}

enum State {
    Flowing,
    /// What was made is put on record before the caller hears of it.
    Keeping(JoinHandle<()>, Bytes),
    /// The caller must notice that the answer is not whole: the connection is about to be broken off.
    Breaking(Pin<Box<Sleep>>),
    Done,
}

impl Flow {
    /// An answer that is metered. `plain`: its bytes are not compressed.
    pub(super) fn new(idle: Duration, demand: &Demand, plain: bool, held: Held, open: Open) -> Self {
        let mut flow = Self::plain(idle, held, open);
        let speaks = plain && demand.provider == Provider::Anthropic && demand.form == Form::Sse;
        flow.events = speaks.then(|| Events { provider: demand.provider, ping: Timer::new(PING_EVERY) });
        flow.must_end_well = demand.form != Form::Json;
        flow.to_the_end = demand.operation == Operation::BatchResults;
        flow
    }

    /// An answer that merely passes through.
    pub(super) fn plain(idle: Duration, held: Held, open: Open) -> Self {
        Self {
            held: held.chunks,
            rest: held.rest,
            deadline: open.ends_at().map(|at| Box::pin(sleep_until(at))),
            open,
            idle: Timer::new(idle),
            events: None,
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

    fn poll_bytes(&mut self, task: &mut Task<'_>) -> Poll<Option<Result<Bytes, String>>> {
        if let Some(chunk) = self.held.pop_front() {
            return Poll::Ready(Some(Ok(chunk)));
        }
        let Some(rest) = &mut self.rest else { return Poll::Ready(None) };
        // Looked at before the bytes: an upstream that never pauses is ended too.
        if self.deadline.as_mut().is_some_and(|deadline| deadline.as_mut().poll(task).is_ready()) {
            return Poll::Ready(Some(Err(OUT_OF_TIME.to_owned())));
        }
        match rest.poll_chunk(task) {
            Poll::Ready(Some(Ok(bytes))) => Poll::Ready(Some(Ok(bytes))),
            Poll::Ready(Some(Err(_))) => Poll::Ready(Some(Err("the upstream broke off its answer".to_owned()))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending if self.idle.poll(task).is_ready() => {
                Poll::Ready(Some(Err("the upstream fell silent".to_owned())))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    /// A word of ours, where the protocol has one and it may stand here.
    fn poll_ping(&mut self, task: &mut Task<'_>) -> Poll<Bytes> {
        let Some(events) = &mut self.events else { return Poll::Pending };
        ready!(events.ping.poll(task));
        events.ping.reset();
        // Polled again so that the timer wakes us.
        let _pending = events.ping.poll(task);
        let welcome = self.open.between_events() && !self.open.has_ended();
        if welcome { Poll::Ready(Bytes::from_static(PING)) } else { Poll::Pending }
    }

    /// What is wrong with this end of the bytes. A stream is whole with the sign of its form, however its connection then
    /// ends, and is not whole without.
    fn fault(&self, end: Option<Result<Bytes, String>>) -> Option<String> {
        match end {
            _ if self.must_end_well && self.open.has_ended() => None,
            Some(Err(reason)) => Some(reason),
            _ if self.must_end_well => Some("the upstream ended its answer early".to_owned()),
            _ => None,
        }
    }

    /// Reads the rest for its meter alone. The settlement waits for it.
    fn read_on(&mut self) {
        let (Some(mut rest), Ok(runtime)) = (self.rest.take(), tokio::runtime::Handle::try_current()) else { return };
        self.held.drain(..).for_each(|bytes| self.open.see(&bytes));
        let (open, idle) = (self.open.clone(), self.idle.every);
        runtime.spawn(async move {
            while let Ok(next) = timeout(idle, rest.chunk()).await {
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
    fn cut(&mut self, reason: String) -> Option<Bytes> {
        self.rest = None;
        if reason != OUT_OF_TIME {
            self.open.broke_off();
        }
        let Some(events) = &self.events else {
            self.state = State::Breaking(Box::pin(sleep(BREAK_AFTER)));
            self.open.failed(reason);
            return None;
        };
        self.state = State::Done;
        let error = Error::new(Kind::Unavailable, reason.clone());
        let event = events.provider.error_event(Form::Sse, &error).unwrap_or_default();
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
            match this.poll_bytes(task) {
                Poll::Ready(Some(Ok(bytes))) if bytes.is_empty() => {}
                Poll::Ready(Some(Ok(bytes))) => {
                    this.open.see(&bytes);
                    this.idle.reset();
                    this.events.iter_mut().for_each(|events| events.ping.reset());
                    match this.watch.as_mut().and_then(|watch| watch.see(&bytes)) {
                        None => return data(bytes),
                        Some(keeping) => this.state = State::Keeping(keeping, bytes),
                    }
                }
                Poll::Ready(end) => match this.fault(end) {
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
                Poll::Pending => return this.poll_ping(task).map(|ping| Some(Ok(Frame::data(ping)))),
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
        let all_sent = || self.held.is_empty() && self.rest.as_ref().is_none_or(Source::is_end_stream);
        let whole = if self.must_end_well { self.open.has_ended() } else { all_sent() };
        if whole {
            self.open.completed();
        } else if self.to_the_end && matches!(self.state, State::Flowing) {
            self.read_on();
        }
    }
}

impl Timer {
    fn new(every: Duration) -> Self {
        Self { every, sleep: Box::pin(sleep(every)) }
    }

    fn reset(&mut self) {
        self.sleep.as_mut().reset(Instant::now() + self.every);
    }

    fn poll(&mut self, task: &mut Task<'_>) -> Poll<()> {
        self.sleep.as_mut().poll(task)
    }
}

#[cfg(test)]
mod tests;
