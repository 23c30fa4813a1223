//! Reads a JSON text of any size as it arrives, and keeps only the members that somebody asked for.
//!
//! It trusts nobody: what is no JSON is walked through by its brackets and yields what can be found. Names that are
//! written with escapes are not recognised.

mod value;

use self::value::{Aim, Value};

/// A member that is looked for.
#[derive(Clone, Copy)]
pub(super) struct Field<S: 'static> {
    name: &'static str,
    want: Want<S>,
}

impl<S> Field<S> {
    /// A member whose raw value is wanted.
    pub(super) const fn value(name: &'static str, slot: S) -> Self {
        Self { name, want: Want::Value(slot) }
    }

    /// A member whose characters are counted.
    pub(super) const fn text(name: &'static str) -> Self {
        Self { name, want: Want::Text }
    }

    /// A member of which only members are wanted.
    pub(super) const fn inside(name: &'static str, fields: &'static [Self]) -> Self {
        Self { name, want: Want::Inside(fields) }
    }

    /// The same, and it counts that it is there.
    pub(super) const fn enter(name: &'static str, slot: S, fields: &'static [Self]) -> Self {
        Self { name, want: Want::Enter(slot, fields) }
    }
}

/// What is wanted of a member's value. `S` names the member to the reader. Arrays are transparent: what is wanted of an
/// array is wanted of each of its elements, unless it is the raw value.
#[derive(Clone, Copy)]
enum Want<S: 'static> {
    /// Members of it.
    Inside(&'static [Field<S>]),
    /// Members of it, and that it is there.
    Enter(S, &'static [Field<S>]),
    /// Its raw JSON, when it is complete and no longer than [`MAX_VALUE`].
    Value(S),
    /// How many characters it has: of a string as it reads, of another value as it is written.
    Text,
}

/// What the scanner came across.
#[derive(Clone, Copy)]
pub(super) enum Found<'a, S> {
    /// See [`Want::Value`].
    Value(S, &'a [u8]),
    /// The object or array of a [`Want::Enter`] has begun.
    Entered(S),
    /// So many more characters of a [`Want::Text`].
    Text(u64),
    /// An object of the outermost level is complete: the text's own, or one of its array's.
    Element,
}

/// The longest raw value that is kept; a longer one counts as absent.
pub(super) const MAX_VALUE: usize = 256 << 10;

/// The longest name that can be asked for.
const MAX_NAME: usize = 64;

/// Deeper than anything that is looked for.
const MAX_DEPTH: usize = 24;

/// The state between two pieces of one text.
pub(super) struct Scanner<S: Copy + 'static> {
    root: &'static [Field<S>],
    frames: Vec<Frame<S>>,
    /// What is wanted of the value after the name that was just read.
    next: Option<Want<S>>,
    mode: Mode<S>,
    /// The beginning of a name or value whose rest has not arrived.
    held: Vec<u8>,
    closed: bool,
}

struct Frame<S: 'static> {
    fields: &'static [Field<S>],
    array: bool,
    name_next: bool,
}

#[derive(Clone, Copy)]
enum Mode<S: 'static> {
    Between,
    Name { escaped: bool },
    Value(Value<S>),
}

