//! Logins as operators give them, as upstreams get them, and as nobody ever sees them.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    support::{App, log_of, soon},
    walk::hello,
};

async fn refusal(app: &App, method: Method, path: &str, body: Value) -> (u16, Value) {
    let answer = app.instance.operator(method, path, Some(body)).await;
    let status = answer.status().as_u16();
    let body: Value = serde_json::from_str(&answer.text().await.expect("a body")).expect("JSON");
    (status, body["error"].clone())
}

#[tokio::test]
async fn a_login_needs_the_operators_statement() {
    let app = App::with_logins().await;
    let login = json!({ "kind": "oauth", "access_token": "access-1" });
    let new = |entitled: Value| {
        let base_url = app.fake.url();
        json!({ "provider": "anthropic", "name": "a", "base_url": base_url, "credential": login, "entitled": entitled })
    };
    for entitled in [Value::Null, json!(false)] {
        let (status, error) = refusal(&app, Method::POST, "/api/accounts", new(entitled)).await;
        assert_eq!((status, &error["param"]), (400, &json!("entitled")));
        assert!(error["message"].as_str().unwrap().contains("terms"), "{error}");
    }
    let account = app.instance.manage(Method::POST, "/api/accounts", Some(new(json!(true)))).await;
    assert_eq!(account["entitled"], true);
    let path = format!("/api/accounts/{}", account["id"].as_str().unwrap());
    let (status, error) = refusal(&app, Method::PATCH, &path, json!({ "credential": login })).await;
    assert_eq!((status, &error["param"]), (400, &json!("entitled")));
    // It cannot be taken back while the login is there.
    let (status, error) = refusal(&app, Method::PATCH, &path, json!({ "entitled": false })).await;
    assert_eq!(status, 409, "{error}");
    // Other changes do not ask again, and a key needs no statement.
    let key = json!({ "kind": "api_key", "api_key": "sk-ant-1" });
    for change in [json!({ "note": "x" }), json!({ "entitled": true }), json!({ "credential": key })] {
        app.instance.manage(Method::PATCH, &path, Some(change)).await;
    }
    assert_eq!(app.shown(account["id"].as_str().unwrap()).await["credential"]["kind"], "api_key");
}

#[tokio::test]
async fn both_login_files_are_imported_and_serve() {
    let app = App::with_logins().await;
    let claude = json!({ "claudeAiOauth": {
        "accessToken": "sk-ant-oat01-imported-0001", "refreshToken": "sk-ant-ort01-imported", "expiresAt": 4_000_000_000_000_i64,
        "scopes": ["user:inference"], "subscriptionType": "max",
    }});
    let google = json!({
        "access_token": "ya29.imported-token-0002", "refresh_token": "1//imported", "expiry_date": 4_000_000_000_000_i64,
        "scope": "https://www.googleapis.com/auth/cloud-platform", "token_type": "Bearer", "id_token": "e.y.J",
    });
    let import = |name: &str, contents: Value, more: Value| {
        let mut body = json!({ "name": name, "contents": contents, "base_url": app.fake.url(), "entitled": true });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let path = "/api/accounts/import";
    let (status, error) =
        refusal(&app, Method::POST, path, import("no", claude.clone(), json!({ "entitled": null }))).await;
    assert_eq!((status, &error["param"]), (400, &json!("entitled")));
    let sourced = json!({ "access_token": "a", "token_file": "/etc/passwd" });
    let (status, error) = refusal(&app, Method::POST, path, import("no", sourced, json!({}))).await;
    assert_eq!((status, &error["param"]), (400, &json!("contents")));

    let body = import("c", Value::String(claude.to_string()), json!({ "priority": 3, "max_in_flight": 2 }));
    let account = app.instance.manage(Method::POST, path, Some(body)).await;
    assert_eq!((&account["provider"], &account["priority"]), (&json!("anthropic"), &json!(3)));
    let credential = json!({ "kind": "oauth", "hint": "…0001", "expires_at": "2096-10-02T07:06:40Z" });
    assert_eq!(account["credential"], credential);
    let body = import("g", google, json!({ "project": "my-project" }));
    let account = app.instance.manage(Method::POST, path, Some(body)).await;
    assert_eq!((&account["provider"], &account["credential"]["hint"]), (&json!("gemini"), &json!("…0002")));

    let key = app.key(json!({})).await;
    let ask = json!({ "contents": [{ "role": "user", "parts": [{ "text": "hi" }] }] }).to_string();
    let call = app.instance.messages(&key, hello(false)).header("anthropic-beta", "b-2, a-1");
    assert_eq!(call.send().await.unwrap().status(), 200);
    let call = app.instance.gemini(&key, "gemini-2.5-pro:generateContent", ask).header("x-goog-user-project", "theirs");
    assert_eq!(call.send().await.unwrap().status(), 200);
    let [anthropic, gemini] = app.fake.seen().try_into().unwrap();
    assert_eq!(anthropic.header_values("authorization"), ["Bearer sk-ant-oat01-imported-0001"]);
    assert_eq!(anthropic.header_values("anthropic-beta"), ["b-2, a-1,oauth-2025-04-20"]);
    assert_eq!(anthropic.header_values("x-api-key"), Vec::<&str>::new());
    assert_eq!(gemini.header_values("authorization"), ["Bearer ya29.imported-token-0002"]);
    assert_eq!(gemini.header_values("x-goog-user-project"), Vec::<&str>::new());
    let sent: Value = serde_json::from_slice(&gemini.body).unwrap();
    assert_eq!(
        (gemini.path_and_query.as_str(), &sent["project"]),
        ("/v1internal:generateContent", &json!("my-project"))
    );
    assert_eq!(gemini.header_values("x-goog-api-key"), Vec::<&str>::new());
}

#[tokio::test]
async fn no_token_is_ever_shown_logged_or_kept_in_the_clear() {
    let app = App::with_logins().await;
    let id = app.login("anthropic", -60).await;
    app.give_one_pair();
    let key = app.key(json!({})).await;
    assert_eq!(app.instance.messages(&key, hello(true)).send().await.unwrap().status(), 200);
    let again =
        json!({ "kind": "oauth", "access_token": "access-3", "refresh_token": "refresh-3", "expires_at": soon(-1) });
    let change = json!({ "credential": again, "entitled": true });
    app.instance.manage(Method::PATCH, &format!("/api/accounts/{id}"), Some(change)).await;
    assert_eq!(app.instance.messages(&key, hello(false)).send().await.unwrap().status(), 503);
    app.ledger().await;

    let mut told = log_of("").join("\n");
    assert!(told.contains("a login was renewed") && told.contains("a login could not be renewed"), "{told}");
    told += &app.shown(&id).await.to_string();
    told += &app.instance.manage(Method::GET, "/api/accounts", None).await.to_string();
    let audit = app.database.rows("select * from audit_log").await;
    assert_eq!(audit.len(), 3, "an account, a key and a change: a renewal is nobody's act");
    for table in ["accounts", "refreshes", "audit_log", "ledger", "leases"] {
        let rows = app.database.rows(&format!("select *, {table}::text as whole from {table}")).await;
        told += &serde_json::to_string(&rows).unwrap();
    }
    let sealed = app.database.rows("select encode(credential, 'escape') as it from accounts").await;
    told += &serde_json::to_string(&sealed).unwrap();
    for secret in ["access-1", "access-2", "access-3", "refresh-1", "refresh-2", "refresh-3"] {
        assert!(!told.contains(secret), "{secret} in {told}");
        assert!(!told.contains(&hex(secret)), "{secret} in hex");
    }
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}
