//! Headers: nothing of the way to us goes on to an upstream, nothing of an account comes back, and no secret is elsewhere.

use fake_upstream::{Answer, Before, End, Script};
use serde_json::json;

use crate::{
    support::{App, Raw, log_of},
    walk::hello,
};

/// What stays here on the way up: credentials, cookies, hop-by-hop headers, and what proxies and platforms add.
const NOT_UPSTREAM: &str = "
    authorization proxy-authorization x-goog-api-key x-gateway-key x-gateway-account x-gateway-anything cookie cookie2
    connection keep-alive proxy-authenticate proxy-connection te trailer http2-settings
    forwarded via x-forwarded x-forwarded-for x-forwarded-host x-forwarded-proto x-forwarded-port x-forwarded-prefix
    x-forwarded-anything x-real-ip client-ip true-client-ip x-client-ip x-cluster-client-ip x-originating-ip x-remote-ip
    x-remote-addr proxy-client-ip wl-proxy-client-ip max-forwards origin referer
    cf-ray cf-connecting-ip cf-connecting-ipv6 cf-ipcountry cf-visitor cf-worker cdn-loop fastly-client-ip fastly-ff
    x-akamai-edgescape fly-client-ip x-nf-client-connection-ip x-azure-clientip x-arr-ssl x-appengine-user-ip x-envoy-peer-metadata
    x-amzn-trace-id x-cloud-trace-context x-request-start x-queue-start x-now-id x-middleware-rewrite x-matched-path x-invocation-id
    x-original-url x-rewrite-url x-host x-ssl-client-cert x-client-cert x-auth-request-email x-remote-user remote-user
    x-goog-iap-jwt-assertion x-goog-authenticated-user-email x-serverless-authorization
    x-vercel-id x-vercel-forwarded-for x-vercel-ip-country x-vercel-ja4-digest x-vercel-deployment-url x-vercel-oidc-token
    x-vercel-internal-oidc-token x-vercel-internal-invocation-id x-vercel-sc-headers x-vercel-sc-host x-vercel-sc-no-header-leak
    x-session-id anthropic-user-profile-id anthropic-workspace-id x-goog-user-project x-http-method-override";

/// What stays here on the way back.
const NOT_TO_CALLER: &str = "
    anthropic-ratelimit-requests-limit anthropic-ratelimit-tokens-remaining anthropic-ratelimit-unified-status
    anthropic-ratelimit-unified-5h-utilization anthropic-priority-input-tokens-limit anthropic-fast-output-tokens-limit
    anthropic-organization-id anthropic-workspace-id set-cookie set-cookie2 via server alt-svc cf-ray cf-cache-status
    x-envoy-upstream-service-time x-vercel-id x-gateway-secret x-cloud-trace-context report-to nel strict-transport-security
    access-control-allow-origin access-control-allow-credentials access-control-expose-headers timing-allow-origin
    clear-site-data server-timing fastly-restarts x-amzn-requestid proxy-status";

fn odd(name: &str) -> String {
    name.chars().enumerate().map(|(n, c)| if n % 2 == 0 { c.to_ascii_uppercase() } else { c }).collect()
}

/// B7: every header of the list, in odd case and twice over: the upstream sees none of it, and all else as it came.
#[tokio::test]
async fn nothing_of_the_way_here_goes_upstream() {
    let (app, key) = App::ready().await;
    let gemini = r#"{"contents":[{"parts":[{"text":"hi"}]}]}"#;
    for (target, body) in [
        ("/v1/messages".to_owned(), hello(false)),
        ("/v1beta/models/gemini-2.5-pro:generateContent".to_owned(), gemini.to_owned()),
    ] {
        for name in NOT_UPSTREAM.split_whitespace() {
            app.fake.clear();
            let mut raw = Raw::connect(app.instance.address).await;
            let odd = odd(name);
            let headers = format!(
                "x-api-key: {key}\r\n{odd}: planted-one\r\n{name}: planted-two\r\nx-kept: one\r\nX-Kept: two\r\n"
            );
            raw.post(&target, &headers, &body).await;
            assert_eq!(raw.head().await.0, 200, "{name}");
            let seen = app.only_seen();
            assert!(!format!("{seen:?}").contains("planted"), "{name}: {seen:?}");
            assert_eq!(seen.header_values("x-kept"), ["one", "two"]);
        }
    }
}

