//! Unpacks the meter's copy of a compressed answer as it arrives; the caller gets the bytes as they came.

mod gzip;

use std::io;

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use flate2::{Decompress, FlushDecompress, Status};
use zstd::stream::raw::{DParameter, Decoder as Zstd, InBuffer, Operation, OutBuffer};

use self::gzip::Header as GzipHeader;

/// The plain bytes that one answer may unpack to; past them the meter stops looking, so that a bomb costs a bounded time.
const MAX_PLAIN: u64 = 1 << 30;

/// The window that a zstd content coding may ask for (RFC 9659): 8 MiB.
const ZSTD_WINDOW_LOG: u32 = 23;

/// Plain bytes are handed on in pieces of this size at most.
const PIECE: usize = 16 << 10;

/// Undoes the codings of one answer, step by step.
pub(super) struct Decoder {
    /// From the outermost coding to the innermost.
    steps: Vec<Step>,
    state: State,
    left: u64,
}

/// What a decoder can do with more bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It reads them.
    Reading,
    /// It never could: a coding that it does not know.
    Unknown,
    /// No longer: the stream is broken, or unpacks to more than anybody may send.
    Broken,
}

enum Step {
    Gzip(GzipHeader, Inflate),
    /// `None` until the first byte tells zlib's framing from none.
    Deflate(Option<Inflate>),
    Brotli(Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>),
    Zstd(Box<Zstd<'static>>),
}

impl Decoder {
    /// A decoder for the value of a `content-encoding` header; several codings stand in the order they were applied.
    pub(super) fn new(content_encoding: Option<&str>) -> Self {
        let mut steps = Vec::new();
        let mut state = State::Reading;
        for coding in content_encoding.unwrap_or("").split(',').map(|coding| coding.trim().to_ascii_lowercase()) {
            match Step::new(&coding) {
                Some(Some(step)) => steps.insert(0, step),
                Some(None) => {}
                None => state = State::Unknown,
            }
        }
        Self { steps, state, left: MAX_PLAIN }
    }

    /// Whether the bytes are sent as they are.
    pub(super) fn is_identity(&self) -> bool {
        self.steps.is_empty() && self.state == State::Reading
    }

    /// What became of the stream so far.
    pub(super) fn state(&self) -> State {
        self.state
    }

    /// Reads on, and hands over every plain byte that these bytes make known.
    pub(super) fn push(&mut self, bytes: &[u8], on_plain: &mut dyn FnMut(&[u8])) {
        if self.state != State::Reading {
            return;
        }
        if self.steps.is_empty() {
            return on_plain(bytes);
        }
        let left = &mut self.left;
        let pushed = push_through(&mut self.steps, bytes, &mut |plain| {
            *left = left.checked_sub(plain.len() as u64).ok_or_else(broken)?;
            on_plain(plain);
            Ok(())
        });
        if pushed.is_err() {
            self.state = State::Broken;
        }
    }
}

/// Where plain bytes go; an error stops the decoder.
type Sink<'a> = &'a mut dyn FnMut(&[u8]) -> io::Result<()>;

fn push_through(steps: &mut [Step], bytes: &[u8], sink: Sink<'_>) -> io::Result<()> {
    match steps {
        [] => sink(bytes),
        [outer, inner @ ..] => outer.push(bytes, &mut |plain| push_through(inner, plain, sink)),
    }
}

fn broken() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

impl Step {
    /// `None` for a coding that is not known, `Some(None)` for one that changes nothing.
    fn new(coding: &str) -> Option<Option<Self>> {
        Some(match coding {
            "" | "identity" => None,
            "gzip" | "x-gzip" => Some(Self::Gzip(GzipHeader::default(), Inflate::new(false))),
            "deflate" => Some(Self::Deflate(None)),
            "br" => {
                let alloc = StandardAlloc::default;
                Some(Self::Brotli(Box::new(BrotliState::new(alloc(), alloc(), alloc()))))
            }
            "zstd" => {
                let mut decoder = Zstd::new().ok()?;
                decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG)).ok()?;
                Some(Self::Zstd(Box::new(decoder)))
            }
            _ => return None,
        })
    }

    fn push(&mut self, bytes: &[u8], sink: Sink<'_>) -> io::Result<()> {
        match self {
            Self::Gzip(header, inflate) => {
                let body = header.skip(bytes)?;
                inflate.push(body, sink)
            }
            Self::Deflate(inflate) => {
                let Some(&first) = bytes.first() else { return Ok(()) };
                // The standard says zlib, some servers send the bare format; no bare stream begins like zlib's header.
                inflate.get_or_insert_with(|| Inflate::new(first & 0x0f == 8)).push(bytes, sink)
            }
            Self::Brotli(state) => unbrotli(state, bytes, sink),
            Self::Zstd(decoder) => unzstd(decoder, bytes, sink),
        }
    }
}

