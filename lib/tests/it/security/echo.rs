//! An upstream's error that repeats the credential it was sent: the caller gets the error without it, and with nothing else changed.

use fake_upstream::{Answer, Encoding, Script};
use serde_json::json;

use crate::{
    support::{App, log_of, soon},
    walk::hello,
};

/// No provider's keys look like this: it is known by what it is, not by how it begins.
const CREDENTIAL: &str = "planted/Echo-7f3a";
const TAKEN_OUT: &str = "***";

/// Errors that repeat the credential, each with what the caller must get.
fn errors() -> Vec<(Answer, String)> {
    let anthropic = |word: &str| {
        let message = format!("no such key: {word}, and again {word}; \u{e9} planted/Echo-7f3");
        json!({ "type": "error", "error": { "type": "invalid_request_error", "message": message }, "n": 1.50 })
            .to_string()
    };
    let text = |status, word: &str| Answer::text(status, "application/json", &anthropic(word));
    let escaped = CREDENTIAL.replace('/', "\\/");
    let in_json = |word: &str| format!("{{\"error\":{{\"message\":\"bad key {word}\"}}}}");
    vec![
        (text(400, CREDENTIAL), anthropic(TAKEN_OUT)),
        (text(401, CREDENTIAL), anthropic(TAKEN_OUT)),
        (text(500, CREDENTIAL), anthropic(TAKEN_OUT)),
        (Answer { encoding: Some(Encoding::Gzip), ..text(400, CREDENTIAL) }, anthropic(TAKEN_OUT)),
        (Answer { encoding: Some(Encoding::Zstd), ..text(529, CREDENTIAL) }, anthropic(TAKEN_OUT)),
        (Answer::text(403, "application/json", &in_json(&escaped)), in_json(TAKEN_OUT)),
        (Answer::text(502, "text/html", &format!("<p>{CREDENTIAL}</p>")), format!("<p>{TAKEN_OUT}</p>")),
        (
            Answer::text(400, "text/plain", &format!("{}{CREDENTIAL}", "x".repeat(40_000))),
            format!("{}{TAKEN_OUT}", "x".repeat(40_000)),
        ),
        // What repeats nothing stays as it came, packed or not.
        (text(400, "sk-ant-of-somebody-else"), anthropic("sk-ant-of-somebody-else")),
    ]
}

#[tokio::test]
async fn an_error_that_repeats_the_accounts_credential_reaches_the_caller_without_it() {
    for login in [false, true] {
        let app = App::start().await;
        let credential = if login {
            json!({ "kind": "oauth", "access_token": CREDENTIAL, "refresh_token": "planted-refresh-1", "expires_at": soon(3_600) })
        } else {
            json!({ "kind": "api_key", "api_key": CREDENTIAL })
        };
        let id = app.account("anthropic", "one", json!({ "credential": credential, "entitled": true })).await;
        let key = app.key(json!({})).await;
        for (answer, expect) in errors() {
            for stream in [false, true] {
                app.fake.clear();
                app.fake.script(Script::always(
                    answer.clone().with_header("x-told", CREDENTIAL).with_header("x-kept", "yes"),
                ));
                app.instance.manage(reqwest::Method::POST, &format!("/api/accounts/{id}/reset"), None).await;
                let got = app
                    .instance
                    .messages(&key, hello(stream))
                    .header("accept-encoding", "gzip, zstd")
                    .send()
                    .await
                    .unwrap();
                let headers = got.headers().clone();
                assert_eq!(
                    (got.status().as_u16(), &headers["x-kept"]),
                    (answer.status, &"yes".parse().unwrap()),
                    "{answer:?}"
                );
                assert!(!headers.contains_key("x-told"), "{headers:?}");
                assert!(!headers.contains_key("content-encoding"), "{headers:?}");
                assert_eq!(got.text().await.unwrap(), expect, "{answer:?}");
            }
        }
        let shown = app.shown(&id).await.to_string();
        let kept = format!("{shown} {:?}", app.ledger().await);
        assert!(!kept.contains(CREDENTIAL), "{kept}");
        assert_eq!(log_of(CREDENTIAL), Vec::<String>::new());
    }
}

/// The first event of a stream may be the error; and a good answer is none of ours, whatever it says.
#[tokio::test]
async fn an_event_that_repeats_the_credential_loses_it_and_a_good_answer_keeps_every_byte() {
    let app = App::start().await;
    app.account("anthropic", CREDENTIAL, json!({ "name": "one" })).await;
    let key = app.key(json!({})).await;
    let error = |word: &str| {
        let error = json!({ "type": "error", "error": { "type": "authentication_error", "message": format!("invalid x-api-key {word}") } });
        format!("event: error\ndata: {error}\n\n")
    };
    app.fake.script(Script::always(Answer::text(200, "text/event-stream", &error(CREDENTIAL))));
    let text = app.instance.messages(&key, hello(true)).send().await.unwrap().text().await.unwrap();
    assert_eq!(text, error(TAKEN_OUT));

    let (app, key) = App::ready().await;
    let good = json!({ "type": "message", "content": [{ "type": "text", "text": "sk-ant-one" }], "usage": { "input_tokens": 1, "output_tokens": 1 } });
    app.fake.script(Script::always(Answer::text(200, "application/json", &good.to_string())));
    let text = app.instance.messages(&key, hello(false)).send().await.unwrap().text().await.unwrap();
    assert_eq!(text, good.to_string());
}
