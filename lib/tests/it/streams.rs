//! Streams: each event goes on as it comes, and a bad end is told as the protocol's clients understand it.

use fake_upstream::{Answer, Before, End, Lifelike, Script};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    support::{App, Raw},
    walk::hello,
};

const PROMPT: &str = r#"{"contents":[{"parts":[{"text":"[[words 6]]"}]}]}"#;

/// Causality, not time: the next event is not sent before the last one has arrived.
#[tokio::test]
async fn each_event_arrives_before_the_next_is_sent() {
    let (app, key) = App::ready().await;
    let sse = "gemini-2.5-pro:streamGenerateContent?alt=sse";
    let array = "gemini-2.5-pro:streamGenerateContent";
    for (call, events) in [("messages", 8), (sse, 6), (array, 6)] {
        for sent in 1..events {
            app.fake.clear();
            app.fake.script(Script::once(Answer::held_after(sent)));
            let request = match call {
                "messages" => app.instance.messages(&key, hello(true)),
                verb => app.instance.gemini(&key, verb, PROMPT),
            };
            let mut answer = request.send().await.unwrap();
            let mut text = String::new();
            let count = |text: &str| text.matches("\ndata: ").count().max(text.matches("\"candidates\"").count());
            while count(&text) < sent || !text.ends_with(['\n', '}']) {
                text += std::str::from_utf8(&answer.chunk().await.unwrap().expect("more is to come")).unwrap();
            }
            assert_eq!(count(&text), sent, "{call}: {text}");
            assert!(!app.only_seen().answered.finished, "{call}: the upstream has more to say");
            app.fake.release(1);
            while let Some(chunk) = answer.chunk().await.unwrap() {
                text += std::str::from_utf8(&chunk).unwrap();
            }
            let end = if call == "messages" { "message_stop" } else { "finishReason" };
            assert!(text.contains(end), "{call}: {text}");
        }
    }
}

/// An `error` event when the upstream dies inside an Anthropic stream, by a reset or by a clean close without
/// `message_stop`; after half an event it is still an event of its own.
#[tokio::test]
async fn a_message_that_is_cut_ends_with_an_error_event() {
    let (app, key) = App::ready().await;
    app.forgive().await;
    for end in [End::Reset, End::Close, End::Clean] {
        for answer in [
            Answer { end, ..Answer::cut(4, end) },
            Answer { end, ..Answer::lifelike(Lifelike { cut_after_bytes: Some(700), ..Lifelike::default() }) },
        ] {
            app.fake.script(Script::once(answer.clone()));
            let text = app.instance.messages(&key, hello(true)).send().await.unwrap().text().await;
            let text = text.unwrap_or_else(|error| panic!("{answer:?}: {error}"));
            let last = text.trim_end().rsplit("\n\n").next().unwrap();
            let data = last.strip_prefix("event: error\ndata: ").unwrap_or_else(|| panic!("{answer:?}: {text}"));
            let data: Value = serde_json::from_str(data).unwrap();
            assert_eq!((&data["type"], &data["error"]["type"]), (&json!("error"), &json!("api_error")), "{text}");
            assert_eq!(text.matches("event: error").count(), 1, "{text}");
        }
    }
    for row in app.ledger().await {
        assert_eq!((&row["status"], &row["estimated"]), (&json!("failed"), &json!(true)), "{row}");
        assert!(row["input_tokens"].as_u64().unwrap() > 0 && row["output_tokens"].as_u64().unwrap() > 0, "{row}");
    }
}

/// Stream without finishReason → connection broken, record marked cut: never a clean end. It is reset, since of the ways to
/// break a connection that is the one after which Gemini CLI tries again.
#[tokio::test]
async fn a_gemini_stream_that_is_cut_is_broken_off_by_a_reset() {
    let (app, key) = App::ready().await;
    app.forgive().await;
    for verb in ["gemini-2.5-pro:streamGenerateContent?alt=sse", "gemini-2.5-pro:streamGenerateContent"] {
        for end in [End::Reset, End::Close, End::Clean] {
            app.fake.script(Script::once(Answer::cut(3, end)));
            let mut raw = Raw::connect(app.instance.address).await;
            let target = format!("/v1beta/models/{verb}");
            raw.post(&target, &format!("x-goog-api-key: {key}\r\n"), PROMPT).await;
            assert_eq!(raw.head().await.0, 200);
            let (text, reset) = raw.rest_and_reset().await;
            assert_eq!((text.matches("\"candidates\"").count(), reset), (3, true), "what came has gone on: {text}");
            assert!(!text.contains("\r\n0\r\n") && !text.contains("\"error\""), "{verb} {end:?}: {text}");
        }
    }
    for row in app.ledger().await {
        assert_eq!((&row["status"], &row["estimated"]), (&json!("failed"), &json!(true)), "{row}");
        assert!(row["input_tokens"].as_u64().unwrap() > 0 && row["output_tokens"].as_u64().unwrap() > 0, "{row}");
        assert!(row["error"].as_str().unwrap().starts_with("the upstream"), "{row}");
    }
}

