//! The key in, from every place that clients put it; the account's credential out, and nothing of the caller's.

use reqwest::Method;
use serde_json::json;

use crate::{
    support::{App, Raw},
    walk::hello,
};

const PROMPT: &str = r#"{"contents":[{"parts":[{"text":"hi"}]}]}"#;

/// Path, query and headers.
type Shown<'a> = (&'a str, String, &'a [(&'a str, String)]);

/// All caller credentials are stripped when several are present, whichever of them is the key: both `x-api-key` and
/// `Authorization` from the caller never reach the upstream, and `?key=` is never in its URL.
#[tokio::test]
async fn the_key_is_taken_from_every_place_and_goes_no_further() {
    let (app, key) = App::ready().await;
    let bearer = |word: &str| format!("{word} {key}");
    let (messages, generate) = ("/v1/messages?beta=true", "/v1beta/models/gemini-2.5-pro:generateContent");
    let cases: &[Shown<'_>] = &[
        (messages, String::new(), &[("x-api-key", key.clone())]),
        (messages, String::new(), &[("Authorization", bearer("Bearer"))]),
        (messages, String::new(), &[("authorization", bearer("bEaReR"))]),
        (messages, String::new(), &[("authorization", bearer("bearer  "))]),
        (
            messages,
            String::new(),
            &[("x-api-key", "sk-ant-callers-own".to_owned()), ("authorization", bearer("Bearer"))],
        ),
        (messages, String::new(), &[("x-api-key", key.clone()), ("authorization", "Bearer callers-own".to_owned())]),
        (generate, String::new(), &[("X-Goog-Api-Key", key.clone())]),
        (generate, String::new(), &[("x-goog-api-key", key.clone()), ("authorization", bearer("Bearer"))]),
        (
            generate,
            String::new(),
            &[("x-goog-api-key", "AIza-callers-own".to_owned()), ("authorization", bearer("bearer"))],
        ),
        (generate, format!("?key={key}"), &[]),
        (generate, format!("?alt=json&key={key}&x=1"), &[]),
        (generate, format!("?k%65y={key}"), &[]),
        (generate, format!("?key={key}&key=AIza-callers-own"), &[("x-goog-api-key", "AIza-callers-own".to_owned())]),
        (generate, format!("?access_token=callers-own&%24key=callers-own&key={key}"), &[]),
    ];
    for (path, query, headers) in cases {
        app.fake.clear();
        let body = if *path == messages { hello(false) } else { PROMPT.to_owned() };
        let mut request = app.instance.request(Method::POST, &format!("{path}{query}")).body(body);
        for (name, value) in *headers {
            request = request.header(*name, value);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}{query} {headers:?}");
        let seen = app.only_seen();
        let whole = format!("{seen:?}");
        assert!(!whole.contains("gw_") && !whole.contains("callers-own"), "{path}{query} {headers:?}: {whole}");
        let (name, credential) =
            if *path == messages { ("x-api-key", "sk-ant-one") } else { ("x-goog-api-key", "AIza-one") };
        assert_eq!(seen.header_values(name), [credential]);
        assert!(seen.header_values("authorization").is_empty());
    }
    let logged = app.database.number("select count(*) from ledger l where l::text like '%gw\\_%'").await;
    assert_eq!(logged, 0, "the ledger holds no key");
}

#[tokio::test]
async fn headers_of_the_connection_of_cookies_and_of_proxies_stay_here_on_the_way_up() {
    let (app, key) = App::ready().await;
    let stay = "COOKIE: a=1\r\ncookie: b=2\r\nConnection: keep-alive, X-Secret-Hop\r\nx-secret-hop: 1\r\nKeep-Alive: timeout=5\r\n\
        TE: trailers\r\ntrailer: x\r\nUpgrade: h2c\r\nProxy-Authorization: Basic eA==\r\nproxy-connection: close\r\n\
        X-Forwarded-For: 9.9.9.9\r\nx-forwarded-for: 8.8.8.8\r\nX-FORWARDED-HOST: h\r\nForwarded: for=9.9.9.9\r\nforwarded: for=8.8.8.8\r\n\
        Via: 1.1 a\r\nvia: 1.1 b\r\nX-Real-Ip: 9.9.9.9\r\nx-real-ip: 8.8.8.8\r\nX-Vercel-Id: fra1\r\nx-vercel-ip-country: DE\r\nx-now-route-matches: 1\r\n\
        CF-Connecting-IP: 9.9.9.9\r\ncf-ray: 1\r\ntrue-client-ip: 9.9.9.9\r\nx-amzn-trace-id: 1\r\nx-envoy-x: 1\r\ncdn-loop: cloudflare\r\n\
        X-Gateway-Attempts: 3\r\nx-session-id: s\r\nOrigin: https://x\r\nReferer: https://x\r\nX-HTTP-Method-Override: DELETE\r\n\
        anthropic-workspace-id: w\r\nx-goog-user-project: p\r\n";
    let mut raw = Raw::connect(app.instance.address).await;
    let key = format!("X-API-KEY: {key}\r\nx-api-key: sk-ant-callers-own\r\nx-stays: on\r\n");
    raw.post("/v1/messages", &format!("{stay}{key}"), &hello(false)).await;
    assert_eq!(raw.head().await.0, 200);
    let seen = app.only_seen();
    let mut names: Vec<_> = seen.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    // The client adds an `accept` that says the same as none.
    assert_eq!(names, ["accept", "content-length", "host", "x-api-key", "x-stays"], "{seen:#?}");
    assert_eq!(seen.header_values("accept"), ["*/*"]);
    assert_eq!(seen.header_values("x-api-key"), ["sk-ant-one"]);
}

