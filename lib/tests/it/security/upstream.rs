//! Where requests go: to the account's host, on the internet, and nowhere else.

use fake_upstream::{Answer, Fake, Script};
use http::StatusCode;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{
    support::{App, Raw, TOKEN_PATH, refused},
    walk::hello,
};

/// An account that a gateway which allows it was given, and a gateway that does not allow it.
async fn strict_with_account(base_url: &str, variables: &[(&str, &str)]) -> (App, String, String) {
    let loose = App::start().await;
    let id = loose.account("anthropic", "sk-ant-one", json!({ "base_url": base_url })).await;
    let key = loose.key(json!({})).await;
    let variables = [&[("ALLOW_INSECURE_UPSTREAMS", "")], variables].concat();
    (App::on(loose.database, &variables).await, id, key)
}

/// Asks the kernel itself: a look at the runtime's readiness may come before its news.
fn nobody_was_at(listener: TcpListener) {
    let found = listener.into_std().unwrap().accept();
    assert!(found.is_err(), "somebody was there: {found:?}");
}

/// B3: the host that is contacted is the account's, whatever header, query or body says.
#[tokio::test]
async fn nothing_that_a_caller_sends_chooses_the_host() {
    let (app, key) = App::ready().await;
    let decoy = Fake::start().await;
    let (url, host) = (decoy.url(), decoy.address().to_string());
    let with = |field: &str, value: Value| {
        let mut body: Value = serde_json::from_str(&hello(false)).unwrap();
        body[field] = value;
        body.to_string()
    };
    let bodies = [
        hello(false),
        with("api_base", json!(url)),
        with("base_url", json!(url)),
        with("user_config", json!({ "model_list": [{ "litellm_params": { "api_base": url } }] })),
        with("metadata", json!({ "api_base": url, "user_id": url })),
    ];
    let headers = [
        "x-forwarded-host",
        "x-original-url",
        "x-rewrite-url",
        "forwarded",
        "x-portkey-custom-host",
        "x-host",
        "x-gateway-base-url",
        "origin",
        "referer",
        "x-api-base",
        "destination",
        "location",
    ];
    let mut sent = 0;
    for body in &bodies {
        for header in headers {
            for query in ["".to_owned(), format!("?base_url={url}&api_base={url}&host={host}")] {
                let request = app.instance.messages(&key, body.clone()).header(header, &url);
                let (client, request) = request.build_split();
                let mut request = request.unwrap();
                request.url_mut().set_query(query.strip_prefix('?'));
                assert_eq!(client.execute(request).await.unwrap().status(), StatusCode::OK, "{header} {body}");
                sent += 1;
            }
        }
    }
    let mut raw = Raw::connect(app.instance.address).await;
    raw.post(&format!("http://{host}/v1/messages"), &format!("x-api-key: {key}\r\n"), &hello(false)).await;
    assert_eq!(raw.head().await.0, 400, "an absolute target");
    let own = app.fake.address().to_string();
    let seen = app.fake.seen();
    assert_eq!((seen.len(), decoy.seen().len()), (sent, 0));
    assert!(seen.iter().all(|seen| seen.header_values("host") == [&own]));
}

/// B4: a redirect is never followed, so no credential goes along.
#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (app, key) = App::ready().await;
    let decoy = Fake::start().await;
    for status in [301, 302, 303, 307, 308] {
        let moved = Answer::json(status, json!({})).with_header("location", &format!("{}/v1/messages", decoy.url()));
        app.fake.clear();
        app.fake.script(Script::always(moved));
        let answer = app.instance.messages(&key, hello(false)).send().await.unwrap();
        assert!(!answer.status().is_success(), "{status}: {}", answer.status());
    }
    assert_eq!(decoy.seen().len(), 0);
}

/// B4: one table of hosts: none of them is taken for an account.
#[tokio::test]
async fn no_account_is_given_a_private_address() {
    let app = App::start_with(&[("ALLOW_INSECURE_UPSTREAMS", "")]).await;
    for host in [
        "127.0.0.1",
        "127.1",
        "0x7f000001",
        "2130706433",
        "0177.0.0.1",
        "0.0.0.0",
        "0",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "192.88.99.1",
        "198.18.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "[::]",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "[::ffff:0:a00:1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b:1::1]",
        "[2002:7f00:1::]",
        "[2001:0:7f00:1::]",
        "[fc00::1]",
        "[fd00::1]",
        "[fe80::1]",
        "[fec0::1]",
        "[ff02::1]",
        "localhost",
        "LOCALHOST",
        "x.localhost",
        "localhost.",
        "metadata.google.internal",
        "printer.local",
        "%6c%6f%63%61%6c%68%6f%73%74",
        "１２７.0.0.1",
        "127。0。0。1",
    ] {
        let body = json!({
            "provider": "anthropic", "name": host, "base_url": format!("https://{host}/"),
            "credential": { "kind": "api_key", "api_key": "sk-ant-one" },
        });
        let answer = app.instance.operator(Method::POST, "/api/accounts", Some(body)).await;
        refused(answer, StatusCode::BAD_REQUEST, "invalid_request", Some("base_url")).await;
    }
}

/// B4: what counts is the address that is dialled, not what was written: names are looked up and looked at when dialled.
#[tokio::test]
async fn a_private_address_is_not_dialled_whoever_wrote_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    for (base_url, why) in [
        (format!("http://127.0.0.1:{port}"), "https://"),
        (format!("https://127.0.0.1:{port}"), "private address"),
        (format!("https://[::ffff:127.0.0.1]:{port}"), "private address"),
        (format!("https://localhost:{port}"), "private address"),
    ] {
        let (app, id, key) = strict_with_account(&base_url, &[]).await;
        let answer = app.instance.messages(&key, hello(false)).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE, "{base_url}");
        let text = answer.text().await.unwrap();
        assert!(!text.contains(&port.to_string()) && !text.contains("127"), "the caller learns no address: {text}");
        let shown = crate::support::eventually("the setback is kept", async || {
            let shown = app.shown(&id).await;
            shown["last_error"].as_str().is_some_and(|error| error.contains(why)).then_some(shown)
        });
        shown.await;
        let check = app.instance.manage(Method::POST, &format!("/api/accounts/{id}/check"), None).await;
        assert_eq!(check["ok"], false, "{check}");
        assert!(check["message"].as_str().unwrap().contains(why), "{check}");
    }
    nobody_was_at(listener);
}

/// B4: the token endpoint is dialled by the same rule, by name and by address.
#[tokio::test]
async fn a_private_token_endpoint_is_not_dialled() {
    for host in ["localhost", "127.0.0.1"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let token_url = format!("https://{host}:{}{TOKEN_PATH}", listener.local_addr().unwrap().port());
        let (app, id, key) = strict_with_account(
            "https://localhost:1",
            &[("ANTHROPIC_OAUTH_TOKEN_URL", &token_url), ("ANTHROPIC_OAUTH_CLIENT_ID", "an-application")],
        )
        .await;
        let login = json!({
            "entitled": true,
            "credential": { "kind": "oauth", "access_token": "access-1", "refresh_token": "refresh-1", "expires_at": crate::support::soon(-5) },
        });
        app.instance.manage(Method::PATCH, &format!("/api/accounts/{id}"), Some(login)).await;
        let answer = app.instance.messages(&key, hello(false)).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        nobody_was_at(listener);
    }
}
