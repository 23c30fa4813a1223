//! Reads the results of an Anthropic batch: one line of JSON for each of its requests.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Ending, Reader, Tally};
use crate::protocol::{Provider, sse::Event, thing::Sum};

/// A longer line is passed over; no answer comes near.
const MAX_LINE: usize = 64 << 20;

/// What the lines so far say.
#[derive(Default)]
pub(super) struct Results {
    /// A line whose end has not come.
    line: Vec<u8>,
    sum: Sum,
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    result: Outcome<'a>,
}

#[derive(Deserialize)]
struct Outcome<'a> {
    /// Only a request that succeeded has one.
    #[serde(borrow)]
    message: Option<&'a RawValue>,
}

impl Results {
    fn end_line(&mut self) {
        if let Ok(Line { result: Outcome { message: Some(message) } }) = serde_json::from_slice(&self.line) {
            self.sum.add(Provider::Anthropic, message.get().as_bytes());
        }
        self.line.clear();
    }

    fn hold(&mut self, part: &[u8]) {
        let room = MAX_LINE - self.line.len();
        self.line.extend_from_slice(&part[..part.len().min(room)]);
    }
}

impl Reader for Results {
    fn event(&mut self, _: Event<'_>) {}

    fn json(&mut self, bytes: &[u8]) {
        let mut lines = bytes.split(|&byte| byte == b'\n').peekable();
        while let Some(part) = lines.next() {
            self.hold(part);
            if lines.peek().is_some() {
                self.end_line();
            }
        }
        // The last line may come without its end; a whole object is a whole line.
        if self.line.ends_with(b"}}") {
            let whole = serde_json::from_slice::<Line<'_>>(&self.line).is_ok();
            if whole {
                self.end_line();
            }
        }
    }

    fn tally(&self, _: u64) -> Tally {
        let (usage, model) = self.sum.total().unzip();
        Tally { usage, model: model.flatten(), ending: Ending::Complete }
    }

    fn first_output(&self) -> bool {
        false
    }

    fn is_free(&self) -> bool {
        true
    }
}
