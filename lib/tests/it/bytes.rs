//! Bytes pass through, in both directions.

use fake_upstream::{Answer, Body, Chunk, Encoding, Script};
use reqwest::{Method, header::CONTENT_ENCODING};
use serde_json::json;

use crate::{
    support::{App, Chance},
    walk::hello,
};

/// Bodies of each dialect; few enough for a busy machine, more than enough to meet every branch of the generator.
const BODIES: u64 = 120;

/// Any JSON value as a person, or a machine with strange habits, might write it.
fn value(chance: &mut Chance, depth: usize) -> String {
    let kinds = if depth == 0 { 4 } else { 6 };
    match chance.below(kinds) {
        0 => number(chance).to_owned(),
        1 => string(chance),
        2 => chance.pick(&["true", "false", "null"]).to_owned(),
        3 => chance.pick(&["[]", "{}", "[ ]", "{ \n}", "\"\""]).to_owned(),
        4 => {
            let items: Vec<_> = (0..chance.below(4)).map(|_| value(chance, depth - 1)).collect();
            format!("[{}]", items.join(chance.pick(&[",", ", ", " ,\n\t"])))
        }
        _ => object(chance, depth - 1, ""),
    }
}

fn number(chance: &mut Chance) -> &'static str {
    chance.pick(&[
        "0",
        "-0",
        "-0.0",
        "1.0",
        "1e400",
        "-1E-400",
        "0.1000000000000000055511151231257827",
        "1E+2",
        "18446744073709551616",
        "123456789012345678901234567890",
        "9007199254740993",
        "3.0e0",
    ])
}

fn string(chance: &mut Chance) -> String {
    let pieces = [
        "plain",
        "",
        "héllo",
        "日本語",
        "👩‍👩‍👧",
        "\\u00e9",
        "\\ud83d\\ude00",
        "\\ud800",
        "\\u0000",
        "\\/",
        "\\\"",
        "\\\\",
        "\\n",
        "\u{2028}",
        "\u{feff}",
        "\u{7f}",
        "e\u{301}",
        "<script>&amp;",
        "{\\\"model\\\":\\\"x\\\"}",
        "data: x",
        "[[say",
    ];
    let text: String = (0..chance.below(4)).map(|_| chance.pick(&pieces)).collect();
    format!("\"{text}\"")
}

/// `known` are fields that the API needs, somewhere among others; names may be given twice.
fn object(chance: &mut Chance, depth: usize, known: &str) -> String {
    let mut fields = Vec::new();
    for _ in 0..chance.below(5) {
        let name =
            chance.pick(&["x", "x", "temperature", "weird key", "日", "\\u0078", "", "context_management", "a.b"]);
        fields.push(format!("\"{name}\"{}{}", chance.pick(&[":", " : ", ":\n"]), value(chance, depth)));
    }
    if !known.is_empty() {
        fields.insert(chance.below(fields.len() + 1), known.to_owned());
    }
    let (open, close) = (chance.pick(&["{", "{ ", "{\r\n"]), chance.pick(&["}", " }", "\n}"]));
    format!("{open}{}{close}", fields.join(chance.pick(&[",", ", ", ",\n  "])))
}

