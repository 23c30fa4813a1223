//! Refuses every path that we and an upstream could read differently, before anything else looks at it.

use std::borrow::Cow;

use http::Uri;

use crate::error::{Error, Result};

/// The path of a plain request, with its percent-encoding undone, for matching only: upstream gets the caller's own.
pub(super) fn plain(uri: &Uri) -> Result<Cow<'_, str>> {
    if uri.scheme().is_some() || uri.authority().is_some() {
        return Err(refused("the request target must be a path"));
    }
    let path = uri.path();
    let Some(relative) = path.strip_prefix('/') else {
        return Err(refused("the path must begin with a slash"));
    };
    if path.contains("//") || relative.split('/').any(|segment| segment == "." || segment == "..") {
        return Err(refused("the path has an empty segment, or one of dots only"));
    }
    let decoded = if path.contains('%') { Cow::Owned(decode(path)?) } else { Cow::Borrowed(path) };
    if decoded.bytes().any(|byte| !byte.is_ascii_graphic() || matches!(byte, b'\\' | b';')) {
        return Err(refused("the path has a character that no path of these APIs has"));
    }
    Ok(decoded)
}

/// Undoes the percent-encoding of what may be encoded: unreserved characters except the dot, and the colon and the at
/// sign of model names. Anything else, a slash above all, could mean one thing here and another there.
fn decode(path: &str) -> Result<String> {
    let mut pieces = path.split('%');
    let mut decoded = String::from(pieces.next().unwrap_or_default());
    for piece in pieces {
        let code = piece.get(..2).filter(|code| code.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let byte = code.and_then(|code| u8::from_str_radix(code, 16).ok());
        match byte {
            Some(byte) if byte.is_ascii_alphanumeric() || b"-_~:@".contains(&byte) => decoded.push(char::from(byte)),
            _ => return Err(refused("the path has a percent-encoding that is not accepted")),
        }
        decoded.push_str(&piece[2..]);
    }
    Ok(decoded)
}

fn refused(why: &'static str) -> Error {
    Error::invalid("path", why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_paths_pass() {
        for (path, expect) in [
            ("/", "/"),
            ("/v1/messages?beta=true", "/v1/messages"),
            (
                "/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse",
                "/v1beta/models/gemini-2.5-pro:streamGenerateContent",
            ),
            ("/v1beta/models/gemini-2.5-pro%3AgenerateContent", "/v1beta/models/gemini-2.5-pro:generateContent"),
            ("/v1beta/models/%67emini%2dx:countTokens", "/v1beta/models/gemini-x:countTokens"),
            ("/v1/models/a..b", "/v1/models/a..b"),
        ] {
            assert_eq!(plain(&path.parse().unwrap()).unwrap(), expect, "{path}");
        }
    }

    #[test]
    fn tricks_are_refused() {
        for path in [
            "/v1/messages/../organizations",
            "/v1/./messages",
            "/v1/..",
            "/v1/%2e%2e/organizations",
            "/v1/%2E./organizations",
            "/v1/.%2e",
            "/v1beta/models%2Fx:generateContent",
            "/v1beta/models%2fx",
            "/v1/messages%5c..",
            "/v1//messages",
            "//evil.example/v1/messages",
            "/v1/messages\\..",
            "/v1/messages;x=1",
            "/v1/messages%3Bx",
            "/v1/messages%00",
            "/v1/messages%0d%0ahost:x",
            "/v1/messages%20",
            "/v1/messages%7f",
            "/v1/messages%3Fkey=x",
            "/v1/messages%23",
            "/v1/messages%252e",
            "/v1/messages%C3%A9",
            "/v1/messages%2",
            "/v1/messages%",
            "/v1/messages%+1",
            "/v1/messages%zz",
            "http://api.anthropic.com/v1/messages",
            "https://user@host/v1/messages",
            "host:443",
            "*",
        ] {
            // What `http` itself will not parse never gets here.
            let Ok(uri) = path.parse::<Uri>() else { continue };
            let error = plain(&uri).expect_err(path);
            assert_eq!(error.param.as_deref(), Some("path"), "{path}");
        }
    }

    #[test]
    fn bytes_beyond_ascii_are_refused() {
        let uri = Uri::try_from("/v1/m\u{e9}".as_bytes());
        assert!(uri.is_err() || plain(&uri.unwrap()).is_err());
    }
}
