//! The caller's own login: with the gateway's key in `x-gateway-key` it goes up unchanged, and no account serves.

use fake_upstream::{Answer, Before, End, Fake, Script};
use futures_util::future::join_all;
use http::StatusCode;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::{
    support::{App, Database, Instance, eventually},
    walk::hello,
};

const PROMPT: &str = r#"{"contents":[{"parts":[{"text":"[[words 6]]"}]}]}"#;
const GENERATE: &str = "/v1beta/models/gemini-2.5-pro:generateContent";

async fn instance(database: &Database, fake: &Fake) -> Instance {
    let url = fake.url();
    let variables = ["ANTHROPIC_UPSTREAM", "GEMINI_UPSTREAM", "CODE_ASSIST_UPSTREAM"].map(|name| (name, url.as_str()));
    let further = [("PASSTHROUGH_PATHS", "/v1internal:*")];
    Instance::start(&database.url, &[&variables[..], &further[..]].concat()).await
}

/// A gateway whose providers' own addresses are the fake, with an account of each that must never be asked, and a key
/// that may be used with a login of one's own; `more` are further fields of it.
async fn ready_with(more: Value) -> (App, String) {
    let (database, fake) = (Database::create().await, Fake::start().await);
    let instance = instance(&database, &fake).await;
    let app = App { database, fake, instance };
    app.account("anthropic", "sk-ant-pooled", json!({})).await;
    app.account("gemini", "AIza-pooled", json!({})).await;
    let mut fields = json!({ "allow_passthrough": true });
    fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let key = app.key(fields).await;
    (app, key)
}

async fn ready() -> (App, String) {
    ready_with(json!({})).await
}

/// A message with a login of the caller's own.
fn own(instance: &Instance, key: &str, stream: bool) -> RequestBuilder {
    let request = instance.request(Method::POST, "/v1/messages?beta=true").body(hello(stream));
    request.header("x-gateway-key", key).bearer_auth("sk-ant-oat01-own").header("anthropic-version", "2023-06-01")
}

async fn said(answer: Response) -> (StatusCode, String) {
    (answer.status(), answer.text().await.unwrap())
}

/// Wherever a client puts its login, it arrives there as it was sent, at the provider's own address; the row is like every
/// other, with the account `passthrough`.
#[tokio::test]
async fn the_callers_own_login_goes_up_unchanged_and_no_account_is_used() {
    let (app, key) = ready().await;
    let message = "/v1/messages?beta=true&x=%2f";
    let stream = "/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse&key=AIza-own&x=1";
    for (path, header, login) in [
        (message, "authorization", "Bearer sk-ant-oat01-own"),
        (message, "x-api-key", "sk-ant-own"),
        (GENERATE, "x-goog-api-key", "AIza-own"),
        (GENERATE, "authorization", "Bearer ya29.own"),
        (stream, "x-kept", "1"),
    ] {
        app.fake.clear();
        let body = if path == message { hello(false) } else { PROMPT.to_owned() };
        let request = app.instance.request(Method::POST, path).header("X-Gateway-Key", &key).header(header, login);
        let betas = "oauth-2025-04-20,claude-code-20250219";
        let request =
            request.header("anthropic-beta", betas).header("cookie", "a=1").header("x-forwarded-for", "9.9.9.9");
        let answer = request.header("anthropic-workspace-id", "w").body(body.clone()).send().await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["x-gateway-account"]),
            (200, &"passthrough".parse().unwrap())
        );
        assert_eq!(answer.headers()["x-gateway-attempts"], "1");
        answer.bytes().await.unwrap();
        let seen = app.only_seen();
        assert_eq!((&*seen.path_and_query, &seen.body[..]), (path, body.as_bytes()));
        assert_eq!((seen.header_values(header), seen.header_values("anthropic-beta")), (vec![login], vec![betas]));
        let everything = format!("{seen:?}");
        for ours in ["gw_", "pooled", "cookie", "x-gateway", "9.9.9.9"] {
            assert!(!everything.contains(ours), "{ours}: {everything}");
        }
        let owner = if path == message { vec!["w"] } else { vec![] };
        assert_eq!(seen.header_values("anthropic-workspace-id"), owner, "it is the login's owner's");

        let row = app.only_row().await;
        let told = seen.answered.figures.unwrap();
        assert_eq!((&row["account_id"], &row["status"]), (&json!("passthrough"), &json!("completed")), "{row}");
        assert_eq!((&row["input_tokens"], &row["output_tokens"]), (&json!(told.input), &json!(told.output)), "{row}");
        assert!(row["cost_micros"].as_i64().unwrap() > 0 && row["estimated"] == false, "{row}");
        let summary = app.instance.manage(Method::GET, "/api/stats/summary?account=passthrough", None).await;
        assert_eq!((&summary["requests"], &summary["in_flight"]), (&json!(1), &json!(0)));
        app.database.execute("delete from ledger").await;
    }
    let logged = "select count(*) from ledger l where l::text ~ 'gw_|own'";
    assert_eq!(app.database.number(logged).await, 0, "the ledger holds no login");
}

