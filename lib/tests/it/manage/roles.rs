//! Who may do what: every role, on every path, by every method.

use http::StatusCode;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::{
    support::{ADMIN_TOKEN, App, Instance, refused},
    walk::hello,
};

/// Reads that a viewer may make, and changes that only an admin may; each can be made again and again.
const READS: [&str; 16] = [
    "/api/accounts",
    "/api/accounts/{account}",
    "/api/keys",
    "/api/keys/{key}",
    "/api/stats/summary",
    "/api/stats/series",
    "/api/stats/accounts",
    "/api/stats/keys",
    "/api/stats/models",
    "/api/stats/live",
    "/api/stats/export.csv",
    "/api/stats/metrics",
    "/api/stats/requests",
    "/api/stats/requests/{request}",
    "/api/stats/prices",
    "/api/routing",
];
const CHANGES: [(&str, &str); 11] = [
    ("POST", "/api/accounts"),
    ("PATCH", "/api/accounts/{account}"),
    ("POST", "/api/accounts/{account}/check"),
    ("POST", "/api/accounts/{account}/pause"),
    ("POST", "/api/accounts/{account}/resume"),
    ("POST", "/api/accounts/{account}/reset"),
    ("POST", "/api/keys"),
    ("PATCH", "/api/keys/{key}"),
    ("PUT", "/api/stats/prices/anthropic/some-model"),
    ("PUT", "/api/routing/default/anthropic"),
    ("DELETE", "/api/stats/prices/anthropic/no-such-model"),
];
const REMOVALS: [&str; 2] = ["/api/accounts/{account}", "/api/keys/{key}"];

/// An account, a key and a request to ask for.
struct Things {
    account: String,
    key: String,
    request: String,
}

impl Things {
    fn path(&self, path: &str) -> String {
        path.replace("{account}", &self.account).replace("{key}", &self.key).replace("{request}", &self.request)
    }
}

async fn key(app: &App, role: &str) -> (String, String) {
    let body = json!({ "name": role, "role": role });
    let key = app.instance.manage(Method::POST, "/api/keys", Some(body)).await;
    (key["id"].as_str().unwrap().to_owned(), key["key"].as_str().unwrap().to_owned())
}

async fn prepared() -> (App, Things) {
    let (app, caller) = App::ready().await;
    app.instance.messages(&caller, hello(false)).send().await.unwrap().text().await.unwrap();
    let row = app.only_row().await;
    let [account, request] = ["account_id", "id"].map(|name| row[name].as_str().unwrap().to_owned());
    let things = Things { account, request, key: key(&app, "member").await.0 };
    (app, things)
}

async fn ask(app: &App, token: Option<&str>, method: &str, path: &str) -> Response {
    let request = app.instance.request(method.parse().unwrap(), path);
    let request = match token {
        Some(token) => request.bearer_auth(token),
        None => request,
    };
    // Whoever may send it is told that a field is unknown: so much is read only after the role.
    let body =
        if ["POST", "PATCH", "PUT"].contains(&method) { json!({ "nonsense": 1 }).to_string() } else { String::new() };
    request.body(body).send().await.unwrap()
}

