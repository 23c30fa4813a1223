//! From an answer's bytes to its reader: unpacked, cut into events or scanned as one JSON text.

use super::{Ending, Form, Meter, Tally, Usage, tokens_of};
use crate::protocol::{
    decode::{Decoder, State},
    json::Scanner,
    sse::{Event, Splitter},
};

/// What an API's answers mean. One reader reads one answer, in one of the two ways.
pub(in crate::protocol) trait Reader: Send + Sync + 'static {
    /// The next event of a stream of them.
    fn event(&mut self, event: Event<'_>);
    /// The next bytes of a JSON text.
    fn json(&mut self, bytes: &[u8]);
    /// What is known so far, of an answer of which something has been read.
    fn tally(&self, input_estimate: u64) -> Tally;
    /// Whether any output of the model has been seen.
    fn first_output(&self) -> bool;
    /// Whether an answer of which nothing can be read costs anything.
    fn is_free(&self) -> bool {
        false
    }
}

/// What every meter needs, whatever it reads.
pub(super) struct Setting<'a> {
    pub(super) form: Form,
    pub(super) content_encoding: Option<&'a str>,
    pub(super) input_estimate: u64,
}

impl Setting<'_> {
    pub(super) fn with<R: Reader>(self, reader: R) -> Box<dyn Meter> {
        Box::new(Gauge {
            decoder: Decoder::new(self.content_encoding),
            splitter: (self.form == Form::Sse).then(Splitter::default),
            reader,
            input_estimate: self.input_estimate,
            seen: 0,
        })
    }
}

struct Gauge<R> {
    decoder: Decoder,
    /// `None` for JSON.
    splitter: Option<Splitter>,
    reader: R,
    input_estimate: u64,
    /// Bytes as they came.
    seen: u64,
}

impl<R: Reader> Meter for Gauge<R> {
    fn see(&mut self, bytes: &[u8]) {
        self.seen = self.seen.saturating_add(bytes.len() as u64);
        let (splitter, reader) = (&mut self.splitter, &mut self.reader);
        self.decoder.push(bytes, &mut |plain| match splitter {
            Some(splitter) => splitter.push(plain, &mut |event| reader.event(event)),
            None => reader.json(plain),
        });
    }

    fn between_events(&self) -> bool {
        self.decoder.is_identity() && self.splitter.as_ref().is_some_and(Splitter::between_events)
    }

    fn tally(&self) -> Tally {
        if self.seen == 0 {
            return Tally { usage: None, model: None, ending: Ending::Cut };
        }
        if self.decoder.state() != State::Unknown {
            return self.reader.tally(self.input_estimate);
        }
        // Packed in a way we cannot read: its size is all there is to go by, and only the connection tells its end.
        let usage = Usage { output: tokens_of(self.seen), ..Usage::estimate(self.input_estimate) };
        Tally { usage: (!self.reader.is_free()).then_some(usage), model: None, ending: Ending::Complete }
    }

    fn first_output(&self) -> bool {
        self.reader.first_output()
    }
}

/// Reads the answers that cost nothing.
pub(in crate::protocol) struct Free {
    /// `None` where the answer may be anything, so that only the connection tells its end.
    scanner: Option<Scanner<()>>,
}

impl Free {
    pub(super) fn json() -> Self {
        Self { scanner: Some(Scanner::new(&[])) }
    }

    pub(super) fn anything() -> Self {
        Self { scanner: None }
    }
}

impl Reader for Free {
    fn event(&mut self, _: Event<'_>) {}

    fn json(&mut self, bytes: &[u8]) {
        if let Some(scanner) = &mut self.scanner {
            scanner.push(bytes, &mut |_| {});
        }
    }

    fn tally(&self, _: u64) -> Tally {
        let complete = self.scanner.as_ref().is_none_or(Scanner::closed);
        Tally { usage: None, model: None, ending: if complete { Ending::Complete } else { Ending::Cut } }
    }

    fn first_output(&self) -> bool {
        false
    }

    fn is_free(&self) -> bool {
        true
    }
}
