//! A plain HTTP client: one connection a request, the body frame by frame.

use std::net::SocketAddr;

use bytes::Bytes;
use fake_upstream::Fake;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

pub(crate) struct Got {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    body: Incoming,
}

impl Got {
    /// The next bytes; `None` at a proper end, `Err` where the body was broken off.
    pub(crate) async fn next(&mut self) -> Option<Result<Bytes, hyper::Error>> {
        Some(self.body.frame().await?.map(|frame| frame.into_data().unwrap()))
    }

    /// Reads until what has come ends with `end`.
    pub(crate) async fn until(&mut self, end: &str) -> String {
        let mut text = String::new();
        while !text.ends_with(end) {
            text += std::str::from_utf8(&self.next().await.unwrap().unwrap()).unwrap();
        }
        text
    }

    /// Everything, and whether it ended properly.
    pub(crate) async fn all(&mut self) -> (Vec<u8>, bool) {
        let mut all = Vec::new();
        while let Some(next) = self.next().await {
            match next {
                Ok(bytes) => all.extend_from_slice(&bytes),
                Err(_) => return (all, false),
            }
        }
        (all, true)
    }

    pub(crate) async fn text(&mut self) -> String {
        let (bytes, whole) = self.all().await;
        assert!(whole, "the body was broken off");
        String::from_utf8(bytes).unwrap()
    }

    pub(crate) async fn json(&mut self) -> Value {
        serde_json::from_str(&self.text().await).unwrap()
    }
}

pub(crate) async fn request(
    address: SocketAddr,
    method: &str,
    target: &str,
    key: Option<(&str, &str)>,
    body: &Value,
) -> Result<Got, hyper::Error> {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut request = Request::builder().method(method).uri(target).header("host", "fake");
    if let Some((name, value)) = key {
        request = request.header(name, value);
    }
    let text = if body.is_null() { String::new() } else { body.to_string() };
    let response = sender.send_request(request.body(Full::new(Bytes::from(text))).unwrap()).await?;
    let (head, body) = response.into_parts();
    Ok(Got { status: head.status, headers: head.headers, body })
}

/// One message to Anthropic's API, as a stream.
pub(crate) async fn message(fake: &Fake, key: &str, prompt: &str) -> Result<Got, hyper::Error> {
    let body = json!({"model": "claude-opus-5-5", "max_tokens": 100, "stream": true,
        "messages": [{"role": "user", "content": prompt}]});
    request(fake.address(), "POST", "/v1/messages", Some(("x-api-key", key)), &body).await
}

/// One call of Gemini's API.
pub(crate) async fn generate(fake: &Fake, verb: &str, prompt: &str) -> Result<Got, hyper::Error> {
    let body = json!({"contents": [{"role": "user", "parts": [{"text": prompt}]}]});
    let target = format!("/v1beta/models/gemini-3.8-flash:{verb}");
    request(fake.address(), "POST", &target, Some(("x-goog-api-key", "g")), &body).await
}

/// The events of one of Anthropic's streams; panics where a name is not its event's type.
pub(crate) fn events(stream: &str) -> Vec<Value> {
    let event = |text: &str| {
        let (name, data) = text.strip_prefix("event: ").unwrap().split_once("\ndata: ").unwrap();
        let data: Value = serde_json::from_str(data).unwrap();
        assert_eq!(data["type"], name);
        data
    };
    stream.split_terminator("\n\n").map(event).collect()
}