/// A key must allow it, and does or does not from the next request on, on every instance.
#[tokio::test]
async fn a_key_that_does_not_allow_it_is_refused_in_the_callers_own_dialect() {
    let (app, _) = ready().await;
    let issued = app.instance.manage(Method::POST, "/api/keys", Some(json!({ "name": "plain" }))).await;
    assert_eq!(issued["allow_passthrough"], false);
    let (key, path) = (issued["key"].as_str().unwrap(), format!("/api/keys/{}", issued["id"].as_str().unwrap()));
    let (status, text) = said(own(&app.instance, key, false).send().await.unwrap()).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{text}");
    assert!(text.contains("permission_error") && text.contains("allow_passthrough"), "{text}");
    let gemini = app.instance.request(Method::POST, GENERATE).body(PROMPT).header("x-gateway-key", key);
    let (status, text) = said(gemini.header("x-goog-api-key", "AIza-own").send().await.unwrap()).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{text}");
    assert!(text.contains("PERMISSION_DENIED") && text.contains("allow_passthrough"), "{text}");
    assert!(app.fake.seen().is_empty());

    let neighbour = instance(&app.database, &app.fake).await;
    for (allows, status) in [(true, StatusCode::OK), (false, StatusCode::FORBIDDEN), (true, StatusCode::OK)] {
        app.instance.manage(Method::PATCH, &path, Some(json!({ "allow_passthrough": allows }))).await;
        for instance in [&app.instance, &neighbour] {
            assert_eq!(own(instance, key, false).send().await.unwrap().status(), status);
        }
    }
}

/// A key of the gateway's is never sent upstream, wherever it stands. Where one stands in a usual place too, and no login
/// beside it, the request is like any other; alone in `x-gateway-key` it is missing a login.
#[tokio::test]
async fn a_key_of_ours_is_never_taken_for_the_callers_login() {
    let (app, key) = ready().await;
    let other = app.key(json!({})).await;
    let post = |path: &str| app.instance.request(Method::POST, path).header("x-gateway-key", &key);
    let message = || post("/v1/messages").body(hello(false));
    let gemini = |query: &str| post(&format!("{GENERATE}{query}")).body(PROMPT);
    let mistyped = format!("{}x", &other[..other.len() - 1]);
    for (request, credential) in [
        (message().bearer_auth(&key), "sk-ant-pooled"),
        (message().header("x-api-key", &other), "sk-ant-pooled"),
        (message().bearer_auth(&other).header("x-api-key", "sk-ant-own"), "sk-ant-own"),
        (message().bearer_auth("sk-ant-oat01-own").header("x-api-key", &mistyped), "sk-ant-oat01-own"),
        (gemini(&format!("?key={other}")), "AIza-pooled"),
        (gemini(&format!("?key={other}&%6bey={mistyped}")).header("x-goog-api-key", "AIza-own"), "AIza-own"),
        (gemini("?key=AIza-own").header("x-goog-api-key", &key).bearer_auth(&other), "AIza-own"),
    ] {
        app.fake.clear();
        let (status, text) = said(request.send().await.unwrap()).await;
        assert_eq!(status, StatusCode::OK, "{text}");
        let seen = app.only_seen();
        assert_eq!(seen.credential.as_deref(), Some(credential));
        assert!(!format!("{seen:?}").contains("gw_"), "{seen:?}");
    }
    app.fake.clear();
    // A login for another provider is none, and stays here.
    for request in [message(), message().header("x-goog-api-key", "AIza-own"), message().header("x-api-key", "")] {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.headers()["x-should-retry"], "false");
        let (status, text) = said(answer).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{text}");
        assert!(text.contains("authentication_error") && text.contains("a login of your own"), "{text}");
    }
    for request in [gemini(""), gemini("?key="), gemini("").header("x-api-key", "sk-ant-own")] {
        let (status, text) = said(request.send().await.unwrap()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{text}");
        assert!(text.contains("API_KEY_INVALID") && text.contains("a login of your own"), "{text}");
    }
    assert!(app.fake.seen().is_empty());
}