impl<S: Copy + 'static> Scanner<S> {
    /// A scanner for a text whose object, or whose array's objects, have these members.
    pub(super) fn new(root: &'static [Field<S>]) -> Self {
        Self { root, frames: Vec::new(), next: None, mode: Mode::Between, held: Vec::new(), closed: false }
    }

    /// Makes ready for another text.
    pub(super) fn reset(&mut self) {
        self.frames.clear();
        self.next = None;
        self.mode = Mode::Between;
        self.held.clear();
        self.closed = false;
    }

    /// Whether the text's one value is complete.
    pub(super) fn closed(&self) -> bool {
        self.closed
    }

    /// Reads on.
    pub(super) fn push(&mut self, bytes: &[u8], found: &mut impl FnMut(Found<'_, S>)) {
        let mut rest = bytes;
        while !rest.is_empty() && !self.closed {
            let read = match self.mode {
                Mode::Between => self.between(rest[0], found),
                Mode::Name { escaped } => self.name(rest, escaped),
                Mode::Value(value) => self.value(value, rest, found),
            };
            rest = &rest[read..];
        }
    }

    fn between(&mut self, byte: u8, found: &mut impl FnMut(Found<'_, S>)) -> usize {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' | b':' => 1,
            b',' => {
                if let Some(frame) = self.frames.last_mut() {
                    frame.name_next = !frame.array;
                }
                1
            }
            b'}' | b']' => {
                let object = self.frames.pop().is_some_and(|frame| !frame.array);
                if object && self.frames.iter().all(|frame| frame.array) {
                    found(Found::Element);
                }
                self.closed = self.frames.is_empty();
                1
            }
            b'"' if self.frames.last().is_some_and(|frame| frame.name_next) => {
                self.held.clear();
                self.mode = Mode::Name { escaped: false };
                1
            }
            _ => self.begin(byte, found),
        }
    }

    /// A value begins with `byte`; answers whether that byte is dealt with.
    fn begin(&mut self, byte: u8, found: &mut impl FnMut(Found<'_, S>)) -> usize {
        let want = match self.frames.last() {
            None => Some(Want::Inside(self.root)),
            Some(frame) if frame.array => Some(Want::Inside(frame.fields)),
            Some(_) => self.next.take(),
        };
        let bracket = byte == b'{' || byte == b'[';
        if let Some(Want::Inside(fields) | Want::Enter(_, fields)) = want
            && bracket
            && self.frames.len() < MAX_DEPTH
        {
            if let Some(Want::Enter(slot, _)) = want {
                found(Found::Entered(slot));
            }
            let array = byte == b'[';
            self.frames.push(Frame { fields, array, name_next: !array });
            return 1;
        }
        self.held.clear();
        self.mode = Mode::Value(Value::new(match want {
            Some(Want::Value(slot)) => Aim::Keep(slot),
            Some(Want::Text) => Aim::Count,
            _ => Aim::Pass,
        }));
        0
    }

    fn name(&mut self, bytes: &[u8], mut escaped: bool) -> usize {
        for (at, &byte) in bytes.iter().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => {
                    self.hold_name(&bytes[..at]);
                    if let Some(frame) = self.frames.last_mut() {
                        frame.name_next = false;
                        let field = frame.fields.iter().find(|field| field.name.as_bytes() == self.held);
                        self.next = field.map(|field| field.want);
                    }
                    self.mode = Mode::Between;
                    return at + 1;
                }
                _ => {}
            }
        }
        self.hold_name(bytes);
        self.mode = Mode::Name { escaped };
        bytes.len()
    }

    /// Keeps one byte more than the longest name has, so that a longer one matches none.
    fn hold_name(&mut self, part: &[u8]) {
        let room = (MAX_NAME + 1).saturating_sub(self.held.len());
        self.held.extend_from_slice(&part[..part.len().min(room)]);
    }

    fn value(&mut self, mut value: Value<S>, bytes: &[u8], found: &mut impl FnMut(Found<'_, S>)) -> usize {
        let (read, complete) = value.read(bytes);
        let part = &bytes[..read];
        match value.take_chars() {
            0 => {}
            chars => found(Found::Text(chars)),
        }
        if let Aim::Keep(slot) = value.aim {
            if self.held.len() + read > MAX_VALUE {
                value.aim = Aim::Pass;
            } else if complete && self.held.is_empty() {
                found(Found::Value(slot, part));
            } else {
                self.held.extend_from_slice(part);
                if complete {
                    found(Found::Value(slot, &self.held));
                }
            }
        }
        self.mode = if complete { Mode::Between } else { Mode::Value(value) };
        self.closed = complete && self.frames.is_empty();
        read
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static FIELDS: [Field<char>; 4] = [
        Field::text("text"),
        Field::value("kept", 'k'),
        Field::inside("in", &[Field::value("kept", 'i')]),
        Field::enter("enter", 'e', &[Field::text("text")]),
    ];

    /// Everything found, in words; characters added up at the end.
    fn scan<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> String {
        let mut scanner = Scanner::new(&FIELDS);
        let (mut words, mut chars) = (Vec::new(), 0);
        for piece in pieces {
            scanner.push(piece, &mut |found| match found {
                Found::Value(slot, raw) => words.push(format!("{slot}={}", String::from_utf8_lossy(raw))),
                Found::Entered(slot) => words.push(slot.to_string()),
                Found::Text(more) => chars += more,
                Found::Element => words.push("|".to_owned()),
            });
        }
        if chars > 0 {
            words.push(chars.to_string());
        }
        if scanner.closed() {
            words.push("closed".to_owned());
        }
        words.join(" ")
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let bytes = text.as_bytes();
        for cut in 0..=bytes.len() {
            let (head, tail) = bytes.split_at(cut);
            assert_eq!(scan([head, tail]), expected, "{text} cut at {cut}");
        }
        assert_eq!(scan(bytes.chunks(1)), expected, "{text} byte by byte");
    }

    #[test]
    fn asked_for_members_are_found_however_the_bytes_arrive() {
        check(r#"{"kept":12}"#, "k=12 | closed");
        check(r#" { "kept" : "a\"}b" , "x":{"kept":1}, "kept":null } "#, r#"k="a\"}b" k=null | closed"#);
        check(r#"{"kept":{"a":["]",{"b":1}]},"in":{"y":[{}],"kept":[1]}}"#, r#"k={"a":["]",{"b":1}]} i=[1] | closed"#);
        check(r#"[{"kept":1},{"in":[{"kept":2},{"kept":3}]}]"#, "k=1 | i=2 i=3 | closed");
        check(r#"{"enter":null,"enter":{},"enter":[{"text":"abc"}]}"#, "e e | 3 closed");
        check(r#"{"other":"\\","in":7,"kept":-1.5e400}"#, "k=-1.5e400 | closed");
    }

    #[test]
    fn characters_are_counted_as_they_read() {
        check(r#"{"text":""}"#, "| closed");
        check(r#"{"text":"é語🙂"}"#, "| 3 closed");
        check(r#"{"text":"a\n\"\\\u00e9\ud83d\ude42"}"#, "| 6 closed");
        check(r#"{"text":{"a":[1,"é"]}}"#, "| 13 closed");
        check(r#"{"text":null,"text":12}"#, "| closed");
        check(r#"{"text":"cut"#, "3");
    }

    #[test]
    fn what_is_no_json_is_survived() {
        check("", "");
        check("}", "closed");
        check("]]]", "closed");
        check(r#"{"kept" 1 "kept":2}"#, "k=1 | closed");
        check(r#"{"kept":1"#, "");
        check(r#"{"kept":tru,e]"#, "k=tru | closed");
        check(r#"<html>{"kept":1}"#, "closed");
        check(&"[".repeat(100), "");
        check(&format!("{}{}", r#"{"in":"#.repeat(3), r#"{"kept":4}}}}"#), "| closed");
    }

    #[test]
    fn a_value_over_the_limit_counts_as_absent() {
        let long = format!(r#"{{"kept":"{}","kept":1}}"#, "x".repeat(MAX_VALUE));
        assert_eq!(scan([long.as_bytes()]), "k=1 | closed");
        assert_eq!(scan(long.as_bytes().chunks(1000)), "k=1 | closed");
        let name = "n".repeat(MAX_NAME + 1000);
        check(&format!(r#"{{"{name}":1,"kept":2}}"#), "k=2 | closed");
    }
}