/// Of half a plain answer nothing has been sent: the next account gives a whole one.
#[tokio::test]
async fn a_plain_answer_that_is_cut_is_given_by_another_account() {
    let (app, key) = App::ready().await;
    app.account("anthropic", "sk-ant-two", json!({})).await;
    let cut = |bytes| Lifelike { cut_after_bytes: Some(bytes), words: Some(200_000), ..Lifelike::default() };
    for end in [End::Close, End::Reset] {
        app.fake.script(Script::once(Answer { end, ..Answer::lifelike(cut(40)) }));
        let answer = app.instance.messages(&key, hello(false)).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), &answer.headers()["x-gateway-attempts"]), (200, &"2".parse().unwrap()));
        let whole: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        assert_eq!(whole["type"], "message");
    }
    // Where nobody gives a whole one, none is given; and one too long to be held is broken off.
    app.fake.script(Script::always(Answer { end: End::Close, ..Answer::lifelike(cut(40)) }).on("countless"));
    let answer = app.instance.gemini(&key, "countless:generateContent", PROMPT).send().await.unwrap();
    assert_eq!(answer.status(), 503);
    app.fake.script(Script::once(Answer { end: End::Close, ..Answer::lifelike(cut(1_500_000)) }));
    let answer = app.instance.messages(&key, hello(false)).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.bytes().await.expect_err("half an answer is no answer");
    let rows = app.ledger().await;
    for (row, status) in rows.iter().zip(["completed", "completed", "failed", "failed"]) {
        assert_eq!((&row["status"], &row["estimated"]), (&json!(status), &json!(status == "failed")), "{row}");
        assert!(row["input_tokens"].as_u64().unwrap() > 0, "{row}");
    }
}

/// Error after content → relayed, no second stream.
#[tokio::test]
async fn an_error_event_in_the_middle_is_relayed_once_and_served_by_nobody_else() {
    let app = App::start().await;
    app.account("anthropic", "sk-ant-one", json!({})).await;
    app.account("anthropic", "sk-ant-two", json!({})).await;
    let key = app.key(json!({})).await;
    for end in [End::Clean, End::Close, End::Reset] {
        app.fake.script(Script::once(Answer { end, ..Answer::error_event_after(5) }));
        let text = app.instance.messages(&key, hello(true)).send().await.unwrap().text().await.unwrap();
        assert_eq!(
            (text.matches("event: message_start").count(), text.matches("event: error").count()),
            (1, 1),
            "{text}"
        );
        assert!(text.trim_end().rsplit("\n\n").next().unwrap().contains("overloaded_error"), "{text}");
    }
    assert_eq!(app.fake.seen().len(), 3);
    for row in app.ledger().await {
        assert_eq!((&row["status"], &row["estimated"]), (&json!("failed"), &json!(true)), "{row}");
        assert!(row["error"].as_str().unwrap().starts_with("overloaded_error: "), "{row}");
        assert_eq!(row["attempts"].as_array().unwrap().len(), 1);
    }
}

/// promptFeedback block: 200, metered, no failover.
#[tokio::test]
async fn a_blocked_prompt_is_an_answer() {
    let app = App::start().await;
    app.account("gemini", "AIza-one", json!({})).await;
    app.account("gemini", "AIza-two", json!({})).await;
    let key = app.key(json!({})).await;
    let blocked =
        r#"{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":11,"totalTokenCount":11}}"#;
    for (verb, content_type, text) in [
        ("gemini-2.5-pro:generateContent", "application/json", blocked.to_owned()),
        ("gemini-2.5-pro:streamGenerateContent?alt=sse", "text/event-stream", format!("data: {blocked}\r\n\r\n")),
        ("gemini-2.5-pro:streamGenerateContent", "application/json", format!("[{blocked}]")),
    ] {
        app.fake.script(Script::once(Answer::text(200, content_type, &text)));
        let answer = app.instance.gemini(&key, verb, PROMPT).send().await.unwrap();
        assert_eq!(answer.headers()["x-gateway-attempts"], "1");
        assert_eq!((answer.status().as_u16(), answer.text().await.unwrap()), (200, text));
    }
    for row in app.ledger().await {
        assert_eq!(
            (&row["status"], &row["input_tokens"], &row["output_tokens"]),
            (&json!("completed"), &json!(11), &json!(0))
        );
        assert_eq!(row["estimated"], false, "{row}");
    }
}

/// The caller hangs up before the head of an answer: the upstream call is dropped, and the row is not free.
#[tokio::test]
async fn a_caller_who_leaves_before_the_head_is_on_the_books() {
    let (app, key) = App::ready().await;
    app.fake.script(Script::always(Answer::after(Before::Held)));
    for stream in [true, false] {
        app.fake.clear();
        app.fake.script(Script::always(Answer::after(Before::Held)));
        let request = app.instance.messages(&key, hello(stream)).send();
        tokio::select! {
            answer = request => panic!("it is held: {answer:?}"),
            () = app.fake.arrived(1) => {}
        }
        app.fake.idle().await;
        assert!(app.only_seen().answered.hung_up, "the upstream call is dropped");
        let row = app.only_row().await;
        assert_eq!((&row["status"], &row["estimated"]), (&json!("cancelled"), &json!(true)), "{row}");
        assert!(row["input_tokens"].as_u64().unwrap() > 0 && row["cost_micros"].as_u64().unwrap() > 0, "{row}");
        assert_eq!(row["http_status"], Value::Null, "the caller saw none");
        app.database.execute("delete from ledger").await;
    }
}

