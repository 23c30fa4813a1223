//! Errors in the caller's own protocol, before anything is claimed or sent.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::{
    support::{App, Raw},
    walk::hello,
};

const PROMPT: &str = r#"{"contents":[{"parts":[{"text":"hi"}]}]}"#;

/// What a refusal must say, and in whose words.
struct Refusal {
    status: u16,
    words: Words,
    /// What the message must speak of.
    about: &'static str,
    /// Whether a retry is asked not to be made.
    final_word: bool,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Words {
    Anthropic(&'static str),
    Gemini(&'static str),
    GeminiArray(&'static str),
    OpenAi,
}

impl Refusal {
    fn of(status: u16, words: Words, about: &'static str) -> Self {
        Self { status, words, about, final_word: true }
    }

    async fn check(&self, what: &str, request: RequestBuilder) {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), self.status, "{what}");
        let headers = answer.headers().clone();
        assert_eq!(headers["content-type"], "application/json", "{what}");
        assert!(headers["x-request-id"].to_str().unwrap().starts_with("req_"), "{what}");
        let retry = headers.get("x-should-retry").map(|value| value.to_str().unwrap());
        assert_eq!(retry, self.final_word.then_some("false"), "{what}");
        let text = answer.text().await.unwrap();
        let body: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{what}: {text}"));
        let message = match self.words {
            Words::Anthropic(kind) => {
                assert_eq!((&body["type"], &body["error"]["type"]), (&json!("error"), &json!(kind)), "{what}: {text}");
                assert_eq!(body["request_id"], headers["request-id"].to_str().unwrap(), "{what}");
                &body["error"]["message"]
            }
            Words::Gemini(status) | Words::GeminiArray(status) => {
                let error = if self.words == Words::GeminiArray(status) { &body[0]["error"] } else { &body["error"] };
                assert_eq!(error["status"], status, "{what}: {text}");
                assert_eq!(error["code"], self.status, "{what}: {text}");
                &error["message"]
            }
            Words::OpenAi => &body["error"]["message"],
        };
        let message = message.as_str().unwrap_or_else(|| panic!("{what}: {text}"));
        assert!(message.contains(self.about), "{what}: {message}");
    }
}

async fn nothing_happened(app: &App) {
    assert_eq!(app.fake.seen().len(), 0, "nothing was sent");
    assert_eq!(app.ledger().await.len(), 0, "nothing was claimed");
}

#[tokio::test]
async fn wrong_keys_are_told_in_each_dialect() {
    let (app, good) = App::ready().await;
    let expired = app.key(json!({ "name": "old" })).await;
    app.database.execute("update api_keys set expires_at = now() - interval '1 hour' where name = 'old'").await;
    let revoked = app.key(json!({ "name": "gone" })).await;
    app.database.execute("update api_keys set revoked_at = now() where name = 'gone'").await;
    let viewer = app.key(json!({ "role": "viewer" })).await;
    let last = good.chars().last().unwrap();
    let mistyped = format!("{}{}", &good[..good.len() - 1], if last == 'a' { 'b' } else { 'a' });
    // Of the right form and checksum, and never issued: issued by another gateway.
    let unknown = App::start().await.key(json!({})).await;
    for (key, about, kind, status) in [
        ("", "no API key was sent", "authentication_error", 401),
        ("sk-ant-foreign", "was not issued by this gateway", "authentication_error", 401),
        (&mistyped, "typing error", "authentication_error", 401),
        (&unknown, "was not issued by this gateway", "authentication_error", 401),
        (&revoked, "revoked", "authentication_error", 401),
        (&expired, "expired", "authentication_error", 401),
        (&viewer, "viewer", "permission_error", 403),
    ] {
        let (code, word) = if status == 401 { (400, "INVALID_ARGUMENT") } else { (403, "PERMISSION_DENIED") };
        let say = Refusal::of(status, Words::Anthropic(kind), about);
        say.check(about, app.instance.messages(key, hello(false))).await;
        say.check(about, app.instance.messages(key, hello(true))).await;
        let say = Refusal::of(code, Words::Gemini(word), about);
        say.check(about, app.instance.gemini(key, "gemini-2.5-pro:generateContent", PROMPT)).await;
        say.check(about, app.instance.gemini(key, "gemini-2.5-pro:streamGenerateContent?alt=sse", PROMPT)).await;
        let say = Refusal::of(code, Words::GeminiArray(word), about);
        say.check(about, app.instance.gemini(key, "gemini-2.5-pro:streamGenerateContent", PROMPT)).await;
    }
    nothing_happened(&app).await;
}

#[tokio::test]
async fn what_a_key_may_not_call_is_refused() {
    let (app, _) = App::ready().await;
    let narrow = app.key(json!({ "providers": ["anthropic"], "models": ["claude-haiku-*"] })).await;
    let say = Refusal::of(403, Words::Gemini("PERMISSION_DENIED"), "gemini");
    say.check("provider", app.instance.gemini(&narrow, "gemini-2.5-pro:generateContent", PROMPT)).await;
    let say = Refusal::of(400, Words::Anthropic("invalid_request_error"), "claude-sonnet-5-5");
    say.check("model", app.instance.messages(&narrow, hello(true))).await;
    nothing_happened(&app).await;
}

#[tokio::test]
async fn a_pool_without_an_account_says_so() {
    let app = App::start().await;
    let key = app.key(json!({})).await;
    let say = Refusal { final_word: false, ..Refusal::of(503, Words::Anthropic("api_error"), "no anthropic account") };
    say.check("anthropic", app.instance.messages(&key, hello(true))).await;
    let say = Refusal { final_word: false, ..Refusal::of(503, Words::Gemini("UNAVAILABLE"), "no gemini account") };
    say.check("gemini", app.instance.gemini(&key, "gemini-2.5-pro:generateContent", PROMPT)).await;
    app.account("anthropic", "sk-ant-one", json!({ "models": ["claude-haiku-*"] })).await;
    let say = Refusal::of(400, Words::Anthropic("invalid_request_error"), "claude-sonnet-5-5");
    say.check("unserved model", app.instance.messages(&key, hello(true))).await;
    nothing_happened(&app).await;
}

#[tokio::test]
async fn wrong_paths_and_methods_are_told() {
    let (app, key) = App::ready().await;
    let anthropic = |kind| Words::Anthropic(kind);
    for (method, path, status, words) in [
        (Method::POST, "/v1/nonsense", 404, anthropic("not_found_error")),
        (Method::POST, "/v1/organizations/x", 404, anthropic("not_found_error")),
        (Method::GET, "/v1/skills", 404, anthropic("not_found_error")),
        (Method::GET, "/v1/messages", 405, anthropic("invalid_request_error")),
        (Method::DELETE, "/v1/messages/count_tokens", 405, anthropic("invalid_request_error")),
        (Method::POST, "/v1beta/nonsense", 404, Words::Gemini("NOT_FOUND")),
        (Method::POST, "/v1beta/models/gemini-2.5-pro:selfDestruct", 404, Words::Gemini("NOT_FOUND")),
        (Method::POST, "/v1alpha/authTokens", 404, Words::Gemini("NOT_FOUND")),
        (Method::GET, "/v1beta/models/gemini-2.5-pro:generateContent", 405, Words::Gemini("INVALID_ARGUMENT")),
        (Method::POST, "/v1/chat/completions", 404, Words::OpenAi),
        (Method::GET, "/v1/models", 404, Words::OpenAi),
    ] {
        let request = app.instance.request(method, path).bearer_auth(&key);
        Refusal::of(status, words, "").check(path, request).await;
    }
    nothing_happened(&app).await;
}

#[tokio::test]
async fn wrong_bodies_are_told() {
    let (app, key) = App::ready().await;
    let say = Refusal::of(400, Words::Anthropic("invalid_request_error"), "");
    for body in [
        "",
        "not json",
        "[]",
        "{\"model\":\"m\"",
        "{\"model\":\"m\"}x",
        "{\"messages\":[]}",
        "{\"model\":7}",
        "{\"model\":\"\"}",
    ] {
        say.check(body, app.instance.messages(&key, body)).await;
    }
    let say = Refusal::of(400, Words::Gemini("INVALID_ARGUMENT"), "");
    for body in ["", "not json", "[]", "{"] {
        say.check(body, app.instance.gemini(&key, "gemini-2.5-pro:generateContent", body)).await;
    }
    let packed = app.instance.messages(&key, hello(false)).header("content-encoding", "gzip");
    Refusal::of(400, Words::Anthropic("invalid_request_error"), "content-encoding").check("gzip", packed).await;
    nothing_happened(&app).await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_declared_or_not() {
    let app = App::start_with(&[("MAX_BODY_BYTES", "1000")]).await;
    app.account("anthropic", "sk-ant-one", json!({})).await;
    let key = app.key(json!({})).await;
    let big = format!(r#"{{"model":"m","x":"{}"}}"#, "x".repeat(2000));
    let say = Refusal::of(413, Words::Anthropic("request_too_large"), "1000 bytes");
    say.check("declared", app.instance.messages(&key, big.clone())).await;
    let say = Refusal::of(413, Words::Gemini("INVALID_ARGUMENT"), "1000 bytes");
    say.check("declared", app.instance.gemini(&key, "gemini-2.5-pro:generateContent", big.clone())).await;

    // Declared, and refused before a byte of it is sent.
    let mut raw = Raw::connect(app.instance.address).await;
    raw.send(format!("POST /v1/messages HTTP/1.1\r\nhost: g\r\nx-api-key: {key}\r\ncontent-length: 50000\r\n\r\n"))
        .await;
    assert_eq!(raw.head().await.0, 413);
    // In chunks, refused when they are too many.
    let mut raw = Raw::connect(app.instance.address).await;
    raw.send(format!(
        "POST /v1/messages HTTP/1.1\r\nhost: g\r\nx-api-key: {key}\r\ntransfer-encoding: chunked\r\n\r\n"
    ))
    .await;
    raw.send(format!("{:x}\r\n{big}\r\n", big.len())).await;
    assert_eq!(raw.head().await.0, 413);
    // As large as it may be.
    let whole = r#"{"model":"m","messages":[{"role":"user","content":""}]}"#;
    let room = 1000 - whole.len();
    let fits = whole.replace("\"\"", &format!("\"{}\"", "x".repeat(room)));
    let over = whole.replace("\"\"", &format!("\"{}\"", "x".repeat(room + 1)));
    assert_eq!(app.instance.messages(&key, over).send().await.unwrap().status(), 413);
    assert_eq!(app.fake.seen().len(), 0);
    assert_eq!(app.instance.messages(&key, fits).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn without_a_key_no_byte_of_the_body_is_waited_for() {
    let (app, key) = App::ready().await;
    let last = key.chars().last().unwrap();
    let wrong = format!("{}{}", &key[..key.len() - 1], if last == 'a' { 'b' } else { 'a' });
    for (path, header, status) in [
        ("/v1/messages", String::new(), 401),
        ("/v1/messages", format!("x-api-key: {wrong}\r\n"), 401),
        ("/v1beta/models/gemini-2.5-pro:generateContent", String::new(), 400),
        ("/v1/nonsense", format!("x-api-key: {key}\r\n"), 404),
        ("/v1//messages", format!("x-api-key: {key}\r\n"), 400),
    ] {
        let mut raw = Raw::connect(app.instance.address).await;
        raw.send(format!("POST {path} HTTP/1.1\r\nhost: g\r\n{header}content-length: 30000000\r\n\r\n")).await;
        assert_eq!(raw.head().await.0, status, "{path} {header}");
    }
    nothing_happened(&app).await;
}

#[tokio::test]
async fn a_database_that_is_away_is_told_in_the_dialect() {
    let app = App::start().await;
    let key = app.key(json!({})).await;
    let nowhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://x:x@{}/x?connect_timeout=2", nowhere.local_addr().unwrap());
    drop(nowhere);
    let cut_off = crate::support::Instance::start(&url, &[]).await;
    let say = Refusal { final_word: false, ..Refusal::of(503, Words::Anthropic("api_error"), "") };
    say.check("anthropic", cut_off.messages(&key, hello(true))).await;
    let say = Refusal { final_word: false, ..Refusal::of(503, Words::Gemini("UNAVAILABLE"), "") };
    say.check("gemini", cut_off.gemini(&key, "gemini-2.5-pro:generateContent", PROMPT)).await;
}
