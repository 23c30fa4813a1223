//! Which paths are served, for whom, and which tricks with paths are not.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    support::{App, Raw},
    walk::hello,
};

/// Path tricks (`..`, `%2e`, `%2f`, `//`, `\`, absolute URIs) are refused before a claim.
#[tokio::test]
async fn tricks_with_paths_never_leave() {
    let (app, key) = App::ready().await;
    for target in [
        "/v1/messages/../organizations",
        "/v1/./messages",
        "/v1/%2e%2e/organizations/messages",
        "/v1/%2E./messages",
        "/v1/messages%2fcount_tokens",
        "/v1%2Fmessages",
        "/v1//messages",
        "/v1/messages//",
        "/v1/messages\\..\\x",
        "/v1/messages%5c..",
        "/v1/messages;x=1",
        "/v1/messages%00",
        "/v1/messages%0d%0ax:%20y",
        "/v1/messages%3fkey=x",
        "/v1/messages%252e",
        "/v1beta/models/..%2f..%2fv1%2fmessages:generateContent",
        "/v1beta/models/../models/gemini-2.5-pro:generateContent",
        "/v1beta//models/gemini-2.5-pro:generateContent",
        "http://api.anthropic.com/v1/messages",
        "https://evil.example/v1/messages",
        "//evil.example/v1/messages",
        "/%76%31/messages",
        "/V1/messages",
        "v1/messages",
        "*",
        "evil.example:443",
    ] {
        let mut raw = Raw::connect(app.instance.address).await;
        raw.post(target, &format!("x-api-key: {key}\r\n"), &hello(false)).await;
        let (status, head) = raw.head().await;
        assert!((400..=405).contains(&status), "{target}: {head}");
    }
    assert_eq!(app.fake.seen().len(), 0);
    assert_eq!(app.ledger().await.len(), 0, "nothing was claimed");
}

/// v1, v1beta and v1alpha paths.
#[tokio::test]
async fn every_path_of_the_relay_is_served() {
    let (app, key) = App::ready().await;
    let prompt = json!({ "contents": [{ "parts": [{ "text": "hi" }] }] });
    let content = json!({ "content": { "parts": [{ "text": "hi" }] }, "outputDimensionality": 4 });
    let batch = json!({ "requests": [content, content] });
    let mut calls = vec![
        (Method::POST, "/v1/messages".to_owned(), Some(serde_json::from_str(&hello(false)).unwrap()), "usage"),
        (
            Method::POST,
            "/v1/messages/count_tokens".to_owned(),
            Some(serde_json::from_str(&hello(false)).unwrap()),
            "input_tokens",
        ),
        (Method::GET, "/v1/models?limit=1000".to_owned(), None, "has_more"),
        (Method::GET, "/v1/models/claude-opus-5-5".to_owned(), None, "display_name"),
    ];
    for version in ["v1", "v1beta", "v1alpha"] {
        let path = |rest: &str| format!("/{version}/models{rest}");
        calls.extend([
            (Method::POST, path("/gemini-2.5-pro:generateContent"), Some(prompt.clone()), "candidates"),
            (Method::POST, path("/gemini-2.5-pro:streamGenerateContent"), Some(prompt.clone()), "finishReason"),
            (Method::POST, path("/gemini-2.5-pro:streamGenerateContent?alt=sse"), Some(prompt.clone()), "data: "),
            (Method::POST, path("/gemini-2.5-pro:countTokens"), Some(prompt.clone()), "totalTokens"),
            (Method::POST, path("/gemini-embedding-001:embedContent"), Some(content.clone()), "\"embedding\""),
            (Method::POST, path("/gemini-embedding-001:batchEmbedContents"), Some(batch.clone()), "\"embeddings\""),
            (Method::GET, path("?pageSize=50"), None, "models/gemini-2.5-pro"),
            (Method::GET, path("/gemini-2.5-pro"), None, "inputTokenLimit"),
        ]);
    }
    for (method, path, body, expect) in &calls {
        let gemini = !path.starts_with("/v1/m") || path.contains("gemini") || path.contains("pageSize");
        let request = app.instance.request(method.clone(), path);
        let request = match gemini {
            true => request.header("x-goog-api-key", &key),
            false => request.header("x-api-key", &key).header("anthropic-version", "2023-06-01"),
        };
        let request = match body {
            Some(body) => request.body(body.to_string()),
            None => request,
        };
        let answer = request.send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status == 200 && text.contains(expect), "{path}: {status} {text}");
    }
    let rows = app.ledger().await;
    assert_eq!(rows.len(), calls.len());
    for (row, seen) in rows.iter().zip(app.fake.seen()) {
        assert_eq!(row["status"], "completed", "{row}");
        let said = seen.answered.figures.unwrap_or_default();
        match row["operation"].as_str().unwrap() {
            "generate" | "embed" => {
                assert_eq!(
                    (&row["input_tokens"], &row["output_tokens"]),
                    (&json!(said.input), &json!(said.output)),
                    "{row}"
                );
            }
            _ => assert_eq!((&row["input_tokens"], &row["cost_micros"]), (&Value::Null, &json!(0)), "free: {row}"),
        }
    }
}

