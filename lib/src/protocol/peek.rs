//! One pass over a JSON body: finds what is asked for, builds nothing, copies nothing.
//!
//! A parser of values would do for most bodies, but not for all that upstreams accept: it refuses `1e400` and lone
//! surrogates, and builds megabytes only to be dropped. Here every number and string of the grammar passes unread.
//! Where an object has a key twice the caller sees it twice, so that the last can win, as it does in upstream parsers.

use std::{borrow::Cow, ops::Range};

use super::run::run;
use crate::error::{Error, Kind, Result};

/// Objects and arrays inside each other; no client comes near, and nothing here may grow without a bound.
const MAX_DEPTH: usize = 512;

/// A string this long without a space is encoded bytes, not text: an image, a document, a signature.
const BLOB: usize = 4096;

/// A cursor over JSON. Whoever walks an object or an array takes each value once, in order.
pub(super) struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: usize,
    /// Bytes of strings that are encoded bytes rather than text.
    blobs: usize,
}

impl<'a> Scanner<'a> {
    /// Walks `bytes`, which must hold one value and nothing after it; answers how many of them were blobs.
    pub(super) fn run(bytes: &'a [u8], body: impl FnOnce(&mut Self) -> Result<()>) -> Result<usize> {
        let mut scanner = Self { bytes, at: 0, depth: 0, blobs: 0 };
        body(&mut scanner)?;
        match scanner.next_byte() {
            None => Ok(scanner.blobs),
            Some(_) => Err(scanner.broken()),
        }
    }

    /// Takes an object; `member` gets each key and must take the value. `false` when it is something else, which is
    /// passed over.
    pub(super) fn object(&mut self, mut member: impl FnMut(&mut Self, &str) -> Result<()>) -> Result<bool> {
        if !self.enter(b'{')? {
            return Ok(false);
        }
        if !self.take(b'}') {
            loop {
                let key = self.key()?;
                member(self, &key)?;
                if !self.take(b',') {
                    break self.expect(b'}')?;
                }
            }
        }
        self.depth -= 1;
        Ok(true)
    }

    /// Takes an array; `element` must take each value. `false` when it is something else, which is passed over.
    pub(super) fn array(&mut self, mut element: impl FnMut(&mut Self) -> Result<()>) -> Result<bool> {
        if !self.enter(b'[')? {
            return Ok(false);
        }
        if !self.take(b']') {
            loop {
                element(self)?;
                if !self.take(b',') {
                    break self.expect(b']')?;
                }
            }
        }
        self.depth -= 1;
        Ok(true)
    }

    /// Takes any value and answers where it is; a string's quotes belong to it.
    pub(super) fn value(&mut self) -> Result<Range<usize>> {
        self.next_byte();
        let start = self.at;
        let mut open = Vec::new();
        loop {
            let mut ended = match self.next_byte() {
                Some(bracket @ (b'{' | b'[')) => !self.open(bracket, &mut open)?,
                Some(b'"') => self.string().map(|_| true)?,
                Some(b'-' | b'0'..=b'9') => self.number().map(|()| true)?,
                Some(b't') => self.word(b"true").map(|()| true)?,
                Some(b'f') => self.word(b"false").map(|()| true)?,
                Some(b'n') => self.word(b"null").map(|()| true)?,
                _ => return Err(self.broken()),
            };
            while ended {
                let Some(&closer) = open.last() else { return Ok(start..self.at) };
                if self.take(b',') {
                    if closer == b'}' {
                        self.key()?;
                    }
                    ended = false;
                } else {
                    self.expect(closer)?;
                    open.pop();
                }
            }
        }
    }

    /// Takes any value.
    pub(super) fn skip(&mut self) -> Result<()> {
        self.value().map(drop)
    }