/// Property: random JSON with unknown fields, unusual numbers, duplicate keys and unicode reaches the upstream byte for
/// byte, in either dialect.
#[tokio::test]
async fn any_body_reaches_the_upstream_as_it_was_sent() {
    let (app, key) = App::ready().await;
    let answer = Answer::json(200, json!({ "usage": { "input_tokens": 1, "output_tokens": 1 } }));
    app.fake.script(Script::always(answer));
    let mut sent = Vec::new();
    for seed in 0..BODIES {
        let chance = &mut Chance::of(seed);
        let known = r#""messages":[{"role":"user","content":"hi"}],"model":"claude-first","model":"claude-sonnet-5-5""#;
        let body = object(chance, 3, known);
        let answer = app.instance.messages(&key, body.clone()).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{body}");
        sent.push(body);
        let body = object(chance, 3, r#""contents":[{"parts":[{"text":"hi"}]}]"#);
        let answer = app.instance.gemini(&key, "gemini-2.5-pro:generateContent", body.clone()).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{body}");
        sent.push(body);
    }
    for (seen, sent) in app.fake.seen().iter().zip(&sent) {
        assert_eq!(seen.body, sent.as_bytes(), "{sent}");
        assert_eq!(seen.header_values("content-length"), [sent.len().to_string()]);
    }
    let rows = app.ledger().await;
    assert_eq!(rows.len(), sent.len());
    let asked = |row: &serde_json::Value| row["provider"] != "anthropic" || row["model"] == "claude-sonnet-5-5";
    assert!(rows.iter().all(asked), "of a key given twice the last one counts");
}

#[tokio::test]
async fn query_strings_are_kept_to_the_letter() {
    let (app, key) = App::ready().await;
    for (target, expect) in [
        ("/v1/messages?beta=true", "/v1/messages?beta=true"),
        ("/v1/messages?beta=true&a=%20b+c&&=&d", "/v1/messages?beta=true&a=%20b+c&&=&d"),
        ("/v1/messages?key=x&beta=true", "/v1/messages?beta=true"),
        ("/v1/messages?%6bey=x", "/v1/messages"),
    ] {
        app.fake.clear();
        let request = app.instance.request(Method::POST, target).header("x-api-key", &key);
        let answer = request.header("anthropic-version", "2023-06-01").body(hello(false)).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{target}");
        assert_eq!(app.only_seen().path_and_query, expect);
    }
    app.fake.clear();
    let verb = "gemini-2.5-pro:streamGenerateContent?$alt=sse&alt=sse&prettyPrint=false";
    let answer = app.instance.gemini(&key, verb, r#"{"contents":[{"parts":[{"text":"hi"}]}]}"#).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(app.only_seen().path_and_query, format!("/v1beta/models/{verb}"));
}

/// `anthropic-beta`: what the caller sent and nothing else, its order kept.
#[tokio::test]
async fn headers_that_nobody_knows_go_on_and_betas_keep_their_order() {
    let (app, key) = App::ready().await;
    let betas = ["claude-code-20250219,interleaved-thinking-2025-05-14", "zz-2030-01-01,aa-2031-01-01"];
    let mut request = app.instance.messages(&key, hello(false)).header("x-Claude-Code-Session-Id", "abc");
    for beta in betas {
        request = request.header("anthropic-beta", beta);
    }
    let request = request
        .header("X-App", "cli")
        .header("x-stainless-timeout", "600")
        .header("accept-encoding", "gzip, deflate, br, zstd")
        .header("user-agent", "claude-cli/2.1.330 (external, sdk-cli)")
        .header("x-brand-new", "é∂".as_bytes());
    assert_eq!(request.send().await.unwrap().status(), 200);
    let seen = app.only_seen();
    assert_eq!(seen.header_values("anthropic-beta"), betas);
    for (name, value) in [
        ("x-claude-code-session-id", "abc"),
        ("x-app", "cli"),
        ("x-stainless-timeout", "600"),
        ("accept-encoding", "gzip, deflate, br, zstd"),
        ("user-agent", "claude-cli/2.1.330 (external, sdk-cli)"),
        ("anthropic-version", "2023-06-01"),
        ("content-type", "application/json"),
        ("x-brand-new", "é∂"),
    ] {
        assert_eq!(seen.header_values(name), [value], "{name}");
    }
}

/// Unknown events and delta types pass through unchanged, and so does whatever else an upstream writes.
#[tokio::test]
async fn an_unheard_of_stream_arrives_to_the_byte_at_any_cut() {
    let stream = "event: message_start\r\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\"m\",\"usage\":{\"input_tokens\":7,\"output_tokens\":1}}}\r\n\r\n\
        : a comment\n\nid: 7\nretry: 10\nevent: brand_new_event\ndata: {\"type\":\"brand_new_event\",\ndata: \"é\":[1e400]}\n\n\
        event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"hologram_delta\",\"x\":\"日本\"}}\n\n\
        event: message_delta\ndata: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":9}}\n\n\
        event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
    let (app, key) = App::ready().await;
    for size in [1, 2, 3, 7, 64, 4096] {
        let chunks = stream.as_bytes().chunks(size).map(|part| Chunk { after_ms: 0, data: part.to_vec().into() });
        app.fake.script(Script::once(Answer { body: Body::Chunks(chunks.collect()), ..Answer::default() }));
        let answer = app.instance.messages(&key, hello(true)).send().await.unwrap();
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        assert_eq!(answer.text().await.unwrap(), stream, "in pieces of {size}");
    }
    let rows = app.ledger().await;
    for row in rows {
        assert_eq!((&row["input_tokens"], &row["output_tokens"]), (&json!(7), &json!(9)));
        assert_eq!((&row["status"], &row["estimated"]), (&json!("completed"), &json!(false)));
    }
}

