//! Limits of keys hold exactly, however many instances there are, and a refusal costs nothing.

use std::cell::Cell;

use fake_upstream::{Answer, Before, Script};
use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::json;

use crate::{
    support::{
        App, Instance, eventually,
        keys::{age, answered, decided, limited, standing, sums_are_the_ledgers},
    },
    walk::hello,
};

const INSTANCES: usize = 8;

async fn crowd(app: &App) -> Vec<Instance> {
    let mut instances = Vec::new();
    for _ in 0..INSTANCES {
        instances.push(app.neighbour().await);
    }
    instances
}

/// Across 8 instances a key with 100 requests/minute gets 100 through, not 101; and with 100 a day, likewise.
#[tokio::test]
async fn a_hundred_requests_are_a_hundred_across_eight_instances() {
    let (app, _) = App::ready().await;
    let instances = crowd(&app).await;
    for limit in ["requests_per_minute", "requests_per_day"] {
        let (_, key) = limited(&app, json!({ limit: 100 })).await;
        assert_eq!(answered(&instances, &key, 130).await, 100, "{limit}");
        assert_eq!(answered(&instances, &key, 8).await, 0, "{limit}");
        assert_eq!(standing(&app.instance, &key, limit).await["left"], 0);
    }
    app.ledger().await;
    sums_are_the_ledgers(&app).await;
}

/// `max_in_flight` is never exceeded across 8 instances.
#[tokio::test]
async fn requests_in_flight_never_exceed_the_cap_across_eight_instances() {
    const CAP: usize = 5;
    let (app, _) = App::ready().await;
    let instances = crowd(&app).await;
    let (_, key) = limited(&app, json!({ "max_in_flight": CAP })).await;
    app.fake.script(Script::always(Answer::after(Before::Held)));
    let refused = Cell::new(0);
    let call = async |n: usize| {
        let answer = decided(&instances[n % INSTANCES], &key).await;
        refused.set(refused.get() + usize::from(answer.status() == StatusCode::TOO_MANY_REQUESTS));
    };
    tokio::join!(join_all((0..40).map(call)), async {
        let others = || async { (refused.get() == 40 - CAP).then_some(()) };
        eventually("all others are refused", others).await;
        assert_eq!(standing(&app.instance, &key, "max_in_flight").await["left"], 0);
        app.fake.release(CAP);
    });
    assert_eq!(app.fake.stats().total.max_in_flight, CAP as u64);
}

/// Money limits overrun by at most the requests in flight when the limit was reached.
#[tokio::test]
async fn money_overruns_by_at_most_what_was_in_flight() {
    const AT_ONCE: usize = 6;
    let (app, probe) = App::ready().await;
    assert_eq!(app.instance.messages(&probe, hello(false)).send().await.unwrap().status(), 200);
    let cost = app.only_row().await["cost_micros"].as_i64().unwrap();
    assert!(cost > 1);
    let instances = crowd(&app).await;
    let limit = cost * 10 + cost / 2;
    let (id, key) = limited(&app, json!({ "cost_total_usd": limit as f64 / 1e6 })).await;
    let caller = async |n: usize| {
        while decided(&instances[n], &key).await.status() == StatusCode::OK {}
    };
    join_all((0..AT_ONCE).map(caller)).await;
    app.ledger().await;
    let spent = app.database.number(&format!("select sum(cost_micros) from ledger where key_id = '{id}'")).await;
    let most = limit + cost * i64::try_from(AT_ONCE).unwrap();
    assert!(spent >= limit - cost && spent <= most, "{spent} of {limit}");
    assert_eq!(answered(&instances, &key, 16).await, 0);
}

/// D8: a new key, 100 requests at once: what is under way counts by its estimate, so the overrun is what they will have
/// said, and no more than their number.
#[tokio::test]
async fn d8_a_new_key_and_a_hundred_at_once_overrun_by_what_is_in_flight() {
    const CALLS: usize = 100;
    let (app, probe) = App::ready().await;
    app.fake.script(Script::always(Answer::after(Before::Held)));
    let first = tokio::spawn(app.instance.messages(&probe, hello(false)).send());
    app.fake.arrived(1).await;
    let estimate = app.database.number("select draft->>'cost_micros' from leases").await;
    app.fake.release(1);
    first.await.unwrap().unwrap();
    app.ledger().await;
    app.fake.clear();
    app.fake.script(Script::always(Answer::after(Before::Held)));

    let instances = crowd(&app).await;
    let (_, key) = limited(&app, json!({ "cost_per_day_usd": (estimate * 5) as f64 / 1e6 })).await;
    let refused = Cell::new(0);
    let call = async |n: usize| {
        let answer = decided(&instances[n % INSTANCES], &key).await;
        refused.set(refused.get() + usize::from(answer.status() == StatusCode::TOO_MANY_REQUESTS));
    };
    tokio::join!(join_all((0..CALLS).map(call)), async {
        let others = || async { (refused.get() == CALLS - 5).then_some(()) };
        eventually("five prompts are the whole budget", others).await;
        app.fake.release(5);
    });
    assert_eq!(app.fake.stats().total.requests, 5);
}

