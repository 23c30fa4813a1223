//! A4, A5, A7: every role, on every path, by every method, with every field, as the `OpenAPI` document lists them.

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::document::{Operation, document, operations};
use crate::{
    support::{ADMIN_TOKEN, App, Instance},
    walk::hello,
};

/// Who asks: a word, a token, and the role that the document would name; `None`: nobody.
type Caller<'a> = (&'a str, Option<String>, Option<&'a str>);

async fn key(app: &App, role: &str) -> (String, String) {
    let more = json!({ "name": role, "role": role, "auto_rotate": true, "rotate_every_days": 1 });
    let key = app.instance.manage(Method::POST, "/api/keys", Some(more)).await;
    (key["id"].as_str().unwrap().to_owned(), key["key"].as_str().unwrap().to_owned())
}

async fn callers(app: &App) -> Vec<Caller<'static>> {
    let ended = |sql: &str, id: &str| format!("update api_keys set {sql} = now() where id = '{id}'");
    let (revoked, expired) = (key(app, "admin").await, key(app, "admin").await);
    app.database.execute(&ended("revoked_at", &revoked.0)).await;
    app.database.execute(&ended("expires_at", &expired.0)).await;
    let valid = key(app, "admin").await.1;
    let (start, last) = valid.split_at(valid.len() - 1);
    let mistyped = format!("{start}{}", if last == "x" { "y" } else { "x" });
    vec![
        ("none", None, None),
        ("junk", Some("junk".to_owned()), None),
        ("wrong checksum", Some(mistyped), None),
        ("expired", Some(expired.1), None),
        ("revoked", Some(revoked.1), None),
        ("member", Some(key(app, "member").await.1), Some("member")),
        ("viewer", Some(key(app, "viewer").await.1), Some("viewer")),
        ("admin", Some(valid), Some("admin")),
        ("operator", Some(ADMIN_TOKEN.to_owned()), Some("admin")),
    ]
}

/// The bodies to send: the whole example, and each of its fields alone, beside those that must be there.
fn bodies(operation: &Operation) -> Vec<Value> {
    let Some((schema, Value::Object(example))) = operation.body() else { return vec![Value::Null] };
    let required: Vec<_> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let needed = |name: &str| required.contains(&name) || name == "entitled" || name == "credential";
    let alone = |field: &String| {
        let kept = example.iter().filter(|(name, _)| *name == field || needed(name));
        Value::Object(kept.map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>())
    };
    let whole = Value::Object(example.clone());
    example.keys().map(alone).chain([whole]).collect()
}

/// What no refused call may change.
async fn state(app: &App) -> String {
    let mut state = String::new();
    for table in ["accounts", "api_keys", "routing_policies", "prices", "audit_log", "settings"] {
        let sql = format!("select coalesce(md5(string_agg(t::text, '' order by t::text)), '') as sum from {table} t");
        state += &app.database.rows(&sql).await[0].to_string();
    }
    state
}

#[tokio::test]
async fn every_role_path_method_and_field_has_its_answer() {
    let (app, caller) = App::ready().await;
    app.instance.messages(&caller, hello(false)).send().await.unwrap().text().await.unwrap();
    let request = app.only_row().await["id"].as_str().unwrap().to_owned();
    // Each call from an address of its own: failed sign-ins are limited by address.
    let proxied = Instance::start(&app.database.url, &[("TRUSTED_PROXIES", "127.0.0.1")]).await;
    let (mut calls, callers) = (0_u16, callers(&app).await);
    for operation in operations(&document()) {
        let open = ["/api/health", "/api/openapi.json"].contains(&operation.path.as_str());
        for (name, token, role) in &callers {
            let may = open || role.is_some_and(|role| operation.roles().contains(&role));
            let before = state(&app).await;
            for mut body in bodies(&operation) {
                calls += 1;
                if let (true, Some(fields)) = (body["name"].is_string(), body.as_object_mut()) {
                    fields.insert("name".to_owned(), json!(format!("name {calls}")));
                }
                let path = if may { filled(&app, &operation, &request).await } else { operation.path.clone() };
                let [high, low] = calls.to_be_bytes();
                let mut asked = proxied
                    .request(operation.method.clone(), &path)
                    .header("x-forwarded-for", format!("10.0.{high}.{low}"));
                if let Some(token) = token {
                    asked = asked.bearer_auth(token);
                }
                let asked = if body.is_null() { asked } else { asked.body(body.to_string()) };
                let answer = asked.send().await.unwrap();
                let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
                let told = format!("{name} {} {path} {body}: {status} {text}", operation.method);
                match (may, role) {
                    (false, None) => assert_eq!(status, 401, "{told}"),
                    (false, Some(_)) => assert_eq!(status, 403, "{told}"),
                    // A member is told that another's request is not there, the operator that its token is no key.
                    (true, _) if path.contains("/keys/me") => assert!([200, 404, 409].contains(&status), "{told}"),
                    (true, Some("member")) if path.contains("/requests/") => assert_eq!(status, 404, "{told}"),
                    (true, _) => assert!((200..300).contains(&status), "{told}"),
                }
            }
            if !may {
                assert_eq!(state(&app).await, before, "{name} {} {} changed nothing", operation.method, operation.path);
            }
        }
    }
    assert!(calls > 700, "{calls}");
}

/// The path with things that are there; a fresh one each time, since some calls end it.
pub(super) async fn filled(app: &App, operation: &Operation, request: &str) -> String {
    let path = operation.path.replace("{provider}", "anthropic").replace("{pool}", "default");
    if path.contains("{model}") && operation.method == Method::DELETE {
        let price = json!({ "kind": "chat", "status": "current" });
        app.instance.manage(Method::PUT, "/api/stats/prices/anthropic/own", Some(price)).await;
    }
    let path = path.replace("{model}", "own");
    if !path.contains("{id}") {
        return path;
    }
    let id = if path.starts_with("/api/keys") {
        key(app, "member").await.0
    } else if path.starts_with("/api/accounts") {
        let name = format!("account {:?}", std::time::Instant::now());
        app.account("anthropic", "sk-ant-other", json!({ "name": name, "pool": "spare" })).await
    } else {
        request.to_owned()
    };
    path.replace("{id}", &id)
}
