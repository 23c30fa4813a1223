//! No secret at rest in the clear, none in an answer, none in a log.

use fake_upstream::{Answer, Script};
use http::StatusCode;
use reqwest::Method;
use serde_json::json;

use crate::{
    support::{ADMIN_TOKEN, App, log_of},
    walk::hello,
};

const PLANTED: &str = "sk-ant-planted-Zx81yQ-0123456789";
const REPLACED: &str = "sk-ant-replaced-Wv72uP-0123456789";

/// A gateway that has been through everything with planted secrets; and every byte that it answered.
async fn lived() -> (App, String, String) {
    let app = App::start().await;
    let mut said = String::new();
    let body = json!({
        "provider": "anthropic", "name": "one", "base_url": app.fake.url(),
        "credential": { "kind": "api_key", "api_key": PLANTED },
    });
    let mut answers = vec![app.instance.operator(Method::POST, "/api/accounts", Some(body.clone())).await];
    // The name is taken; a field is wrong; a credential is wrong.
    answers.push(app.instance.operator(Method::POST, "/api/accounts", Some(body.clone())).await);
    for (name, value) in
        [("weight", json!(PLANTED)), ("credential", json!(PLANTED)), ("models", json!([{ "x": PLANTED }]))]
    {
        let mut wrong = body.clone();
        wrong["name"] = json!("two");
        wrong[name] = value;
        answers.push(app.instance.operator(Method::POST, "/api/accounts", Some(wrong)).await);
    }
    let page = app.instance.manage(Method::GET, "/api/accounts", None).await;
    let path = format!("/api/accounts/{}", page["data"][0]["id"].as_str().unwrap());
    let issued = app.instance.manage(Method::POST, "/api/keys", Some(json!({ "name": "one", "role": "admin" }))).await;
    let key = issued["key"].as_str().unwrap().to_owned();

    app.fake.script(Script::once(Answer::unauthorized()));
    answers.push(app.instance.messages(&key, hello(false)).send().await.unwrap());
    answers.push(app.instance.operator(Method::POST, &format!("{path}/reset"), None).await);
    answers.push(app.instance.messages(&key, hello(true)).send().await.unwrap());
    answers.push(app.instance.operator(Method::POST, &format!("{path}/check"), None).await);
    let replacement = json!({ "credential": { "kind": "api_key", "api_key": REPLACED } });
    answers.push(app.instance.operator(Method::PATCH, &path, Some(replacement)).await);
    answers.push(app.instance.messages(&key, hello(false)).send().await.unwrap());
    for path in [
        "/api/accounts",
        &path,
        "/api/keys",
        "/api/keys/me",
        "/api/stats/requests",
        "/api/stats/summary",
        "/api/health",
    ] {
        answers.push(app.instance.request(Method::GET, path).bearer_auth(&key).send().await.unwrap());
    }
    answers.push(app.instance.operator(Method::DELETE, &path, None).await);
    answers.push(app.instance.messages(&key, hello(false)).send().await.unwrap());
    for answer in answers {
        said += &format!("{:?}\n", answer.headers());
        said += &answer.text().await.unwrap();
    }
    app.ledger().await;
    (app, key, said)
}

/// Everything that the database holds, as text.
async fn dump(app: &App) -> String {
    let tables = app
        .database
        .rows("select table_name as name from information_schema.tables where table_schema = 'public'")
        .await;
    let mut all = String::new();
    for table in tables {
        let name = table["name"].as_str().unwrap();
        for row in app.database.rows(&format!("select t::text as row from {name} t")).await {
            all += &row.to_string();
        }
    }
    all
}

/// A text as it stands in the clear, or in the encodings that a dump may show it in.
fn forms(secret: &str) -> [String; 3] {
    use base64::{Engine, prelude::BASE64_STANDARD};
    let hex = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    [secret.to_owned(), hex, BASE64_STANDARD.encode(secret).trim_end_matches('=').to_owned()]
}

