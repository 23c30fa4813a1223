//! D6: an upstream that lies about what it used moves no total by more than it could, and the row says that it lied.

use fake_upstream::{Answer, Body, Chunk, Script};
use serde_json::{Value, json};

use crate::{support::App, walk::hello};

/// What no request can have used.
const LIES: [&str; 17] = [
    "9223372036854775808",
    "9223372036854775807",
    "18446744073709551616",
    "340282366920938463463374607431768211456",
    "1000000000001",
    "-1",
    "-9223372036854775808",
    "1e400",
    "-1e400",
    "1e18",
    "1.5",
    "\"12\"",
    "\"many\"",
    "true",
    "[7]",
    "{\"n\":7}",
    "\"\"",
];

/// The figures of a row that are sums of what an upstream says.
const FIGURES: [&str; 8] = [
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "thinking_tokens",
    "searches",
    "cost_micros",
];

fn anthropic(lie: &str) -> [Answer; 2] {
    let usage = format!(
        r#"{{"input_tokens":{lie},"output_tokens":{lie},"cache_read_input_tokens":{lie},"cache_creation_input_tokens":{lie},
            "cache_creation":{{"ephemeral_5m_input_tokens":{lie},"ephemeral_1h_input_tokens":{lie}}},"server_tool_use":{{"web_search_requests":{lie}}}}}"#
    )
    .replace('\n', "");
    let message = format!(
        r#"{{"id":"msg_1","type":"message","role":"assistant","model":"claude-sonnet-5-5","content":[{{"type":"text","text":"well met"}}],"stop_reason":"end_turn","usage":{usage}}}"#
    );
    let events = format!(
        "event: message_start\ndata: {{\"type\":\"message_start\",\"message\":{message}}}\n\n\
         event: content_block_start\ndata: {{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{{\"type\":\"text\",\"text\":\"\"}}}}\n\n\
         event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":\"well met\"}}}}\n\n\
         event: message_delta\ndata: {{\"type\":\"message_delta\",\"delta\":{{\"stop_reason\":\"end_turn\"}},\"usage\":{usage}}}\n\n\
         event: message_stop\ndata: {{\"type\":\"message_stop\"}}\n\n"
    );
    [Answer::text(200, "application/json", &message), Answer::text(200, "text/event-stream", &events)]
}

fn gemini(lie: &str) -> [Answer; 2] {
    let text = format!(
        r#"{{"candidates":[{{"content":{{"parts":[{{"text":"well met"}}]}},"finishReason":"STOP"}}],"usageMetadata":{{"promptTokenCount":{lie},"candidatesTokenCount":{lie},"thoughtsTokenCount":{lie},"cachedContentTokenCount":{lie},"toolUsePromptTokenCount":{lie},"totalTokenCount":{lie}}}}}"#
    );
    [
        Answer::text(200, "application/json", &text),
        Answer::text(200, "text/event-stream", &format!("data: {text}\r\n\r\n")),
    ]
}

fn check(lie: &str, row: &Value) {
    assert_eq!(row["status"], "completed", "{lie}: {row}");
    assert_eq!(row["estimated"], true, "{lie}: {row}");
    for figure in FIGURES {
        let value = &row[figure];
        assert!(
            value.is_null() || value.as_i64().is_some_and(|value| (0..1_000_000).contains(&value)),
            "{lie}: {figure} {row}"
        );
    }
    assert!(row["input_tokens"].as_i64() > Some(0), "an estimate stands in for the prompt: {row}");
}

#[tokio::test]
async fn figures_that_cannot_be_are_estimated_and_marked() {
    let (app, key) = App::ready().await;
    let prompt = r#"{"contents":[{"parts":[{"text":"hi there"}]}]}"#;
    for lie in LIES {
        let [plain, stream] = anthropic(lie);
        let [plain_gemini, stream_gemini] = gemini(lie);
        for (answer, request) in [
            (plain, app.instance.messages(&key, hello(false))),
            (stream, app.instance.messages(&key, hello(true))),
            (plain_gemini, app.instance.gemini(&key, "gemini-2.5-pro:generateContent", prompt)),
            (stream_gemini, app.instance.gemini(&key, "gemini-2.5-pro:streamGenerateContent?alt=sse", prompt)),
        ] {
            let Body::Text { text, .. } = answer.body.clone() else { panic!("the answers are texts") };
            app.fake.script(Script::once(answer));
            // Whatever it says, it is passed on as it was said.
            assert_eq!(request.send().await.unwrap().text().await.unwrap(), text);
            check(lie, &app.only_row().await);
            app.database.execute("delete from ledger").await;
        }
    }
    let summary = app.instance.manage(reqwest::Method::GET, "/api/keys", None).await;
    let spent = summary["data"][0]["usage_today"]["cost_usd"].as_f64().unwrap();
    assert!((0.0..10.0).contains(&spent), "{summary}");
}

/// A lie that comes late takes nothing away from what was said before it.
#[tokio::test]
async fn a_lie_does_not_erase_the_truth() {
    let (app, key) = App::ready().await;
    let chunk = |figure: &str| {
        let text = format!(
            "data: {{\"candidates\":[{{\"content\":{{\"parts\":[{{\"text\":\"a\"}}]}},\"finishReason\":\"STOP\"}}],\"usageMetadata\":{{\"promptTokenCount\":10,\"candidatesTokenCount\":{figure}}}}}\n\n"
        );
        Chunk { after_ms: 0, data: text.into() }
    };
    for lie in LIES {
        app.fake.script(Script::once(Answer { body: Body::Chunks(vec![chunk("7"), chunk(lie)]), ..Answer::default() }));
        let prompt = r#"{"contents":[{"parts":[{"text":"hi"}]}]}"#;
        let call = app.instance.gemini(&key, "gemini-2.5-pro:streamGenerateContent?alt=sse", prompt);
        call.send().await.unwrap().bytes().await.unwrap();
        let row = app.only_row().await;
        assert_eq!((&row["input_tokens"], &row["estimated"]), (&json!(10), &json!(true)), "{lie}: {row}");
        assert!(row["output_tokens"].as_i64() >= Some(7), "{lie}: {row}");
        app.database.execute("delete from ledger").await;
    }
}

/// A line of events that never ends is passed on and never kept.
#[tokio::test]
async fn a_line_without_end_fills_no_memory() {
    let (app, key) = App::ready().await;
    let piece = "x".repeat(1 << 20);
    let mut chunks = vec![Chunk { after_ms: 0, data: "event: content_block_delta\ndata: ".into() }];
    chunks.extend((0..40).map(|_| Chunk { after_ms: 0, data: piece.clone().into() }));
    app.fake.script(Script::once(Answer { body: Body::Chunks(chunks), ..Answer::default() }));
    let answer = app.instance.messages(&key, hello(true)).send().await.unwrap();
    assert!(answer.bytes().await.unwrap().len() >= 40 << 20);
    let row = app.only_row().await;
    assert_eq!(row["estimated"], true, "{row}");
}
