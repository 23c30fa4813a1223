//! What must hold for any bytes. `fuzz/` feeds these without end; `npm test` feeds them a bounded number of times.

use bytes::Bytes;
use gateway::{
    access::PresentedKey,
    protocol::{Call, Demand, Form, Operation, Protocol, Provider, Tally, meter, presented_keys, strip_key},
};
use http::{HeaderMap, Method, Uri};

/// What is fed.
pub(crate) type Target = fn(&[u8]);

/// Every target by its name.
pub(crate) const TARGETS: [(&str, Target); 4] =
    [("meters", meters), ("request", request), ("key", key), ("path", path)];

/// The event splitter and both meters: no panic, and the same totals however the bytes are cut.
pub(crate) fn meters(data: &[u8]) {
    let Some((&[provider, form, step], bytes)) = data.split_first_chunk::<3>() else { return };
    let provider = Provider::ALL[usize::from(provider) % 2];
    let form = [Form::Sse, Form::Json, Form::JsonArray][usize::from(form) % 3];
    let read = |piece: usize| -> (Tally, bool, bool) {
        let mut meter = meter(provider, Operation::Generate, form, None, 10);
        for piece in bytes.chunks(piece) {
            meter.see(piece);
        }
        (meter.tally(), meter.between_events(), meter.first_output())
    };
    let whole = read(bytes.len().max(1));
    for piece in [1, 1 + usize::from(step)] {
        assert_eq!(read(piece), whole, "in pieces of {piece}: {:?}", String::from_utf8_lossy(bytes));
    }
}

/// The request reader: no panic, and where it finds a model, the model stands there.
pub(crate) fn request(data: &[u8]) {
    let Some((&choice, body)) = data.split_first() else { return };
    let targets = [
        "/v1/messages",
        "/v1beta/models/m:generateContent",
        "/v1/messages/count_tokens",
        "/v1beta/models/m:embedContent",
    ];
    let uri = Uri::from_static(targets[usize::from(choice) % targets.len()]);
    let protocol = Protocol::of(uri.path(), None, &HeaderMap::new());
    let call = Call::read(protocol, &Method::POST, &uri, &[]).expect("these paths are served");
    let body = Bytes::copy_from_slice(body);
    let Ok(demand) = Demand::read(call, &HeaderMap::new(), &body) else { return };
    assert!(demand.input_estimate <= body.len() as u64);
    if let Some(span) = demand.model_span {
        let found = &body[span];
        assert!(found.len() >= 2 && found.starts_with(b"\"") && found.ends_with(b"\""), "a JSON string");
        // Half of a surrogate pair is no text to serde, and passes here.
        if let Ok(text) = serde_json::from_slice::<String>(found) {
            assert_eq!(Some(text), demand.model);
        }
    }
}

/// The key reader: no panic, and what it takes is what was sent.
pub(crate) fn key(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(key) = PresentedKey::parse(&text) {
        assert_eq!((key.reveal(), key.reveal().len(), key.prefix().len()), (&*text, 52, 10));
    }
    let mut headers = HeaderMap::new();
    if let Ok(value) = http::HeaderValue::from_bytes(data) {
        headers.insert("authorization", value.clone());
        headers.insert("x-api-key", value);
    }
    assert!(presented_keys(&headers, Some(&text)).len() <= 8);
    if let Some(query) = strip_key(&text) {
        assert!(presented_keys(&HeaderMap::new(), Some(&query)).is_empty(), "{query}");
    }
}

/// The path router: no panic, and what it lets through means one thing to everybody.
pub(crate) fn path(data: &[u8]) {
    let Ok(uri) = Uri::try_from(data) else { return };
    let protocol = Protocol::of(uri.path(), uri.query(), &HeaderMap::new());
    for method in [Method::GET, Method::POST, Method::DELETE] {
        if Call::read(protocol, &method, &uri, &[]).is_err() {
            continue;
        }
        let path = uri.path().to_ascii_lowercase();
        assert!(path.starts_with("/v1") || path.starts_with("/upload"), "{path}");
        for trick in ["//", "/../", "/./", "%2e", "%2f", "%5c", "%25", "%00", "\\", ";", "organizations", "oauth"] {
            assert!(!path.contains(trick), "{path}");
        }
    }
}
