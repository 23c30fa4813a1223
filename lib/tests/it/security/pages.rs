//! Pages in browsers: what they may ask, by which name, and that reading changes nothing.

use std::collections::BTreeMap;

use http::{HeaderMap, StatusCode};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::{
    support::{ADMIN_TOKEN, App, Instance, Raw},
    walk::hello,
};

const PAGE: &str = "https://chat.example.com";
const MANAGEMENT: [&str; 8] = [
    "/api/accounts",
    "/api/keys",
    "/api/keys/me",
    "/api/routing",
    "/api/stats/summary",
    "/api/stats/audit",
    "/api/health",
    "/api/nonsense",
];

async fn headers_of(request: RequestBuilder) -> HeaderMap {
    request.send().await.unwrap().headers().clone()
}

fn gives_leave(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| name.as_str().starts_with("access-control-"))
}

/// A14: no page of another site ever reads the management API, whatever is set; without a setting none calls models.
#[tokio::test]
async fn the_management_api_is_open_to_no_other_page() {
    let (app, key) = App::ready().await;
    let open = Instance::start(&app.database.url, &[("CORS_ORIGINS", "*")]).await;
    for instance in [&app.instance, &open] {
        for path in MANAGEMENT.into_iter().chain(["/api/hello"]) {
            for method in [Method::GET, Method::POST, Method::OPTIONS, Method::HEAD] {
                let request = instance.request(method.clone(), path).header("origin", PAGE).bearer_auth(ADMIN_TOKEN);
                let request = request.header("access-control-request-method", "POST");
                assert!(!gives_leave(&headers_of(request).await), "{method} {path}");
            }
        }
    }
    for origin in [PAGE, "null", "http://localhost"] {
        let call = app.instance.messages(&key, hello(false)).header("origin", origin);
        assert!(!gives_leave(&headers_of(call).await), "{origin}");
        let first = app.instance.request(Method::OPTIONS, "/v1/messages").header("origin", origin);
        let first = first.header("access-control-request-method", "POST").send().await.unwrap();
        assert!(!first.status().is_success() && !gives_leave(first.headers()), "{origin}");
    }
}

#[tokio::test]
async fn pages_that_are_named_may_call_models() {
    let (app, key) = App::ready().await;
    let named =
        Instance::start(&app.database.url, &[("CORS_ORIGINS", "https://a.example, https://chat.example.com")]).await;
    let first = named.request(Method::OPTIONS, "/v1/messages").header("origin", PAGE);
    let first = first
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "x-api-key,content-type");
    let first = first.send().await.unwrap();
    assert_eq!(first.status(), StatusCode::NO_CONTENT);
    assert_eq!(first.headers()["access-control-allow-origin"], PAGE);
    assert_eq!(first.headers()["access-control-allow-headers"], "x-api-key,content-type");
    assert!(!first.headers().contains_key("access-control-allow-credentials"));
    for key in [&*key, "junk"] {
        let answer = headers_of(named.messages(key, hello(false)).header("origin", PAGE)).await;
        assert_eq!(
            (&answer["access-control-allow-origin"], &answer["vary"]),
            (&PAGE.parse().unwrap(), &"origin".parse().unwrap())
        );
    }
    for origin in ["https://evil.example", "https://chat.example.com.evil.example", "http://chat.example.com", "null"] {
        assert!(
            !gives_leave(&headers_of(named.messages(&key, hello(false)).header("origin", origin)).await),
            "{origin}"
        );
    }
    assert!(!gives_leave(&headers_of(named.messages(&key, hello(false))).await), "no page asks");
}

