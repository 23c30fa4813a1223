//! Signing in: whose address counts, how often it may fail, and that nobody can shut the operator out.

use http::StatusCode;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::{
    support::{ADMIN_TOKEN, App, Instance, refused},
    walk::hello,
};

/// Failures that are answered plainly.
const MOST_FAILURES: usize = 20;

async fn status(request: RequestBuilder) -> StatusCode {
    request.send().await.unwrap().status()
}

fn guess(instance: &Instance, token: &str) -> RequestBuilder {
    instance.request(Method::GET, "/api/accounts").bearer_auth(token)
}

/// Failed sign-ins are counted for each address, whichever instance they come to.
#[tokio::test]
async fn failed_sign_ins_are_limited_on_all_instances_together() {
    let app = App::start().await;
    let neighbour = app.neighbour().await;
    for n in 0..MOST_FAILURES {
        let instance = if n % 2 == 0 { &app.instance } else { &neighbour };
        refused(guess(instance, "junk").send().await.unwrap(), StatusCode::UNAUTHORIZED, "unauthenticated", None).await;
    }
    for instance in [&app.instance, &neighbour, &app.neighbour().await] {
        let answer = guess(instance, "other junk").send().await.unwrap();
        let after: u64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=60).contains(&after), "{after}");
        refused(answer, StatusCode::TOO_MANY_REQUESTS, "rate_limited", None).await;
    }
    assert_eq!(app.database.number("select failures from failed_sign_ins").await, 23);
    // An instance that knows asks the database no more.
    assert_eq!(status(guess(&neighbour, "junk")).await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(app.database.number("select failures from failed_sign_ins").await, 23);
    // To send nothing is no attempt.
    assert_eq!(status(neighbour.request(Method::GET, "/api/accounts")).await, StatusCode::UNAUTHORIZED);
    // When the window is over, a new one begins; what is long over is swept away.
    app.database.execute("update failed_sign_ins set until = now()").await;
    app.database.execute("insert into failed_sign_ins values ('10.9.9.9', 5, now() - interval '2 hours')").await;
    assert_eq!(status(guess(&app.neighbour().await, "junk")).await, StatusCode::UNAUTHORIZED);
    let kept = app.database.rows("select origin, failures from failed_sign_ins").await;
    assert_eq!(kept, [json!({ "origin": "127.0.0.1", "failures": 1 })]);
}

/// Nobody can lock the operator out: neither by failing from the same address, nor by taking all admin keys away.
#[tokio::test]
async fn the_last_way_in_stays_open() {
    let app = App::start().await;
    let admin = app.key(json!({ "role": "admin" })).await;
    for _ in 0..=MOST_FAILURES {
        status(guess(&app.instance, "junk")).await;
    }
    assert_eq!(status(guess(&app.instance, "junk")).await, StatusCode::TOO_MANY_REQUESTS);
    for token in [ADMIN_TOKEN, &admin] {
        assert_eq!(status(guess(&app.instance, token)).await, StatusCode::OK);
    }
    let keys = app.instance.manage(Method::GET, "/api/keys", None).await;
    let id = keys["data"][0]["id"].as_str().unwrap();
    // An admin key may even take itself away.
    let own = app.instance.request(Method::DELETE, &format!("/api/keys/{id}")).bearer_auth(&admin);
    assert_eq!(status(own).await, StatusCode::NO_CONTENT);
    assert_eq!(status(guess(&app.instance, &admin)).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(guess(&app.instance, ADMIN_TOKEN)).await, StatusCode::OK);
}

/// What succeeds writes nothing, and a model call never counts as a sign-in.
#[tokio::test]
async fn a_good_sign_in_writes_nothing() {
    let (app, key) = App::ready().await;
    assert_eq!(status(guess(&app.instance, ADMIN_TOKEN)).await, StatusCode::OK);
    assert_eq!(status(app.instance.request(Method::GET, "/api/keys/me").bearer_auth(&key)).await, StatusCode::OK);
    assert_eq!(status(app.instance.messages("junk", hello(false))).await, StatusCode::UNAUTHORIZED);
    assert_eq!(app.database.number("select count(*) from failed_sign_ins").await, 0);
}

/// A11: what a client says of its own address moves neither the limit on sign-ins nor a key's networks.
#[tokio::test]
async fn no_header_moves_a_clients_address() {
    let (app, _) = App::ready().await;
    let key = app.key(json!({ "name": "office", "allowed_cidrs": ["203.0.113.0/24", "2001:db8::/32"] })).await;
    let claims = [
        "x-forwarded-for",
        "x-real-ip",
        "forwarded",
        "cf-connecting-ip",
        "true-client-ip",
        "x-client-ip",
        "x-vercel-forwarded-for",
    ];
    for n in 0..=MOST_FAILURES {
        let request = guess(&app.instance, "junk").header(claims[n % claims.len()], format!("203.0.113.{n}"));
        let expect = if n < MOST_FAILURES { StatusCode::UNAUTHORIZED } else { StatusCode::TOO_MANY_REQUESTS };
        assert_eq!(status(request).await, expect, "{n}");
    }
    for claim in claims {
        let request = app.instance.messages(&key, hello(false)).header(claim, "203.0.113.7");
        assert_eq!(status(request).await, StatusCode::FORBIDDEN, "{claim}");
    }
    assert_eq!(app.fake.seen().len(), 0);
}