/// Sliding: no double burst at a minute's edge. What was used fifty seconds ago counts, and is free a little later.
#[tokio::test]
async fn a_minute_slides() {
    let (app, _) = App::ready().await;
    let (_, key) = limited(&app, json!({ "requests_per_minute": 3 })).await;
    for _ in 0..3 {
        assert_eq!(app.instance.messages(&key, hello(false)).send().await.unwrap().status(), 200);
    }
    app.database.execute("update key_minutes set second = second - 45").await;
    let answer = app.instance.messages(&key, hello(false)).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
    let wait: u64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=17).contains(&wait), "{wait}");
    assert!(answer.headers().get("x-should-retry").is_none(), "a short wait cures it");
    app.database.execute("update key_minutes set second = second - 17").await;
    assert_eq!(app.instance.messages(&key, hello(false)).send().await.unwrap().status(), 200);
}

/// Sliding: a rolling window's oldest quarter of an hour counts whole, so a window never holds more than its limit.
#[tokio::test]
async fn a_rolling_window_slides_by_the_quarter_of_an_hour() {
    let (app, _) = App::ready().await;
    let (_, key) = limited(&app, json!({ "windows": [{ "hours": 5, "requests": 1 }] })).await;
    assert_eq!(app.instance.messages(&key, hello(false)).send().await.unwrap().status(), 200);
    app.ledger().await;
    age(&app, "4 hours 45 minutes").await;
    let answer = app.instance.messages(&key, hello(false)).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
    let wait: u64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=1_800).contains(&wait), "{wait}");
    age(&app, "45 minutes").await;
    assert_eq!(app.instance.messages(&key, hello(false)).send().await.unwrap().status(), 200);
}

/// D8: a request that one limit refuses uses up no other.
#[tokio::test]
async fn d8_a_refusal_leaves_every_other_window_as_it_was() {
    let (app, _) = App::ready().await;
    for narrow in ["requests_per_minute", "requests_per_day"] {
        let mut limits = json!({
            "requests_per_minute": 50, "tokens_per_minute": 1_000_000, "requests_per_day": 50, "tokens_per_day": 1_000_000,
            "cost_per_day_usd": 50, "cost_total_usd": 50, "windows": [{ "hours": 5, "requests": 50 }],
        });
        limits[narrow] = json!(1);
        let (_, key) = limited(&app, limits).await;
        assert_eq!(app.instance.messages(&key, hello(false)).send().await.unwrap().status(), 200);
        app.ledger().await;
        let used = async || {
            let me = crate::support::keys::me(&app.instance, &key).await;
            me["standing"].as_array().unwrap().iter().map(|one| one["used"].to_string()).collect::<Vec<_>>()
        };
        let before = used().await;
        for _ in 0..5 {
            assert_eq!(app.instance.messages(&key, hello(false)).send().await.unwrap().status(), 429);
        }
        assert_eq!(used().await, before, "{narrow}");
    }
}

/// A request that the accounts cannot take uses none of the key's limits.
#[tokio::test]
async fn a_request_that_no_account_takes_uses_nothing() {
    let app = App::start().await;
    app.account("anthropic", "sk-ant-one", json!({ "max_in_flight": 1 })).await;
    let (_, key) = limited(&app, json!({ "requests_per_minute": 50, "requests_per_day": 50 })).await;
    app.fake.script(Script::always(Answer::after(Before::Held)));
    let held = tokio::spawn(app.instance.messages(&key, hello(false)).send());
    app.fake.arrived(1).await;
    for _ in 0..3 {
        assert_eq!(app.instance.messages(&key, hello(false)).send().await.unwrap().status(), 429);
    }
    for limit in ["requests_per_minute", "requests_per_day"] {
        assert_eq!(standing(&app.instance, &key, limit).await["used"], 1, "{limit}");
    }
    app.fake.release(1);
    assert_eq!(held.await.unwrap().unwrap().status(), 200);
}

/// A request that goes on to another account is one request, and is not refused for itself.
#[tokio::test]
async fn a_failover_counts_once() {
    let app = App::start().await;
    app.account("anthropic", "sk-ant-one", json!({})).await;
    app.account("anthropic", "sk-ant-two", json!({ "priority": 1 })).await;
    let (_, key) = limited(&app, json!({ "requests_per_minute": 1, "requests_per_day": 1 })).await;
    app.fake.script(Script::always(Answer::overloaded()).of("sk-ant-one"));
    assert_eq!(app.instance.messages(&key, hello(false)).send().await.unwrap().status(), 200);
    assert_eq!(app.credentials(), ["sk-ant-one", "sk-ant-two"]);
    app.ledger().await;
    for limit in ["requests_per_minute", "requests_per_day"] {
        assert_eq!(standing(&app.instance, &key, limit).await["used"], 1, "{limit}");
    }
}