#[tokio::test]
async fn every_role_may_do_what_it_may_and_no_more() {
    let (app, things) = prepared().await;
    let (admin, member, viewer) =
        (key(&app, "admin").await.1, key(&app, "member").await.1, key(&app, "viewer").await.1);
    for (name, token, reads, changes) in [
        ("operator", ADMIN_TOKEN, true, true),
        ("admin", &admin, true, true),
        ("viewer", &viewer, true, false),
        ("member", &member, false, false),
    ] {
        for path in READS {
            let answer = ask(&app, Some(token), "GET", &things.path(path)).await;
            let own = path.starts_with("/api/stats/")
                && !["prices", "metrics", "{request}"].iter().any(|end| path.ends_with(end));
            // A member asks in vain for what it did not call.
            let expect = match (reads || own, path.contains("{request}")) {
                (true, _) => StatusCode::OK,
                (false, true) => StatusCode::NOT_FOUND,
                (false, false) => StatusCode::FORBIDDEN,
            };
            assert_eq!(answer.status(), expect, "{name} GET {path}");
        }
        for (method, path) in CHANGES {
            let answer = ask(&app, Some(token), method, &things.path(path)).await;
            if changes {
                assert!(
                    ![401, 403, 405, 500].contains(&answer.status().as_u16()),
                    "{name} {method} {path}: {}",
                    answer.status()
                );
            } else {
                refused(answer, StatusCode::FORBIDDEN, "permission_denied", None).await;
            }
        }
        if !changes {
            for path in REMOVALS {
                let answer = ask(&app, Some(token), "DELETE", &things.path(path)).await;
                refused(answer, StatusCode::FORBIDDEN, "permission_denied", None).await;
            }
        }
    }
}

#[tokio::test]
async fn who_is_nobody_learns_nothing() {
    let (app, things) = prepared().await;
    let (revoked_id, revoked) = key(&app, "admin").await;
    app.instance.manage(Method::DELETE, &format!("/api/keys/{revoked_id}"), None).await;
    let (expired_id, expired) = key(&app, "admin").await;
    app.database.execute(&format!("update api_keys set expires_at = now() where id = '{expired_id}'")).await;
    let mistyped = format!("{}x", &expired[..expired.len() - 1]);
    let never_issued = "gw_".to_owned() + &"0".repeat(49);
    let longer = format!("{ADMIN_TOKEN}x");
    let tokens = [&revoked, &expired, &mistyped, &never_issued, "junk", "", &ADMIN_TOKEN[1..], &longer].map(Some);
    // Each failure from an address of its own: too many of one are refused otherwise.
    let proxied = Instance::start(&app.database.url, &[("TRUSTED_PROXIES", "127.0.0.1")]).await;
    let mut callers = 0_u16..;
    for token in tokens.into_iter().chain([None]) {
        let reads = READS.iter().map(|path| ("GET", *path));
        let removals = REMOVALS.iter().map(|path| ("DELETE", *path));
        let others = [("GET", "/api/keys/me"), ("GET", "/api/nonsense"), ("DELETE", "/api/accounts")];
        for (method, path) in reads.chain(CHANGES).chain(removals).chain(others) {
            let [high, low] = callers.next().unwrap().to_be_bytes();
            let request = proxied.request(method.parse().unwrap(), &things.path(path));
            let request = request.header("x-forwarded-for", format!("10.0.{high}.{low}"));
            let request = match token {
                Some(token) => request.bearer_auth(token),
                None => request,
            };
            let answer = request.send().await.unwrap();
            refused(answer, StatusCode::UNAUTHORIZED, "unauthenticated", None).await;
        }
    }
    assert_eq!(app.database.number("select count(*) from accounts").await, 2);
}

#[tokio::test]
async fn a_token_is_taken_from_either_header() {
    let app = App::start().await;
    for name in ["x-api-key", "authorization"] {
        let value = if name == "authorization" { format!("bearer {ADMIN_TOKEN}") } else { ADMIN_TOKEN.to_owned() };
        let answer = app.instance.request(Method::GET, "/api/keys").header(name, value).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{name}");
    }
    let by_query = app.instance.request(Method::GET, &format!("/api/keys?key={ADMIN_TOKEN}")).send().await.unwrap();
    assert_eq!(by_query.status(), StatusCode::UNAUTHORIZED, "an address ends up in logs");
}