/// One's own proxies are believed, as far as they go: the right-most address that is none of theirs is the client's.
#[tokio::test]
async fn a_keys_networks_hold_behind_ones_own_proxies() {
    let (app, _) = App::ready().await;
    let key = app.key(json!({ "name": "office", "allowed_cidrs": ["203.0.113.0/24", "2001:db8::/32"] })).await;
    let behind = Instance::start(&app.database.url, &[("TRUSTED_PROXIES", "127.0.0.0/8, 10.0.0.0/8")]).await;
    for (forwarded, expect) in [
        ("203.0.113.7", StatusCode::OK),
        ("198.51.100.1, 203.0.113.7, 10.1.1.1", StatusCode::OK),
        ("2001:db8::7", StatusCode::OK),
        ("203.0.113.7, 198.51.100.1", StatusCode::FORBIDDEN),
        ("203.0.113.7, nonsense", StatusCode::FORBIDDEN),
        ("", StatusCode::FORBIDDEN),
    ] {
        let request = behind.messages(&key, hello(false)).header("x-forwarded-for", forwarded);
        assert_eq!(status(request).await, expect, "{forwarded}");
        let request = behind.request(Method::GET, "/api/keys/me").bearer_auth(&key);
        assert_eq!(status(request.header("x-forwarded-for", forwarded)).await, expect, "{forwarded}");
    }
    assert_eq!(app.fake.seen().len(), 3);
}

#[tokio::test]
async fn a_keys_networks_are_checked_kept_and_told() {
    let app = App::start().await;
    let issue = async |cidrs: Value| {
        let body = json!({ "name": "office", "allowed_cidrs": cidrs });
        app.instance.operator(Method::POST, "/api/keys", Some(body)).await
    };
    for wrong in [json!(["10.0.0.1/8"]), json!(["office"]), json!("10.0.0.0/8"), json!([7]), json!([""])] {
        let answer = issue(wrong).await;
        refused(answer, StatusCode::BAD_REQUEST, "invalid_request", Some("allowed_cidrs")).await;
    }
    let issued: Value =
        serde_json::from_str(&issue(json!(["127.0.0.1", "10.0.0.0/8"])).await.text().await.unwrap()).unwrap();
    assert_eq!(issued["allowed_cidrs"], json!(["127.0.0.1/32", "10.0.0.0/8"]));
    let path = format!("/api/keys/{}", issued["id"].as_str().unwrap());
    let key = issued["key"].as_str().unwrap();
    assert_eq!(status(app.instance.request(Method::GET, "/api/keys/me").bearer_auth(key)).await, StatusCode::OK);
    let moved = json!({ "allowed_cidrs": ["10.0.0.0/8"] });
    assert_eq!(app.instance.manage(Method::PATCH, &path, Some(moved)).await["allowed_cidrs"], json!(["10.0.0.0/8"]));
    assert_eq!(status(app.instance.request(Method::GET, "/api/keys/me").bearer_auth(key)).await, StatusCode::FORBIDDEN);
    let anywhere = app.instance.manage(Method::PATCH, &path, Some(json!({ "allowed_cidrs": null }))).await;
    assert_eq!(anywhere["allowed_cidrs"], json!([]));
    let told = app.database.rows("select after -> 'allowed_cidrs' as networks from audit_log order by id").await;
    assert_eq!(told[1]["networks"], json!(["10.0.0.0/8"]));
}

/// A6: what is stored opens nothing: neither a key's hash nor a sealed credential is a token.
#[tokio::test]
async fn what_is_stored_opens_nothing() {
    let (app, _) = App::ready().await;
    app.key(json!({ "name": "admin", "role": "admin" })).await;
    let stored = app
        .database
        .rows(
            "select encode(hash, 'hex') as hex, encode(hash, 'base64') as base64, prefix from api_keys
             union all
             select encode(credential, 'hex'), replace(encode(credential, 'base64'), E'\\n', ''), credential_hint from accounts",
        )
        .await;
    assert_eq!(stored.len(), 4);
    let behind = Instance::start(&app.database.url, &[("TRUSTED_PROXIES", "127.0.0.1")]).await;
    let texts = stored.iter().flat_map(|row| ["hex", "base64", "prefix"].map(|name| row[name].as_str().unwrap()));
    for (n, text) in texts.filter(|text| text.is_ascii()).enumerate() {
        for token in [text.to_owned(), format!("gw_{text}")] {
            let request = guess(&behind, &token).header("x-forwarded-for", format!("10.0.0.{n}"));
            assert_eq!(status(request).await, StatusCode::UNAUTHORIZED, "{token}");
            assert_eq!(status(behind.messages(&token, hello(false))).await, StatusCode::UNAUTHORIZED, "{token}");
        }
    }
}