/// ratelimit and organization headers never reach the caller, nor what else describes the account or its provider.
#[tokio::test]
async fn headers_of_the_account_stay_here_on_the_way_down() {
    let (app, key) = App::ready().await;
    let mut answer = fake_upstream::Answer::default();
    for (name, value) in [
        ("anthropic-ratelimit-unified-status", "allowed"),
        ("Anthropic-RateLimit-Brand-New", "1"),
        ("anthropic-priority-input-tokens-limit", "1"),
        ("anthropic-fast-input-tokens-limit", "1"),
        ("set-cookie", "a=1"),
        ("Set-Cookie", "b=2"),
        ("VIA", "1.1 a"),
        ("via", "1.1 b"),
        ("cf-ray", "1"),
        ("CF-Brand-New", "1"),
        ("connection", "keep-alive, x-upstream-hop"),
        ("x-upstream-hop", "1"),
        ("keep-alive", "timeout=5"),
        ("proxy-authenticate", "Basic"),
        ("x-request-id", "upstreams"),
        ("x-vercel-id", "1"),
        ("x-gateway-account", "upstreams"),
        ("nel", "{}"),
        ("report-to", "{}"),
        ("x-brand-new", "passes"),
        ("x-brand-new", "twice"),
    ] {
        answer = answer.with_header(name, value);
    }
    app.fake.script(fake_upstream::Script::always(answer));
    for stream in [false, true] {
        let answer = app.instance.messages(&key, hello(stream)).send().await.unwrap();
        let headers = answer.headers().clone();
        let new: Vec<_> = headers.get_all("x-brand-new").iter().collect();
        assert_eq!(new, ["passes", "twice"]);
        for (name, value) in &headers {
            let name = name.as_str();
            let families = ["anthropic-", "cf-", "x-vercel-", "x-envoy-"];
            assert!(!families.iter().any(|family| name.starts_with(family)), "{name}: {value:?}");
            let ours =
                ["set-cookie", "via", "connection", "x-upstream-hop", "keep-alive", "nel", "report-to", "server"];
            assert!(!ours.contains(&name), "{name}: {value:?}");
        }
        let id = headers["x-request-id"].to_str().unwrap();
        assert!(id.starts_with("req_") && !id.contains("Fake"), "{id}");
        assert_eq!(headers["request-id"], id);
        assert!(headers["x-gateway-account"].to_str().unwrap().starts_with("acc_"));
        assert!(headers["server-timing"].to_str().unwrap().starts_with("admit;dur="));
        assert_eq!(headers.get_all("x-request-id").iter().count(), 1);
    }
    let rows = app.ledger().await;
    assert!(rows[0]["upstream_request_id"].as_str().unwrap().starts_with("req_011CFake"), "kept for us");
}

#[tokio::test]
async fn a_mapped_model_changes_its_name_and_no_other_byte() {
    let app = App::start().await;
    let map = json!({ "model_map": { "claude-sonnet-5-5": "claude-\"mapped\"", "gemini-2.5-pro": "gemini-mapped" } });
    app.account("anthropic", "sk-ant-one", map.clone()).await;
    app.account("gemini", "AIza-one", map).await;
    let key = app.key(json!({})).await;
    let body =
        r#"{ "x" : 1.0,"model":  "claude-sonnet-5-5" , "messages":[{"role":"user","content":"claude-sonnet-5-5"}] }"#;
    assert_eq!(app.instance.messages(&key, body).send().await.unwrap().status(), 200);
    let sent = app.only_seen().body;
    assert_eq!(sent, body.replacen(r#""claude-sonnet-5-5""#, r#""claude-\"mapped\"""#, 1).as_bytes());
    app.fake.clear();
    let verb = "gemini-2.5-pro:generateContent?x=gemini-2.5-pro";
    assert_eq!(app.instance.gemini(&key, verb, PROMPT).send().await.unwrap().status(), 200);
    let seen = app.only_seen();
    assert_eq!(seen.path_and_query, "/v1beta/models/gemini-mapped:generateContent?x=gemini-2.5-pro");
    assert_eq!(seen.body, PROMPT.as_bytes());
}
