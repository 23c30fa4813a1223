//! The one pair of request and response types that both hosts and every router share.

use bytes::Bytes;
use http_body::Body as _;
use http_body_util::{BodyExt, Full, Limited, combinators::BoxBody};

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

/// Reads a body to its end, refusing it once it is over `limit` bytes; a declared length over it is refused unread.
pub async fn collect(body: Body, limit: usize) -> Result<Bytes> {
    let too_large = || Error::new(Kind::TooLarge, format!("the request body is over the limit of {limit} bytes"));
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large());
    }
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(source) if source.is::<http_body_util::LengthLimitError>() => Err(too_large()),
        Err(source) => Err(Error::new(Kind::InvalidRequest, "the request body ended early").with_source(source)),
    }
}