struct Inflate {
    inner: Box<Decompress>,
    /// What follows the stream's end (a checksum, padding) says nothing that a meter needs.
    ended: bool,
}

impl Inflate {
    fn new(zlib_header: bool) -> Self {
        Self { inner: Box::new(Decompress::new(zlib_header)), ended: false }
    }

    fn push(&mut self, mut bytes: &[u8], sink: Sink<'_>) -> io::Result<()> {
        let mut piece = [0; PIECE];
        while !self.ended {
            let (read_before, made_before) = (self.inner.total_in(), self.inner.total_out());
            let status = self.inner.decompress(bytes, &mut piece, FlushDecompress::None);
            let read = (self.inner.total_in() - read_before) as usize;
            let made = (self.inner.total_out() - made_before) as usize;
            sink(&piece[..made])?;
            bytes = &bytes[read..];
            self.ended = status.map_err(|_| broken())? == Status::StreamEnd;
            if made < PIECE && (bytes.is_empty() || read + made == 0) {
                break;
            }
        }
        Ok(())
    }
}

fn unbrotli(
    state: &mut BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>,
    bytes: &[u8],
    sink: Sink<'_>,
) -> io::Result<()> {
    let mut piece = [0; PIECE];
    let (mut left, mut read, mut total) = (bytes.len(), 0, 0);
    loop {
        let (mut room, mut made) = (PIECE, 0);
        let result =
            BrotliDecompressStream(&mut left, &mut read, bytes, &mut room, &mut made, &mut piece, &mut total, state);
        sink(&piece[..made])?;
        match result {
            BrotliResult::NeedsMoreOutput => {}
            BrotliResult::NeedsMoreInput | BrotliResult::ResultSuccess => return Ok(()),
            BrotliResult::ResultFailure => return Err(broken()),
        }
    }
}

