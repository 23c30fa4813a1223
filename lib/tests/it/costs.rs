//! What is used costs what it costs, however the answer comes, and whatever the model is called.

use fake_upstream::{Answer, Script};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::{
    support::{App, keys::limited},
    walk::hello,
};

const PROMPT: &str = r#"{"contents":[{"parts":[{"text":"hi"}]}]}"#;

/// Figures of an answer.
#[derive(Debug, Clone, Copy)]
struct Used {
    input: u64,
    cache_read: u64,
    output: u64,
}

/// The same answer of Anthropic's in one piece and as a stream.
fn anthropic(app: &App, key: &str, used: Used) -> Vec<(Answer, RequestBuilder)> {
    let Used { input, cache_read, output } = used;
    let usage =
        |output: u64| json!({ "input_tokens": input, "cache_read_input_tokens": cache_read, "output_tokens": output });
    let message = |content: Value, output: u64| {
        json!({
            "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-5-5", "content": content,
            "stop_reason": "end_turn", "usage": usage(output),
        })
    };
    let text = json!([{ "type": "text", "text": "well met" }]);
    let event = |name: &str, data: Value| format!("event: {name}\ndata: {data}\n\n");
    let block = json!({ "type": "content_block_start", "index": 0, "content_block": text[0] });
    let delta = json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn" }, "usage": { "output_tokens": output } });
    let stream = [
        event("message_start", json!({ "type": "message_start", "message": message(json!([]), output.min(1)) })),
        event("content_block_start", block),
        event("message_delta", delta),
        event("message_stop", json!({ "type": "message_stop" })),
    ];
    vec![
        (Answer::json(200, message(text, output)), app.instance.messages(key, hello(false))),
        (Answer::text(200, "text/event-stream", &stream.concat()), app.instance.messages(key, hello(true))),
    ]
}

/// The same answer of Gemini's in one piece, as events, and as an array.
fn gemini(app: &App, key: &str, used: Used) -> Vec<(Answer, RequestBuilder)> {
    let Used { input, cache_read, output } = used;
    let prompt = input + cache_read;
    let whole = json!({
        "candidates": [{ "content": { "parts": [{ "text": "well met" }] }, "finishReason": "STOP" }],
        "usageMetadata": {
            "promptTokenCount": prompt, "cachedContentTokenCount": cache_read, "candidatesTokenCount": output,
            "totalTokenCount": prompt + output,
        },
    });
    let call = |verb: &str| app.instance.gemini(key, &format!("gemini-2.5-pro:{verb}"), PROMPT);
    vec![
        (Answer::json(200, whole.clone()), call("generateContent")),
        (
            Answer::text(200, "text/event-stream", &format!("data: {whole}\r\n\r\n")),
            call("streamGenerateContent?alt=sse"),
        ),
        (Answer::text(200, "application/json", &format!("[{whole}\n]")), call("streamGenerateContent")),
    ]
}

/// D3: an answer costs the same in one piece and as a stream, and an explicit zero stays 0: nothing is estimated in its place.
#[tokio::test]
async fn d3_a_stream_costs_what_a_plain_answer_does_and_zero_stays_zero() {
    let (app, key) = App::ready().await;
    for used in [(1_234, 789, 56), (10, 0, 0), (0, 0, 0)] {
        let used = Used { input: used.0, cache_read: used.1, output: used.2 };
        for calls in [anthropic(&app, &key, used), gemini(&app, &key, used)] {
            let mut costs = Vec::new();
            for (answer, request) in calls {
                app.fake.script(Script::once(answer));
                let answer = request.send().await.unwrap();
                assert_eq!(answer.status(), 200);
                assert!(answer.text().await.unwrap().contains("well met"));
                let row = app.only_row().await;
                for (column, said) in [
                    ("input_tokens", used.input),
                    ("cache_read_tokens", used.cache_read),
                    ("output_tokens", used.output),
                ] {
                    assert_eq!(row[column], said, "{column} of {used:?}: {row:#}");
                }
                let marks = (&row["status"], &row["estimated"], &row["unpriced"]);
                assert_eq!(marks, (&json!("completed"), &json!(false), &json!(false)), "{used:?}: {row:#}");
                costs.push(row["cost_micros"].as_u64().unwrap());
                app.database.execute("delete from ledger").await;
            }
            assert!(costs.iter().all(|cost| *cost == costs[0]), "{used:?}: {costs:?}");
            assert_eq!(costs[0] == 0, used.input == 0, "{used:?}: {costs:?}");
        }
    }
}

/// D5: a model that nobody has a price for is charged, marked and counted, and a budget is spent by it.
#[tokio::test]
async fn d5_a_model_without_a_price_is_charged_marked_and_counted() {
    let (app, _) = App::ready().await;
    let (_, key) = limited(&app, json!({ "cost_total_usd": 0.000001 })).await;
    let call = || app.instance.messages(&key, hello(false).replace("claude-sonnet-5-5", "claude-unheard-of-9")).send();
    assert_eq!(call().await.unwrap().status(), 200);
    let row = app.only_row().await;
    assert_eq!((&row["unpriced"], &row["estimated"]), (&json!(true), &json!(false)), "{row:#}");
    assert!(row["cost_micros"].as_u64().unwrap() > 0, "{row:#}");
    let summary = app.instance.manage(Method::GET, "/api/stats/summary", None).await;
    assert_eq!(summary["unpriced"], 1, "{summary:#}");
    assert_eq!(call().await.unwrap().status(), 429, "the budget is spent");
}
