//! The built-in answers: grammar, figures, tool turns, and what stands in the headers.

use crate::client::{Got, events, generate, message, request};
use fake_upstream::{Dialect, Fake, Seen};
use serde_json::{Value, json};

const MESSAGES: &str = "/v1/messages?beta=true";

async fn post(fake: &Fake, target: &str, key: (&str, &str), body: Value) -> Got {
    request(fake.address(), "POST", target, Some(key), &body).await.unwrap()
}

async fn last_seen(fake: &Fake) -> Seen {
    fake.idle().await;
    fake.seen().pop().unwrap()
}

fn types(events: &[Value]) -> String {
    let mut types: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    types.dedup();
    types.join(" ")
}

#[tokio::test]
async fn a_message_streams_by_the_grammar_and_its_figures_are_remembered() {
    let fake = Fake::start().await;
    let events = events(&message(&fake, "sk-a", "hi").await.unwrap().text().await);
    assert_eq!(
        types(&events),
        "message_start content_block_start ping content_block_delta content_block_stop message_delta message_stop"
    );
    let seen = last_seen(&fake).await;
    assert_eq!(seen.answered.usage.unwrap(), events[events.len() - 2]["usage"]);
    let figures = seen.answered.figures.unwrap();
    assert_eq!(figures.prompt(), seen.body.len() as u64 / 4 + 1);
    assert!(figures.output > events[0]["message"]["usage"]["output_tokens"].as_u64().unwrap());
    assert!(seen.answered.finished && !seen.answered.hung_up);
    assert_eq!((seen.credential.as_deref(), seen.dialect), (Some("sk-a"), Dialect::Anthropic));
}

