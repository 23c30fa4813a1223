//! `/api/accounts`: add, list, change, check, pause and remove, by the contract's names.

use fake_upstream::{Answer, Script};
use http::StatusCode;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    support::{App, refused},
    walk::hello,
};

/// What the contract says an account in an answer has.
const FIELDS: [&str; 27] = [
    "id",
    "provider",
    "name",
    "credential",
    "base_url",
    "pool",
    "priority",
    "weight",
    "max_in_flight",
    "requests_per_minute",
    "tokens_per_minute",
    "models",
    "model_map",
    "note",
    "use_paid_overage",
    "state",
    "state_reason",
    "state_until",
    "in_flight",
    "reported_limits",
    "last_used_at",
    "last_checked_at",
    "last_error",
    "usage_today",
    "created_at",
    "updated_at",
    "paused",
];

fn body(name: &str, more: &Value) -> Value {
    let mut body = json!({
        "provider": "anthropic", "name": name, "credential": { "kind": "api_key", "api_key": "sk-ant-secret-0123456789" },
    });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

#[tokio::test]
async fn an_account_is_shown_whole_and_without_its_secret() {
    let app = App::start().await;
    let full = json!({
        "base_url": "https://llm.example.com/prefix", "pool": "search", "priority": 2, "weight": 3, "max_in_flight": 4,
        "models": ["claude-sonnet-*"], "model_map": { "claude-sonnet-5-5": "sonnet" }, "note": "mine",
    });
    let answer = app.instance.operator(Method::POST, "/api/accounts", Some(body("one", &full))).await;
    assert_eq!(answer.status(), StatusCode::CREATED);
    assert_eq!(answer.headers()["content-type"], "application/json");
    let added: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    let missing: Vec<_> = FIELDS.iter().filter(|name| added.get(**name).is_none()).collect();
    assert!(missing.is_empty(), "{missing:?} of {added}");
    for (name, value) in full.as_object().unwrap() {
        assert_eq!(&added[name], value, "{name}");
    }
    assert_eq!(added["credential"], json!({ "kind": "api_key", "hint": "…6789", "expires_at": null }));
    assert_eq!((&added["state"], &added["in_flight"]), (&json!("ready"), &json!(0)));
    assert_eq!(added["usage_today"], json!({ "requests": 0, "errors": 0, "tokens": 0, "cost_usd": 0.0 }));
    assert!(added["id"].as_str().unwrap().starts_with("acc_"));
    let shown =
        app.instance.manage(Method::GET, &format!("/api/accounts/{}", added["id"].as_str().unwrap()), None).await;
    assert_eq!(shown, added, "what was answered is what is kept, times and all");
}

#[tokio::test]
async fn every_mistake_in_an_account_is_named() {
    let app = App::start().await;
    app.instance.manage(Method::GET, "/api/accounts", None).await;
    let credential = |credential: Value| json!({ "credential": credential });
    for (more, param) in [
        (json!({ "provider": "openai" }), "provider"),
        (json!({ "provider": 1 }), "provider"),
        (json!({ "provider": null }), "provider"),
        (json!({ "name": "" }), "name"),
        (json!({ "name": ["x"] }), "name"),
        (json!({ "name": "x\u{0}y" }), "name"),
        (json!({ "name": "x".repeat(2_001) }), "name"),
        (json!({ "base_url": "ftp://example.com" }), "base_url"),
        (json!({ "base_url": "https://user:word@example.com" }), "base_url"),
        (json!({ "pool": 3 }), "pool"),
        (json!({ "priority": -1 }), "priority"),
        (json!({ "priority": 1.5 }), "priority"),
        (json!({ "weight": 0 }), "weight"),
        (json!({ "weight": "1" }), "weight"),
        (json!({ "max_in_flight": 0 }), "max_in_flight"),
        (json!({ "models": "claude-*" }), "models"),
        (json!({ "models": ["["] }), "models"),
        (json!({ "model_map": { "a": 1 } }), "model_map"),
        (json!({ "note": {} }), "note"),
        (json!({ "wieght": 2 }), "wieght"),
        (json!({ "id": "acc_mine" }), "id"),
        (json!({ "credential": null }), "credential"),
        (json!({ "credential": "sk-ant-x" }), "credential"),
        (credential(json!({})), "credential.kind"),
        (credential(json!({ "kind": "password" })), "credential.kind"),
        (credential(json!({ "kind": "api_key" })), "credential.api_key"),
        (credential(json!({ "kind": "api_key", "api_key": "" })), "credential.api_key"),
        (credential(json!({ "kind": "api_key", "api_key": "two words" })), "credential.api_key"),
        (credential(json!({ "kind": "api_key", "api_key": "ключ" })), "credential.api_key"),
        (credential(json!({ "kind": "api_key", "api_key": "x", "project": "p" })), "credential.project"),
    ] {
        let answer = app.instance.operator(Method::POST, "/api/accounts", Some(body("one", &more))).await;
        refused(answer, StatusCode::BAD_REQUEST, "invalid_request", Some(param)).await;
    }
    for (text, param) in [("[]", "body"), ("{", "body"), ("\"x\"", "body"), ("", "provider")] {
        let request = app.instance.request(Method::POST, "/api/accounts").bearer_auth(crate::support::ADMIN_TOKEN);
        let answer = request.body(text).send().await.unwrap();
        refused(answer, StatusCode::BAD_REQUEST, "invalid_request", Some(param)).await;
    }
    let large = body("one", &json!({ "note": "x".repeat(2 << 20) }));
    let answer = app.instance.operator(Method::POST, "/api/accounts", Some(large)).await;
    refused(answer, StatusCode::PAYLOAD_TOO_LARGE, "too_large", None).await;
    assert_eq!(app.database.number("select count(*) from accounts").await, 0);
    assert_eq!(app.database.number("select count(*) from audit_log").await, 0);
}

#[tokio::test]
async fn a_private_address_needs_the_operators_leave() {
    let app = App::start_with(&[("ALLOW_INSECURE_UPSTREAMS", "")]).await;
    for url in ["http://example.com", "https://127.0.0.1", "https://metadata.internal", "https://[::1]:8080"] {
        let answer =
            app.instance.operator(Method::POST, "/api/accounts", Some(body("x", &json!({ "base_url": url })))).await;
        refused(answer, StatusCode::BAD_REQUEST, "invalid_request", Some("base_url")).await;
    }
}

#[tokio::test]
async fn a_name_is_held_by_one_account() {
    let app = App::start().await;
    app.instance.manage(Method::POST, "/api/accounts", Some(body("one", &json!({})))).await;
    let two = app.instance.manage(Method::POST, "/api/accounts", Some(body("two", &json!({})))).await;
    let answer = app.instance.operator(Method::POST, "/api/accounts", Some(body("one", &json!({})))).await;
    refused(answer, StatusCode::CONFLICT, "conflict", Some("name")).await;
    let path = format!("/api/accounts/{}", two["id"].as_str().unwrap());
    let answer = app.instance.operator(Method::PATCH, &path, Some(json!({ "name": "one", "weight": 9 }))).await;
    refused(answer, StatusCode::CONFLICT, "conflict", Some("name")).await;
    assert_eq!(app.instance.manage(Method::GET, &path, None).await, two, "nothing of it was changed");
}

#[tokio::test]
async fn a_change_changes_what_it_names() {
    let app = App::start().await;
    let more =
        json!({ "max_in_flight": 4, "base_url": "https://llm.example.com", "models": ["claude-*"], "note": "n" });
    let before = app.instance.manage(Method::POST, "/api/accounts", Some(body("one", &more))).await;
    let path = format!("/api/accounts/{}", before["id"].as_str().unwrap());
    let change = json!({ "name": "uno", "weight": 9, "max_in_flight": null, "base_url": null, "models": [] });
    let after = app.instance.manage(Method::PATCH, &path, Some(change.clone())).await;
    for (name, value) in after.as_object().unwrap() {
        match change.get(name) {
            Some(given) => assert_eq!(value, given, "{name}"),
            None if name == "updated_at" => assert_ne!(value, &before[name]),
            None => assert_eq!(value, &before[name], "{name}"),
        }
    }
    for (wrong, param) in [
        (json!({ "provider": "gemini" }), "provider"),
        (json!({ "weight": 0 }), "weight"),
        (json!({ "state": "ready" }), "state"),
    ] {
        let answer = app.instance.operator(Method::PATCH, &path, Some(wrong)).await;
        refused(answer, StatusCode::BAD_REQUEST, "invalid_request", Some(param)).await;
    }
    assert_eq!(app.instance.manage(Method::GET, &path, None).await, after);
}

#[tokio::test]
async fn a_list_is_filtered_and_paged_newest_first() {
    let app = App::start().await;
    let mut names = Vec::new();
    for n in 0..7 {
        let name = format!("account {n}");
        let more = json!({ "pool": if n < 4 { "default" } else { "search" } });
        app.instance.manage(Method::POST, "/api/accounts", Some(body(&name, &more))).await;
        names.insert(0, name);
    }
    let gemini = json!({ "provider": "gemini", "base_url": null });
    app.instance.manage(Method::POST, "/api/accounts", Some(body("gemini", &gemini))).await;
    let all = "/api/accounts?provider=anthropic";
    let (mut got, mut path) = (Vec::new(), format!("{all}&limit=3"));
    for round in 0.. {
        let page = app.instance.manage(Method::GET, &path, None).await;
        got.extend(page["data"].as_array().unwrap().iter().map(|account| account["name"].as_str().unwrap().to_owned()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        assert!(round < 3, "the pages end");
        path = format!("{all}&limit=3&cursor={cursor}");
    }
    assert_eq!(got, names);
    for (query, count) in [
        ("pool=search", 3),
        ("provider=gemini", 1),
        ("state=ready", 8),
        ("state=paused", 0),
        ("provider=gemini&pool=search", 0),
    ] {
        let page = app.instance.manage(Method::GET, &format!("/api/accounts?{query}"), None).await;
        assert_eq!(page["data"].as_array().unwrap().len(), count, "{query}");
    }
    for limit in ["0", "501", "-1", "many", "1.5"] {
        let answer = app.instance.operator(Method::GET, &format!("/api/accounts?limit={limit}"), None).await;
        refused(answer, StatusCode::BAD_REQUEST, "invalid_request", Some("limit")).await;
    }
}

#[tokio::test]
async fn a_paused_account_serves_again_when_it_is_resumed() {
    let (app, key) = App::ready().await;
    let page = app.instance.manage(Method::GET, "/api/accounts?provider=anthropic", None).await;
    let path = format!("/api/accounts/{}", page["data"][0]["id"].as_str().unwrap());
    let paused = app.instance.manage(Method::POST, &format!("{path}/pause"), None).await;
    assert_eq!((&paused["state"], &paused["paused"]), (&json!("paused"), &json!(true)));
    assert_eq!(
        app.instance.messages(&key, hello(false)).send().await.unwrap().status(),
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert_eq!(app.fake.seen().len(), 0);
    assert_eq!(app.instance.manage(Method::POST, &format!("{path}/resume"), None).await["state"], "ready");
    assert_eq!(app.instance.messages(&key, hello(false)).send().await.unwrap().status(), StatusCode::OK);
    app.ledger().await;
    let used = app.instance.manage(Method::GET, &path, None).await;
    assert_eq!(used["usage_today"]["requests"], 1);
    assert!(used["last_used_at"].is_string(), "{used}");
}

#[tokio::test]
async fn a_check_says_what_it_found_and_a_reset_clears_it() {
    let (app, key) = App::ready().await;
    let page = app.instance.manage(Method::GET, "/api/accounts?provider=anthropic", None).await;
    let path = format!("/api/accounts/{}", page["data"][0]["id"].as_str().unwrap());
    let found = app.instance.manage(Method::POST, &format!("{path}/check"), None).await;
    assert_eq!((&found["ok"], &found["status"]), (&json!(true), &json!(200)));
    assert!(found["account"]["last_checked_at"].is_string());
    assert_eq!(app.only_seen().path_and_query, "/v1/models?limit=1");

    app.fake.script(Script::once(Answer::unauthorized()));
    let found = app.instance.manage(Method::POST, &format!("{path}/check"), None).await;
    assert_eq!(
        (&found["ok"], &found["status"], &found["account"]["state"]),
        (&json!(false), &json!(401), &json!("needs_auth"))
    );
    assert_eq!(
        app.instance.messages(&key, hello(false)).send().await.unwrap().status(),
        StatusCode::SERVICE_UNAVAILABLE
    );
    let reset = app.instance.manage(Method::POST, &format!("{path}/reset"), None).await;
    assert_eq!((&reset["state"], &reset["state_reason"]), (&json!("ready"), &Value::Null));
    assert_eq!(app.instance.messages(&key, hello(false)).send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn a_removed_account_keeps_its_rows() {
    let (app, key) = App::ready().await;
    let page = app.instance.manage(Method::GET, "/api/accounts?provider=anthropic", None).await;
    let id = page["data"][0]["id"].as_str().unwrap();
    app.instance.messages(&key, hello(false)).send().await.unwrap().text().await.unwrap();
    app.only_row().await;
    let path = format!("/api/accounts/{id}");
    let answer = app.instance.operator(Method::DELETE, &path, None).await;
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    for method in [Method::GET, Method::PATCH, Method::DELETE] {
        let answer = app.instance.operator(method, &path, None).await;
        refused(answer, StatusCode::NOT_FOUND, "not_found", None).await;
    }
    let rows = app.instance.manage(Method::GET, &format!("/api/stats/requests?account={id}"), None).await;
    assert_eq!(rows["data"][0]["account"], id);
    assert_eq!(rows["data"][0]["account_name"], Value::Null);
    assert_eq!(
        app.instance.messages(&key, hello(false)).send().await.unwrap().status(),
        StatusCode::SERVICE_UNAVAILABLE
    );
}
