//! What holds across requests and across instances: shares, tiers, caps, and changes of keys and accounts.

use std::{
    cell::Cell,
    collections::BTreeMap,
    sync::atomic::{AtomicU32, Ordering},
};

use fake_upstream::{Answer, Before, End, Script};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    support::{App, Instance, eventually},
    walk::hello,
};

fn counted(credentials: Vec<String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for credential in credentials {
        *counts.entry(credential).or_default() += 1;
    }
    counts
}

/// `weighted`: shares in proportion over distinct sessions, and a session stays where it began.
#[tokio::test]
async fn accounts_share_sessions_by_weight() {
    const SESSIONS: usize = 300;
    let app = App::start().await;
    app.account("anthropic", "sk-ant-heavy", json!({ "weight": 3 })).await;
    app.account("anthropic", "sk-ant-light", json!({})).await;
    let key = app.key(json!({})).await;
    let call = |session: usize| {
        let request = app.instance.messages(&key, hello(false));
        request.header("x-claude-code-session-id", format!("session-{session}")).send()
    };
    for batch in 0..SESSIONS / 20 {
        let answers = join_all((batch * 20..batch * 20 + 20).map(call)).await;
        assert!(answers.into_iter().all(|answer| answer.unwrap().status() == 200));
    }
    let heavy = counted(app.credentials())["sk-ant-heavy"];
    // 225 expected, 7.5 the standard deviation.
    assert!((190..=260).contains(&heavy), "{heavy} of {SESSIONS}");

    let by_session =
        "select count(*) from (select session from ledger group by session having count(distinct account_id) > 1) q";
    for _ in 0..5 {
        join_all((0..10).map(call)).await;
        // What is not settled counts as a fan-out of its session, which spreads.
        app.ledger().await;
    }
    assert_eq!(app.ledger().await.len(), SESSIONS + 50);
    assert_eq!(app.database.number(by_session).await, 0, "no session has moved");
}

#[tokio::test]
async fn a_lower_tier_serves_only_when_the_higher_is_full_or_away() {
    let app = App::start().await;
    let high = app.account("anthropic", "sk-ant-high", json!({ "max_in_flight": 2 })).await;
    app.account("anthropic", "sk-ant-low", json!({ "priority": 1 })).await;
    let key = app.key(json!({})).await;
    for _ in 0..6 {
        assert_eq!(app.instance.messages(&key, hello(false)).send().await.unwrap().status(), 200);
        app.ledger().await;
    }
    assert_eq!(counted(app.credentials()), [("sk-ant-high".to_owned(), 6)].into());
    app.fake.clear();
    app.fake.script(Script::always(Answer::after(Before::Held)).of("sk-ant-high"));
    let calls = join_all((0..5).map(|_| app.instance.messages(&key, hello(false)).send()));
    let (answers, ()) = tokio::join!(calls, async {
        app.fake.arrived(5).await;
        app.fake.release(2);
    });
    assert!(answers.into_iter().all(|answer| answer.unwrap().status() == 200));
    assert_eq!(counted(app.credentials()), [("sk-ant-high".to_owned(), 2), ("sk-ant-low".to_owned(), 3)].into());
    app.instance.manage(Method::POST, &format!("/api/accounts/{high}/pause"), None).await;
    app.fake.clear();
    assert_eq!(app.instance.messages(&key, hello(false)).send().await.unwrap().status(), 200);
    assert_eq!(app.credentials(), ["sk-ant-low"]);
}

