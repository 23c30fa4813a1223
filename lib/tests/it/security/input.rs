//! Input that nobody sends by mistake.

use http::StatusCode;
use reqwest::Method;
use serde_json::json;

use crate::{
    support::{ADMIN_TOKEN, App, Instance, Raw, log_of, refused},
    walk::hello,
};

/// Two requests in one, for a server that reads lengths differently from whoever stands before it.
const SMUGGLED: &str = "POST /v1/messages HTTP/1.1\r\nhost: localhost\r\nx-api-key: KEY\r\ncontent-length: 2\r\n\r\n{}";

/// Every answer on a connection until it ends: their statuses.
async fn statuses(app: &App, request: &str) -> Vec<u16> {
    let mut raw = Raw::connect(app.instance.address).await;
    raw.send(request).await;
    raw.end().await;
    let all = raw.rest().await;
    all.split("HTTP/1.1 ").skip(1).map(|answer| answer[..3].parse().unwrap()).collect()
}

/// A request whose length can be read in two ways is refused, or read in one way with nothing left over.
#[tokio::test]
async fn no_request_is_smuggled_in_another() {
    let (app, key) = App::ready().await;
    let smuggled = SMUGGLED.replace("KEY", &key);
    let (length, hidden) = (smuggled.len(), format!("{:x}\r\n{smuggled}\r\n0\r\n\r\n", smuggled.len()));
    for (headers, body) in [
        (format!("content-length: {length}\r\ntransfer-encoding: chunked\r\n"), format!("0\r\n\r\n{smuggled}")),
        ("transfer-encoding: chunked\r\ncontent-length: 5\r\n".to_owned(), format!("0\r\n\r\n{smuggled}")),
        (format!("content-length: 0\r\ncontent-length: {length}\r\n"), smuggled.clone()),
        (format!("content-length: {length}\r\ncontent-length: 0\r\n"), smuggled.clone()),
        (format!("content-length: 0, {length}\r\n"), smuggled.clone()),
        (format!("content-length: +{length}\r\n"), smuggled.clone()),
        (format!("content-length: 0x{length:x}\r\n"), smuggled.clone()),
        ("content-length: -1\r\n".to_owned(), smuggled.clone()),
        (format!("content-length : 0\r\ncontent-length: {length}\r\n"), smuggled.clone()),
        ("transfer-encoding: chunked, identity\r\n".to_owned(), hidden.clone()),
        ("transfer-encoding: xchunked\r\ncontent-length: 0\r\n".to_owned(), smuggled.clone()),
        ("transfer-encoding : chunked\r\ncontent-length: 0\r\n".to_owned(), hidden.clone()),
        ("transfer-encoding:\r\n chunked\r\ncontent-length: 0\r\n".to_owned(), hidden.clone()),
        ("transfer-encoding: \u{b}chunked\r\ncontent-length: 0\r\n".to_owned(), hidden.clone()),
        ("x: y\ntransfer-encoding: chunked\r\ncontent-length: 0\r\n".to_owned(), hidden.clone()),
        ("transfer-encoding: chunked\r\n".to_owned(), format!("0;ext=\"\n\"\r\n\r\n{smuggled}")),
        ("transfer-encoding: chunked\r\n".to_owned(), format!("fffffffffffffffff\r\n{smuggled}")),
        ("transfer-encoding: chunked\r\n".to_owned(), format!("-1\r\n{smuggled}")),
    ] {
        let request =
            format!("POST /v1/messages HTTP/1.1\r\nhost: localhost\r\nx-api-key: nobody\r\n{headers}\r\n{body}");
        let got = statuses(&app, &request).await;
        assert!(got.len() == 1, "{headers:?}: {got:?}");
        assert!(got.iter().all(|status| [400, 401, 411, 413, 431].contains(status)), "{headers:?}: {got:?}");
    }
    assert_eq!((app.fake.seen().len(), app.ledger().await.len()), (0, 0));
}