#[tokio::test]
async fn a_member_sees_its_own_and_nothing_else() {
    let (app, other) = App::ready().await;
    let (own_id, own) = key(&app, "member").await;
    for key in [&other, &other, &own] {
        app.instance.messages(key, hello(false)).send().await.unwrap().text().await.unwrap();
    }
    let rows = app.ledger().await;
    let get = async |path: &str| {
        let answer = app.instance.request(Method::GET, path).bearer_auth(&own).send().await.unwrap();
        (answer.status(), serde_json::from_str::<Value>(&answer.text().await.unwrap()).unwrap())
    };
    let (_, page) = get("/api/stats/requests").await;
    assert_eq!(page["data"].as_array().unwrap().len(), 1);
    assert_eq!(page["data"][0]["key"], *own_id);
    assert_eq!(get("/api/stats/summary").await.1["requests"], 1);
    assert_eq!(get("/api/stats/summary").await.1["previous"]["requests"], 0);
    let (status, me) = get("/api/keys/me").await;
    assert_eq!((status, &me["id"]), (StatusCode::OK, &json!(own_id)));
    for row in &rows {
        let expect = if row["key_id"] == *own_id { StatusCode::OK } else { StatusCode::NOT_FOUND };
        assert_eq!(get(&format!("/api/stats/requests/{}", row["id"].as_str().unwrap())).await.0, expect);
    }
    let stranger = rows.iter().find(|row| row["key_id"] != *own_id).unwrap()["key_id"].as_str().unwrap();
    for path in ["requests", "summary"] {
        assert_eq!(get(&format!("/api/stats/{path}?key={own_id}")).await.0, StatusCode::OK);
        assert_eq!(get(&format!("/api/stats/{path}?key={stranger}")).await.0, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn who_may_not_call_models_does_not() {
    let (app, _) = App::ready().await;
    let (_, viewer) = key(&app, "viewer").await;
    assert_eq!(app.instance.messages(&viewer, hello(false)).send().await.unwrap().status(), StatusCode::FORBIDDEN);
    assert_eq!(
        app.instance.messages(ADMIN_TOKEN, hello(false)).send().await.unwrap().status(),
        StatusCode::UNAUTHORIZED
    );
    let (_, admin) = key(&app, "admin").await;
    assert_eq!(app.instance.messages(&admin, hello(false)).send().await.unwrap().status(), StatusCode::OK);
    assert_eq!(app.fake.seen().len(), 1);
}

#[tokio::test]
async fn paths_and_methods_that_are_not_there() {
    let (app, things) = prepared().await;
    for (method, path, status, word) in [
        ("GET", "/api", 404, "not_found"),
        ("GET", "/api/nonsense", 404, "not_found"),
        ("GET", "/api/accounts/{account}/nonsense", 404, "not_found"),
        ("GET", "/api/accounts/", 404, "not_found"),
        ("GET", "/api/accounts/acc_none", 404, "not_found"),
        ("GET", "/api/keys/key_none", 404, "not_found"),
        ("GET", "/api/stats/requests/req_none", 404, "not_found"),
        ("POST", "/api/accounts/acc_none/check", 404, "not_found"),
        ("POST", "/api/accounts/acc_none/pause", 404, "not_found"),
        ("DELETE", "/api/keys/key_none", 404, "not_found"),
        ("PUT", "/api/stats/prices/openai/gpt", 404, "not_found"),
        ("PUT", "/api/accounts", 405, "method_not_allowed"),
        ("DELETE", "/api/keys", 405, "method_not_allowed"),
        ("PUT", "/api/keys/{key}", 405, "method_not_allowed"),
        ("GET", "/api/accounts/{account}/check", 405, "method_not_allowed"),
        ("POST", "/api/stats/summary", 405, "method_not_allowed"),
        ("DELETE", "/api/stats/requests/{request}", 405, "method_not_allowed"),
        ("POST", "/api/health", 405, "method_not_allowed"),
    ] {
        let request = app.instance.request(method.parse().unwrap(), &things.path(path)).bearer_auth(ADMIN_TOKEN);
        let answer = request.send().await.unwrap();
        refused(answer, StatusCode::from_u16(status).unwrap(), word, None).await;
    }
}
