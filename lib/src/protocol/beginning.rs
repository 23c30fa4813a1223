//! The beginning of an answer, unpacked: an error's body, or the first event of a stream.

use std::borrow::Cow;

use http::{HeaderMap, header::CONTENT_ENCODING};
use serde_json::value::RawValue;

use super::{Form, decode::Decoder, sse};

/// The most that is looked at. An event that has not ended by then is no error event.
const LIMIT: usize = 64 << 10;

/// Collects the plain beginning of an answer while its bytes are held back.
pub(crate) struct Beginning {
    decoder: Decoder,
    plain: Vec<u8>,
}

/// A stream's first event or element, or an error that came along with it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct First<'a> {
    /// The `event:` line, where there is one.
    pub(crate) name: Option<String>,
    /// The JSON.
    pub(crate) data: Cow<'a, [u8]>,
}

impl Beginning {
    pub(crate) fn new(headers: &HeaderMap) -> Self {
        let coding = headers.get(CONTENT_ENCODING).and_then(|value| value.to_str().ok());
        Self { decoder: Decoder::new(coding), plain: Vec::new() }
    }

    /// The answer's next bytes, as they came.
    pub(crate) fn see(&mut self, bytes: &[u8]) {
        let plain = &mut self.plain;
        self.decoder.push(bytes, &mut |piece| {
            let room = LIMIT - plain.len();
            plain.extend_from_slice(&piece[..piece.len().min(room)]);
        });
    }

    /// Whether all has been seen that is looked at.
    pub(crate) fn is_full(&self) -> bool {
        self.plain.len() == LIMIT
    }

    /// The bytes so far, unpacked.
    pub(crate) fn plain(&self) -> &[u8] {
        &self.plain
    }

    /// The first event, once it is complete; of several that came together, an error goes first: the caller has seen none.
    pub(crate) fn first(&self, form: Form) -> Option<First<'_>> {
        match form {
            Form::Json => None,
            Form::Sse => {
                let (name, data) = sse::first_event(&self.plain)?;
                Some(First { name: Some(name).filter(|name| !name.is_empty()), data: data.into() })
            }
            Form::JsonArray => {
                let elements = self.plain.trim_ascii_start().strip_prefix(b"[")?;
                let mut elements = serde_json::Deserializer::from_slice(elements).into_iter::<&RawValue>();
                let element = elements.next()?.ok()?;
                Some(First { name: None, data: element.get().as_bytes().into() })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(form: Form, text: &str, complete_after: &str, name: Option<&str>, data: &str) {
        let mut beginning = Beginning::new(&HeaderMap::new());
        for (seen, byte) in (1..).zip(text.bytes()) {
            beginning.see(&[byte]);
            let first = beginning.first(form);
            assert_eq!(first.is_some(), seen >= complete_after.len(), "after {:?}", &text[..seen]);
            if let Some(first) = first {
                assert_eq!((first.name.as_deref(), &*first.data), (name, data.as_bytes()));
            }
        }
    }

    #[test]
    fn the_first_event_is_told_as_soon_as_it_is_complete() {
        check(
            Form::Sse,
            "event: error\ndata: {\"a\":1}\n\nevent: b\ndata: 2\n\n",
            "event: error\ndata: {\"a\":1}\n\n",
            Some("error"),
            "{\"a\":1}",
        );
        check(Form::JsonArray, " [{\"a\":\"}\"},\r\n{\"b\":1}]", " [{\"a\":\"}\"}", None, "{\"a\":\"}\"}");
    }

    #[test]
    fn an_error_that_came_along_goes_before_the_first_event() {
        for (text, name, data) in [
            ("event: a\ndata: 1\n\nevent: error\ndata: 2\n\nevent: error\ndata: 3\n\n", Some("error"), "2"),
            ("data: {\"a\":1}\r\n\r\ndata: {\"error\":{}}\r\n\r\n", None, "{\"error\":{}}"),
            ("event: a\ndata: 1\n\nevent: b\ndata: \"error\"\n\nevent: error\ndata: 3\n", Some("a"), "1"),
        ] {
            let mut beginning = Beginning::new(&HeaderMap::new());
            beginning.see(text.as_bytes());
            let first = beginning.first(Form::Sse).unwrap();
            assert_eq!((first.name.as_deref(), &*first.data), (name, data.as_bytes()), "{text}");
        }
    }

    #[test]
    fn no_more_is_kept_than_is_looked_at() {
        let mut beginning = Beginning::new(&HeaderMap::new());
        beginning.see(&vec![b'a'; 3 * LIMIT]);
        assert!(beginning.is_full());
        assert_eq!(beginning.plain().len(), LIMIT);
        assert_eq!(beginning.first(Form::Sse), None);
    }
}
