//! What comes out of the wrapper is the same however the bytes arrive.

use std::io::Write as _;

use bytes::Bytes;
use http::Method;

use super::*;
use crate::protocol::{Call, Protocol};

const SSE: &str = "streamGenerateContent?alt=sse";
const ARRAY: &str = "streamGenerateContent";
const PLAIN: &str = "generateContent";

fn demand(path: &str) -> Demand {
    let uri = path.parse().unwrap();
    let call = Call::read(Protocol::Gemini, &Method::POST, &uri, &[]).unwrap();
    Demand::read(call, &HeaderMap::new(), &Bytes::from_static(br#"{"model":"m","contents":[]}"#)).unwrap()
}

fn unwrap(verb: &str, status: u16, headers: &mut HeaderMap) -> Option<Unwrap> {
    let demand = demand(&format!("/v1beta/models/m:{verb}"));
    Unwrap::new(Api::CodeAssist, &demand, StatusCode::from_u16(status).unwrap(), headers)
}

fn run<'a>(verb: &str, status: u16, pieces: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut unwrap = unwrap(verb, status, &mut HeaderMap::new()).expect("it is in a wrapper");
    let mut out = Vec::new();
    pieces.into_iter().for_each(|piece| unwrap.push(piece, &mut out).unwrap());
    unwrap.end(&mut out);
    String::from_utf8(out).unwrap()
}

#[track_caller]
fn check(verb: &str, status: u16, answer: &str, expect: &str) {
    let bytes = answer.as_bytes();
    for cut in 0..=bytes.len() {
        let (head, tail) = bytes.split_at(cut);
        assert_eq!(run(verb, status, [head, tail]), expect, "{answer:?} cut at {cut}");
    }
    assert_eq!(run(verb, status, bytes.chunks(1)), expect, "{answer:?} byte by byte");
}

#[test]
fn every_event_comes_out_of_its_wrapper() {
    let stream = "data: {\"response\":{\"a\":\"}\\\"é\",\"n\":1e400},\"traceId\":\"t\"}\n\n\
                  data: {\r\ndata: \"traceId\": \"t\",\r\ndata: \"response\": {\r\ndata: \"b\": [1]}}\r\n\r\n\
                  data: {\"traceId\":\"t\",\"remainingCredits\":[]}\r\n\r\n";
    check(SSE, 200, stream, "data: {\"a\":\"}\\\"é\",\"n\":1e400}\r\n\r\ndata: { \"b\": [1]}\r\n\r\n");
    check(ARRAY, 200, stream, "[{\"a\":\"}\\\"é\",\"n\":1e400},\r\n{ \"b\": [1]}]");
}

#[test]
fn errors_and_what_is_no_wrapper_stay_as_they_are() {
    let error = "data: {\"error\":{\"code\":503}}\r\n\r\n";
    check(SSE, 200, error, error);
    check(ARRAY, 200, error, "[{\"error\":{\"code\":503}}]");
    check(SSE, 200, "data: {\"candidates\":[]}\n\n", "data: {\"candidates\":[]}\r\n\r\n");
    check(SSE, 200, "data: no json\n\n", "data: no json\r\n\r\n");
    check(PLAIN, 200, "<html>", "<html>");
    check(PLAIN, 200, r#"{"response":null}"#, r#"{"response":null}"#);
}

#[test]
fn a_cut_stream_has_no_clean_end() {
    check(SSE, 200, "data: {\"response\":{\"a\":1}}\n\ndata: {\"response\":{\"a\":2}}\n", "data: {\"a\":1}\r\n\r\n");
    check(ARRAY, 200, "data: {\"response\":{\"a\":1}}\n\ndata: {\"re", "[{\"a\":1}");
    check(ARRAY, 200, "", "");
}

#[test]
fn an_answer_in_one_piece_comes_out_whole() {
    check(PLAIN, 200, " {\"traceId\":\"t\",\n\"response\": {\"a\" : \"\\ud83d\"} } ", "{\"a\" : \"\\ud83d\"}");
}

#[test]
fn an_error_is_in_an_array_where_a_stream_of_that_form_was_asked_for() {
    check(ARRAY, 429, r#"{"error":{"code":429}}"#, r#"[{"error":{"code":429}}]"#);
    check(ARRAY, 429, r#" [{"error":{"code":429}}]"#, r#" [{"error":{"code":429}}]"#);
    assert!(unwrap(SSE, 429, &mut HeaderMap::new()).is_none());
    assert!(unwrap(PLAIN, 429, &mut HeaderMap::new()).is_none());
}

#[test]
fn only_what_was_wrapped_is_unwrapped() {
    let none = |api, path: &str| Unwrap::new(api, &demand(path), StatusCode::OK, &mut HeaderMap::new()).is_none();
    assert!(none(Api::Gemini, "/v1beta/models/m:generateContent"));
    assert!(none(Api::CodeAssist, "/v1internal:streamGenerateContent?alt=sse"));
    assert!(none(Api::CodeAssist, "/v1beta/models/m:countTokens"));
    assert!(!none(Api::CodeAssist, "/v1beta/models/m:generateContent"));
}

#[test]
fn a_compressed_answer_comes_out_plain_and_its_headers_say_so() {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(b"data: {\"response\":{\"a\":1}}\n\n").unwrap();
    let packed = packed.finish().unwrap();
    let headers = || {
        let pairs = [(CONTENT_ENCODING, "gzip"), (CONTENT_LENGTH, "9"), (CONTENT_TYPE, "text/event-stream")];
        HeaderMap::from_iter(pairs.map(|(name, value)| (name, HeaderValue::from_static(value))))
    };
    for (verb, media, expect) in [
        (SSE, "text/event-stream", "data: {\"a\":1}\r\n\r\n"),
        (ARRAY, "application/json; charset=UTF-8", "[{\"a\":1}]"),
    ] {
        let (mut headers, mut out) = (headers(), Vec::new());
        let mut unwrap = unwrap(verb, 200, &mut headers).unwrap();
        packed.chunks(1).for_each(|piece| unwrap.push(piece, &mut out).unwrap());
        unwrap.end(&mut out);
        assert_eq!((std::str::from_utf8(&out).unwrap(), headers.len()), (expect, 1));
        assert_eq!(headers[CONTENT_TYPE], media);
    }
    let mut broken = unwrap(SSE, 200, &mut headers()).unwrap();
    assert!(broken.push(b"not gzip at all", &mut Vec::new()).is_err());
}

#[test]
fn an_event_over_the_limit_breaks_the_stream_rather_than_to_be_left_out() {
    let mut unwrap = unwrap(SSE, 200, &mut HeaderMap::new()).unwrap();
    let mut out = Vec::new();
    unwrap.push(b"data: {\"response\":{\"a\":\"", &mut out).unwrap();
    let piece = vec![b'x'; 1 << 20];
    let pushed = (0..17).try_for_each(|_| unwrap.push(&piece, &mut out));
    assert!(pushed.is_err() && out.is_empty());
}