/// thoughtSignature is relayed byte for byte.
#[tokio::test]
async fn a_thought_signature_arrives_to_the_byte() {
    let parts = r#"[{"text":"a","thought":true},{"functionCall":{"name":"f","args":{"x":1.0}},"thoughtSignature":"CpcB+/\u003d=="}]"#;
    let chunk = format!(
        "data: {{\"candidates\":[{{\"content\":{{\"parts\":{parts}}},\"finishReason\":\"STOP\"}}],\"usageMetadata\":{{\"promptTokenCount\":4,\"candidatesTokenCount\":2,\"thoughtsTokenCount\":3}}}}\r\n\r\n"
    );
    let (app, key) = App::ready().await;
    let data = chunk.clone().into_bytes().into();
    let body = Body::Chunks(vec![Chunk { after_ms: 0, data }]);
    app.fake.script(Script::once(Answer { body, ..Answer::default() }));
    let answer = app.instance.gemini(&key, "gemini-2.5-pro:streamGenerateContent?alt=sse", "{}").send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), chunk);
    let row = app.only_row().await;
    assert_eq!(
        (&row["input_tokens"], &row["output_tokens"], &row["thinking_tokens"]),
        (&json!(4), &json!(5), &json!(3))
    );
}

/// gzip (and zstd) answers of the upstream are relayed as they are, and metered.
#[tokio::test]
async fn compressed_answers_stay_compressed_and_are_metered() {
    let (app, key) = App::ready().await;
    for (encoding, name) in [(Encoding::Gzip, "gzip"), (Encoding::Zstd, "zstd")] {
        app.fake.script(Script::always(Answer::encoded(encoding)));
        let gemini = r#"{"contents":[{"parts":[{"text":"[[words 5]]"}]}]}"#;
        for request in [
            app.instance.messages(&key, hello(false)),
            app.instance.messages(&key, hello(true)),
            app.instance.gemini(&key, "gemini-2.5-pro:generateContent", gemini),
            app.instance.gemini(&key, "gemini-2.5-pro:streamGenerateContent", gemini),
            app.instance.gemini(&key, "gemini-2.5-pro:streamGenerateContent?alt=sse", gemini),
        ] {
            let answer = request.header("accept-encoding", name).send().await.unwrap();
            assert_eq!(answer.headers()[CONTENT_ENCODING], name);
            let packed = answer.bytes().await.unwrap();
            let magic: &[u8] = if name == "gzip" { &[0x1f, 0x8b] } else { &[0x28, 0xb5, 0x2f, 0xfd] };
            assert!(packed.starts_with(magic), "{packed:?}");
        }
        let rows = app.ledger().await;
        assert_eq!(rows.len(), 5);
        for (row, seen) in rows.iter().zip(app.fake.seen()) {
            let said = seen.answered.figures.unwrap();
            assert_eq!(
                (&row["input_tokens"], &row["output_tokens"]),
                (&json!(said.input), &json!(said.output)),
                "{row}"
            );
            assert_eq!((&row["status"], &row["estimated"]), (&json!("completed"), &json!(false)), "{name} {row}");
        }
        app.fake.clear();
        app.database.execute("delete from ledger").await;
    }
}
