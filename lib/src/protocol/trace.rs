//! The trace that a caller's request belongs to, as W3C's Trace Context has it. What is not of its form counts as absent.

use std::fmt;

use http::HeaderMap;

/// How much of a `tracestate` is kept; its own specification asks for no more.
const STATE_CHARS: usize = 512;

/// The name of a trace: 16 bytes, not all zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceId(pub [u8; 16]);

/// The name of one span within a trace: 8 bytes, not all zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanId(pub [u8; 8]);

/// Where in which trace a caller was when it sent a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parent {
    /// The trace.
    pub trace: TraceId,
    /// The caller's own span.
    pub span: SpanId,
    /// Whether the caller keeps the trace.
    pub sampled: bool,
    /// What tracing systems on the way have noted, as they have it; `None`: nothing, or more than is kept.
    pub state: Option<String>,
}

impl Parent {
    /// Reads `traceparent` and `tracestate`. `None`: the request is part of no trace.
    pub fn read(headers: &HeaderMap) -> Option<Self> {
        let mut lines = headers.get_all("traceparent").iter();
        let (Some(line), None) = (lines.next(), lines.next()) else { return None };
        let text = line.to_str().ok()?.trim();
        let mut parts = text.splitn(5, '-');
        let version: [u8; 1] = hex(parts.next()?)?;
        let (trace, span, flags): ([u8; 16], [u8; 8], [u8; 1]) =
            (hex(parts.next()?)?, hex(parts.next()?)?, hex(parts.next()?)?);
        // Later versions may say more at the end; this one may not, and 255 is none.
        let fits = version != [0xff] && (version != [0] || parts.next().is_none());
        let parent = Self { trace: TraceId(trace), span: SpanId(span), sampled: flags[0] & 1 == 1, state: None };
        (fits && trace != [0; 16] && span != [0; 8]).then(|| Self { state: state(headers), ..parent })
    }
}

fn state(headers: &HeaderMap) -> Option<String> {
    let lines: Option<Vec<_>> = headers.get_all("tracestate").iter().map(|line| line.to_str().ok()).collect();
    Some(lines?.join(",")).filter(|state| !state.is_empty() && state.len() <= STATE_CHARS)
}

/// Lower-case digits only, and as many as there are bytes for.
fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    fn read(traceparent: &[&str], tracestate: &[&str]) -> Option<Parent> {
        let mut headers = HeaderMap::new();
        for (name, lines) in [("traceparent", traceparent), ("tracestate", tracestate)] {
            for line in lines {
                headers.append(name, line.parse().unwrap());
            }
        }
        Parent::read(&headers)
    }

    #[test]
    fn a_trace_is_read_and_what_is_malformed_is_none() {
        let good = format!("00-{TRACE}-{SPAN}-01");
        let parent = read(&[&good], &["one=1", "two=2"]).unwrap();
        assert_eq!((parent.trace.to_string(), parent.span.to_string()), (TRACE.to_owned(), SPAN.to_owned()));
        assert_eq!((parent.sampled, parent.state.as_deref()), (true, Some("one=1,two=2")));
        assert!(!read(&[&format!("00-{TRACE}-{SPAN}-02")], &[]).unwrap().sampled);
        assert!(read(&[&format!("cc-{TRACE}-{SPAN}-01-what-the-future-has")], &[]).is_some());
        assert_eq!(read(&[&good], &["x".repeat(513).as_str()]).unwrap().state, None);
        for malformed in [
            String::new(),
            TRACE.to_owned(),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("00-{TRACE}-{SPAN}-01-more"),
            format!("00-{TRACE}-{SPAN}-1"),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-{}-{SPAN}-01", "0".repeat(32)),
            format!("00-{TRACE}-{}-01", "0".repeat(16)),
            format!("00-{}-{SPAN}-01", "g".repeat(32)),
            format!("00-{TRACE}-{SPAN}"),
            format!("0-{TRACE}-{SPAN}-01"),
        ] {
            assert_eq!(read(&[&malformed], &["one=1"]), None, "{malformed}");
        }
        assert_eq!(read(&[&good, &good], &[]), None, "two are as good as none");
        assert_eq!(read(&[], &["one=1"]), None);
    }
}