/// `/v1/models` belongs to three APIs: `x-goog-api-key`, `?key=` or a `:verb` is Gemini's, `anthropic-version` Anthropic's,
/// else OpenAI's.
#[tokio::test]
async fn v1_models_is_told_apart() {
    let (app, key) = App::ready().await;
    let get = |path: &str| app.instance.request(Method::GET, path);
    for (request, expect) in [
        (get("/v1/models").header("x-api-key", &key).header("anthropic-version", "2023-06-01"), "claude-opus-5-5"),
        (get("/v1/models").bearer_auth(&key).header("anthropic-version", "2026-10-21"), "claude-opus-5-5"),
        (get("/v1/models").header("x-goog-api-key", &key), "models/gemini-2.5-pro"),
        (get(&format!("/v1/models?key={key}")), "models/gemini-2.5-pro"),
        (get("/v1/models/gemini-2.5-pro").header("x-goog-api-key", &key), "models/gemini-2.5-pro"),
        (get("/v1/models/claude-opus-5-5").bearer_auth(&key).header("anthropic-version", "x"), "Claude Opus 5.5"),
        (get("/v1/models").bearer_auth(&key), "speaks the Anthropic and Gemini APIs"),
    ] {
        let text = request.send().await.unwrap().text().await.unwrap();
        assert!(text.contains(expect), "{expect}: {text}");
    }
}

/// `HEAD /` and `HEAD /api/hello` are 200: clients warm their connection with them, without a key.
#[tokio::test]
async fn a_connection_is_warmed_and_then_used() {
    let (app, key) = App::ready().await;
    let mut raw = Raw::connect(app.instance.address).await;
    for path in ["/", "/api/hello"] {
        raw.send(format!("HEAD {path} HTTP/1.1\r\nhost: g\r\nuser-agent: Bun/1.4.0\r\n\r\n")).await;
        assert_eq!(raw.head().await.0, 200, "{path}");
    }
    assert_eq!(app.fake.seen().len(), 0);
    raw.post("/v1/messages?beta=true", &format!("x-api-key: {key}\r\n"), &hello(false)).await;
    assert_eq!(raw.head().await.0, 200);
}

/// Peers B1: on any other path a HEAD is read like every request, and refused before anybody is asked.
#[tokio::test]
async fn b1_a_head_on_another_path_is_refused_like_any_request() {
    let app = App::start().await;
    for (path, status) in [
        ("/v1/messages/../organizations", 400),
        ("/v1/%2e%2e/messages", 400),
        ("/v1//messages", 400),
        ("/v1/messages", 405),
        ("/v1beta/models/gemini-2.5-pro:generateContent", 405),
        ("/v1/nonsense", 404),
        ("/v1/organizations/x", 404),
    ] {
        let mut raw = Raw::connect(app.instance.address).await;
        raw.send(format!("HEAD {path} HTTP/1.1\r\nhost: g\r\nconnection: close\r\n\r\n")).await;
        assert_eq!(raw.head().await.0, status, "{path}");
        assert_eq!(raw.rest().await, "", "{path}: no body");
    }
    assert_eq!(app.fake.seen().len(), 0);
}

/// Other paths of the two APIs pass through only where the operator lets them.
#[tokio::test]
async fn further_paths_pass_where_the_operator_lets_them() {
    let app = App::start_with(&[("PASSTHROUGH_PATHS", "/v1/skills,/v1/organizations/*")]).await;
    app.account("anthropic", "sk-ant-one", json!({})).await;
    let key = app.key(json!({})).await;
    for (path, passes) in
        [("/v1/skills", true), ("/v1/skills/x", false), ("/v1/organizations/x", false), ("/v1/other", false)]
    {
        app.fake.clear();
        let answer = app.instance.request(Method::GET, path).header("x-api-key", &key).send().await.unwrap();
        assert_eq!(answer.status(), 404, "{path}: the fake has no such path either");
        assert_eq!(app.fake.seen().len(), usize::from(passes), "{path}");
    }
}
