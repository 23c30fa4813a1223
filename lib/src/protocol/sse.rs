//! Cuts server-sent events out of bytes that arrive in any pieces, by the rules of the HTML standard.

/// The most bytes that one event may hold; a longer one is passed over, so that no stream can fill the memory.
pub(crate) const MAX_EVENT: usize = 16 << 20;

/// One event with data; the standard drops the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Event<'a> {
    /// Empty where the stream gives none.
    pub(crate) name: &'a str,
    /// The data lines, joined by line feeds.
    pub(crate) data: &'a [u8],
}

/// The first complete event of `bytes`, unless an error came along with it: then that. Its name (empty where it has none)
/// and its data. Comments, and events without data, count for nothing.
pub(crate) fn first_event(bytes: &[u8]) -> Option<(String, Vec<u8>)> {
    let mut first = None;
    let mut decided = false;
    Splitter::default().push(bytes, &mut |event| {
        let is_error = event.name == "error" || event.data.starts_with(b"{\"error\"");
        if first.is_none() || (is_error && !decided) {
            first = Some((event.name.to_owned(), event.data.to_vec()));
        }
        decided |= is_error;
    });
    first
}

/// The state between two pieces of a stream.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    /// What has arrived of the present line.
    line: Vec<u8>,
    name: String,
    data: Vec<u8>,
    has_data: bool,
    /// A field of an event has come whose blank line has not.
    open: bool,
    /// The present event is over the limit: nothing of it is kept.
    oversized: bool,
    /// The present line has begun, though nothing of it is kept.
    line_dropped: bool,
    /// The first line, which alone may open with a byte order mark, is over.
    begun: bool,
    /// The last byte was a CR: a LF that follows belongs to it.
    after_cr: bool,
    /// A CR without a LF has been seen, so this stream ends its lines with CR alone.
    lone_cr: bool,
    /// An event over the limit has been passed over.
    passed_over: bool,
}

