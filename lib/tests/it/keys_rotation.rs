//! New secrets for old keys: by the operator with a grace, by the holder when due; and the end of both, everywhere at once.

use futures_util::future::join_all;
use gateway::clock;
use http::StatusCode;
use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    support::{
        App, Instance, eventually,
        keys::{issue, me},
        refused,
    },
    walk::hello,
};

async fn status(instance: &Instance, key: &str) -> u16 {
    instance.messages(key, hello(false)).send().await.unwrap().status().as_u16()
}

async fn rotated(app: &App, id: &str, grace: i32) -> (String, Value) {
    let path = format!("/api/keys/{id}/rotate");
    let answer = app.instance.manage(Method::POST, &path, Some(json!({ "grace_seconds": grace }))).await;
    (answer["key"].as_str().unwrap().to_owned(), answer)
}

/// What a key is, but for its secret.
fn rights(mut key: Value) -> Value {
    let fields = key.as_object_mut().unwrap();
    for of_the_secret in [
        "key",
        "prefix",
        "rotated_at",
        "rotation_due_at",
        "updated_at",
        "old_secret_ends_at",
        "state",
        "secret_ends_at",
    ] {
        fields.remove(of_the_secret);
    }
    key
}

/// The old secret works until the grace ends, to the second, on every instance; the new one works at once.
#[tokio::test]
async fn the_old_secret_works_until_the_grace_ends_on_every_instance() {
    let (app, _) = App::ready().await;
    let neighbour = app.neighbour().await;
    let (id, old) = issue(&app, json!({})).await;
    for instance in [&app.instance, &neighbour] {
        assert_eq!(status(instance, &old).await, 200);
    }
    let (new, answer) = rotated(&app, &id, 2).await;
    let ends: Timestamp = answer["old_secret_ends_at"].as_str().unwrap().parse().unwrap();
    assert_eq!(answer["prefix"], new[..10]);
    for instance in [&app.instance, &neighbour] {
        assert_eq!(status(instance, &new).await, 200);
        let over = || async {
            let before = clock::now();
            let status = status(instance, &old).await;
            let after = clock::now();
            match status {
                200 => assert!(before < ends, "it goes no further than its end"),
                401 => assert!(after >= ends, "it works to its end"),
                other => panic!("{other}"),
            }
            (status == 401).then_some(())
        };
        eventually("the grace ends", over).await;
        assert_eq!(status(instance, &new).await, 200);
    }
    let answer = app.instance.request(Method::GET, "/api/keys/me").bearer_auth(&old).send().await.unwrap();
    refused(answer, StatusCode::UNAUTHORIZED, "unauthenticated", None).await;
}

/// Without a grace the old secret is out on the very next request, on every instance; earlier ones keep their own grace.
#[tokio::test]
async fn each_old_secret_has_its_own_end() {
    let (app, _) = App::ready().await;
    let neighbour = app.neighbour().await;
    let (id, first) = issue(&app, json!({})).await;
    let (second, _) = rotated(&app, &id, 3_600).await;
    for key in [&first, &second] {
        assert_eq!(status(&neighbour, key).await, 200);
    }
    let (third, _) = rotated(&app, &id, 0).await;
    for instance in [&app.instance, &neighbour] {
        assert_eq!(
            [status(instance, &first).await, status(instance, &second).await, status(instance, &third).await],
            [200, 401, 200]
        );
    }
    app.instance.manage(Method::DELETE, &format!("/api/keys/{id}"), None).await;
    for instance in [&app.instance, &neighbour] {
        for key in [&first, &third] {
            assert_eq!(status(instance, key).await, 401, "revoking ends all of them");
        }
    }
    let again = app.instance.operator(Method::POST, &format!("/api/keys/{id}/rotate"), None).await;
    refused(again, StatusCode::CONFLICT, "conflict", None).await;
}

