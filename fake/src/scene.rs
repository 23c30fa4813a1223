//! Sets an answer's events into their wire form, and bends them as a script asks.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header::CONTENT_TYPE};

use crate::{
    figures::Figures,
    play::{Reply, Step},
    script::Lifelike,
};

/// One event of an answer; of a plain one there is one.
pub(crate) struct Event {
    /// Only Anthropic's streams name their events.
    pub(crate) name: &'static str,
    pub(crate) json: String,
    pub(crate) says: Option<Figures>,
}

impl Event {
    pub(crate) fn new(name: &'static str, json: impl Into<String>) -> Self {
        Self { name, json: json.into(), says: None }
    }

    pub(crate) fn saying(self, figures: Figures) -> Self {
        Self { says: Some(figures), ..self }
    }
}

/// How events stand on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// One JSON value.
    Plain,
    /// Server-sent events with names.
    NamedEvents,
    /// Server-sent events as Google writes them: no names, CRLF.
    DataOnly,
    /// One JSON array, sent element by element.
    Array,
}

impl Framing {
    fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Plain => "application/json",
            Self::NamedEvents => "text/event-stream; charset=utf-8",
            Self::DataOnly => "text/event-stream",
            Self::Array => "application/json; charset=UTF-8",
        })
    }

    fn frame(self, index: usize, event: &Event) -> String {
        let json = &event.json;
        match self {
            Self::Plain => json.clone(),
            Self::NamedEvents => format!("event: {}\ndata: {json}\n\n", event.name),
            Self::DataOnly => format!("data: {}\r\n\r\n", json.replace('\n', "\r\ndata: ")),
            Self::Array if index == 0 => format!("[{json}"),
            Self::Array => format!(",\r\n{json}"),
        }
    }
}

/// A built-in answer before it is bent.
pub(crate) struct Scene {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) framing: Framing,
    pub(crate) events: Vec<Event>,
    pub(crate) gap: Duration,
}

/// The error that a script can put in the place of an event.
pub(crate) struct Failure {
    pub(crate) status: StatusCode,
    pub(crate) event: Event,
}

impl Scene {
    /// An answer in one piece.
    pub(crate) fn plain(status: StatusCode, event: Event) -> Self {
        let (headers, gap) = (HeaderMap::new(), Duration::ZERO);
        Self { status, headers, framing: Framing::Plain, events: vec![event], gap }
    }

    /// The steps that play it; how the body ends is not among them.
    pub(crate) fn bent(mut self, bent: &Lifelike, failure: Failure) -> Reply {
        if let Some(after) = bent.error_after_events {
            self.events.truncate(after);
            if self.framing == Framing::Plain {
                self.events.clear();
                self.status = failure.status;
            }
            self.events.push(failure.event);
        }
        let whole = bent.cut_after_events.is_none_or(|cut| cut >= self.events.len());
        self.events.truncate(bent.cut_after_events.unwrap_or(usize::MAX));
        self.headers.insert(CONTENT_TYPE, self.framing.content_type());
        let mut steps = self.steps(bent);
        if whole && self.framing == Framing::Array {
            steps.push(Step::Send("]".into(), None));
        }
        if let Some(most) = bent.cut_after_bytes {
            cut(&mut steps, most);
        }
        Reply { status: self.status, headers: self.headers, steps }
    }

    fn steps(&self, bent: &Lifelike) -> Vec<Step> {
        let mut steps = Vec::with_capacity(self.events.len() + 1);
        let holds = |sent: usize, steps: &mut Vec<Step>| {
            if bent.hold_after_events == Some(sent) {
                steps.push(Step::Held);
            }
        };
        holds(0, &mut steps);
        for (index, event) in self.events.iter().enumerate() {
            if index > 0 && !self.gap.is_zero() {
                steps.push(Step::Wait(self.gap));
            }
            let bytes = Bytes::from(self.framing.frame(index, event));
            send(bytes, event.says, bent.piece_bytes, &mut steps);
            holds(index + 1, &mut steps);
        }
        steps
    }
}

