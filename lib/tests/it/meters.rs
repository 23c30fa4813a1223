//! What the meters read is the same however the bytes arrive, and whatever stands beside the figures.

use fake_upstream::{Answer, Body, Chunk, Lifelike, Script};
use serde_json::{Value, json};

use crate::support::App;

/// Text that looks like structure to whoever counts braces and blank lines.
const TRICKY: &str = r#"a } ] { \" [ "usageMetadata":{"promptTokenCount":1} ,] data: {\"type\":\"message_stop\"} \\"#;

fn message() -> String {
    json!({
        "model": "claude-sonnet-5-5", "max_tokens": 64, "stream": true,
        "messages": [{ "role": "user", "content": format!("[[say {TRICKY}]]") }],
    })
    .to_string()
}

fn contents() -> String {
    json!({ "contents": [{ "parts": [{ "text": format!("[[say {TRICKY}]]") }] }] }).to_string()
}

/// Stream split at every byte position gives the same events and usage: SSE with LF (Anthropic) and CRLF (Gemini), and
/// the array form, also split inside a string with braces.
#[tokio::test]
async fn pieces_of_any_size_give_the_same_bytes_and_figures() {
    let (app, key) = App::ready().await;
    let calls = [
        ("messages", message()),
        ("gemini-2.5-pro:streamGenerateContent?alt=sse", contents()),
        ("gemini-2.5-pro:streamGenerateContent", contents()),
    ];
    for (call, body) in calls {
        let mut first: Option<Vec<u8>> = None;
        for piece_bytes in [None, Some(1), Some(2), Some(3), Some(5), Some(17), Some(101)] {
            app.fake.clear();
            app.fake.script(Script::once(Answer::lifelike(Lifelike { piece_bytes, ..Lifelike::default() })));
            let request = match call {
                "messages" => app.instance.messages(&key, body.clone()),
                verb => app.instance.gemini(&key, verb, body.clone()),
            };
            let answer = request.send().await.unwrap().bytes().await.unwrap();
            let first = first.get_or_insert_with(|| without_numbers(&answer));
            assert_eq!(without_numbers(&answer), *first, "{call} in pieces of {piece_bytes:?}");
            let said = app.only_seen().answered.figures.unwrap();
            let row = app.only_row().await;
            assert_eq!(
                (&row["status"], &row["estimated"]),
                (&json!("completed"), &json!(false)),
                "{piece_bytes:?} {row}"
            );
            let figures = (&row["input_tokens"], &row["output_tokens"]);
            assert_eq!(figures, (&json!(said.input), &json!(said.output)), "{call} in pieces of {piece_bytes:?}");
            app.database.execute("delete from ledger").await;
        }
    }
}

/// The fake numbers its answers: ids and signatures differ from one to the next.
fn without_numbers(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().copied().filter(|byte| !byte.is_ascii_digit()).collect()
}

/// Gemini SSE with LF line ends, byte by byte; usage: last wins, absent later does not erase, zero fields absent.
#[tokio::test]
async fn the_last_figure_said_counts_and_silence_takes_nothing_away() {
    let (app, key) = App::ready().await;
    let stream = "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}]}}],\"usageMetadata\":{\"promptTokenCount\":10,\"cachedContentTokenCount\":4,\"candidatesTokenCount\":1}}\n\n\
        data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"b\"}]}}],\"usageMetadata\":{\"promptTokenCount\":12,\"candidatesTokenCount\":7,\"thoughtsTokenCount\":2}}\n\n\
        data: {\"candidates\":[{\"finishReason\":\"STOP\"}],\"usageMetadata\":{\"promptTokenCount\":12}}\n\n";
    let bytes = stream.as_bytes().iter().map(|byte| Chunk { after_ms: 0, data: vec![*byte].into() });
    app.fake.script(Script::once(Answer { body: Body::Chunks(bytes.collect()), ..Answer::default() }));
    let verb = "gemini-2.5-pro:streamGenerateContent?alt=sse";
    assert_eq!(app.instance.gemini(&key, verb, contents()).send().await.unwrap().text().await.unwrap(), stream);
    let row = app.only_row().await;
    for (column, expect) in [
        ("input_tokens", 8),
        ("cache_read_tokens", 4),
        ("output_tokens", 9),
        ("thinking_tokens", 2),
        ("tool_use_tokens", 0),
    ] {
        assert_eq!(row[column], expect, "{column}: {row}");
    }
    assert_eq!(row["estimated"], false);
}

/// Overage allowed + rejected window + 200 → stays in rotation.
#[tokio::test]
async fn an_account_that_serves_beyond_its_window_stays_in_rotation() {
    let app = App::start().await;
    let account = app.account("anthropic", "sk-ant-one", json!({})).await;
    let key = app.key(json!({})).await;
    let mut answer = Answer::default();
    for (name, value) in [
        ("status", "allowed"),
        ("representative-claim", "five_hour"),
        ("5h-status", "rejected"),
        ("5h-utilization", "1.02"),
        ("overage-status", "allowed"),
        ("overage-in-use", "true"),
    ] {
        answer = answer.with_header(&format!("anthropic-ratelimit-unified-{name}"), value);
    }
    app.fake.script(Script::always(answer));
    for _ in 0..3 {
        assert_eq!(app.instance.messages(&key, message()).send().await.unwrap().status(), 200);
    }
    app.ledger().await;
    let shown = app.shown(&account).await;
    assert_eq!((&shown["state"], &shown["last_error"]), (&json!("ready"), &Value::Null));
}

/// A failing account that answers well again is as good as new.
#[tokio::test]
async fn faults_in_a_row_cool_an_account_and_a_good_answer_forgives_them() {
    let app = App::start().await;
    let account = app.account("anthropic", "sk-ant-one", json!({})).await;
    let key = app.key(json!({})).await;
    let failures = format!("select failures from accounts where id = '{account}'");
    let become_ = async |expect: i64| {
        let there = || async { (app.database.number(&failures).await == expect).then_some(()) };
        crate::support::eventually(&format!("{expect} failures"), there).await;
    };
    for (round, faults) in [(0, 2), (1, 3)] {
        for fault in 1..=faults {
            app.fake.script(Script::once(Answer::overloaded()));
            let answer = app.instance.messages(&key, message()).send().await.unwrap();
            assert_eq!(answer.status(), 529, "round {round}: the upstream's own words");
            become_(fault).await;
        }
        if round == 0 {
            assert_eq!(app.shown(&account).await["state"], "ready");
            // An instance knows of the faults within a second, and then of what cures them.
            crate::support::eventually("it is forgiven", || async {
                assert_eq!(app.instance.messages(&key, message()).send().await.unwrap().status(), 200);
                (app.database.number(&failures).await == 0).then_some(())
            })
            .await;
        }
    }
    app.comes_to(&account, "cooling").await;
    let answer = app.instance.messages(&key, message()).send().await.unwrap();
    let wait: u64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!(answer.status() == 429 && (1..=15).contains(&wait), "{wait}");
}
