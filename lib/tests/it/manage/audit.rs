//! The audit log: who changed what, from what, to what.

use reqwest::Method;
use serde_json::{Value, json};

use super::{
    document::{document, operations},
    matrix::filled,
};
use crate::support::App;

const LOG: &str = "select actor, action, subject, before, after from audit_log order by id";

#[tokio::test]
async fn every_change_is_told_with_before_and_after() {
    let app = App::start().await;
    let admin = app.instance.manage(Method::POST, "/api/keys", Some(json!({ "name": "admin", "role": "admin" }))).await;
    let (admin_id, admin) = (admin["id"].as_str().unwrap(), admin["key"].as_str().unwrap());
    let account = app.account("anthropic", "sk-ant-secret-0123456789", json!({ "name": "one", "note": "first" })).await;
    let key = app.instance.manage(Method::POST, "/api/keys", Some(json!({ "name": "member" }))).await;
    let key = key["id"].as_str().unwrap();
    let (account_path, key_path) = (format!("/api/accounts/{account}"), format!("/api/keys/{key}"));
    let price = json!({ "kind": "chat", "status": "current", "input": 1, "output": 2 });
    for (method, path, body) in [
        (Method::PATCH, account_path.clone(), Some(json!({ "note": "second" }))),
        (Method::POST, format!("{account_path}/pause"), None),
        (Method::POST, format!("{account_path}/resume"), None),
        (Method::POST, format!("{account_path}/reset"), None),
        (Method::DELETE, account_path, None),
        (Method::PATCH, key_path.clone(), Some(json!({ "labels": { "team": "search" } }))),
        (Method::DELETE, key_path, None),
        (Method::PUT, "/api/stats/prices/anthropic/my-model".to_owned(), Some(price.clone())),
        (Method::DELETE, "/api/stats/prices/anthropic/my-model".to_owned(), None),
    ] {
        if path.ends_with("/reset") {
            app.database.execute("update accounts set health = 'needs_auth', health_reason = 'refused'").await;
        }
        let request = app.instance.request(method.clone(), &path).bearer_auth(admin);
        let request = if let Some(body) = body { request.body(body.to_string()) } else { request };
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{method} {path}: {}", answer.text().await.unwrap());
    }
    // Reads, refusals and what changed nothing are not told.
    app.instance.operator(Method::PATCH, "/api/accounts/acc_none", Some(json!({}))).await;
    app.instance.operator(Method::POST, "/api/keys", Some(json!({ "nonsense": 1 }))).await;
    app.instance.operator(Method::GET, "/api/keys", None).await;

    let log = app.database.rows(LOG).await;
    let told: Vec<_> = log
        .iter()
        .map(|row| (&row["actor"], &row["action"], &row["subject"]))
        .map(|(a, b, c)| (a.as_str().unwrap(), b.as_str().unwrap(), c.as_str().unwrap()))
        .collect();
    let expect = [
        ("admin_token", "key.create", admin_id),
        ("admin_token", "account.create", &*account),
        ("admin_token", "key.create", key),
        (admin_id, "account.update", &account),
        (admin_id, "account.pause", &account),
        (admin_id, "account.resume", &account),
        (admin_id, "account.reset", &account),
        (admin_id, "account.delete", &account),
        (admin_id, "key.update", key),
        (admin_id, "key.revoke", key),
        (admin_id, "price.set", "my-model"),
        (admin_id, "price.unset", "my-model"),
    ];
    assert_eq!(told, expect);
    let change = |place: usize, pointer: &str| {
        ["before", "after"].map(|side| log[place][side].pointer(pointer).cloned().unwrap_or(Value::Null))
    };
    for (place, pointer, before, after) in [
        (1, "/note", Value::Null, json!("first")),
        (3, "/note", json!("first"), json!("second")),
        (4, "/paused", json!(false), json!(true)),
        (5, "/paused", json!(true), json!(false)),
        (6, "/health/state", json!("needs_auth"), json!("ready")),
        (7, "/note", json!("second"), Value::Null),
        (8, "/labels", json!({}), json!({ "team": "search" })),
        (10, "", Value::Null, price.clone()),
        (11, "", price, Value::Null),
    ] {
        assert_eq!(change(place, pointer), [before, after], "{}", log[place]["action"]);
    }
    assert!(change(9, "/revoked_at")[0].is_null() && change(9, "/revoked_at")[1].is_string());
    let all = log.iter().map(Value::to_string).collect::<String>();
    assert!(!all.contains("sk-ant-secret") && !all.contains(&admin[10..]), "{all}");
}

/// Whatever the document lists that changes something is one line of the log, with who did it.
#[tokio::test]
async fn every_change_that_the_document_lists_is_told() {
    let (app, _) = App::ready().await;
    let lines = async || app.database.number("select count(*) from audit_log").await;
    let mut changes = 0;
    for operation in operations(&document()) {
        // These ask, and change nothing that an operator has set.
        let asks =
            operation.method == Method::GET || ["/check", "/preview"].iter().any(|end| operation.path.ends_with(end));
        // The operator's token has no successor; a holder's is told in keys_rotation.rs.
        if asks || operation.path.contains("/me/") {
            continue;
        }
        changes += 1;
        let path = filled(&app, &operation, "").await;
        if let Some(account) = path.strip_suffix("/resume") {
            app.instance.manage(Method::POST, &format!("{account}/pause"), None).await;
        }
        if path.ends_with("/reset") {
            app.database.execute("update accounts set health = 'needs_auth'").await;
        }
        let mut body = operation.body().map(|(_, example)| example.clone());
        if let Some(name) = body.as_mut().and_then(|body| body.get_mut("name")) {
            *name = json!(format!("change {changes}"));
        }
        let before = lines().await;
        app.instance.manage(operation.method.clone(), &path, body).await;
        assert_eq!(lines().await, before + 1, "{} {path}", operation.method);
        let actors = app.database.rows("select actor from audit_log order by id desc limit 1").await;
        assert_eq!(actors, [json!({ "actor": "admin_token" })], "{path}");
    }
    assert!(changes > 12, "{changes}");
}