/// Twenty calls at once on two instances, of which three may be under way: three are held, all others are refused.
async fn three_at_most(account: Value, key: Value, about: &str) {
    const CALLS: usize = 20;
    const CAP: usize = 3;
    let app = App::start().await;
    app.account("anthropic", "sk-ant-one", account).await;
    let key = app.key(key).await;
    let neighbour = app.neighbour().await;
    app.fake.script(Script::always(Answer::after(Before::Held)));
    let instances = [&app.instance, &neighbour];
    let refused = Cell::new(0);
    let call = async |n: usize| {
        let answer = instances[n % 2].messages(&key, hello(false)).send().await.unwrap();
        if answer.status() == 200 {
            return;
        }
        assert_eq!((answer.status().as_u16(), &answer.headers()["retry-after"]), (429, &"2".parse().unwrap()));
        assert!(answer.headers().get("x-should-retry").is_none(), "a short wait cures it");
        let text = answer.text().await.unwrap();
        assert!(text.contains(about) && text.contains("rate_limit_error"), "{text}");
        refused.set(refused.get() + 1);
    };
    tokio::join!(join_all((0..CALLS).map(call)), async {
        let all_refused = || async { (refused.get() == CALLS - CAP).then_some(()) };
        eventually("all but three are refused", all_refused).await;
        app.fake.release(CAP);
    });
    let stats = app.fake.stats().total;
    assert_eq!((stats.requests, stats.max_in_flight), (CAP as u64, CAP as u64));
    assert_eq!(app.ledger().await.len(), CAP, "what was refused claimed nothing");
    // All is free again.
    app.fake.clear();
    assert_eq!(neighbour.messages(&key, hello(false)).send().await.unwrap().status(), 200);
}

/// `max_in_flight` of an account holds across any number of instances.
#[tokio::test]
async fn an_accounts_cap_holds_across_instances() {
    three_at_most(json!({ "max_in_flight": 3 }), json!({}), "busy").await;
}

/// `max_in_flight` of a key, likewise.
#[tokio::test]
async fn a_keys_cap_holds_across_instances() {
    three_at_most(json!({}), json!({ "limits": { "max_in_flight": 3 } }), "max_in_flight").await;
}

/// A request that has ended may hold its lease for a moment longer than its caller can tell.
#[tokio::test]
async fn one_at_a_time_means_one_after_the_other() {
    let app = App::start().await;
    app.account("anthropic", "sk-ant-one", json!({ "max_in_flight": 1 })).await;
    app.account("gemini", "AIza-one", json!({})).await;
    let key = app.key(json!({})).await;
    let narrow = app.key(json!({ "limits": { "max_in_flight": 1 } })).await;
    for _ in 0..25 {
        assert_eq!(app.instance.messages(&key, hello(false)).send().await.unwrap().status(), 200);
        let call = app.instance.gemini(&narrow, "gemini-2.5-pro:generateContent", "{}");
        assert_ne!(call.send().await.unwrap().status(), 429);
    }
}

/// Peers D7: whatever end a request comes to, its slot is free afterwards: an upstream that hangs, resets, talks nonsense or
/// refuses; a caller who leaves or sends what is no JSON.
#[tokio::test]
async fn no_end_of_a_request_keeps_its_slot() {
    let app = App::start().await;
    app.account("anthropic", "sk-ant-one", json!({ "max_in_flight": 1 })).await;
    let key = app.key(json!({ "limits": { "max_in_flight": 1 } })).await;
    let policy =
        json!({ "first_byte_timeout_ms": 1_000, "idle_timeout_ms": 1_000, "cooldown": { "failure_threshold": 100 } });
    app.instance.manage(Method::PUT, "/api/routing/default/anthropic", Some(policy)).await;
    let nonsense = Answer::text(200, "application/json", "<html>{\"usage\": [");
    for (answer, body) in [
        (Answer::after(Before::Hang), hello(true)),
        (Answer::cut(2, End::Hang), hello(true)),
        (Answer::after(Before::Reset), hello(false)),
        (Answer::cut(3, End::Reset), hello(true)),
        (nonsense.clone(), hello(false)),
        (nonsense, hello(true)),
        (Answer::invalid_request("no"), hello(false)),
        (Answer::default(), "{\"model\": no JSON".to_owned()),
    ] {
        app.fake.script(Script::always(answer.clone()));
        // What comes of it is another test's concern.
        if let Ok(answer) = app.instance.messages(&key, body).send().await {
            let _whole_or_not = answer.bytes().await;
        }
        app.fake.clear();
        app.ledger().await;
        let next = app.instance.messages(&key, hello(false)).send().await.unwrap();
        assert_eq!(next.status(), 200, "after {answer:?}");
        next.bytes().await.unwrap();
        app.ledger().await;
    }
}

