//! Reads which containers and files an answer of Anthropic's tells of, beside its relay.

use jiff::Timestamp;

use super::{Kind, Made, Thing};
use crate::protocol::{
    Form,
    decode::Decoder,
    json::{Field, Found, Scanner},
    sse::Splitter,
    usage::string,
};

#[derive(Clone, Copy)]
enum Slot {
    File,
    Container,
    Expiry,
}

/// Where results of code stand; what a tool is called with is not among it, for that a caller can make up.
const RESULT: [Field<Slot>; 2] = [
    Field::value("file_id", Slot::File),
    Field::inside(
        "content",
        &[Field::value("file_id", Slot::File), Field::inside("content", &[Field::value("file_id", Slot::File)])],
    ),
];

const CONTAINER: [Field<Slot>; 2] = [Field::value("id", Slot::Container), Field::value("expires_at", Slot::Expiry)];

const MESSAGE: [Field<Slot>; 2] = [Field::inside("container", &CONTAINER), Field::inside("content", &RESULT)];

static ANSWER: [Field<Slot>; 5] = [
    Field::inside("message", &MESSAGE),
    Field::inside("content_block", &RESULT),
    Field::inside("delta", &[MESSAGE[0]]),
    MESSAGE[0],
    MESSAGE[1],
];

/// Looks through one answer.
pub(crate) struct Finder {
    decoder: Decoder,
    /// `None` for one JSON value.
    splitter: Option<Splitter>,
    scanner: Scanner<Slot>,
    /// The container that is being read.
    container: Option<Made>,
    found: Vec<Made>,
}

impl Finder {
    /// For an answer in this form, packed so.
    pub(crate) fn new(form: Form, content_encoding: Option<&str>) -> Self {
        Self {
            decoder: Decoder::new(content_encoding),
            splitter: (form == Form::Sse).then(Splitter::default),
            scanner: Scanner::new(&ANSWER),
            container: None,
            found: Vec::new(),
        }
    }

    /// The answer's next bytes, as they came; gives what is new in them.
    pub(crate) fn see(&mut self, bytes: &[u8]) -> Vec<Made> {
        let Self { decoder, splitter, scanner, container, found } = self;
        let mut note = |seen: Found<'_, Slot>| match seen {
            Found::Value(Slot::File, raw) => found.extend(string(raw).map(|id| made(Kind::File, id))),
            Found::Value(Slot::Container, raw) => {
                found.extend(container.take());
                *container = string(raw).map(|id| made(Kind::Container, id));
            }
            Found::Value(Slot::Expiry, raw) => {
                if let Some(container) = container {
                    container.expires_at = serde_json::from_slice::<Timestamp>(raw).ok();
                }
            }
            Found::Element => found.extend(container.take()),
            Found::Entered(_) | Found::Text(_) => {}
        };
        decoder.push(bytes, &mut |plain| match splitter {
            Some(splitter) => splitter.push(plain, &mut |event| {
                scanner.reset();
                scanner.push(event.data, &mut note);
            }),
            None => scanner.push(plain, &mut note),
        });
        std::mem::take(found)
    }
}

fn made(kind: Kind, name: String) -> Made {
    Made { thing: Thing::new(kind, name), expires_at: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(form: Form, text: &str) -> Vec<String> {
        let mut finder = Finder::new(form, None);
        text.as_bytes().chunks(7).flat_map(|bytes| finder.see(bytes)).map(|made| made.thing.name).collect()
    }

    #[test]
    fn a_container_and_the_files_made_in_it_are_found() {
        let message = r#"{"id":"msg_1","container":{"id":"container_1","expires_at":"2026-11-24T00:00:00Z"},"content":[
            {"type":"text","text":"\"file_id\":\"file_no\""},
            {"type":"tool_use","input":{"file_id":"file_no","content":[{"file_id":"file_no"}]}},
            {"type":"container_upload","file_id":"file_0"},
            {"type":"bash_code_execution_tool_result","content":{"content":[{"type":"x","file_id":"file_1"}]}}]}"#;
        assert_eq!(names(Form::Json, message), ["file_0", "file_1", "container_1"]);
        let events = "event: message_start\ndata: {\"message\":{\"container\":{\"id\":\"container_1\"}}}\n\n\
            event: content_block_start\ndata: {\"content_block\":{\"content\":{\"content\":[{\"file_id\":\"file_1\"}]}}}\n\n\
            event: message_delta\ndata: {\"delta\":{\"container\":{\"id\":\"container_2\"}}}\n\n";
        assert_eq!(names(Form::Sse, events), ["container_1", "file_1", "container_2"]);
        assert!(names(Form::Json, r#"{"container":null,"content":[]}"#).is_empty());
    }
}
