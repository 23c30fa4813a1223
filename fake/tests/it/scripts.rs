//! Scripts: which answer a request gets, and what the ready-made ones say.

use std::io::Read;

use crate::client::{events, generate, message, request};
use fake_upstream::{Answer, Before, Body, Chunk, Encoding, Fake, Figures, Lifelike, Script};
use serde_json::{Value, json};

#[tokio::test]
async fn the_first_script_that_fits_and_has_times_left_wins() {
    let fake = Fake::start().await;
    fake.script(Script::once(Answer::overloaded()).of("a"));
    fake.script(Script::always(Answer::rate_limited(7)).on("/messages").of("a").times(2));
    fake.script(Script::always(Answer::credit_too_low()).of("b"));
    for (key, status) in [("b", 400), ("a", 529), ("a", 429), ("a", 429), ("a", 200), ("b", 400), ("c", 200)] {
        assert_eq!(message(&fake, key, "hi").await.unwrap().status, status, "{key}");
    }
    fake.clear();
    assert_eq!(message(&fake, "b", "hi").await.unwrap().status, 200);
}

#[tokio::test]
async fn ready_made_errors_are_what_the_apis_send() {
    let fake = Fake::start().await;
    fake.script(Script::once(Answer::overloaded()));
    let text = message(&fake, "a", "hi").await.unwrap().text().await;
    let expect = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"#;
    assert!(text.starts_with(expect), "{text}");

    fake.script(Script::once(Answer::rate_limited(7)));
    let limited = message(&fake, "a", "hi").await.unwrap();
    let remaining: Vec<_> = limited.headers.get_all("anthropic-ratelimit-requests-remaining").iter().collect();
    assert_eq!(limited.headers["retry-after"], "7");
    assert_eq!(remaining, ["0"]);

    fake.script(Script::once(Answer::rate_limited_silently()));
    let silent = message(&fake, "a", "hi").await.unwrap();
    assert!(silent.headers.keys().all(|name| !name.as_str().starts_with("anthropic-ratelimit-")));
    fake.script(Script::once(Answer::window_spent("5h", 1_795_449_600)));
    let spent = message(&fake, "sk-ant-oat01", "hi").await.unwrap();
    assert_eq!(spent.headers["anthropic-ratelimit-unified-5h-reset"], "1795449600");

    fake.script(Script::always(Answer::gemini_rate_limited("gemini-2.5-pro", "45.5s")));
    let object = generate(&fake, "generateContent", "hi").await.unwrap().json().await;
    assert_eq!(object.pointer("/error/details/2/retryDelay"), Some(&json!("45.5s")));
    let array = generate(&fake, "streamGenerateContent", "hi").await.unwrap().json().await;
    assert_eq!(array, json!([object]));
}

