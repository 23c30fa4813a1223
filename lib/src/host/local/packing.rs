//! Compression of the dashboard's files and of the management API's answers, for clients that take gzip. What is relayed is
//! never touched.

use std::{
    io::{self, Write},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt;

use crate::{
    error::BoxError,
    http::{Body, Response},
};

/// What is smaller fits into one packet anyway.
const WORTH_IT: u64 = 1 << 10;

/// Whether a client takes gzip.
pub(super) fn takes_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let codings: Vec<(&str, bool)> = values
        .flat_map(|value| value.split(','))
        .map(|coding| {
            let (name, weight) = coding.split_once(';').unwrap_or((coding, "q=1"));
            let weight = weight.trim().strip_prefix("q=").and_then(|weight| weight.parse().ok());
            (name.trim(), weight.is_some_and(|weight: f32| weight > 0.0))
        })
        .collect();
    let said =
        |name: &str| codings.iter().find(|(coding, _)| coding.eq_ignore_ascii_case(name)).map(|(_, takes)| *takes);
    said("gzip").or_else(|| said("*")).unwrap_or(false)
}

/// Whether compressing content of this type and length is worth the work. An unknown length is a long one.
pub(super) fn is_worth_it(media_type: &str, length: Option<u64>) -> bool {
    let text = ["text/", "application/json", "image/svg"].iter().any(|text| media_type.starts_with(text));
    text && length.is_none_or(|length| length >= WORTH_IT)
}

/// The whole of something, as small as it gets.
pub(super) fn gzip(content: &[u8]) -> io::Result<Bytes> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    packer.write_all(content)?;
    Ok(packer.finish()?.into())
}

/// Says that the body is compressed, and that it depends on what the client takes.
pub(super) fn say_so(headers: &mut HeaderMap) {
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    headers.remove(header::CONTENT_LENGTH);
}

/// The same answer, compressed piece by piece on its way, where that is worth it.
pub(super) fn packed(response: Response) -> Response {
    let media_type = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    if response.status() != StatusCode::OK || !is_worth_it(media_type, response.body().size_hint().exact()) {
        return response;
    }
    let mut response = response.map(|body| Packed { body, packer: Some(packer()) }.boxed());
    say_so(response.headers_mut());
    response
}

fn packer() -> GzEncoder<Vec<u8>> {
    GzEncoder::new(Vec::new(), Compression::fast())
}

/// A body on its way through a compressor.
struct Packed {
    body: Body,
    /// None: all of it has been sent.
    packer: Option<GzEncoder<Vec<u8>>>,
}

impl http_body::Body for Packed {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        while let Some(packer) = &mut this.packer {
            let piece = match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                // A compressed body that breaks off lacks its end, so that it cannot be taken for a whole one.
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(frame)) => match packer.write_all(&frame.into_data().unwrap_or_default()) {
                    Ok(()) => Ok(std::mem::take(packer.get_mut())),
                    Err(error) => Err(error),
                },
                None => this.packer.take().map_or(Ok(Vec::new()), GzEncoder::finish),
            };
            match piece {
                Ok(piece) if piece.is_empty() => {}
                piece => return Poll::Ready(Some(piece.map(|piece| Frame::data(piece.into())).map_err(Into::into))),
            }
        }
        Poll::Ready(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_sent_to_those_who_take_it() {
        for (accept, takes) in [
            (None, false),
            (Some(""), false),
            (Some("gzip"), true),
            (Some("GZIP, deflate, br"), true),
            (Some("br;q=1.0, gzip;q=0.8, *;q=0.1"), true),
            (Some("gzip;q=0, *"), false),
            (Some("gzip;q=0.000"), false),
            (Some("gzip; q=0.5"), true),
            (Some("*"), true),
            (Some("*;q=0"), false),
            (Some("br, deflate"), false),
            (Some("gzip;level=9"), false),
        ] {
            let headers = accept.map(|accept| (header::ACCEPT_ENCODING, HeaderValue::from_static(accept)));
            assert_eq!(takes_gzip(&headers.into_iter().collect()), takes, "{accept:?}");
        }
    }

    #[test]
    fn only_what_is_long_and_text_is_compressed() {
        for (media_type, length, expect) in [
            ("text/csv; charset=utf-8", None, true),
            ("application/json", Some(1 << 20), true),
            ("application/json", Some(100), false),
            ("image/svg+xml", Some(5_000), true),
            ("image/png", Some(1 << 20), false),
            ("font/woff2", Some(1 << 20), false),
        ] {
            assert_eq!(is_worth_it(media_type, length), expect, "{media_type} {length:?}");
        }
    }
}