/// A14, A13: a name that is not ours is refused, on every path, in the words of the path; and it is repeated nowhere.
#[tokio::test]
async fn a_host_that_is_not_ours_is_refused() {
    let (app, key) = App::ready().await;
    let named = Instance::start(&app.database.url, &[("ALLOWED_HOSTS", "gateway.example.com,g")]).await;
    for path in MANAGEMENT.into_iter().chain(["/", "/js/app.js", "/v1/messages", "/v1beta/models", "/api/hello"]) {
        for host in ["rebound.evil", "rebound.evil:13010", "localhost.rebound.evil", "localhost\r\nhost: rebound.evil"]
        {
            for instance in [&app.instance, &named] {
                let mut raw = Raw::connect(instance.address).await;
                raw.send(format!(
                    "GET {path} HTTP/1.1\r\nhost: {host}\r\nx-api-key: {key}\r\nauthorization: Bearer {ADMIN_TOKEN}\r\nconnection: close\r\n\r\n"
                ))
                .await;
                let answer = raw.rest().await;
                assert!(answer.starts_with("HTTP/1.1 403"), "{path} {host}: {answer}");
                assert!(answer.contains("ALLOWED_HOSTS") && !answer.contains("rebound"), "{path}: {answer}");
                let word = match path {
                    "/v1/messages" => "permission_error",
                    "/v1beta/models" => "PERMISSION_DENIED",
                    _ if MANAGEMENT.contains(&path) => "permission_denied",
                    _ => "",
                };
                assert!(answer.contains(word), "{path}: {answer}");
            }
        }
    }
    // The address that callers are told is ours without being said twice.
    let public = Instance::start(&app.database.url, &[("PUBLIC_URL", "https://Gateway.Example.com/llm")]).await;
    for instance in [&named, &public] {
        let own = instance.request(Method::GET, "/api/keys").bearer_auth(ADMIN_TOKEN);
        let answer = own.header("host", "gateway.example.com").send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
    }
}

/// A digest of each table's rows.
async fn checksums(app: &App) -> BTreeMap<String, Value> {
    let tables = "select table_name as name from information_schema.tables where table_schema = 'public'";
    let mut sums = BTreeMap::new();
    for table in app.database.rows(tables).await {
        let name = table["name"].as_str().unwrap().to_owned();
        let sum = format!("select md5(coalesce(string_agg(t::text, '|' order by t::text), '')) as sum from {name} t");
        sums.insert(name, app.database.rows(&sum).await.remove(0)["sum"].clone());
    }
    sums
}

/// A14: state is never changed by reading: every path is asked for, by GET, HEAD and OPTIONS, and no table changes.
#[tokio::test]
async fn reading_changes_nothing() {
    let (mut app, key) = App::ready().await;
    app.instance.messages(&key, hello(false)).send().await.unwrap().text().await.unwrap();
    let row = app.only_row().await;
    let account = row["account_id"].as_str().unwrap().to_owned();
    app.instance.manage(Method::POST, &format!("/api/accounts/{account}/check"), None).await;
    let (key_id, request) = (row["key_id"].as_str().unwrap(), row["id"].as_str().unwrap());
    // Upkeep, beside the model call, may write too: the instance that reads has made none.
    app.instance.drain().await;
    app.instance = app.neighbour().await;
    let before = checksums(&app).await;
    assert!(before.len() > 8, "{before:?}");
    let things = ["check", "pause", "resume", "reset", "rotate", "import", "successor", "me", "preview"];
    let mut paths: Vec<String> = MANAGEMENT.iter().map(|path| (*path).to_owned()).collect();
    for base in [
        format!("/api/accounts/{account}"),
        format!("/api/keys/{key_id}"),
        "/api/accounts".to_owned(),
        "/api/keys/me".to_owned(),
        "/api/routing".to_owned(),
    ] {
        paths.extend(things.iter().map(|thing| format!("{base}/{thing}")));
        paths.push(base);
    }
    paths.extend([
        format!("/api/stats/requests/{request}"),
        "/api/stats/prices".to_owned(),
        "/api/stats/prices/anthropic/x".to_owned(),
        "/api/stats/requests".to_owned(),
        "/api/stats/live".to_owned(),
        "/api/stats/metrics".to_owned(),
        "/api/stats/export.csv".to_owned(),
        "/api/routing/default/anthropic".to_owned(),
        "/api/openapi.json".to_owned(),
        "/".to_owned(),
    ]);
    for path in &paths {
        for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
            for token in [ADMIN_TOKEN, &key] {
                let request = app
                    .instance
                    .request(method.clone(), path)
                    .bearer_auth(token)
                    .body(json!({ "name": "x", "paused": true }).to_string());
                let status = request.send().await.unwrap().status();
                assert!(!status.is_server_error(), "{method} {path}: {status}");
            }
        }
    }
    assert_eq!(checksums(&app).await, before);
}
