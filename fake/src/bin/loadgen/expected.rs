//! What an answer must be, byte for byte, and when its pieces came.

use std::time::{Duration, Instant};

use fake_upstream::{STAMP, micros};

/// A body in the pieces in which the upstream sends it.
pub(crate) struct Expected(Vec<Piece>);

/// The stamp of the sending stands between `before` and `after`, where the piece has one.
struct Piece {
    before: Vec<u8>,
    after: Option<Vec<u8>>,
}

/// One answer as it arrives.
pub(crate) struct Reading<'a> {
    expected: &'a [Piece],
    /// Bytes of pieces that are not whole yet.
    got: Vec<u8>,
    pieces: usize,
    began: Instant,
    first: Duration,
    /// When the last piece had come.
    last: Instant,
    /// Microseconds that the stamped pieces after the first were under way.
    transits: Vec<u64>,
    /// From each piece to the next.
    gaps: Vec<Duration>,
}

impl Expected {
    pub(crate) fn new(pieces: &[String]) -> Self {
        let piece = |text: &String| match text.split_once(STAMP) {
            Some((before, after)) => Piece { before: before.into(), after: Some(after.into()) },
            None => Piece { before: text.as_str().into(), after: None },
        };
        Self(pieces.iter().map(piece).collect())
    }

    /// An answer to a request that is sent now.
    pub(crate) fn reading(&self) -> Reading<'_> {
        let began = Instant::now();
        Reading {
            expected: &self.0,
            got: Vec::new(),
            pieces: 0,
            began,
            first: Duration::ZERO,
            last: began,
            transits: Vec::new(),
            gaps: Vec::new(),
        }
    }
}

impl Piece {
    fn length(&self) -> usize {
        self.before.len() + self.after.as_ref().map_or(0, |after| STAMP.len() + after.len())
    }

    /// The stamp, if these bytes are this piece and it has one.
    fn read(&self, bytes: &[u8]) -> Result<Option<u64>, ()> {
        let rest = bytes.strip_prefix(self.before.as_slice()).ok_or(())?;
        let Some(after) = &self.after else { return if rest.is_empty() { Ok(None) } else { Err(()) } };
        let stamp = rest.strip_suffix(after.as_slice()).and_then(|stamp| std::str::from_utf8(stamp).ok()).ok_or(())?;
        stamp.parse().map(Some).map_err(|_| ())
    }
}

impl Reading<'_> {
    /// Bytes of the body, which arrived just now.
    pub(crate) fn see(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.got.extend_from_slice(bytes);
        let mut used = 0;
        while let Some(piece) = self.expected.get(self.pieces).filter(|piece| self.got.len() - used >= piece.length()) {
            let bytes = &self.got[used..used + piece.length()];
            let stamp = piece.read(bytes).map_err(|()| format!("piece {} is not the one sent", self.pieces + 1))?;
            let now = Instant::now();
            if self.pieces == 0 {
                self.first = now - self.began;
            } else {
                self.gaps.push(now - self.last);
                self.transits.extend(stamp.map(|sent| micros().saturating_sub(sent)));
            }
            self.last = now;
            used += piece.length();
            self.pieces += 1;
        }
        self.got.drain(..used);
        Ok(())
    }

    /// The body has ended.
    pub(crate) fn finish(&self) -> Result<(), String> {
        let (got, of) = (self.pieces, self.expected.len());
        match (got == of, self.got.len()) {
            (true, 0) => Ok(()),
            (true, more) => Err(format!("{more} bytes follow the last piece")),
            (false, _) => Err(format!("the answer ended after {got} of {of} pieces")),
        }
    }

    pub(crate) fn began(&self) -> Instant {
        self.began
    }

    /// From the sending of the request to the first piece.
    pub(crate) fn first(&self) -> Duration {
        self.first
    }

    /// How long the later pieces were under way, in microseconds.
    pub(crate) fn transits(&self) -> &[u64] {
        &self.transits
    }

    /// How long after the one before it each later piece came.
    pub(crate) fn gaps(&self) -> &[Duration] {
        &self.gaps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pieces: &[&str], got: &[&str], expect: Result<usize, &str>) {
        let expected = Expected::new(&pieces.iter().map(|&piece| piece.to_owned()).collect::<Vec<_>>());
        let mut reading = expected.reading();
        let seen = got.iter().try_for_each(|bytes| reading.see(bytes.as_bytes())).and_then(|()| reading.finish());
        assert_eq!(seen.map(|()| reading.transits().len()), expect.map_err(str::to_owned), "{got:?}");
    }

    #[test]
    fn an_answer_is_whole_in_order_and_nothing_else() {
        let stream = ["a\n", "b {sent_at_micros}\n", "c\n"];
        check(&stream, &["a\n", "b 0000000000000007\n", "c\n"], Ok(1));
        check(&stream, &["a\nb 00000", "00000000007\nc", "\n"], Ok(1));
        check(&stream, &["a\n", "b 0000000000000007\n"], Err("the answer ended after 2 of 3 pieces"));
        check(&stream, &["a\n", "c\n", "b 0000000000000007\n"], Err("piece 2 is not the one sent"));
        check(&stream, &["a\n", "b 000000000000000x\n"], Err("piece 2 is not the one sent"));
        check(&stream, &["a\n", "b 0000000000000007\n", "c\n!"], Err("1 bytes follow the last piece"));
        check(&["{}"], &["{}"], Ok(0));
        check(&["{}"], &["[]"], Err("piece 1 is not the one sent"));
    }
}
