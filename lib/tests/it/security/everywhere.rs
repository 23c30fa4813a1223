//! What holds of a key on one path holds on all of them.

use reqwest::{Method, RequestBuilder};
use serde_json::json;

use crate::{
    support::{App, keys::limited},
    walk::hello,
};

const PROMPT: &str = r#"{"contents":[{"parts":[{"text":"hi"}]}]}"#;
const PATHS: [&str; 9] = [
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1beta/models/gemini-2.5-pro:generateContent",
    "/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse",
    "/v1beta/models/gemini-2.5-pro:countTokens",
    "/v1beta/models/gemini-embedding-001:embedContent",
    "/v1internal:generateContent",
    "/v1internal:streamGenerateContent?alt=sse",
    "/v1internal:countTokens",
];

/// The same call with the key as the caller's, and beside a login of the caller's own.
fn calls(app: &App, path: &str, key: &str) -> [RequestBuilder; 2] {
    let body = match path {
        _ if path.starts_with("/v1internal") => {
            json!({ "model": "gemini-2.5-pro", "project": "p", "request": { "contents": [] } }).to_string()
        }
        _ if path.starts_with("/v1/") => hello(false),
        _ => PROMPT.to_owned(),
    };
    let call = || app.instance.request(Method::POST, path).body(body.clone());
    [call().bearer_auth(key), call().bearer_auth("callers-own-login").header("x-gateway-key", key)]
}

/// A10: each rule of a key, on every path that models are called by, with a login of one's own too: nothing is sent.
#[tokio::test]
async fn every_rule_of_a_key_holds_on_every_path() {
    let (app, _) = App::ready().await;
    app.login("gemini", 3_600).await;
    let used = async |limits| {
        let (id, key) = limited(&app, limits).await;
        let path = format!("/api/keys/{id}");
        app.instance.manage(Method::PATCH, &path, Some(json!({ "allow_passthrough": true }))).await;
        assert_eq!(app.instance.messages(&key, hello(false)).send().await.unwrap().status(), 200);
        key
    };
    let own = |more: serde_json::Value| {
        let mut fields = json!({ "allow_passthrough": true });
        fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        app.key(fields)
    };
    let rules = [
        ("networks", own(json!({ "allowed_cidrs": ["192.0.2.0/24"] })).await, 403),
        ("role", own(json!({ "role": "viewer" })).await, 403),
        ("requests a minute", used(json!({ "requests_per_minute": 1 })).await, 429),
        ("requests a day", used(json!({ "requests_per_day": 1 })).await, 429),
        ("requests in five hours", used(json!({ "windows": [{ "hours": 5, "requests": 1 }] })).await, 429),
    ];
    app.ledger().await;
    let sent = app.fake.seen().len();
    for (rule, key, status) in rules {
        for path in PATHS {
            for call in calls(&app, path, &key) {
                let answer = call.send().await.unwrap();
                let (got, text) = (answer.status().as_u16(), answer.text().await.unwrap());
                assert_eq!(got, status, "{rule} {path}: {text}");
            }
        }
    }
    assert_eq!(app.fake.seen().len(), sent, "nothing went upstream");
}