/// A1: the gate and the router read one path: whatever the target or `Host` looks like, no management path opens.
#[tokio::test]
async fn no_odd_target_or_host_opens_a_management_path() {
    let app = App::start().await;
    app.key(json!({ "name": "kept-secret" })).await;
    let targets = [
        "/api/keys",
        "/api/keys?x",
        "/api/keys/",
        "//api/keys",
        "/api//keys",
        "/api/./keys",
        "/api/x/../keys",
        "/api/health/../keys",
        "/api/hello/../keys",
        "/%61pi/keys",
        "/api/%6beys",
        "/api%2fkeys",
        "/api/keys;x",
        "/api;x/keys",
        "/api\\keys",
        "\\api\\keys",
        "/api/keys%00",
        "/api/keys%20",
        "/API/keys",
        "/api/health?/../keys",
        "/api/health;/api/keys",
        "/v1/../api/keys",
        "/api/openapi.json/../keys",
        "/css/../api/keys",
        "/api/keys/me",
        "/api/accounts",
        "/api/stats/requests",
        "/api/stats/audit",
        "http://localhost/api/keys",
        "http://x/?/api/health",
        "https://evil/api/keys",
        "http://x#/api/keys",
        "api/keys",
        "*",
    ];
    let hosts =
        ["localhost", "localhost/?", "localhost/#", "localhost/api/health?", "x@localhost", "[::1]:1", "LOCALHOST"];
    for target in targets {
        for host in hosts {
            for version in ["HTTP/1.1", "HTTP/1.0"] {
                let request = format!("GET {target} {version}\r\nhost: {host}\r\nconnection: close\r\n\r\n");
                let mut raw = Raw::connect(app.instance.address).await;
                raw.send(request).await;
                let answer = raw.rest().await;
                let status = answer.split(' ').nth(1).unwrap_or_default();
                assert!(!answer.contains("kept-secret") && !answer.contains("\"data\""), "{target} {host}: {answer}");
                let opens = answer.starts_with("HTTP/1.1 200") || answer.starts_with("HTTP/1.0 200");
                let open_to_all = answer.contains("\"status\":\"ok\"") || answer.contains("<!doctype html>");
                assert!(!opens || open_to_all, "{target} {host}: {status}");
                let plain = target.strip_suffix("?x").unwrap_or(target);
                if ["/api/keys", "/api/accounts", "/api/stats/requests", "/api/keys/me"].contains(&plain)
                    && host == "localhost"
                {
                    assert_eq!(status, "401", "{target} {host}");
                }
            }
        }
    }
}

/// A2: whatever is shown as a key, wherever: it is refused, and the database is asked nothing it could choke on.
#[tokio::test]
async fn no_key_is_more_than_a_text() {
    let (app, _) = App::ready().await;
    let behind = Instance::start(&app.database.url, &[("TRUSTED_PROXIES", "127.0.0.1")]).await;
    let valid_form = gateway::access::PresentedKey::generate();
    let keys: [&[u8]; 9] = [
        b"' or 1=1 --",
        b"'; drop table api_keys; --",
        b"\"",
        b"gw_\\x00",
        b"gw_' or '1'='1",
        b"\xff\xfe\xfd",
        b"%%%%",
        b"$1",
        valid_form.reveal().as_bytes(),
    ];
    let mut caller = 0_u16;
    for key in keys {
        for place in ["authorization: Bearer ", "x-api-key: ", "x-goog-api-key: ", "x-gateway-key: ", "?"] {
            for target in ["/v1/messages", "/v1beta/models/gemini-2.5-pro:generateContent", "/api/keys"] {
                caller += 1;
                let [high, low] = caller.to_be_bytes();
                let mut request = format!("POST {target}").into_bytes();
                let escaped: String = key.iter().map(|byte| format!("%{byte:02x}")).collect();
                request.extend(if place == "?" { format!("?key={escaped}").into_bytes() } else { Vec::new() });
                let forwarded = format!(
                    " HTTP/1.1\r\nhost: localhost\r\nx-forwarded-for: 10.0.{high}.{low}\r\ncontent-length: 2\r\n"
                );
                request.extend(forwarded.into_bytes());
                if place != "?" {
                    request.extend([place.as_bytes(), key, b"\r\n"].concat());
                }
                request.extend(b"connection: close\r\n\r\n{}");
                let mut raw = Raw::connect(behind.address).await;
                raw.send(request).await;
                let (status, head) = raw.head().await;
                let expect = if target.starts_with("/v1beta") { 400 } else { 401 };
                assert_eq!(status, expect, "{key:?} {place} {target}: {head}");
            }
        }
    }
    let long = "gw_".to_owned() + &"a".repeat(60_000);
    assert_eq!(app.instance.messages(&long, hello(false)).send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    assert_eq!(app.database.number("select count(*) from api_keys").await, 1);
    assert!(log_of("drop table").is_empty() && log_of("syntax error").is_empty());
}

/// Heads have a limit in headers and in bytes, and whoever is over it is told so at once.
#[tokio::test]
async fn a_head_has_its_limits() {
    let (app, key) = App::ready().await;
    for (headers, expect) in [
        ("x: y\r\n".repeat(90), 200),
        ("x: y\r\n".repeat(200), 431),
        (format!("x: {}\r\n", "y".repeat(30_000)), 200),
        (format!("x: {}\r\n", "y".repeat(200_000)), 431),
        (format!("{}: x\r\n", "y".repeat(200_000)), 431),
    ] {
        let mut raw = Raw::connect(app.instance.address).await;
        raw.try_post("/v1/messages", &format!("x-api-key: {key}\r\n{headers}"), &hello(false)).await;
        assert_eq!(raw.head().await.0, expect, "{}", headers.len());
    }
    let mut raw = Raw::connect(app.instance.address).await;
    raw.try_post(&format!("/v1/messages?{}", "x".repeat(200_000)), &format!("x-api-key: {key}\r\n"), &hello(false))
        .await;
    assert!([414, 431].contains(&raw.head().await.0));
}

/// A head that does not end is not waited for, and neither is a body: nobody holds a connection by its finger-tips.
#[tokio::test(start_paused = true)]
async fn who_sends_too_slowly_is_not_waited_for() {
    let instance = Instance::start("postgresql://gateway@127.0.0.1:1/gateway", &[]).await;
    let patient = std::time::Duration::from_secs(3_600);
    let mut raw = Raw::connect(instance.address).await;
    raw.send("POST /api/keys HTTP/1.1\r\nhost: localhost\r\nx-").await;
    tokio::time::timeout(patient, raw.ends_within(patient)).await.expect("the connection ends");
    let mut raw = Raw::connect(instance.address).await;
    let head = format!(
        "POST /api/keys HTTP/1.1\r\nhost: localhost\r\nx-api-key: {ADMIN_TOKEN}\r\ncontent-length: 9\r\n\r\n{{"
    );
    raw.send(head).await;
    let answer = raw.ends_within(patient).await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("did not arrive in time"), "{answer}");
}