/// Figures in an event that is cut are not said.
fn cut(steps: &mut Vec<Step>, most: usize) {
    let mut left = most;
    for index in 0..steps.len() {
        if let Step::Send(bytes, _) = &mut steps[index] {
            if bytes.len() > left {
                steps[index] = Step::Send(bytes.split_to(left), None);
                steps.truncate(index + 1);
                return;
            }
            left -= bytes.len();
        }
    }
}

/// The figures are said with the last piece.
fn send(mut bytes: Bytes, says: Option<Figures>, piece: Option<usize>, steps: &mut Vec<Step>) {
    let piece = piece.unwrap_or(usize::MAX).max(1);
    while bytes.len() > piece {
        steps.push(Step::Send(bytes.split_to(piece), None));
    }
    steps.push(Step::Send(bytes, says));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(framing: Framing, bent: &Lifelike, expect: &str) {
        let events = vec![Event::new("one", "1"), Event::new("two", "2"), Event::new("three", "3")];
        let scene = Scene { status: StatusCode::OK, headers: HeaderMap::new(), framing, events, gap: Duration::ZERO };
        let failure = Failure { status: StatusCode::BAD_GATEWAY, event: Event::new("error", "!") };
        let reply = scene.bent(bent, failure);
        let played: Vec<String> = reply.steps.iter().map(shown).collect();
        assert_eq!(played.join("|"), expect, "{framing:?} {bent:?}");
    }

    fn shown(step: &Step) -> String {
        match step {
            Step::Send(bytes, _) => String::from_utf8(bytes.to_vec()).unwrap(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn the_gap_is_between_events_and_a_cut_event_says_nothing() {
        let gap = Duration::from_millis(5);
        let said = Figures { output: 1, ..Figures::default() };
        let events = || ["1", "23"].map(|json| Event::new("", json).saying(said)).into();
        let played = |bent: &Lifelike| {
            let headers = HeaderMap::new();
            let scene = Scene { status: StatusCode::OK, headers, framing: Framing::Array, events: events(), gap };
            scene.bent(bent, Failure { status: StatusCode::BAD_GATEWAY, event: Event::new("", "!") }).steps
        };
        let send = |text: &'static str, says| Step::Send(text.into(), says);
        let whole = vec![send("[1", Some(said)), Step::Wait(gap), send(",\r\n23", Some(said)), send("]", None)];
        assert_eq!(played(&Lifelike::default()), whole);
        let cut = vec![send("[1", Some(said)), Step::Wait(gap), send(",\r\n2", None)];
        assert_eq!(played(&Lifelike { cut_after_bytes: Some(6), ..Lifelike::default() }), cut);
    }

    #[test]
    fn events_are_framed_and_bent() {
        let plain = Lifelike::default();
        check(
            Framing::NamedEvents,
            &plain,
            "event: one\ndata: 1\n\n|event: two\ndata: 2\n\n|event: three\ndata: 3\n\n",
        );
        check(Framing::DataOnly, &plain, "data: 1\r\n\r\n|data: 2\r\n\r\n|data: 3\r\n\r\n");
        check(Framing::Array, &plain, "[1|,\r\n2|,\r\n3|]");
        check(Framing::Array, &Lifelike { cut_after_events: Some(2), ..plain.clone() }, "[1|,\r\n2");
        check(Framing::Array, &Lifelike { error_after_events: Some(1), ..plain.clone() }, "[1|,\r\n!|]");
        check(Framing::Array, &Lifelike { error_after_events: Some(0), ..plain.clone() }, "[!|]");
        check(Framing::Plain, &Lifelike { error_after_events: Some(2), ..plain.clone() }, "!");
        check(Framing::Array, &Lifelike { hold_after_events: Some(2), ..plain.clone() }, "[1|,\r\n2|Held|,\r\n3|]");
        check(Framing::Array, &Lifelike { cut_after_bytes: Some(4), ..plain.clone() }, "[1|,\r");
        check(Framing::Array, &Lifelike { piece_bytes: Some(3), ..plain }, "[1|,\r\n|2|,\r\n|3|]");
    }
}