/// What the upstream says is the caller's own: errors come back unchanged after one attempt, with its limits, and no account
/// pays for them.
#[tokio::test]
async fn errors_and_limits_of_the_callers_own_come_back_unchanged() {
    let (app, key) = ready().await;
    let answers = [
        (Answer::rate_limited(3600), "refused"),
        (Answer::unauthorized(), "refused"),
        (Answer::token_expired(), "refused"),
        (Answer::invalid_request("max_tokens: must be positive"), "refused"),
        (Answer::overloaded(), "failed"),
        (Answer::internal_error(), "failed"),
        (Answer::error_event_first(), "failed"),
        (Answer::default(), "completed"),
    ];
    for (answer, status) in answers {
        app.fake.clear();
        let answer = answer
            .with_header("anthropic-ratelimit-unified-5h-utilization", "0.4")
            .with_header("anthropic-organization-id", "own-organization")
            .with_header("set-cookie", "a=1")
            .with_header("cf-ray", "1");
        app.fake.script(Script::always(answer.clone()));
        let got = own(&app.instance, &key, true).send().await.unwrap();
        let headers = got.headers().clone();
        let (got, text) = said(got).await;
        let seen = app.only_seen();
        assert_eq!(seen.credential.as_deref(), Some("sk-ant-oat01-own"));
        assert_eq!(got, answer.status, "{text}");
        assert_eq!(headers["anthropic-ratelimit-unified-5h-utilization"], "0.4");
        assert_eq!(headers["anthropic-organization-id"], "own-organization");
        assert!(!headers.contains_key("set-cookie") && !headers.contains_key("cf-ray"));
        for name in ["retry-after", "x-should-retry"] {
            let sent = answer.headers.iter().find(|(sent, _)| sent == name).map(|(_, value)| value.as_str());
            assert_eq!(headers.get(name).map(|value| value.to_str().unwrap()), sent, "{name}: {answer:?}");
        }
        if let fake_upstream::Body::Text { text: sent, .. } = &answer.body {
            assert_eq!(&text, sent);
        }
        let row = app.only_row().await;
        assert_eq!((&row["status"], &row["account_id"]), (&json!(status), &json!("passthrough")), "{row}");
        assert_eq!(row["attempts"].as_array().unwrap().len(), 1, "{row}");
        app.database.execute("delete from ledger").await;
    }
    let accounts = app.instance.manage(Method::GET, "/api/accounts", None).await;
    for account in accounts["data"].as_array().unwrap() {
        assert_eq!((&account["state"], &account["reported_limits"]), (&json!("ready"), &json!([])), "{account}");
    }
}

