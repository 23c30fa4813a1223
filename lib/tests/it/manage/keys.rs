//! `/api/keys`: issue, list, change and revoke, by the contract's names.

use http::StatusCode;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    support::{App, eventually, refused},
    walk::hello,
};

/// What the contract says a key in an answer has.
const FIELDS: [&str; 26] = [
    "allow_passthrough",
    "auto_rotate",
    "budget_warning",
    "created_at",
    "expires_at",
    "id",
    "labels",
    "last_used_at",
    "limits",
    "models",
    "name",
    "note",
    "pool",
    "prefix",
    "providers",
    "revoked_at",
    "role",
    "rotate_every_days",
    "rotated_at",
    "rotation_due_at",
    "standing",
    "state",
    "time_zone",
    "updated_at",
    "usage_month",
    "usage_today",
];

async fn issue(app: &App, body: Value) -> (String, String) {
    let key = app.instance.manage(Method::POST, "/api/keys", Some(body)).await;
    (key["id"].as_str().unwrap().to_owned(), key["key"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_key_is_shown_in_the_clear_once() {
    let app = App::start().await;
    let full = json!({
        "name": "one", "role": "viewer", "pool": "search", "providers": ["gemini"], "models": ["gemini-2.5-*"],
        "limits": {
            "max_in_flight": 3, "requests_per_minute": 60, "tokens_per_minute": 100_000, "requests_per_day": 1_000,
            "tokens_per_day": 5_000_000_000_u64, "cost_per_day_usd": 0.5, "cost_per_week_usd": 2.25,
            "cost_per_month_usd": 10, "cost_total_usd": 100.000001,
            "windows": [
                { "hours": 5, "models": ["claude-opus-*"], "requests": 20, "cost_usd": 1.5 },
                { "hours": 168, "tokens": 1_000_000 },
            ],
        },
        "time_zone": "Asia/Kathmandu", "allow_passthrough": true, "rotate_every_days": 90, "auto_rotate": true,
        "labels": { "team": "search" }, "note": "mine",
        "expires_at": "2099-01-31T00:00:00Z",
    });
    let answer = app.instance.operator(Method::POST, "/api/keys", Some(full.clone())).await;
    assert_eq!(answer.status(), StatusCode::CREATED);
    let mut issued: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    let key = issued.as_object_mut().unwrap().remove("key").unwrap();
    let key = key.as_str().unwrap();
    assert_eq!((key.len(), &key[..3]), (3 + 43 + 6, "gw_"));
    assert_eq!(issued["prefix"], key[..10]);
    assert_eq!(issued["state"], "active");
    for (name, value) in full.as_object().unwrap() {
        assert_eq!(&issued[name], value, "{name}");
    }
    let missing: Vec<_> = FIELDS.iter().filter(|name| issued.get(**name).is_none()).collect();
    assert!(missing.is_empty(), "{missing:?} of {issued}");

    let path = format!("/api/keys/{}", issued["id"].as_str().unwrap());
    assert_eq!(app.instance.manage(Method::GET, &path, None).await["name"], "one");
    for path in [&path, "/api/keys"] {
        let shown = app.instance.operator(Method::GET, path, None).await.text().await.unwrap();
        assert!(!shown.contains(&key[10..]), "{path}: {shown}");
    }
    let me = app.instance.request(Method::GET, "/api/keys/me").bearer_auth(key).send().await.unwrap();
    let me = me.text().await.unwrap();
    assert!(me.contains("\"one\"") && !me.contains(&key[10..]), "{me}");
}

#[tokio::test]
async fn every_mistake_in_a_key_is_named() {
    let app = App::start().await;
    app.instance.manage(Method::GET, "/api/keys", None).await;
    for (body, param) in [
        (json!({}), "name"),
        (json!({ "name": " " }), "name"),
        (json!({ "name": 1 }), "name"),
        (json!({ "name": "x", "role": "owner" }), "role"),
        (json!({ "name": "x", "pool": "" }), "pool"),
        (json!({ "name": "x", "providers": ["openai"] }), "providers"),
        (json!({ "name": "x", "providers": "gemini" }), "providers"),
        (json!({ "name": "x", "models": ["["] }), "models"),
        (json!({ "name": "x", "limits": 3 }), "limits"),
        (json!({ "name": "x", "limits": { "max_in_flight": 0 } }), "limits.max_in_flight"),
        (json!({ "name": "x", "limits": { "max_in_flight": "3" } }), "limits.max_in_flight"),
        (json!({ "name": "x", "limits": { "requests_per_second": 3 } }), "limits.requests_per_second"),
        (json!({ "name": "x", "limits": { "requests_per_day": 1.5 } }), "limits.requests_per_day"),
        (json!({ "name": "x", "limits": { "tokens_per_minute": 0 } }), "limits.tokens_per_minute"),
        (json!({ "name": "x", "limits": { "cost_per_day_usd": 0 } }), "limits.cost_per_day_usd"),
        (json!({ "name": "x", "limits": { "cost_total_usd": -1 } }), "limits.cost_total_usd"),
        (json!({ "name": "x", "limits": { "cost_total_usd": 0.0000001 } }), "limits.cost_total_usd"),
        (json!({ "name": "x", "limits": { "cost_total_usd": "1" } }), "limits.cost_total_usd"),
        (json!({ "name": "x", "limits": { "windows": {} } }), "limits.windows"),
        (json!({ "name": "x", "limits": { "windows": [{ "requests": 1 }] } }), "limits.windows[0].hours"),
        (json!({ "name": "x", "limits": { "windows": [{ "hours": 5 }] } }), "limits.windows[0].requests"),
        (
            json!({ "name": "x", "limits": { "windows": [{ "hours": 5, "requests": 1 }, { "hours": 745, "requests": 1 }] } }),
            "limits.windows[1].hours",
        ),
        (
            json!({ "name": "x", "limits": { "windows": [{ "hours": 5, "requests": 1, "models": ["{a,b}"] }] } }),
            "limits.windows[0].models",
        ),
        (json!({ "name": "x", "limits": { "windows": [{ "hours": 5, "usd": 1 }] } }), "limits.windows[0].requests"),
        (json!({ "name": "x", "time_zone": "Mars/Olympus" }), "time_zone"),
        (json!({ "name": "x", "time_zone": "EST+5" }), "time_zone"),
        (json!({ "name": "x", "rotate_every_days": 0 }), "rotate_every_days"),
        (json!({ "name": "x", "auto_rotate": "yes" }), "auto_rotate"),
        (json!({ "name": "x", "allow_passthrough": 1 }), "allow_passthrough"),
        (json!({ "name": "x", "labels": { "team": 1 } }), "labels"),
        (
            json!({ "name": "x", "labels": (0..9).map(|n| (n.to_string(), json!("x"))).collect::<serde_json::Map<_, _>>() }),
            "labels",
        ),
        (json!({ "name": "x", "expires_at": "tomorrow" }), "expires_at"),
        (json!({ "name": "x", "expires_at": "2001-01-01T00:00:00Z" }), "expires_at"),
        (json!({ "name": "x", "expires_in_seconds": 0 }), "expires_in_seconds"),
        (json!({ "name": "x", "expires_in_seconds": 5, "expires_at": "2099-01-01T00:00:00Z" }), "expires_at"),
        (json!({ "name": "x", "key": "gw_mine" }), "key"),
        (json!({ "name": "x", "state": "active" }), "state"),
    ] {
        let answer = app.instance.operator(Method::POST, "/api/keys", Some(body)).await;
        refused(answer, StatusCode::BAD_REQUEST, "invalid_request", Some(param)).await;
    }
    assert_eq!(app.database.number("select count(*) from api_keys").await, 0);
}

#[tokio::test]
async fn a_list_of_keys_is_paged_newest_first() {
    let app = App::start().await;
    let mut ids = Vec::new();
    for n in 0..7 {
        ids.insert(0, issue(&app, json!({ "name": format!("key {n}") })).await.0);
    }
    let (mut got, mut path) = (Vec::new(), "/api/keys?limit=3".to_owned());
    loop {
        let page = app.instance.manage(Method::GET, &path, None).await;
        got.extend(page["data"].as_array().unwrap().iter().map(|key| key["id"].as_str().unwrap().to_owned()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        assert!(got.len() < ids.len(), "the pages end");
        path = format!("/api/keys?limit=3&cursor={cursor}");
    }
    // The clock that ids sort by has milliseconds.
    got.sort_unstable();
    ids.sort_unstable();
    assert_eq!(got, ids);
}

#[tokio::test]
async fn a_change_holds_from_the_next_call_on() {
    let (app, _) = App::ready().await;
    let (id, key) = issue(&app, json!({ "name": "one", "note": "stays" })).await;
    let path = format!("/api/keys/{id}");
    assert_eq!(app.instance.messages(&key, hello(false)).send().await.unwrap().status(), StatusCode::OK);
    let changed =
        app.instance.manage(Method::PATCH, &path, Some(json!({ "name": "uno", "providers": ["gemini"] }))).await;
    assert_eq!((&changed["name"], &changed["note"]), (&json!("uno"), &json!("stays")));
    assert_eq!(app.instance.messages(&key, hello(false)).send().await.unwrap().status(), StatusCode::FORBIDDEN);
    app.instance.manage(Method::PATCH, &path, Some(json!({ "providers": [], "models": ["claude-opus-*"] }))).await;
    assert_eq!(app.instance.messages(&key, hello(false)).send().await.unwrap().status(), StatusCode::BAD_REQUEST);
    app.instance.manage(Method::PATCH, &path, Some(json!({ "models": null, "pool": "empty" }))).await;
    assert_eq!(
        app.instance.messages(&key, hello(false)).send().await.unwrap().status(),
        StatusCode::SERVICE_UNAVAILABLE
    );
}

#[tokio::test]
async fn a_revoked_key_is_out_at_once_on_every_instance_and_its_rows_stay() {
    let (app, _) = App::ready().await;
    let other = crate::support::Instance::start(&app.database.url, &[]).await;
    let (id, key) = issue(&app, json!({ "name": "one", "role": "admin" })).await;
    for instance in [&app.instance, &other] {
        // Each instance remembers the key now.
        assert_eq!(instance.messages(&key, hello(false)).send().await.unwrap().status(), StatusCode::OK);
    }
    assert_eq!(app.ledger().await.len(), 2);
    let path = format!("/api/keys/{id}");
    assert_eq!(app.instance.operator(Method::DELETE, &path, None).await.status(), StatusCode::NO_CONTENT);
    for instance in [&app.instance, &other] {
        let answer = instance.messages(&key, hello(false)).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(answer.headers()["x-should-retry"], "false");
        let answer = instance.request(Method::GET, "/api/keys").bearer_auth(&key).send().await.unwrap();
        refused(answer, StatusCode::UNAUTHORIZED, "unauthenticated", None).await;
    }
    let shown = app.instance.manage(Method::GET, &path, None).await;
    assert_eq!(shown["state"], "revoked");
    let again = app.instance.operator(Method::DELETE, &path, None).await;
    assert_eq!(again.status(), StatusCode::NO_CONTENT, "what is so already is not an error");
    assert_eq!(app.instance.manage(Method::GET, &path, None).await["revoked_at"], shown["revoked_at"]);
    let answer = app.instance.operator(Method::PATCH, &path, Some(json!({ "note": "back" }))).await;
    refused(answer, StatusCode::CONFLICT, "conflict", None).await;
    let rows = app.instance.manage(Method::GET, &format!("/api/stats/requests?key={id}"), None).await;
    assert_eq!(rows["data"].as_array().unwrap().len(), 2);
    assert_eq!(app.fake.seen().len(), 2);
}

#[tokio::test]
async fn a_key_ends_when_its_time_comes() {
    let (app, _) = App::ready().await;
    let (id, key) = issue(&app, json!({ "name": "short", "expires_in_seconds": 3600 })).await;
    assert_eq!(app.instance.messages(&key, hello(false)).send().await.unwrap().status(), StatusCode::OK);
    app.database.execute(&format!("update api_keys set expires_at = now() where id = '{id}'")).await;
    assert_eq!(app.instance.messages(&key, hello(false)).send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    assert_eq!(app.instance.manage(Method::GET, &format!("/api/keys/{id}"), None).await["state"], "expired");
    app.instance.manage(Method::PATCH, &format!("/api/keys/{id}"), Some(json!({ "expires_at": null }))).await;
    assert_eq!(app.instance.messages(&key, hello(false)).send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn a_cap_of_a_key_holds_across_instances() {
    let (app, _) = App::ready().await;
    let other = crate::support::Instance::start(&app.database.url, &[]).await;
    let (_, key) = issue(&app, json!({ "name": "capped", "limits": { "max_in_flight": 2 } })).await;
    app.fake.script(fake_upstream::Script::always(fake_upstream::Answer::held_after(0)));
    let open: Vec<_> =
        [&app.instance, &other].map(|instance| tokio::spawn(instance.messages(&key, hello(true)).send())).into();
    app.fake.arrived(2).await;
    for instance in [&app.instance, &other] {
        let answer = instance.messages(&key, hello(true)).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
        assert!(answer.headers().contains_key("retry-after"));
    }
    app.fake.clear();
    app.fake.release(2);
    for answer in open {
        answer.await.unwrap().unwrap().text().await.unwrap();
    }
    let admitted = || async {
        let answer = other.messages(&key, hello(false)).send().await.unwrap();
        (answer.status() == StatusCode::OK).then_some(())
    };
    eventually("the leases are free again", admitted).await;
}

#[tokio::test]
async fn what_a_key_has_used_is_shown_with_it() {
    let (app, _) = App::ready().await;
    let (id, key) = issue(&app, json!({ "name": "used" })).await;
    for _ in 0..2 {
        app.instance.messages(&key, hello(false)).send().await.unwrap().text().await.unwrap();
    }
    app.ledger().await;
    // A request of last month, and one that is no longer of this day.
    app.database
        .execute(
            "select ledger_partition(now() - interval '40 days'), ledger_partition(date_trunc('month', now(), 'UTC'))",
        )
        .await;
    let old = "insert into ledger (id, started_at, key_id, account_id, pool, provider, operation, stream, status, output_tokens, cost_micros, duration_ms)";
    app.database.execute(&format!("{old} values ('req_old', now() - interval '40 days', '{id}', 'acc_x', 'default', 'anthropic', 'generate', false, 'failed', 9, 1000000, 1)")).await;
    let me = app.instance.request(Method::GET, "/api/keys/me").bearer_auth(&key).send().await.unwrap();
    let me: Value = serde_json::from_str(&me.text().await.unwrap()).unwrap();
    let sums = app.database.rows("select sum(input_tokens + output_tokens) as tokens, sum(cost_micros) as cost from ledger where id <> 'req_old'").await;
    assert_eq!((&me["usage_today"]["requests"], &me["usage_today"]["errors"]), (&json!(2), &json!(0)));
    assert_eq!(me["usage_today"]["tokens"], sums[0]["tokens"]);
    assert_eq!(me["usage_today"]["cost_usd"].as_f64().unwrap() * 1e6, sums[0]["cost"].as_f64().unwrap());
    assert_eq!(me["usage_month"], me["usage_today"]);
    assert!(me["last_used_at"].is_string());
    app.database.execute("delete from ledger where id <> 'req_old'").await;
    let shown = app.instance.manage(Method::GET, &format!("/api/keys/{id}"), None).await;
    assert_eq!(shown["usage_month"], me["usage_month"], "the sums outlive the rows");
    assert!(shown["last_used_at"].is_string(), "it was used, if long ago");
}
