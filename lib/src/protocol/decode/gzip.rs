//! Steps over gzip's own header (RFC 1952), which may arrive byte by byte.

use std::io;

use super::broken;

/// How much of gzip's own header (RFC 1952) is still to come before the deflate stream begins.
#[derive(Debug, Default)]
pub(super) struct Header {
    /// The fixed part, while it arrives.
    fixed: Vec<u8>,
    /// The optional part that is being read, by its flag; 0 before the first.
    part: u8,
    extra: usize,
    extra_length: Vec<u8>,
    done: bool,
}

const FIXED: usize = 10;
const CHECKSUM: u8 = 1 << 1;
const EXTRA: u8 = 1 << 2;
const NAME: u8 = 1 << 3;
const COMMENT: u8 = 1 << 4;

impl Header {
    /// What of `bytes` follows the header.
    pub(super) fn skip<'b>(&mut self, bytes: &'b [u8]) -> io::Result<&'b [u8]> {
        let mut rest = bytes;
        while !self.done {
            let Some((&byte, after)) = rest.split_first() else { break };
            self.take(byte)?;
            rest = after;
        }
        Ok(rest)
    }

    fn take(&mut self, byte: u8) -> io::Result<()> {
        match self.part {
            0 => {
                self.fixed.push(byte);
                if self.fixed.len() == FIXED {
                    if !self.fixed.starts_with(&[0x1f, 0x8b, 8]) {
                        return Err(broken());
                    }
                    self.next_of(&[EXTRA, NAME, COMMENT, CHECKSUM]);
                }
            }
            EXTRA if self.extra_length.len() < 2 => {
                self.extra_length.push(byte);
                if let [low, high] = self.extra_length[..] {
                    self.extra = usize::from(u16::from_le_bytes([low, high]));
                    if self.extra == 0 {
                        self.next_of(&[NAME, COMMENT, CHECKSUM]);
                    }
                }
            }
            EXTRA => {
                self.extra -= 1;
                if self.extra == 0 {
                    self.next_of(&[NAME, COMMENT, CHECKSUM]);
                }
            }
            NAME if byte == 0 => self.next_of(&[COMMENT, CHECKSUM]),
            COMMENT if byte == 0 => self.next_of(&[CHECKSUM]),
            CHECKSUM => {
                self.extra += 1;
                self.done = self.extra == 2;
            }
            _ => {}
        }
        Ok(())
    }

    /// Goes on to the first of these parts that the header's flags promise.
    fn next_of(&mut self, parts: &[u8]) {
        let flags = self.fixed[3];
        match parts.iter().find(|&&part| flags & part != 0) {
            Some(&part) => self.part = part,
            None => self.done = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(header: &[u8]) {
        let bytes = [header, b"body"].concat();
        for cut in 0..=bytes.len() {
            let (head, tail) = bytes.split_at(cut);
            let mut skipping = Header::default();
            let body = [skipping.skip(head).unwrap(), skipping.skip(tail).unwrap()].concat();
            assert_eq!(body, b"body", "{header:?} cut at {cut}");
        }
    }

    #[test]
    fn every_part_is_stepped_over() {
        let fixed = |flags| [0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 3];
        check(&fixed(0));
        check(&[&fixed(EXTRA)[..], &[0, 0]].concat());
        check(&[&fixed(CHECKSUM)[..], &[9, 9]].concat());
        let all = fixed(CHECKSUM | EXTRA | NAME | COMMENT);
        check(&[&all[..], &[3, 0, 1, 2, 3], b"name\0", b"comment\0", &[9, 9]].concat());
    }

    #[test]
    fn what_is_no_gzip_is_refused() {
        assert!(Header::default().skip(b"{\"type\":\"message\"}").is_err());
    }
}
