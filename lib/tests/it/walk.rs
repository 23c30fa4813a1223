//! The main walk: a request goes in, an answer comes out, and one row says what it was.

use serde_json::{Value, json};

use crate::support::App;

pub(crate) fn hello(stream: bool) -> String {
    json!({
        "model": "claude-sonnet-5-5", "max_tokens": 64, "stream": stream,
        "messages": [{ "role": "user", "content": "[[say well met]]" }],
    })
    .to_string()
}

#[tokio::test]
async fn a_message_is_answered_and_recorded() {
    let (app, key) = App::ready().await;
    let response = app.instance.messages(&key, hello(false)).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["x-gateway-attempts"], "1");
    let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    let answer: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert_eq!(answer["content"][0]["text"], "well met");

    let row = app.only_row().await;
    assert_eq!(row["id"], *id);
    assert_eq!(row["status"], "completed");
    let said = app.only_seen().answered.figures.unwrap();
    assert_eq!(row["input_tokens"], said.input);
    assert_eq!(row["output_tokens"], said.output);
    assert_eq!(row["estimated"], false);
    assert_eq!(row["cost_micros"], said.input * 2 + said.output * 10, "sonnet 5.5 costs 2 and 10 dollars a million");
}

#[tokio::test]
async fn a_stream_of_each_dialect_is_answered_and_recorded() {
    let (app, key) = App::ready().await;
    let body = json!({ "contents": [{ "role": "user", "parts": [{ "text": "[[say well met]]" }] }] }).to_string();
    let answers = [
        app.instance.messages(&key, hello(true)).send().await.unwrap(),
        app.instance.gemini(&key, "gemini-2.5-pro:streamGenerateContent?alt=sse", body.clone()).send().await.unwrap(),
        app.instance.gemini(&key, "gemini-2.5-pro:streamGenerateContent", body.clone()).send().await.unwrap(),
        app.instance.gemini(&key, "gemini-2.5-pro:generateContent", body).send().await.unwrap(),
    ];
    for answer in answers {
        assert_eq!(answer.status(), 200);
        let text = answer.text().await.unwrap();
        assert!(text.contains("met"), "{text}");
    }
    let seen = app.fake.seen();
    let rows = app.ledger().await;
    assert_eq!(rows.len(), 4);
    for (row, seen) in rows.iter().zip(seen) {
        let said = seen.answered.figures.unwrap();
        assert_eq!(row["status"], "completed", "{row}");
        assert_eq!((&row["input_tokens"], &row["output_tokens"]), (&json!(said.input), &json!(said.output)), "{row}");
        assert_eq!(row["estimated"], false);
    }
}