/// Automatic rotation: within the last tenth the holder may fetch a successor, once, with exactly the old one's rights;
/// the old one ends at the due time, and the operator sees who did it.
#[tokio::test]
async fn a_holder_fetches_the_successor_once_when_it_is_due() {
    let (app, _) = App::ready().await;
    let rich = json!({
        "role": "member", "models": ["claude-*"], "providers": ["anthropic"], "limits": { "requests_per_day": 50 },
        "labels": { "team": "search" }, "rotate_every_days": 10, "auto_rotate": true,
    });
    let (id, old) = issue(&app, rich).await;
    let fetch = async |key: &str| {
        app.instance.request(Method::POST, "/api/keys/me/rotate").bearer_auth(key).send().await.unwrap()
    };
    refused(fetch(&old).await, StatusCode::CONFLICT, "conflict", None).await;
    app.database
        .execute(&format!("update api_keys set rotated_at = now() - interval '227 hours' where id = '{id}'"))
        .await;
    assert_eq!(me(&app.instance, &old).await["state"], "rotation_due");
    assert_eq!(status(&app.instance, &old).await, 200);
    app.ledger().await;
    let before = me(&app.instance, &old).await;

    // Of many who ask at once, one is given it.
    let answers = join_all((0..4).map(|_| fetch(&old))).await;
    let mut given = Vec::new();
    for answer in answers {
        match answer.status() {
            StatusCode::OK => given.push(serde_json::from_str::<Value>(&answer.text().await.unwrap()).unwrap()),
            other => assert_eq!(other, StatusCode::CONFLICT),
        }
    }
    assert_eq!(given.len(), 1, "{given:#?}");
    let given = given.remove(0);
    let new = given["key"].as_str().unwrap().to_owned();
    assert_eq!(given["old_secret_ends_at"], before["rotation_due_at"]);
    assert_eq!((&given["state"], given["usage_today"]["requests"].as_i64()), (&json!("active"), Some(1)));
    assert_eq!(rights(given), rights(before));
    for key in [&old, &new] {
        assert_eq!(status(&app.instance, key).await, 200);
        refused(fetch(key).await, StatusCode::CONFLICT, "conflict", None).await;
    }
    assert!(me(&app.instance, &old).await["secret_ends_at"].is_string());
    let told = app.database.rows("select actor, subject from audit_log where action = 'key.rotate'").await;
    assert_eq!(told, [json!({ "actor": id, "subject": id })]);
    let whole = app.database.number("select count(*) from audit_log where after::text like '%gw_%gw_%'").await;
    assert_eq!(whole, 0);
}

/// A5: a holder changes nothing else, and only where the operator lets them.
#[tokio::test]
async fn a5_a_holder_widens_nothing() {
    let (app, _) = App::ready().await;
    for role in ["member", "viewer"] {
        let (id, key) = issue(&app, json!({ "role": role, "rotate_every_days": 1, "auto_rotate": false })).await;
        app.database.execute("update api_keys set rotated_at = now() - interval '1 day'").await;
        for (method, path, body) in [
            (Method::POST, "/api/keys/me/rotate".to_owned(), json!({})),
            (Method::POST, format!("/api/keys/{id}/rotate"), json!({ "grace_seconds": 9 })),
            (Method::PATCH, format!("/api/keys/{id}"), json!({ "role": "admin" })),
            (Method::PATCH, format!("/api/keys/{id}"), json!({ "limits": { "requests_per_day": null } })),
            (Method::DELETE, format!("/api/keys/{id}"), json!({})),
        ] {
            let request = app.instance.request(method, &path).bearer_auth(&key).body(body.to_string());
            refused(request.send().await.unwrap(), StatusCode::FORBIDDEN, "permission_denied", None).await;
        }
        app.instance.manage(Method::PATCH, &format!("/api/keys/{id}"), Some(json!({ "auto_rotate": true }))).await;
        let wider = app.instance.request(Method::POST, "/api/keys/me/rotate").bearer_auth(&key);
        let wider = wider.body(r#"{"role":"admin"}"#).send().await.unwrap();
        refused(wider, StatusCode::BAD_REQUEST, "invalid_request", Some("role")).await;
    }
    for (method, path) in [(Method::GET, "/api/keys/me/rotate"), (Method::GET, "/api/keys/key_1/rotate")] {
        let answer = app.instance.operator(method, path, None).await;
        refused(answer, StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", None).await;
    }
    let operators = app.instance.operator(Method::POST, "/api/keys/me/rotate", None).await;
    refused(operators, StatusCode::NOT_FOUND, "not_found", None).await;
}

/// A3: keys that are equal but for the last character share nothing; a revoked one is out on the next request on all of
/// eight instances that remember it.
#[tokio::test]
async fn a3_no_instance_goes_by_a_part_of_a_key_or_by_a_stale_one() {
    let (app, _) = App::ready().await;
    let (id, key) = issue(&app, json!({})).await;
    let mut instances = Vec::new();
    for _ in 0..8 {
        let instance = app.neighbour().await;
        assert_eq!(status(&instance, &key).await, 200);
        instances.push(instance);
    }
    let last = if key.ends_with('a') { 'b' } else { 'a' };
    let alike = format!("{}{last}", &key[..key.len() - 1]);
    for instance in &instances {
        assert_eq!(status(instance, &alike).await, 401);
    }
    app.instance.manage(Method::DELETE, &format!("/api/keys/{id}"), None).await;
    let next = join_all(instances.iter().map(|instance| status(instance, &key))).await;
    assert_eq!(next, [401; 8]);
}