#[tokio::test]
async fn an_error_event_comes_where_the_script_says() {
    let fake = Fake::start().await;
    fake.script(Script::once(Answer::error_event_first()));
    let mut first = message(&fake, "a", "hi").await.unwrap();
    let first_events = events(&first.text().await);
    assert_eq!((first.status.as_u16(), first_events.len()), (200, 1));
    assert_eq!(first_events[0]["error"]["type"], "overloaded_error");

    fake.script(Script::once(Answer::error_event_after(4)));
    let later = events(&message(&fake, "a", "hi").await.unwrap().text().await);
    assert_eq!((later.len(), &later[4]["type"]), (5, &json!("error")));

    fake.script(Script::once(Answer::error_event_first()));
    let chunk = generate(&fake, "streamGenerateContent?alt=sse", "hi").await.unwrap().text().await;
    assert!(chunk.starts_with(r#"data: {"error":{"code":503"#), "{chunk}");

    fake.script(Script::once(Answer::error_event_first()));
    assert_eq!(generate(&fake, "generateContent", "hi").await.unwrap().status, 503);
}

#[tokio::test]
async fn scripted_bodies_are_sent_as_they_are() {
    let fake = Fake::start().await;
    let chunks = ["event: new\n", "data: {}\n\n"].map(|data| Chunk { after_ms: 1, data: data.into() });
    let figures = Some(Figures { output: 5, ..Figures::default() });
    fake.script(Script::once(Answer { body: Body::Chunks(chunks.into()), figures, ..Answer::default() }));
    let mut got = message(&fake, "a", "hi").await.unwrap();
    assert_eq!(got.headers["content-type"], "text/event-stream");
    assert_eq!(got.text().await, "event: new\ndata: {}\n\n");
    fake.idle().await;
    assert_eq!(fake.seen()[0].answered.figures, figures);

    fake.script(Script::once(Answer::json(200, json!({"usage": {"input_tokens": 3, "output_tokens": 4}}))));
    message(&fake, "a", "hi").await.unwrap().text().await;
    fake.idle().await;
    let figures = fake.seen().pop().unwrap().answered.figures.unwrap();
    assert_eq!((figures.input, figures.output), (3, 4));
}

#[tokio::test]
async fn a_compressed_stream_still_streams() {
    let fake = Fake::start().await;
    for encoding in [Encoding::Gzip, Encoding::Zstd] {
        let held = Lifelike { hold_after_events: Some(1), ..Lifelike::default() };
        fake.script(Script::once(Answer { encoding: Some(encoding), ..Answer::lifelike(held) }));
        let mut got = message(&fake, "a", "hi").await.unwrap();
        let mut bytes = got.next().await.unwrap().unwrap().to_vec();
        fake.release(1);
        let (rest, whole) = got.all().await;
        bytes.extend(rest);
        let mut text = String::new();
        match encoding {
            Encoding::Gzip => flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap(),
            Encoding::Zstd => zstd::Decoder::new(&bytes[..]).unwrap().read_to_string(&mut text).unwrap(),
        };
        assert!(whole);
        assert_eq!(events(&text).last().unwrap()["type"], "message_stop", "{encoding:?}");
    }
}

#[tokio::test]
async fn pieces_split_events_anywhere() {
    let fake = Fake::start().await;
    let whole = message(&fake, "a", "[[say é]]").await.unwrap().text().await;
    fake.script(Script::once(Answer::lifelike(Lifelike { piece_bytes: Some(1), ..Lifelike::default() })));
    let split = message(&fake, "a", "[[say é]]").await.unwrap().text().await;
    assert_eq!(split, whole.replace("000000000001", "000000000002"));
}

#[tokio::test]
async fn held_requests_are_counted_while_they_wait() {
    let fake = Fake::start().await;
    fake.script(Script::always(Answer::after(Before::Held)).of("a"));
    let asked = async || message(&fake, "a", "hi").await.unwrap().text().await;
    let watch = async {
        fake.arrived(3).await;
        assert_eq!(fake.stats().by_credential["a"].in_flight, 3);
        fake.release(3);
    };
    tokio::join!(asked(), asked(), asked(), watch);
    fake.idle().await;
    let count = &fake.stats().by_credential["a"];
    assert_eq!((count.requests, count.in_flight, count.max_in_flight, count.by_status[&200]), (3, 0, 3, 3));
    let sum: u64 = fake.seen().iter().map(|seen| seen.answered.figures.unwrap().output).sum();
    assert_eq!(count.figures.output, sum);
}

#[tokio::test]
async fn a_quiet_fake_counts_and_keeps_nothing() {
    let fake = Fake::quiet().await;
    message(&fake, "a", "hi").await.unwrap().text().await;
    fake.idle().await;
    assert_eq!((fake.seen().len(), fake.stats().total.requests), (0, 1));
}

#[tokio::test]
async fn control_works_over_http() {
    let fake = Fake::start().await;
    let control = async |method: &str, what: &str, body: Value| {
        request(fake.address(), method, &format!("/_fake/{what}"), None, &body).await.unwrap()
    };
    let scripts =
        json!([{"times": 1, "answer": {"status": 418, "body": {"text": {"content_type": "text/plain", "text": "t"}}}}]);
    assert_eq!(control("POST", "script", scripts).await.status, 204);
    assert_eq!(control("POST", "script", json!({"answr": {}})).await.status, 400);
    assert_eq!(message(&fake, "a", "hi").await.unwrap().text().await, "t");
    fake.idle().await;
    let seen = control("GET", "seen", Value::Null).await.json().await;
    assert_eq!((&seen[0]["credential"], &seen[0]["answered"]["status"]), (&json!("a"), &json!(418)));
    let stats = control("GET", "stats", Value::Null).await.json().await;
    assert_eq!((&stats["total"]["requests"], &stats["total"]["by_status"]["418"]), (&json!(1), &json!(1)));
    let instead = |status: u16| json!([{"answer": {"status": status, "body": {"json": {}}}}]);
    for status in [529, 401] {
        assert_eq!(control("PUT", "script", instead(status)).await.status, 204);
        assert_eq!(message(&fake, "a", "hi").await.unwrap().status, status, "nothing else is left");
    }
    fake.idle().await;
    assert_eq!(fake.stats().total.requests, 3, "and the counts go on");
    assert_eq!(control("POST", "clear", Value::Null).await.status, 204);
    assert_eq!(control("GET", "seen", Value::Null).await.json().await, json!([]));
    assert_eq!(control("POST", "nothing", Value::Null).await.status, 404);
}
