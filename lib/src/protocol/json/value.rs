//! Finds a value's end by its brackets and quotes, and counts its characters.

use crate::protocol::run::run;

/// A value that is read without looking at what it is made of.
#[derive(Clone, Copy)]
pub(super) struct Value<S> {
    pub(super) aim: Aim<S>,
    depth: u32,
    string: bool,
    escape: Escape,
    /// Characters that have not been told.
    chars: u64,
}

/// What is done with a value.
#[derive(Clone, Copy)]
pub(super) enum Aim<S> {
    /// Nothing.
    Pass,
    /// It is kept under this name.
    Keep(S),
    /// Its characters are counted.
    Count,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Escape {
    None,
    /// A backslash was read.
    Begun,
    /// `\u` and some of its digits were read.
    Unicode {
        digits: u8,
        code: u16,
    },
}

impl<S> Value<S> {
    /// A value that is about to begin.
    pub(super) fn new(aim: Aim<S>) -> Self {
        Self { aim, depth: 0, string: false, escape: Escape::None, chars: 0 }
    }

    /// How many bytes belong to the value, and whether it is complete with them.
    pub(super) fn read(&mut self, bytes: &[u8]) -> (usize, bool) {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if self.string {
                at += self.read_string(&bytes[at..]);
                if !self.string && self.depth == 0 {
                    return (at, true);
                }
                continue;
            }
            match byte {
                b'"' => self.string = true,
                b'{' | b'[' => self.depth = self.depth.saturating_add(1),
                b'}' | b']' if self.depth > 1 => self.depth -= 1,
                b'}' | b']' if self.depth == 1 => {
                    self.count(&bytes[at..=at]);
                    return (at + 1, true);
                }
                b'}' | b']' | b',' | b' ' | b'\t' | b'\r' | b'\n' if self.depth == 0 => return (at, true),
                _ => {}
            }
            if self.depth > 0 {
                self.count(&bytes[at..=at]);
            }
            at += 1;
        }
        (at, false)
    }

    /// The characters that were counted since the last time.
    pub(super) fn take_chars(&mut self) -> u64 {
        std::mem::take(&mut self.chars)
    }

    fn read_string(&mut self, bytes: &[u8]) -> usize {
        let byte = bytes[0];
        match self.escape {
            Escape::None => {
                let run = run(bytes, |byte| (byte == b'"') | (byte == b'\\'));
                self.count(&bytes[..run]);
                match bytes.get(run) {
                    None => return run,
                    Some(b'"') => {
                        self.string = false;
                        if self.depth > 0 {
                            self.count(b"\"");
                        }
                    }
                    Some(_) => self.escape = Escape::Begun,
                }
                return run + 1;
            }
            Escape::Begun if byte == b'u' => self.escape = Escape::Unicode { digits: 0, code: 0 },
            Escape::Begun => {
                self.count(b"\\");
                self.escape = Escape::None;
            }
            Escape::Unicode { digits, code } => {
                let Some(digit) = char::from(byte).to_digit(16) else {
                    self.escape = Escape::None;
                    return 0;
                };
                let code = code << 4 | digit as u16;
                let low_half = (0xdc00..=0xdfff).contains(&code);
                self.escape = if digits < 3 { Escape::Unicode { digits: digits + 1, code } } else { Escape::None };
                if digits == 3 && !low_half {
                    self.count(b"u");
                }
            }
        }
        1
    }

    /// Counts characters: every byte but those that continue one.
    fn count(&mut self, part: &[u8]) {
        if matches!(self.aim, Aim::Count) {
            self.chars += part.iter().filter(|&&byte| byte & 0xc0 != 0x80).count() as u64;
        }
    }
}