/// JSON deeper than any client's is refused before it is read to its end; odd numbers are no fault of anybody's.
#[tokio::test]
async fn a_body_has_its_depth_and_any_number_passes() {
    let (app, key) = App::ready().await;
    let deep = |depth: usize| {
        format!(
            r#"{{"model":"claude-sonnet-5-5","max_tokens":5,"messages":[{{"role":"user","content":"hi"}}],"x":{}{}}}"#,
            "[".repeat(depth),
            "]".repeat(depth)
        )
    };
    for (depth, expect) in
        [(100, StatusCode::OK), (100_000, StatusCode::BAD_REQUEST), (3_000_000, StatusCode::BAD_REQUEST)]
    {
        assert_eq!(app.instance.messages(&key, deep(depth)).send().await.unwrap().status(), expect, "{depth}");
        let objects = format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
        let answer =
            app.instance.gemini(&key, "gemini-2.5-pro:countTokens", format!(r#"{{"contents":[],"x":{objects}}}"#));
        assert_eq!(answer.send().await.unwrap().status(), expect, "{depth}");
        let managed = app.instance.request(Method::POST, "/api/keys").bearer_auth(ADMIN_TOKEN).body(deep(depth));
        let param = if depth > 100_000 { None } else { Some("body") };
        let answer = managed.send().await.unwrap();
        match answer.status() {
            StatusCode::PAYLOAD_TOO_LARGE => {
                drop(refused(answer, StatusCode::PAYLOAD_TOO_LARGE, "too_large", None).await)
            }
            _ if depth == 100 => drop(refused(answer, StatusCode::BAD_REQUEST, "invalid_request", Some("name")).await),
            _ => drop(refused(answer, StatusCode::BAD_REQUEST, "invalid_request", param).await),
        }
    }
    for number in ["1e400", "-0", "123456789012345678901234567890", "1E-999", "0.1e1"] {
        let body = hello(false).replace("64", number);
        let answer = app.instance.messages(&key, body.clone()).send().await.unwrap();
        assert_ne!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(app.fake.seen().last().unwrap().body, body.as_bytes(), "{number}");
    }
}

/// What is no text is the upstream's to judge, byte for byte, or is refused; it breaks nothing.
#[tokio::test]
async fn bytes_that_are_no_text_break_nothing() {
    let (app, key) = App::ready().await;
    for bytes in [
        &b"\xff\xfe"[..],
        b"{\"model\":\"\xff\"}",
        b"{\"model\":\"claude-sonnet-5-5\",\"x\":\"\xc3\x28\"}",
        b"\x00",
        b"\xef\xbb\xbf{}",
        b"[",
        b"\"",
        b"",
    ] {
        let answer = app.instance.messages(&key, bytes.to_vec()).send().await.unwrap();
        assert!(answer.status().is_client_error() || answer.status().is_success(), "{bytes:?}: {}", answer.status());
        let answer = app
            .instance
            .request(Method::POST, "/api/accounts")
            .bearer_auth(ADMIN_TOKEN)
            .body(bytes.to_vec())
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{bytes:?}");
    }
}

/// Compressed requests are refused in so many words: no client of these APIs sends any, and a small one could grow without end.
#[tokio::test]
async fn a_compressed_request_is_refused() {
    let (app, key) = App::ready().await;
    for encoding in ["gzip", "deflate", "br", "zstd", "identity, gzip", "x"] {
        let answer =
            app.instance.messages(&key, hello(false)).header("content-encoding", encoding).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
        assert!(answer.text().await.unwrap().contains("content-encoding"), "{encoding}");
        let managed = app
            .instance
            .request(Method::POST, "/api/keys")
            .bearer_auth(ADMIN_TOKEN)
            .header("content-encoding", encoding);
        refused(
            managed.body("{}").send().await.unwrap(),
            StatusCode::BAD_REQUEST,
            "invalid_request",
            Some("content-encoding"),
        )
        .await;
    }
    assert_eq!(app.fake.seen().len(), 0);
}