impl Splitter {
    /// Reads on. `on_event` is called for each event that these bytes complete.
    pub(crate) fn push(&mut self, bytes: &[u8], on_event: &mut impl FnMut(Event<'_>)) {
        let mut rest = bytes;
        while let Some(&byte) = rest.first() {
            if self.after_cr {
                self.after_cr = false;
                if byte == b'\n' {
                    rest = &rest[1..];
                    continue;
                }
                self.lone_cr = true;
            }
            let Some(end) = rest.iter().position(|&byte| byte == b'\n' || byte == b'\r') else {
                self.keep(rest);
                return;
            };
            self.after_cr = rest[end] == b'\r';
            if self.line.is_empty() && !self.line_dropped {
                self.line(&rest[..end], on_event);
            } else {
                self.keep(&rest[..end]);
                let line = std::mem::take(&mut self.line);
                self.line(&line, on_event);
                self.line = line;
                self.line.clear();
            }
            self.line_dropped = false;
            rest = &rest[end + 1..];
        }
    }

    /// Whether the bytes so far end where an event of ours may be put in: no line and no event is half sent.
    pub(crate) fn between_events(&self) -> bool {
        let line_begun = !self.line.is_empty() || self.line_dropped;
        !line_begun && !self.open && (!self.after_cr || self.lone_cr)
    }

    /// Whether an event was over the limit, so that nothing of it was or will be handed on.
    pub(crate) fn has_passed_over(&self) -> bool {
        self.passed_over || self.oversized
    }

    /// Keeps a part of a line, unless the event is over the limit.
    fn keep(&mut self, part: &[u8]) {
        self.oversized |= self.line.len() + self.data.len() + part.len() > MAX_EVENT;
        if self.oversized {
            self.line_dropped = true;
            self.line = Vec::new();
        } else {
            self.line.extend_from_slice(part);
        }
    }

    fn line(&mut self, line: &[u8], on_event: &mut impl FnMut(Event<'_>)) {
        let line = match line.strip_prefix(b"\xEF\xBB\xBF") {
            Some(after_mark) if !self.begun => after_mark,
            _ => line,
        };
        self.begun = true;
        if self.line_dropped {
            self.open = true;
        } else if line.is_empty() {
            self.dispatch(on_event);
        } else {
            self.field(line);
        }
    }

    fn field(&mut self, line: &[u8]) {
        let colon = line.iter().position(|&byte| byte == b':');
        let (field, value) = match colon {
            Some(0) => return,
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &[][..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        self.open = true;
        self.oversized |= self.data.len() + value.len() > MAX_EVENT;
        match field {
            b"event" => self.name = String::from_utf8_lossy(value).into_owned(),
            b"data" if !self.oversized => {
                if self.has_data {
                    self.data.push(b'\n');
                }
                self.has_data = true;
                self.data.extend_from_slice(value);
            }
            _ => {}
        }
    }

    fn dispatch(&mut self, on_event: &mut impl FnMut(Event<'_>)) {
        if self.has_data && !self.oversized {
            on_event(Event { name: &self.name, data: &self.data });
        }
        self.name.clear();
        self.data.clear();
        self.has_data = false;
        self.passed_over |= std::mem::take(&mut self.oversized);
        self.open = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Owned = (String, Vec<u8>);

    fn events<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Owned>, bool) {
        let mut splitter = Splitter::default();
        let mut events = Vec::new();
        for piece in pieces {
            splitter.push(piece, &mut |event| events.push((event.name.to_owned(), event.data.to_vec())));
        }
        (events, splitter.between_events())
    }

    #[track_caller]
    fn check(stream: &str, expected: &[(&str, &str)], between: bool) {
        let expected: Vec<Owned> =
            expected.iter().map(|(name, data)| ((*name).to_owned(), data.as_bytes().to_vec())).collect();
        let bytes = stream.as_bytes();
        for cut in 0..=bytes.len() {
            let (head, tail) = bytes.split_at(cut);
            assert_eq!(events([head, tail]), (expected.clone(), between), "{stream:?} cut at {cut}");
        }
        assert_eq!(events(bytes.chunks(1)), (expected.clone(), between), "{stream:?} byte by byte");
        assert_eq!(first_event(bytes), expected.first().cloned(), "{stream:?}: its first event");
    }

    #[test]
    fn events_are_the_same_however_the_bytes_arrive() {
        check("", &[], true);
        check("event: ping\ndata: {}\n\n", &[("ping", "{}")], true);
        check("event: ping\r\ndata: {}\r\n\r\n", &[("ping", "{}")], true);
        check("event: ping\rdata: {}\r\rdata: é\r\r", &[("ping", "{}"), ("", "é")], true);
        check("data: a\ndata:b\ndata:  c\n\n", &[("", "a\nb\n c")], true);
        check("data\ndata\n\n", &[("", "\n")], true);
        check("\u{feff}data: x\n\n\u{feff}data: y\n\n", &[("", "x")], true);
        check(": comment\n\ndata: 語🙂\nid: 7\nretry: 1\nother\n\n", &[("", "語🙂")], true);
        check("event: nothing\n\ndata: x\n\n", &[("", "x")], true);
        check("data: x\n\n\r\n\n", &[("", "x")], true);
    }

    #[test]
    fn an_event_counts_only_with_its_blank_line() {
        check("data: x", &[], false);
        check("data: x\n", &[], false);
        check("data: x\r\n", &[], false);
        check("data: x\r\n\r\n:", &[("", "x")], false);
        check(": a comment opens nothing\n", &[], true);
    }

    #[test]
    fn nothing_of_ours_may_stand_between_cr_and_lf() {
        assert_eq!(events([&b"data: x\r\n\r"[..]]), (vec![(String::new(), b"x".to_vec())], false));
        assert!(events([&b"data: x\r\n\r\n"[..]]).1);
        assert!(events([&b"data: x\r\r"[..]]).1);
    }

    #[test]
    fn an_event_over_the_limit_is_passed_over() {
        let long = vec![b'x'; MAX_EVENT];
        for lines in [1, 3] {
            let mut stream = b"event: long\n".to_vec();
            for line in long.chunks(MAX_EVENT / lines + 1) {
                stream.extend([b"data:x", line, b"\n"].concat());
            }
            stream.extend(b"\ndata: next\n\n");
            let next = vec![(String::new(), b"next".to_vec())];
            assert_eq!(events([&stream[..]]), (next.clone(), true), "{lines} lines, whole");
            assert_eq!(events(stream.chunks(1 << 16)), (next, true), "{lines} lines, in pieces");
        }
    }
}