/// A revoked key is refused on the very next request, on every instance.
#[tokio::test]
async fn a_revoked_key_is_out_everywhere_at_once() {
    let (app, _) = App::ready().await;
    let neighbour = app.neighbour().await;
    let issued = app.instance.manage(Method::POST, "/api/keys", Some(json!({ "name": "leaver" }))).await;
    let (id, key) = (issued["id"].as_str().unwrap(), issued["key"].as_str().unwrap());
    for instance in [&app.instance, &neighbour] {
        assert_eq!(instance.messages(key, hello(false)).send().await.unwrap().status(), 200);
    }
    let sent = app.fake.seen().len();
    app.instance.manage(Method::DELETE, &format!("/api/keys/{id}"), None).await;
    for instance in [&neighbour, &app.instance] {
        let answer = instance.messages(key, hello(false)).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), &answer.headers()["x-should-retry"]), (401, &"false".parse().unwrap()));
    }
    assert_eq!(app.fake.seen().len(), sent);
    assert_eq!(app.ledger().await.len(), sent);
}

/// What a key may call is narrowed on the very next request, on every instance.
#[tokio::test]
async fn a_changed_key_is_read_again() {
    let (app, _) = App::ready().await;
    let neighbour = app.neighbour().await;
    let issued = app.instance.manage(Method::POST, "/api/keys", Some(json!({ "name": "mover" }))).await;
    let (id, key) = (issued["id"].as_str().unwrap(), issued["key"].as_str().unwrap());
    assert_eq!(neighbour.messages(key, hello(false)).send().await.unwrap().status(), 200);
    let path = format!("/api/keys/{id}");
    app.instance.manage(Method::PATCH, &path, Some(json!({ "models": ["claude-haiku-*"] }))).await;
    assert_eq!(neighbour.messages(key, hello(false)).send().await.unwrap().status(), 400);
    app.instance.manage(Method::PATCH, &path, Some(json!({ "models": [] }))).await;
    assert_eq!(neighbour.messages(key, hello(false)).send().await.unwrap().status(), 200);
}

/// A paused account is not used on the next request, on any instance; nor is one that was changed used as it was.
#[tokio::test]
async fn a_changed_account_is_used_as_it_now_is_everywhere() {
    let app = App::start().await;
    let one = app.account("anthropic", "sk-ant-one", json!({})).await;
    let two = app.account("anthropic", "sk-ant-two", json!({ "priority": 1 })).await;
    let key = app.key(json!({})).await;
    let neighbour = app.neighbour().await;
    // A session that had to move has moved for good, so each call is a session of its own.
    let session = AtomicU32::new(0);
    let call = |instance: &Instance| {
        let session = session.fetch_add(1, Ordering::Relaxed).to_string();
        instance.messages(&key, hello(false)).header("x-claude-code-session-id", session).send()
    };
    let next = async || {
        app.fake.clear();
        let answer = call(&neighbour).await.unwrap();
        let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
        (status, app.credentials().concat(), text)
    };
    assert_eq!(next().await.1, "sk-ant-one");
    app.instance.manage(Method::POST, &format!("/api/accounts/{one}/pause"), None).await;
    assert_eq!(next().await.1, "sk-ant-two");
    app.instance.manage(Method::POST, &format!("/api/accounts/{two}/pause"), None).await;
    let (status, sent, text) = next().await;
    assert!(status >= 429 && sent.is_empty(), "{status} {text}");
    for id in [&one, &two] {
        app.instance.manage(Method::POST, &format!("/api/accounts/{id}/resume"), None).await;
    }
    let path = format!("/api/accounts/{one}");
    // A new credential, a moment after the neighbour has read the old one.
    let fresh = app.neighbour().await;
    assert_eq!(call(&fresh).await.unwrap().status(), 200);
    let credential = json!({ "credential": { "kind": "api_key", "api_key": "sk-ant-new" } });
    app.instance.manage(Method::PATCH, &path, Some(credential)).await;
    app.fake.clear();
    assert_eq!(call(&fresh).await.unwrap().status(), 200);
    assert_eq!(app.credentials(), ["sk-ant-new"]);
}