#[tokio::test]
async fn a_planted_secret_is_found_nowhere() {
    let (app, key, said) = lived().await;
    let seen: Vec<_> = app.fake.seen().into_iter().filter_map(|seen| seen.credential).collect();
    assert!(
        seen.contains(&PLANTED.to_owned()) && seen.contains(&REPLACED.to_owned()),
        "upstream it is shown: {seen:?}"
    );
    let dump = dump(&app).await;
    assert!(dump.contains("account.create") && dump.contains("key.create") && dump.contains("completed"));
    for secret in [PLANTED, REPLACED, &key, ADMIN_TOKEN] {
        // A part is as bad as the whole.
        let part = &secret[12..];
        for form in forms(secret).into_iter().chain(forms(part)) {
            assert!(!said.contains(&form), "an answer holds {secret}");
            assert!(!dump.contains(&form), "the database holds {secret}");
            assert!(log_of(&form).is_empty(), "the log holds {secret}");
        }
    }
    // What the upstream is asked holds the account's credential and not the caller's.
    for seen in app.fake.seen() {
        assert!(!format!("{seen:?}").contains(&key[10..]), "{seen:?}");
    }
}

#[tokio::test]
async fn a_key_is_kept_as_its_hash() {
    use sha2::{Digest, Sha256};
    let app = App::start().await;
    let key = app.key(json!({})).await;
    let hash = Sha256::digest(&key).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let kept = app.database.rows("select encode(hash, 'hex') as hash, prefix from api_keys").await;
    assert_eq!(kept, [json!({ "hash": hash, "prefix": key[..10] })]);
}

#[tokio::test]
async fn a_credential_moved_to_another_account_is_not_used() {
    let app = App::start().await;
    let one = app.account("anthropic", "sk-ant-account-one-0123", json!({})).await;
    let two = app.account("anthropic", "sk-ant-account-two-0123", json!({ "priority": 1 })).await;
    let key = app.key(json!({})).await;
    app.database
        .execute(
            "update settings set revision = revision + 1;
             update accounts set credential = (select credential from accounts other where other.id <> accounts.id)",
        )
        .await;
    let answer = app.instance.messages(&key, hello(false)).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    app.ledger().await;
    assert_eq!(app.fake.seen().len(), 0);
    for id in [one, two] {
        let path = format!("/api/accounts/{id}");
        let shown = crate::support::eventually("the accounts are marked", async || {
            let shown = app.instance.manage(Method::GET, &path, None).await;
            (shown["state"] == "needs_auth").then_some(shown)
        });
        assert!(shown.await["last_error"].is_string());
        // A check refuses as well, and a new credential heals.
        let check = app.instance.operator(Method::POST, &format!("{path}/check"), None).await;
        assert_eq!(check.status(), StatusCode::CONFLICT);
        let given = json!({ "credential": { "kind": "api_key", "api_key": "sk-ant-given-anew-0123" } });
        assert_eq!(app.instance.manage(Method::PATCH, &path, Some(given)).await["state"], "ready");
    }
    assert_eq!(app.instance.messages(&key, hello(false)).send().await.unwrap().status(), StatusCode::OK);
    assert_eq!(app.only_seen().credential.as_deref(), Some("sk-ant-given-anew-0123"));
}

#[tokio::test]
async fn the_key_that_seals_can_be_replaced() {
    let (app, key) = App::ready().await;
    let new = "bmV3IHNlc2FtZSBuZXcgc2VzYW1lIDEyMzQ1Njc4OTA=";
    let old = "b3BlbiBzZXNhbWUgb3BlbiBzZXNhbWUgMTIzNDU2Nzg=";
    let both = [("ENCRYPTION_KEY", new), ("ENCRYPTION_KEY_PREVIOUS", old)];
    let rotated = crate::support::Instance::start(&app.database.url, &both).await;
    assert_eq!(rotated.messages(&key, hello(false)).send().await.unwrap().status(), StatusCode::OK);
    let stranger = crate::support::Instance::start(&app.database.url, &[("ENCRYPTION_KEY", new)]).await;
    assert_eq!(stranger.messages(&key, hello(false)).send().await.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(app.fake.seen().len(), 1);
}
