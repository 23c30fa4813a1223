//! The one pair of request and response types that both hosts and every router share.

use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::body::Incoming;

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

/// Reads a body to its end, refusing it once it is over `limit` bytes; a declared length over it is refused unread.
pub async fn collect(mut body: Body, limit: usize) -> Result<Bytes> {
    let too_large = || Error::new(Kind::TooLarge, format!("the request body is over the limit of {limit} bytes"));
    let declared = body.size_hint();
    if declared.lower() > limit as u64 {
        return Err(too_large());
    }
    let mut whole = BytesMut::with_capacity(usize::try_from(declared.lower()).unwrap_or(0));
    while let Some(frame) = body.frame().await {
        let frame = frame
            .map_err(|source| Error::new(Kind::InvalidRequest, "the request body ended early").with_source(source))?;
        let data = frame.into_data().unwrap_or_default();
        if whole.len() + data.len() > limit {
            return Err(too_large());
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}