    /// Takes any value and answers its bytes.
    pub(super) fn raw(&mut self) -> Result<&'a [u8]> {
        Ok(&self.bytes[self.value()?])
    }

    /// Takes any value, and answers the text if it is a string.
    pub(super) fn text(&mut self) -> Result<Option<Cow<'a, str>>> {
        Ok(text_of(self.raw()?))
    }

    /// The first byte of the value to come.
    pub(super) fn next_byte(&mut self) -> Option<u8> {
        while matches!(self.bytes.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        self.bytes.get(self.at).copied()
    }

    /// Takes `bracket` and goes one level down; takes the whole value where it is not a `bracket`.
    fn enter(&mut self, bracket: u8) -> Result<bool> {
        if self.next_byte() != Some(bracket) {
            return self.skip().map(|()| false);
        }
        self.at += 1;
        self.depth += 1;
        self.bounded(self.depth).map(|()| true)
    }

    /// Takes a bracket inside [`Self::value`], up to the first value in it; `false` when it closes at once.
    fn open(&mut self, bracket: u8, open: &mut Vec<u8>) -> Result<bool> {
        self.at += 1;
        self.bounded(self.depth + open.len() + 1)?;
        let closer = if bracket == b'{' { b'}' } else { b']' };
        if self.take(closer) {
            return Ok(false);
        }
        open.push(closer);
        if closer == b'}' {
            self.key()?;
        }
        Ok(true)
    }

    fn bounded(&self, depth: usize) -> Result<()> {
        if depth <= MAX_DEPTH {
            return Ok(());
        }
        Err(Error::new(Kind::InvalidRequest, format!("the request body is nested deeper than {MAX_DEPTH} levels")))
    }

    /// Takes a key and its colon.
    fn key(&mut self) -> Result<Cow<'a, str>> {
        if self.next_byte() != Some(b'"') {
            return Err(self.broken());
        }
        let span = self.string()?;
        self.expect(b':')?;
        Ok(unescaped(&self.bytes[span.start + 1..span.end - 1]))
    }

    /// Takes a string; the cursor is on its quote.
    fn string(&mut self) -> Result<Range<usize>> {
        let start = self.at;
        self.at += 1;
        loop {
            self.at += run(&self.bytes[self.at..], |byte| (byte == b'"') | (byte == b'\\') | (byte < 0x20));
            match self.bytes.get(self.at) {
                Some(b'"') => break,
                Some(b'\\') => self.escape()?,
                _ => return Err(self.broken()),
            }
        }
        self.at += 1;
        let span = start..self.at;
        if span.len() > BLOB && !self.bytes[span.clone()].contains(&b' ') {
            self.blobs += span.len();
        }
        Ok(span)
    }

    /// Takes an escape. A lone surrogate is none of our business.
    fn escape(&mut self) -> Result<()> {
        let length = match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
            Some(b'u') => {
                let digits = self.bytes.get(self.at + 2..self.at + 6);
                if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
                    return Err(self.broken());
                }
                6
            }
            _ => return Err(self.broken()),
        };
        self.at += length;
        Ok(())
    }

    fn number(&mut self) -> Result<()> {
        self.at += usize::from(self.bytes[self.at] == b'-');
        if self.digits()? > 1 && self.leading_zero() {
            return Err(self.broken());
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.bytes.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.bytes.get(self.at), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(())
    }

    /// Takes at least one digit.
    fn digits(&mut self) -> Result<usize> {
        let count = self.bytes[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        if count == 0 { Err(self.broken()) } else { Ok(count) }
    }

    /// Whether the digits that were just taken begin with a zero.
    fn leading_zero(&self) -> bool {
        let before = self.bytes[..self.at].iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
        self.bytes[self.at - before] == b'0'
    }

    fn word(&mut self, word: &[u8]) -> Result<()> {
        if !self.bytes[self.at..].starts_with(word) {
            return Err(self.broken());
        }
        self.at += word.len();
        Ok(())
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.next_byte() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn expect(&mut self, byte: u8) -> Result<()> {
        if self.take(byte) { Ok(()) } else { Err(self.broken()) }
    }

    fn broken(&self) -> Error {
        Error::new(Kind::InvalidRequest, format!("the request body is not JSON: see byte {}", self.at))
    }
}

/// The text of a JSON string with its quotes; `None` for any other value.
pub(super) fn text_of(raw: &[u8]) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    Some(unescaped(inner))
}

/// A JSON number as a count: `4096`, `4096.0` and `4.096e3` alike. `None` for what is not one.
pub(super) fn count_of(raw: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(raw).ok()?;
    if let Ok(count) = text.parse() {
        return Some(count);
    }
    // A cast from a float saturates, which is what an absurd limit should do.
    text.parse::<f64>().ok().filter(|count| count.is_finite() && *count >= 0.0).map(|count| count as u64)
}

/// Undoes escapes; a lone surrogate and broken UTF-8 become the replacement character.
fn unescaped(inner: &[u8]) -> Cow<'_, str> {
    if !inner.contains(&b'\\') {
        return String::from_utf8_lossy(inner);
    }
    let text = String::from_utf8_lossy(inner);
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let escape = if c == '\\' { chars.next() } else { None };
        match escape {
            None => units.extend(c.encode_utf16(&mut [0; 2]).iter()),
            Some('u') => {
                let digits = chars.as_str().get(..4).unwrap_or_default();
                units.push(u16::from_str_radix(digits, 16).unwrap_or(0xfffd));
                chars.nth(3);
            }
            Some(c) => units.push(match c {
                'b' => 8,
                'f' => 12,
                'n' => 10,
                'r' => 13,
                't' => 9,
                same => u16::try_from(u32::from(same)).unwrap_or(0xfffd),
            }),
        }
    }
    Cow::Owned(String::from_utf16_lossy(&units))
}

#[cfg(test)]
mod tests;
