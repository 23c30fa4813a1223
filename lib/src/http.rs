//! The one pair of request and response types that both hosts and every router share.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};

use crate::error::{BoxError, Error, Kind, Result};

/// A body whose bytes may still be on their way.
pub type Body = BoxBody<Bytes, BoxError>;
/// A request as a host hands it in; the body is not read yet.
pub type Request = http::Request<Body>;
/// An answer.
pub type Response = http::Response<Body>;

/// A body that is all there.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed()
}

/// A body as a server receives it.
pub(crate) fn incoming(body: Incoming) -> Body {
    body.map_err(BoxError::from).boxed()
}

/// A body of which nothing has come for so long is not waited for.
const SILENCE: Duration = Duration::from_secs(30);
/// A body that is not whole by then never will be: at the usual limit that is less than a megabit in a second.
const WHOLE: Duration = Duration::from_secs(300);

/// Reads a body to its end, refusing it once it is over `limit` bytes; a declared length over it is refused unread. A body
/// that comes too slowly is refused too, so that nobody holds a connection by its finger-tips.
pub async fn collect(mut body: Body, limit: usize) -> Result<Bytes> {
    let too_slow = |_| Error::new(Kind::InvalidRequest, "the request body did not arrive in time");
    let until = Instant::now() + WHOLE;
    let too_large = || Error::new(Kind::TooLarge, format!("the request body is over the limit of {limit} bytes"));
    let declared = body.size_hint();
    if declared.lower() > limit as u64 {
        return Err(too_large());
    }
    let mut whole = BytesMut::new();
    while let Some(frame) = timeout_at(until.min(Instant::now() + SILENCE), body.frame()).await.map_err(too_slow)? {
        let frame = frame
            .map_err(|source| Error::new(Kind::InvalidRequest, "the request body ended early").with_source(source))?;
        let data = frame.into_data().unwrap_or_default();
        if whole.len() + data.len() > limit {
            return Err(too_large());
        }
        // Most bodies come along with their head, in one piece.
        if whole.is_empty() && body.is_end_stream() {
            return Ok(data);
        }
        if whole.is_empty() {
            whole.reserve(usize::try_from(declared.lower()).unwrap_or(0));
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt, stream};
    use http_body::Frame;
    use http_body_util::StreamBody;

    use super::*;

    /// A body of `pieces` bytes, each so long after the one before.
    fn dripping(pieces: usize, gap: Duration) -> Body {
        let pieces = stream::iter(0..pieces).then(move |_| async move {
            tokio::time::sleep(gap).await;
            Ok::<_, BoxError>(Frame::data(Bytes::from_static(b"x")))
        });
        BodyExt::boxed(StreamBody::new(Box::pin(pieces)))
    }

    #[tokio::test]
    async fn a_body_that_comes_in_one_piece_is_not_copied() {
        let sent = Bytes::from(vec![b'x'; 1_000]);
        let got = collect(full(sent.clone()), 1_000).await.unwrap();
        assert_eq!(got.as_ptr(), sent.as_ptr());
        assert_eq!(collect(full(sent), 999).await.map_err(|error| error.kind), Err(Kind::TooLarge));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_comes_too_slowly_is_not_waited_for() {
        for (pieces, gap, expect) in [
            (3, Duration::from_secs(29), Ok(3)),
            (1, Duration::from_secs(31), Err("the request body did not arrive in time")),
            (1_000, Duration::from_secs(1), Err("the request body did not arrive in time")),
        ] {
            let began = Instant::now();
            let got = collect(dripping(pieces, gap), 1 << 20).await;
            assert_eq!(got.as_ref().map(Bytes::len).map_err(|error| &*error.message), expect, "{pieces} {gap:?}");
            assert!(began.elapsed() <= WHOLE);
        }
    }
}
