//! Where an answer's bytes come from: the upstream's body, taken out of Code Assist's wrapper where it is in one.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context as Task, Poll, ready},
};

use bytes::Bytes;
use http_body::Body;

use crate::{protocol::code_assist::Unwrap, upstream::cause};

/// The bytes of one answer, as the caller, the judge and the meter see them.
pub(super) struct Source {
    body: reqwest::Body,
    unwrap: Option<Unwrap>,
    ended: bool,
}

impl Source {
    pub(super) fn new(response: reqwest::Response, unwrap: Option<Unwrap>) -> Self {
        Self { body: response.into(), unwrap, ended: false }
    }

    /// The next bytes, never none of them. The error is the reason why no more come.
    pub(super) async fn chunk(&mut self) -> Option<Result<Bytes, String>> {
        poll_fn(|task| self.poll_chunk(task)).await
    }

    pub(super) fn poll_chunk(&mut self, task: &mut Task<'_>) -> Poll<Option<Result<Bytes, String>>> {
        while !self.ended {
            let bytes = match ready!(Pin::new(&mut self.body).poll_frame(task)) {
                Some(Ok(frame)) => self.unwrapped(frame.into_data().unwrap_or_default()),
                Some(Err(error)) => Err(cause(&error)),
                None => Ok(self.end()),
            };
            match bytes {
                Ok(bytes) if bytes.is_empty() => {}
                Ok(bytes) => return Poll::Ready(Some(Ok(bytes))),
                Err(reason) => {
                    self.ended = true;
                    return Poll::Ready(Some(Err(reason)));
                }
            }
        }
        Poll::Ready(None)
    }

    fn unwrapped(&mut self, bytes: Bytes) -> Result<Bytes, String> {
        let Some(unwrap) = &mut self.unwrap else { return Ok(bytes) };
        let mut out = Vec::new();
        unwrap.push(&bytes, &mut out).map_err(str::to_owned)?;
        Ok(out.into())
    }

    fn end(&mut self) -> Bytes {
        self.ended = true;
        let mut out = Vec::new();
        if let Some(unwrap) = &mut self.unwrap {
            unwrap.end(&mut out);
        }
        out.into()
    }

    /// Whether nothing more can come, as far as that is known without asking.
    pub(super) fn is_end_stream(&self) -> bool {
        self.ended || (self.unwrap.is_none() && self.body.is_end_stream())
    }
}