/// An open stream ends, and its row is written, before a process that was told to stop is gone.
#[tokio::test]
async fn a_drain_lets_streams_end() {
    let (mut app, key) = App::ready().await;
    app.fake.script(Script::once(Answer::held_after(4)));
    let mut answer = app.instance.messages(&key, hello(true)).send().await.unwrap();
    let mut text = String::from_utf8(answer.chunk().await.unwrap().unwrap().into()).unwrap();
    let reading = async {
        app.fake.release(1);
        while let Some(chunk) = answer.chunk().await.unwrap() {
            text += std::str::from_utf8(&chunk).unwrap();
        }
        text
    };
    let (text, ()) = tokio::join!(reading, app.instance.drain());
    assert!(text.contains("message_stop"), "{text}");
    // Not waited for: it is there because the drain is over.
    assert_eq!(app.database.number("select count(*) from ledger where status = 'completed'").await, 1);
    assert_eq!(app.database.number("select count(*) from leases").await, 0);
}

/// Idle timeout: an upstream that falls silent inside its answer is given up, with the words of each protocol.
#[tokio::test]
async fn an_upstream_that_falls_silent_is_given_up() {
    let (app, key) = App::ready().await;
    for provider in ["anthropic", "gemini"] {
        let path = format!("/api/routing/default/{provider}");
        app.instance.manage(Method::PUT, &path, Some(json!({ "idle_timeout_ms": 2_000 }))).await;
    }
    app.fake.script(Script::always(Answer::cut(3, End::Hang)));
    let text = app.instance.messages(&key, hello(true)).send().await.unwrap().text().await.unwrap();
    let last = text.trim_end().rsplit("\n\n").next().unwrap();
    assert!(last.starts_with("event: error\n") && last.contains("fell silent"), "{text}");
    let verb = "gemini-2.5-pro:streamGenerateContent?alt=sse";
    let answer = app.instance.gemini(&key, verb, PROMPT).send().await.unwrap();
    answer.bytes().await.expect_err("never a clean end");
    app.fake.idle().await;
    assert!(app.fake.seen().iter().all(|seen| seen.answered.hung_up), "the upstream calls are dropped");
    for row in app.ledger().await {
        assert_eq!((&row["status"], &row["estimated"]), (&json!("failed"), &json!(true)), "{row}");
        assert_eq!(row["error"], "the upstream fell silent");
        assert!(row["input_tokens"].as_u64().unwrap() > 0, "{row}");
    }
}

/// A timeout before the first byte: the next account serves, and a stream whose head alone has come is not committed.
#[tokio::test]
async fn an_upstream_without_a_first_byte_in_time_is_given_up_for_another() {
    let app = App::start().await;
    app.account("anthropic", "sk-ant-one", json!({})).await;
    app.account("anthropic", "sk-ant-two", json!({ "priority": 1 })).await;
    let key = app.key(json!({})).await;
    let policy = json!({ "first_byte_timeout_ms": 2_000 });
    app.instance.manage(Method::PUT, "/api/routing/default/anthropic", Some(policy)).await;
    for (session, fault) in [("a", Answer::after(Before::Hang)), ("b", Answer::cut(0, End::Hang))] {
        app.fake.clear();
        app.fake.script(Script::always(fault).of("sk-ant-one"));
        let request = app.instance.messages(&key, hello(true)).header("x-claude-code-session-id", session);
        let answer = request.send().await.unwrap();
        assert_eq!((answer.status().as_u16(), &answer.headers()["x-gateway-attempts"]), (200, &"2".parse().unwrap()));
        assert!(answer.text().await.unwrap().contains("message_stop"));
        app.fake.idle().await;
        let rows = app.ledger().await;
        let last = rows.last().unwrap();
        assert_eq!(last["attempts"][0]["verdict"], "unreachable", "{last}");
        app.database.execute("delete from ledger").await;
    }
}

/// A stream whose length was announced: there is room for our words after it all the same.
#[tokio::test]
async fn an_announced_length_does_not_cut_our_error_event_off() {
    let (app, key) = App::ready().await;
    let start =
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":5}}}\n\n";
    app.fake.script(Script::once(Answer::text(200, "text/event-stream", start)));
    let text = app.instance.messages(&key, hello(true)).send().await.unwrap().text().await.unwrap();
    assert!(text.starts_with(start) && text[start.len()..].starts_with("event: error\n"), "{text}");
    let row = app.only_row().await;
    assert_eq!((&row["status"], &row["input_tokens"], &row["estimated"]), (&json!("failed"), &json!(5), &json!(true)));
}