/// What `Connection` names belongs to the connection, too.
#[tokio::test]
async fn what_the_connection_header_names_stays_here() {
    let (app, key) = App::ready().await;
    let mut raw = Raw::connect(app.instance.address).await;
    let headers = format!(
        "x-api-key: {key}\r\nconnection: X-One , x-two\r\nCONNECTION: x-three\r\nx-one: p\r\nX-TWO: p\r\nx-three: p\r\n"
    );
    raw.post("/v1/messages", &headers, &hello(false)).await;
    assert_eq!(raw.head().await.0, 200);
    let seen = app.only_seen();
    assert!(seen.headers.iter().all(|(name, _)| !name.starts_with("x-one") && !name.starts_with("x-t")), "{seen:?}");
}

/// B7, the other way: what an answer says of the account, of its organization and of its connection stays here.
#[tokio::test]
async fn nothing_of_an_account_comes_back() {
    let (app, key) = App::ready().await;
    for name in NOT_TO_CALLER.split_whitespace() {
        app.fake.clear();
        app.fake.script(Script::once(Answer::default().with_header(name, "planted-9").with_header("x-kept", "yes")));
        let answer = app.instance.messages(&key, hello(false)).send().await.unwrap();
        assert_eq!(answer.headers()["x-kept"], "yes", "{name}");
        assert!(!format!("{:?}", answer.headers()).contains("planted"), "{name}: {:?}", answer.headers());
    }
}

/// C1: a Gemini credential is only ever a header, so no address that an error may name holds it; and no error names one.
#[tokio::test]
async fn no_error_holds_a_secret_or_an_address() {
    let app = App::start().await;
    let (anthropic, gemini) = ("sk-ant-planted-Fq72", "AIza-planted-Kw19");
    app.account("anthropic", anthropic, json!({ "name": "a" })).await;
    app.account("gemini", gemini, json!({ "name": "g" })).await;
    // Nobody listens at this one, and this one speaks no TLS.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    app.account(
        "gemini",
        "AIza-planted-Gone",
        json!({ "name": "gone", "base_url": format!("http://{gone}"), "pool": "gone" }),
    )
    .await;
    let plain = app.fake.url().replace("http:", "https:");
    app.account("gemini", "AIza-planted-Tls", json!({ "name": "tls", "base_url": plain, "pool": "tls" })).await;
    let key = app.key(json!({})).await;
    let (gone_key, tls_key) =
        (app.key(json!({ "name": "g", "pool": "gone" })).await, app.key(json!({ "name": "t", "pool": "tls" })).await);
    let body = r#"{"contents":[{"parts":[{"text":"hi"}]}]}"#;
    let mut said = String::new();
    let mut keys = vec![&key, &gone_key, &tls_key];
    for answer in [
        Answer::gemini_invalid("bad"),
        Answer::gemini_key_invalid(),
        Answer::after(Before::Reset),
        Answer::cut(0, End::Reset),
        Answer::internal_error(),
    ] {
        app.fake.clear();
        app.fake.script(Script::always(answer));
        for key in std::mem::replace(&mut keys, vec![&key]) {
            let by_query = format!("gemini-2.5-pro:generateContent?key={key}");
            for verb in ["gemini-2.5-pro:generateContent", "gemini-2.5-pro:streamGenerateContent?alt=sse", &by_query] {
                let answer = app.instance.gemini(key, verb, body).send().await.unwrap();
                said += &format!("{:?}", answer.headers());
                said += &answer.text().await.unwrap_or_default();
            }
            let answer = app.instance.messages(key, hello(true)).send().await.unwrap();
            said += &answer.text().await.unwrap_or_default();
        }
        assert!(
            app.fake
                .seen()
                .iter()
                .all(|seen| !seen.path_and_query.contains("planted") && !seen.path_and_query.contains("gw_"))
        );
        for name in ["a", "g", "gone", "tls"] {
            app.database.execute(&format!("update accounts set health = 'ready', failures = 0, health_until = null where name = '{name}'; update settings set revision = revision + 1")).await;
        }
    }
    said += &format!("{:?}", app.ledger().await);
    said += &format!("{:?}", app.database.rows("select last_error, health_reason from accounts").await);
    for secret in ["planted-", &key[3..], &gone_key[3..], &tls_key[3..]] {
        assert!(!said.contains(secret), "an answer or a row holds {secret}");
    }
    for secret in [anthropic, gemini, "AIza-planted-Gone", "AIza-planted-Tls", &key[3..], &gone_key[3..], &tls_key[3..]]
    {
        assert!(log_of(secret).is_empty(), "a line holds {secret}");
    }
    for address in [app.fake.address().to_string(), gone.to_string()] {
        assert!(!said.contains(&address), "an answer or a row names {address}");
    }
}