/// The rules of the key and of the paths are those of every other request (A10).
#[tokio::test]
async fn a10_rules_of_keys_and_of_paths_hold() {
    let (app, key) = ready().await;
    for (fields, status) in [
        (json!({ "models": ["claude-opus-*"] }), StatusCode::BAD_REQUEST),
        (json!({ "providers": ["gemini"] }), StatusCode::FORBIDDEN),
        (json!({ "role": "viewer" }), StatusCode::FORBIDDEN),
        (json!({ "models": ["claude-sonnet-*"], "providers": ["anthropic"] }), StatusCode::OK),
    ] {
        let mut all = json!({ "allow_passthrough": true });
        all.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let key = app.key(all).await;
        assert_eq!(own(&app.instance, &key, false).send().await.unwrap().status(), status, "{fields}");
    }
    assert_eq!(app.fake.seen().len(), 1);
    for path in ["/v1/organizations/users", "/v1/messages/../organizations", "/v1/oauth/token"] {
        let request =
            app.instance.request(Method::POST, path).header("x-gateway-key", &key).bearer_auth("sk-ant-oat01-own");
        assert_ne!(request.send().await.unwrap().status(), StatusCode::OK, "{path}");
    }
    let keys = app.instance.manage(Method::GET, "/api/keys", None).await;
    for key in keys["data"].as_array().unwrap() {
        app.instance.manage(Method::DELETE, &format!("/api/keys/{}", key["id"].as_str().unwrap()), None).await;
    }
    assert_eq!(own(&app.instance, &key, false).send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    assert_eq!(app.fake.seen().len(), 1);
}

/// A key's requests under way are counted together, whoever serves them, over all instances.
#[tokio::test]
async fn a_cap_on_requests_in_flight_holds_exactly() {
    const CAP: usize = 3;
    let (app, key) = ready_with(json!({ "limits": { "max_in_flight": CAP } })).await;
    let neighbour = instance(&app.database, &app.fake).await;
    app.fake.script(Script::always(Answer::after(Before::Held)));
    let calls = (0..12).map(|n| {
        let instance = if n % 2 == 0 { &app.instance } else { &neighbour };
        let request = if n % 3 == 0 { instance.messages(&key, hello(false)) } else { own(instance, &key, false) };
        async move { request.send().await.unwrap().status() }
    });
    let let_go = async {
        app.fake.arrived(CAP as u64).await;
        // All others are refused before any of these may go.
        eventually("the others are refused", || async {
            (app.database.number("select count(*) from leases").await == CAP as i64).then_some(())
        })
        .await;
    };
    let calling = join_all(calls);
    let finish = async {
        let_go.await;
        app.fake.release(12);
    };
    let (statuses, ()) = tokio::join!(calling, finish);
    assert!(app.fake.stats().total.max_in_flight <= CAP as u64, "{:?}", app.fake.stats());
    let served = statuses.iter().filter(|status| **status == StatusCode::OK).count();
    assert!(served >= CAP && statuses.iter().all(|s| [200, 429].contains(&s.as_u16())), "{statuses:?}");
    assert_eq!(app.ledger().await.len(), served);
}

/// D1 and D7 for a login of the caller's own: hang-ups, cuts, an upstream that is not there, an instance that dies.
#[tokio::test]
async fn however_it_ends_there_is_one_row_and_no_lease() {
    let (app, key) = ready().await;
    for (answer, leaves, status) in [
        (Answer::held_after(2), true, "cancelled"),
        (Answer::cut(2, End::Reset), false, "failed"),
        (Answer::after(Before::Reset), false, "failed"),
    ] {
        app.fake.clear();
        app.fake.script(Script::always(answer.clone()));
        let mut got = own(&app.instance, &key, true).send().await.unwrap();
        if leaves {
            got.chunk().await.unwrap().unwrap();
            drop(got);
        } else {
            let text = got.text().await.unwrap();
            assert!(text.contains("\"error\""), "told so in the protocol's words: {text}");
        }
        app.fake.idle().await;
        let row = app.only_row().await;
        assert_eq!((&row["status"], &row["estimated"]), (&json!(status), &json!(true)), "{answer:?}: {row}");
        assert!(row["input_tokens"].as_i64().unwrap() > 0 && row["cost_micros"].as_i64().unwrap() > 0, "{row}");
        assert_eq!(app.fake.seen().len(), 1, "one attempt");
        app.database.execute("delete from ledger").await;
    }
    app.fake.clear();
    app.fake.script(Script::once(Answer::held_after(2)));
    let mut answer = own(&app.instance, &key, true).send().await.unwrap();
    answer.chunk().await.unwrap().unwrap();
    app.give_up().await;
    let lost = "select * from ledger where status = 'lost'";
    let row = eventually("it is given up", || async { app.database.rows(lost).await.pop() }).await;
    assert_eq!((&row["account_id"], &row["estimated"]), (&json!("passthrough"), &json!(true)), "{row}");
}

/// An upstream that refuses the connection: a refusal of ours, and nothing is charged.
#[tokio::test]
async fn an_upstream_that_is_not_there_is_a_refusal_of_ours() {
    let (database, fake) = (Database::create().await, Fake::start().await);
    let instance = instance(&database, &fake).await;
    let app = App { database, fake: Fake::start().await, instance };
    let key = app.key(json!({ "allow_passthrough": true })).await;
    fake.stop().await;
    let (status, text) = said(own(&app.instance, &key, true).send().await.unwrap()).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{text}");
    let row = app.only_row().await;
    assert_eq!((&row["status"], &row["cost_micros"]), (&json!("failed"), &json!(0)), "{row}");
    assert_eq!(row["attempts"][0]["verdict"], "unreachable", "{row}");
}

/// A Google login goes to Code Assist, whose paths are told by their version.
#[tokio::test]
async fn a_google_login_goes_to_code_assist() {
    let (app, key) = ready().await;
    let body = r#"{"metadata":{"pluginType":"GEMINI"}}"#;
    app.fake.script(Script::always(Answer::json(200, json!({ "cloudaicompanionProject": "own" }))));
    let request = app.instance.request(Method::POST, "/v1internal:loadCodeAssist").body(body).bearer_auth("ya29.own");
    let answer = request.header("x-gateway-key", &key).header("x-goog-user-project", "own").send().await.unwrap();
    assert_eq!(answer.headers()["x-gateway-account"], "passthrough");
    assert_eq!(said(answer).await, (StatusCode::OK, r#"{"cloudaicompanionProject":"own"}"#.to_owned()));
    let seen = app.only_seen();
    assert_eq!((&*seen.path_and_query, &seen.body[..]), ("/v1internal:loadCodeAssist", body.as_bytes()));
    assert_eq!(seen.header_values("authorization"), ["Bearer ya29.own"]);
    assert_eq!(seen.header_values("x-goog-user-project"), ["own"]);
    assert!(!format!("{seen:?}").contains("gw_"));
    assert_eq!(app.only_row().await["account_id"], "passthrough");
}

/// `ANTHROPIC_UPSTREAM` and `GEMINI_UPSTREAM` are where accounts without a base URL go.
#[tokio::test]
async fn accounts_without_a_base_url_go_to_the_providers_own_address() {
    let (app, _) = ready().await;
    for (provider, credential) in [("anthropic", "sk-ant-plain"), ("gemini", "AIza-plain")] {
        app.account(provider, credential, json!({ "pool": "plain", "base_url": null })).await;
    }
    let key = app.key(json!({ "pool": "plain" })).await;
    assert_eq!(app.instance.messages(&key, hello(false)).send().await.unwrap().status(), 200);
    assert_eq!(app.instance.gemini(&key, "gemini-2.5-pro:generateContent", PROMPT).send().await.unwrap().status(), 200);
    assert_eq!(app.credentials(), ["sk-ant-plain", "AIza-plain"]);
}

/// What lives on the caller's own account is that account's affair: a list is the upstream's, and nothing is kept of it.
#[tokio::test]
async fn what_lives_on_the_callers_own_account_is_the_upstreams() {
    let (app, key) = ready().await;
    let own = |method: Method, path: &str| {
        let request = app.instance.request(method, path).header("x-gateway-key", &key);
        request.header("x-api-key", "sk-ant-own").header("anthropic-version", "2023-06-01")
    };
    let batch = json!({ "requests": [{ "custom_id": "a", "params": { "model": "claude-haiku-4-5" } }] });
    let (status, made) =
        said(own(Method::POST, "/v1/messages/batches").body(batch.to_string()).send().await.unwrap()).await;
    assert_eq!(status, StatusCode::OK, "{made}");
    let made: Value = serde_json::from_str(&made).unwrap();
    let (_, list) = said(own(Method::GET, "/v1/messages/batches").send().await.unwrap()).await;
    assert!(list.contains(made["id"].as_str().unwrap()), "{list}");
    let results = format!("/v1/messages/batches/{}/results", made["id"].as_str().unwrap());
    assert_eq!(said(own(Method::GET, &results).send().await.unwrap()).await.0, StatusCode::OK);
    assert_eq!(app.credentials(), ["sk-ant-own"; 3]);
    assert_eq!(app.database.number("select count(*) from things").await, 0);
}