#[tokio::test]
async fn a_plain_message_says_what_the_stream_says() {
    let fake = Fake::start().await;
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "[[say one two]]"}],
        "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        "thinking": {"type": "enabled", "budget_tokens": 1024}});
    let answer = post(&fake, MESSAGES, ("authorization", "Bearer sk-b"), body).await.json().await;
    assert_eq!(answer["content"][0]["type"], "thinking");
    assert_eq!(answer["content"][1], json!({"type": "text", "text": "one two"}));
    let seen = last_seen(&fake).await;
    assert_eq!(seen.answered.usage.as_ref(), Some(&answer["usage"]));
    assert_eq!(seen.path_and_query, MESSAGES);
    assert!(answer["usage"]["cache_creation"]["ephemeral_1h_input_tokens"].as_u64().unwrap() > 0);
    assert!(answer["usage"]["output_tokens_details"]["thinking_tokens"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn anthropic_tools_are_called_and_their_results_quoted() {
    let fake = Fake::start().await;
    let mut body = json!({"model": "m", "stream": true, "tools": [{"name": "Bash", "input_schema": {}}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": r#"[[tool Bash {"command":"echo é"}]]"#}]}]});
    let call = events(&post(&fake, MESSAGES, ("x-api-key", "k"), body.clone()).await.text().await);
    let partial: String = call.iter().filter_map(|event| event["delta"]["partial_json"].as_str()).collect();
    assert_eq!(partial, r#"{"command":"echo é"}"#);
    assert_eq!(call[call.len() - 2]["delta"]["stop_reason"], "tool_use");

    body["stream"] = json!(false);
    body["messages"][0]["content"] = json!([{"type": "tool_result", "tool_use_id": "t", "content": "it said é"}]);
    let closing = post(&fake, MESSAGES, ("x-api-key", "k"), body).await.json().await;
    assert_eq!(closing["content"][0]["text"], "The tool answered: it said é");
}

#[tokio::test]
async fn gemini_streams_in_both_forms_and_says_the_figures_last() {
    let fake = Fake::start().await;
    let sse = generate(&fake, "streamGenerateContent?alt=sse", "[[words 3]]").await.unwrap().text().await;
    let chunks: Vec<Value> = sse
        .split_terminator("\r\n\r\n")
        .map(|chunk| serde_json::from_str(chunk.strip_prefix("data: ").unwrap()).unwrap())
        .collect();
    let array = generate(&fake, "streamGenerateContent", "[[words 3]]").await.unwrap().json().await;
    for chunks in [&chunks, array.as_array().unwrap()] {
        assert_eq!(chunks.len(), 3);
        assert!(chunks[0]["candidates"][0].get("finishReason").is_none());
        assert_eq!(chunks[2]["candidates"][0]["finishReason"], "STOP");
    }
    assert_eq!(last_seen(&fake).await.answered.usage.as_ref(), Some(&array[2]["usageMetadata"]));
    let plain = generate(&fake, "generateContent", "[[words 3]]").await.unwrap().json().await;
    assert_eq!(plain["candidates"][0]["content"]["parts"].as_array().unwrap().len(), 3);
    assert_eq!(plain["usageMetadata"], array[2]["usageMetadata"]);
}

#[tokio::test]
async fn gemini_functions_are_called_and_json_follows_its_schema() {
    let fake = Fake::start().await;
    let mut body = json!({"contents": [{"role": "user", "parts": [{"text": r#"[[tool read_file {"path":"a"}]]"#}]}],
        "tools": [{"functionDeclarations": [{"name": "read_file"}]}]});
    let target = "/v1/models/gemini-2.5-pro:generateContent?key=k";
    let part = |answer: Value| answer["candidates"][0]["content"]["parts"][0].clone();
    let call = part(post(&fake, target, ("accept", "*/*"), body.clone()).await.json().await);
    assert_eq!(call["functionCall"], json!({"name": "read_file", "args": {"path": "a"}}));
    assert!(call["thoughtSignature"].is_string());

    body["generationConfig"] = json!({"responseSchema": {"type": "OBJECT", "properties": {
        "model_choice": {"type": "STRING", "enum": ["flash", "pro"]}}}});
    let routed = generate_parts(&part(post(&fake, target, ("accept", "*/*"), body).await.json().await));
    assert_eq!(routed, json!({"model_choice": "flash"}));
}

fn generate_parts(part: &Value) -> Value {
    serde_json::from_str(part["text"].as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn searches_raise_the_figures_after_the_start() {
    let fake = Fake::start().await;
    let events = events(&message(&fake, "a", "[[search 2]]").await.unwrap().text().await);
    let (start, end) = (&events[0]["message"]["usage"], &events[events.len() - 2]["usage"]);
    let grown = |field: &str| end[field].as_u64().unwrap() - start[field].as_u64().unwrap();
    assert_eq!((grown("input_tokens"), grown("cache_read_input_tokens")), (800, 600));
    assert_eq!(end["server_tool_use"]["web_search_requests"], 2);

    let answer = generate(&fake, "generateContent", "[[search 2]]").await.unwrap().json().await;
    assert_eq!(answer["candidates"][0]["groundingMetadata"]["webSearchQueries"], json!(["query 1", "query 2"]));
    let usage = &answer["usageMetadata"];
    let count = |field: &str| usage[field].as_u64().unwrap();
    assert_eq!(count("toolUsePromptTokenCount"), 200);
    assert_eq!(count("totalTokenCount"), count("promptTokenCount") + 200 + count("candidatesTokenCount"));
}

#[tokio::test]
async fn the_other_calls_answer_in_their_shapes() {
    let fake = Fake::start().await;
    let content = json!({"model": "m", "contents": [], "messages": [], "content": {"parts": [{"text": "x"}]},
        "requests": [{"content": {}}, {"content": {}}]});
    let cases = [
        ("POST", "/v1/messages/count_tokens", "x-api-key", 200, "/input_tokens"),
        ("GET", "/v1/models", "x-api-key", 200, "/data/0/id"),
        ("GET", "/v1/models/claude-opus-5-5", "x-api-key", 200, "/display_name"),
        ("GET", "/v1/models/claude-none", "x-api-key", 404, "/error/type"),
        ("GET", "/v1/nowhere", "x-api-key", 404, "/request_id"),
        ("POST", "/v1/messages", "x-nothing", 401, "/error/type"),
        ("GET", "/v1/models", "x-goog-api-key", 200, "/models/0/name"),
        ("GET", "/v1alpha/models/gemini-2.5-pro", "x-goog-api-key", 200, "/displayName"),
        ("GET", "/v1beta/models/none", "x-goog-api-key", 404, "/error/status"),
        ("POST", "/v1beta/models/m:countTokens", "x-goog-api-key", 200, "/totalTokens"),
        ("POST", "/v1beta/models/m:embedContent", "x-goog-api-key", 200, "/embedding/values/767"),
        ("POST", "/v1/models/m:batchEmbedContents", "x-goog-api-key", 200, "/embeddings/1/values"),
        ("POST", "/v1beta/models/m:generateContent", "x-goog-api-key", 400, "/error/status"),
        ("POST", "/v1beta/models/m:generateContent", "x-nothing", 401, "/error/status"),
        ("POST", "/v1beta/models/m:streamGenerateContent", "x-nothing", 401, "/0/error/status"),
        ("POST", "/v1beta/models/m:unheardOf", "x-goog-api-key", 404, "/error/status"),
    ];
    for (method, target, header, status, pointer) in cases {
        let mut got = request(fake.address(), method, target, Some((header, "k")), &content).await.unwrap();
        let answer = got.json().await;
        assert_eq!(got.status, status, "{target}: {answer}");
        assert!(answer.pointer(pointer).is_some(), "{target}: {answer}");
    }
}

#[tokio::test]
async fn headers_name_the_organization_and_the_limits_of_the_account() {
    let fake = Fake::start().await;
    let mut organizations = Vec::new();
    for key in ["sk-a@1", "sk-a@2", "sk-b"] {
        let got = message(&fake, key, "hi").await.unwrap();
        organizations.push(got.headers["anthropic-organization-id"].clone());
        for name in ["request-id", "set-cookie", "via", "cf-ray", "server", "anthropic-ratelimit-requests-limit"] {
            assert!(got.headers.contains_key(name), "{name}");
        }
    }
    assert_eq!(organizations[0], organizations[1]);
    assert_ne!(organizations[0], organizations[2]);
    let oauth = message(&fake, "sk-ant-oat01-x", "hi").await.unwrap();
    assert_eq!(oauth.headers["anthropic-ratelimit-unified-status"], "allowed");
}