fn unzstd(decoder: &mut Zstd<'static>, bytes: &[u8], sink: Sink<'_>) -> io::Result<()> {
    let mut piece = [0; PIECE];
    let mut input = InBuffer::around(bytes);
    loop {
        let mut output = OutBuffer::around(&mut piece[..]);
        decoder.run(&mut input, &mut output)?;
        let made = output.pos();
        sink(&piece[..made])?;
        if made < PIECE && input.pos() == bytes.len() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const PLAIN: &[u8] = b"data: {\"a\":1}\n\ndata: {\"a\":1}\n\ndata: {\"a\":1}\n\n";

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(plain: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    fn raw_deflate(plain: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(plain: &[u8]) -> Vec<u8> {
        zstd::encode_all(plain, 1).unwrap()
    }

    /// `PLAIN`, packed by another implementation.
    const BROTLI: &[u8] = &[
        0x1b, 0x2c, 0x00, 0xf8, 0x1d, 0x07, 0x76, 0x33, 0xd7, 0x42, 0x27, 0x16, 0x06, 0xff, 0x88, 0xdc, 0x5a, 0x41,
        0x24, 0x8c, 0x4c, 0x83, 0xc4, 0xec, 0xf5, 0x29, 0x1d, 0xba, 0x68, 0x2a, 0x04, 0x08, 0x37, 0x64, 0x72, 0x00,
    ];

    fn unpack<'a>(coding: Option<&str>, pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<u8>, State) {
        let mut decoder = Decoder::new(coding);
        let mut plain = Vec::new();
        for piece in pieces {
            decoder.push(piece, &mut |bytes| plain.extend_from_slice(bytes));
        }
        (plain, decoder.state())
    }

    #[track_caller]
    fn check(coding: Option<&str>, packed: &[u8]) {
        for cut in 0..=packed.len() {
            let (head, tail) = packed.split_at(cut);
            assert_eq!(unpack(coding, [head, tail]), (PLAIN.to_vec(), State::Reading), "{coding:?} cut at {cut}");
        }
        assert_eq!(unpack(coding, packed.chunks(1)), (PLAIN.to_vec(), State::Reading), "{coding:?} byte by byte");
    }

    #[test]
    fn each_coding_is_undone_however_the_bytes_arrive() {
        check(None, PLAIN);
        check(Some("identity"), PLAIN);
        check(Some("gzip"), &gzip(PLAIN));
        check(Some("X-GZIP"), &gzip(PLAIN));
        check(Some("deflate"), &zlib(PLAIN));
        check(Some("deflate"), &raw_deflate(PLAIN));
        check(Some("br"), BROTLI);
        check(Some("zstd"), &zstd(PLAIN));
        check(Some("br, gzip"), &gzip(BROTLI));
        check(Some("identity,gzip , zstd"), &zstd(&gzip(PLAIN)));
    }

    #[test]
    fn what_has_arrived_is_handed_on_at_once() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let mut decoder = Decoder::new(Some("gzip"));
        for event in PLAIN.chunks(15) {
            encoder.write_all(event).unwrap();
            encoder.flush().unwrap();
            let mut plain = Vec::new();
            decoder.push(&std::mem::take(encoder.get_mut()), &mut |bytes| plain.extend_from_slice(bytes));
            assert_eq!(plain, event);
        }
    }

    #[test]
    fn an_unknown_coding_is_said_to_be_unknown() {
        for coding in ["compress", "gzip, dcb", "aes128gcm, gzip"] {
            assert_eq!(unpack(Some(coding), [PLAIN]), (Vec::new(), State::Unknown), "{coding}");
        }
        assert!(Decoder::new(Some("")).is_identity());
        assert!(!Decoder::new(Some("compress")).is_identity());
        assert!(!Decoder::new(Some("gzip")).is_identity());
    }

    #[test]
    fn a_broken_stream_stops_the_decoder_and_nothing_else() {
        for coding in ["gzip", "deflate", "br", "zstd"] {
            let (_, state) =
                unpack(Some(coding), [&[0x27, 0xb5, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff][..]]);
            assert_eq!(state, State::Broken, "{coding}");
        }
        for (coding, packed) in
            [("gzip", gzip(PLAIN)), ("deflate", zlib(PLAIN)), ("br", BROTLI.to_vec()), ("zstd", zstd(PLAIN))]
        {
            for at in 0..packed.len() {
                for bit in 0..8 {
                    let mut flipped = packed.clone();
                    flipped[at] ^= 1 << bit;
                    let whole = unpack(Some(coding), [&flipped[..]]);
                    assert_eq!(unpack(Some(coding), flipped.chunks(3)).1, whole.1, "{coding} byte {at} bit {bit}");
                }
            }
        }
    }

    #[test]
    fn a_bomb_comes_out_in_small_pieces() {
        let zeros = vec![0; 64 << 20];
        for (coding, packed) in [("gzip", gzip(&zeros)), ("zstd", zstd(&zeros)), ("gzip, gzip", gzip(&gzip(&zeros)))] {
            let (mut longest, mut total) = (0, 0);
            Decoder::new(Some(coding)).push(&packed, &mut |bytes| {
                longest = longest.max(bytes.len());
                total += bytes.len();
            });
            assert_eq!((longest, total), (PIECE, zeros.len()), "{coding}");
        }
        let mut decoder = Decoder { left: 1000, ..Decoder::new(Some("gzip")) };
        let mut total = 0;
        decoder.push(&gzip(&zeros), &mut |bytes| total += bytes.len());
        assert_eq!((total, decoder.state()), (0, State::Broken));
    }
}
