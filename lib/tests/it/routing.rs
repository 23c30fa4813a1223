//! Where requests go: strategies, limits by the minute, conversations that stay, and operators who change their minds.

use std::collections::BTreeMap;

use fake_upstream::{Answer, Script};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{App, Instance, eventually};

pub(crate) fn say(session: &str) -> String {
    json!({
        "model": "claude-sonnet-5-5", "max_tokens": 8, "messages": [{ "role": "user", "content": format!("of {session}") }],
        "metadata": { "user_id": json!({ "device_id": "d", "account_uuid": "", "session_id": session }).to_string() },
    })
    .to_string()
}

/// Sends a request and answers the account that served it.
pub(crate) async fn served_by(instance: &Instance, key: &str, session: &str) -> String {
    let response = instance.messages(key, say(session)).send().await.unwrap();
    assert_eq!(response.status(), 200, "{}", response.text().await.unwrap());
    response.headers()["x-gateway-account"].to_str().unwrap().to_owned()
}

/// A row of a preview: the account and the reason.
fn in_words(row: &Value) -> (&str, &str) {
    (row["id"].as_str().unwrap(), row["reason"].as_str().unwrap())
}

pub(crate) async fn with_accounts(count: usize, more: Value) -> (App, String, Vec<String>) {
    let app = App::start().await;
    let mut accounts = Vec::new();
    for index in 0..count {
        accounts.push(app.account("anthropic", &format!("sk-{index}"), more.clone()).await);
    }
    let key = app.key(json!({})).await;
    (app, key, accounts)
}

#[tokio::test]
async fn a_change_of_policy_counts_from_the_next_request_on_every_instance() {
    let (app, key, accounts) = with_accounts(3, json!({})).await;
    let other = Instance::start(&app.database.url, &[]).await;
    served_by(&other, &key, "warm").await;
    let policy = json!({ "strategy": "priority", "affinity": { "enabled": false } });
    app.instance.manage(Method::PUT, "/api/routing/default/anthropic", Some(policy)).await;
    for turn in 0..4 {
        assert_eq!(served_by(&other, &key, &format!("s{turn}")).await, accounts[0], "the oldest account, always");
    }
    let policy = json!({ "strategy": "round_robin", "affinity": { "enabled": false } });
    app.instance.manage(Method::PUT, "/api/routing/default/anthropic", Some(policy)).await;
    let mut share: BTreeMap<String, u32> = BTreeMap::new();
    for turn in 0..9 {
        *share.entry(served_by(&other, &key, &format!("s{turn}")).await).or_default() += 1;
    }
    assert_eq!(share.values().copied().collect::<Vec<_>>(), [3, 3, 3], "{share:?}");
}

#[tokio::test]
async fn a_policy_with_an_error_in_it_is_refused_by_name() {
    let app = App::start().await;
    for (body, param) in [
        (json!({ "strategy": "best" }), "strategy"),
        (json!({ "max_attempts": 0 }), "max_attempts"),
        (json!({ "affinity": { "ttl_seconds": "long" } }), "affinity.ttl_seconds"),
        (json!({ "cooldown": { "seconds": 1 } }), "cooldown.seconds"),
    ] {
        let refused = app.instance.operator(Method::PUT, "/api/routing/default/gemini", Some(body)).await;
        assert_eq!(refused.status(), 400);
        let text = refused.text().await.unwrap();
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["error"]["param"], param, "{text}");
    }
    let missing = app.instance.operator(Method::PUT, "/api/routing/default/openai", Some(json!({}))).await;
    assert_eq!(missing.status(), 404);
}

#[tokio::test]
async fn a_preview_names_the_order_and_every_exclusion_in_words() {
    let (app, _, accounts) = with_accounts(1, json!({})).await;
    let paused = app.account("anthropic", "sk-paused", json!({})).await;
    app.instance.manage(Method::POST, &format!("/api/accounts/{paused}/pause"), None).await;
    let unsuited = app.account("anthropic", "sk-haiku", json!({ "models": ["claude-haiku-*"] })).await;
    let ask = json!({ "model": "claude-opus-5-5" });
    let preview = app.instance.manage(Method::POST, "/api/routing/preview", Some(ask)).await;
    assert_eq!(preview["strategy"], "weighted");
    assert_eq!(preview["order"][0]["id"], *accounts[0]);
    assert_eq!(preview["order"][0]["reason"], "tier 0, weight 1");
    let excluded: BTreeMap<_, _> = preview["excluded"].as_array().unwrap().iter().map(in_words).collect();
    let expect = [(paused.as_str(), "it is paused"), (unsuited.as_str(), "it does not serve this model")];
    assert_eq!(excluded, expect.into());
}

#[tokio::test]
async fn an_account_is_never_sent_more_a_minute_than_it_may() {
    let (app, key, _) = with_accounts(2, json!({ "requests_per_minute": 5 })).await;
    let other = Instance::start(&app.database.url, &[]).await;
    let mut answers = tokio::task::JoinSet::new();
    for turn in 0..24 {
        let instance = if turn % 2 == 0 { &app.instance } else { &other };
        answers.spawn(instance.messages(&key, say(&format!("s{turn}"))).send());
    }
    let mut statuses: BTreeMap<u16, u32> = BTreeMap::new();
    while let Some(answer) = answers.join_next().await {
        *statuses.entry(answer.unwrap().unwrap().status().as_u16()).or_default() += 1;
    }
    assert_eq!(statuses, [(200, 10), (429, 14)].into());
    for (credential, count) in app.fake.stats().by_credential {
        assert_eq!(count.requests, 5, "{credential}");
    }
}

#[tokio::test]
async fn tokens_a_minute_are_charged_by_estimate_and_corrected_by_what_was_used() {
    let (app, key, _) = with_accounts(1, json!({ "tokens_per_minute": 60 })).await;
    // Each is estimated at some fifty tokens, of which the fake says how many there were.
    served_by(&app.instance, &key, "one").await;
    let row = app.only_row().await;
    let used = row["input_tokens"].as_i64().unwrap() + row["output_tokens"].as_i64().unwrap();
    assert_eq!(app.database.number("select sum(tokens)::bigint from minutes").await, used);
    let refused = app.instance.messages(&key, say("two")).send().await.unwrap();
    assert_eq!(refused.status(), 429, "{used} of 60 tokens are spent");
}

#[tokio::test]
async fn a_conversation_stays_on_its_account_on_every_instance_and_under_every_strategy() {
    let (app, key, _) = with_accounts(4, json!({})).await;
    let other = Instance::start(&app.database.url, &[]).await;
    for strategy in ["weighted", "round_robin", "least_in_flight"] {
        let policy = json!({ "strategy": strategy });
        app.instance.manage(Method::PUT, "/api/routing/default/anthropic", Some(policy)).await;
        for session in ["a", "b", "c"] {
            let session = format!("{strategy} {session}");
            let first = served_by(&app.instance, &key, &session).await;
            for instance in [&other, &app.instance, &other] {
                assert_eq!(served_by(instance, &key, &session).await, first, "{session}");
            }
        }
    }
    let rows = app.ledger().await;
    let count = |word: &str| rows.iter().filter(|row| row["affinity"] == word).count();
    assert_eq!((count("new"), count("kept"), count("moved")), (9, 27, 0));
}

/// One claim names the best of many accounts, and a conversation's own need not be among them.
#[tokio::test]
async fn a_conversation_stays_on_its_account_among_many() {
    let (app, key, accounts) = with_accounts(70, json!({})).await;
    // However long the ends of its requests take to be written, none counts as one of a fan-out.
    let policy = json!({ "strategy": "round_robin", "affinity": { "max_in_flight": 100 } });
    app.instance.manage(Method::PUT, "/api/routing/default/anthropic", Some(policy)).await;
    let home = served_by(&app.instance, &key, "s").await;
    for turn in 0..70 {
        assert_eq!(served_by(&app.instance, &key, "s").await, home, "turn {turn}");
    }
    // It may not go on there: another serves it, named or not.
    let path = format!("/api/accounts/{home}");
    app.instance.manage(Method::PATCH, &path, Some(json!({ "models": ["claude-haiku-*"] }))).await;
    let away = served_by(&app.instance, &key, "s").await;
    assert!(away != home && accounts.contains(&away));
}

#[tokio::test]
async fn a_conversation_that_had_to_move_moves_for_good_and_within_its_organization_first() {
    let app = App::start().await;
    // The fake names the part of a credential before `@` as its organization.
    for credential in ["sk-x@1", "sk-y@1", "sk-z@1", "sk-x@2"] {
        app.account("anthropic", credential, json!({})).await;
    }
    let policy = json!({ "strategy": "priority", "affinity": { "enabled": true } });
    app.instance.manage(Method::PUT, "/api/routing/default/anthropic", Some(policy)).await;
    let key = app.key(json!({})).await;
    let home = served_by(&app.instance, &key, "s").await;
    // The organization of an account is learned from its answers; one other account is known to share it.
    let learned = format!("select count(*) from accounts where id = '{home}' and organization is not null");
    eventually("the organization is learned", || async { (app.database.number(&learned).await == 1).then_some(()) })
        .await;
    let shared = format!(
        "update accounts set organization = (select organization from accounts where id = '{home}') where name like '%@2'"
    );
    app.database.execute(&shared).await;
    app.instance.manage(Method::POST, &format!("/api/accounts/{home}/pause"), None).await;
    let away = served_by(&app.instance, &key, "s").await;
    let names = app.database.rows(&format!("select name from accounts where id = '{away}'")).await;
    assert_eq!(names[0]["name"], "anthropic sk-x@2", "not the next by priority, but the same organization");
    app.instance.manage(Method::POST, &format!("/api/accounts/{home}/resume"), None).await;
    assert_eq!(served_by(&app.instance, &key, "s").await, away, "its cache is there now");
}

/// Peers D11: the account that a conversation is bound to cools: the very request finds another, the next ones go there
/// without asking, and they stay when the first is back.
#[tokio::test]
async fn a_conversation_moves_without_an_error_when_its_account_cools_and_stays_where_it_went() {
    let (app, key, accounts) = with_accounts(2, json!({})).await;
    let policy = json!({ "strategy": "priority" });
    app.instance.manage(Method::PUT, "/api/routing/default/anthropic", Some(policy)).await;
    assert_eq!(served_by(&app.instance, &key, "s").await, accounts[0]);
    let spent = Answer::window_spent("5h", gateway::clock::now().as_second().unsigned_abs() + 600);
    app.fake.script(Script::once(spent).of("sk-0"));
    assert_eq!(served_by(&app.instance, &key, "s").await, accounts[1]);
    app.comes_to(&accounts[0], "cooling").await;
    assert_eq!(served_by(&app.instance, &key, "s").await, accounts[1]);
    let healed = format!("/api/accounts/{}/reset", accounts[0]);
    app.instance.manage(Method::POST, &healed, None).await;
    assert_eq!(served_by(&app.instance, &key, "s").await, accounts[1], "its cache is there now");
    assert_eq!(app.credentials(), ["sk-0", "sk-0", "sk-1", "sk-1", "sk-1"]);
    let words: Vec<_> = app.ledger().await.iter().map(|row| row["affinity"].as_str().unwrap().to_owned()).collect();
    assert_eq!(words, ["new", "moved", "kept", "kept"]);
}

#[tokio::test]
async fn a_fan_out_under_one_session_spreads_and_the_session_stays() {
    let (app, key, _) = with_accounts(3, json!({})).await;
    let policy = json!({ "affinity": { "max_in_flight": 2 } });
    app.instance.manage(Method::PUT, "/api/routing/default/anthropic", Some(policy)).await;
    let home = served_by(&app.instance, &key, "s").await;
    app.ledger().await;
    app.fake.script(Script::always(Answer::after(fake_upstream::Before::Held)));
    let calls: Vec<_> = (0..6).map(|_| tokio::spawn(app.instance.messages(&key, say("s")).send())).collect();
    app.fake.arrived(7).await;
    app.fake.release(6);
    let mut share: BTreeMap<String, u32> = BTreeMap::new();
    for call in calls {
        let answer = call.await.unwrap().unwrap();
        *share.entry(answer.headers()["x-gateway-account"].to_str().unwrap().to_owned()).or_default() += 1;
    }
    assert_eq!(share.values().copied().collect::<Vec<_>>(), [2, 2, 2], "{share:?}");
    app.fake.clear();
    app.ledger().await;
    assert_eq!(served_by(&app.instance, &key, "s").await, home);
}

#[tokio::test]
async fn reported_limits_are_kept_and_an_account_about_to_run_dry_is_spared() {
    let (app, key, accounts) = with_accounts(2, json!({})).await;
    let policy = json!({ "strategy": "priority", "affinity": { "enabled": false } });
    app.instance.manage(Method::PUT, "/api/routing/default/anthropic", Some(policy)).await;
    let rows = app.database.rows("select floor(extract(epoch from now()) + 3600)::text as at").await;
    let in_an_hour = rows[0]["at"].as_str().unwrap().to_owned();
    let nearly_spent = Answer::lifelike(fake_upstream::Lifelike::default())
        .with_header("anthropic-ratelimit-unified-5h-utilization", "0.995")
        .with_header("anthropic-ratelimit-unified-5h-reset", &in_an_hour);
    app.fake.script(Script::always(nearly_spent).of("sk-0"));
    assert_eq!(served_by(&app.instance, &key, "one").await, accounts[0]);
    let path = format!("/api/accounts/{}", accounts[0]);
    let account = eventually("the limit is kept", || async {
        let account = app.instance.manage(Method::GET, &path, None).await;
        (account["reported_limits"] != json!([])).then_some(account)
    })
    .await;
    assert_eq!(account["reported_limits"][0]["utilization"], 0.995);
    eventually("the other account is preferred", || async {
        (served_by(&app.instance, &key, "two").await == accounts[1]).then_some(())
    })
    .await;
    // It may not go on into paid use: once the window is spent it is left alone.
    app.instance.manage(Method::PATCH, &path, Some(json!({ "use_paid_overage": false }))).await;
    let spent = "update accounts set reported_limits = jsonb_set(reported_limits, '{0,utilization}', '1')";
    eventually("the account is left alone", || async {
        // Again, should a report of an earlier answer have come after it.
        app.database.execute(spent).await;
        let ask = json!({ "model": "claude-sonnet-5-5" });
        let preview = app.instance.manage(Method::POST, "/api/routing/preview", Some(ask)).await;
        let excluded = &preview["excluded"][0];
        let told = excluded["reason"].as_str().is_some_and(|reason| reason.contains("paid overage"));
        (told && excluded["id"] == *accounts[0]).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_long_cooldown_is_tested_by_one_request_and_ended_when_it_serves() {
    let (app, key, accounts) = with_accounts(2, json!({})).await;
    let policy = json!({ "affinity": { "enabled": false } });
    app.instance.manage(Method::PUT, "/api/routing/default/anthropic", Some(policy)).await;
    app.fake.script(Script::once(Answer::window_spent("5h", 4_000_000_000)).of("sk-0"));
    app.fake.script(Script::once(Answer::window_spent("5h", 4_000_000_000)).of("sk-0"));
    let path = format!("/api/accounts/{}", accounts[0]);
    let long_ago = "update accounts set health = 'cooling', health_until = now() + interval '5 hours', failures = 1,
        health_reason = '429', probe_at = now() - interval '1 minute' where name like '%sk-0'";
    // Its limit still holds: the caller does not notice, and the next test is a quarter of an hour away.
    app.database.execute(long_ago).await;
    assert_eq!(served_by(&app.instance, &key, "one").await, accounts[1]);
    assert_eq!(app.fake.stats().by_credential["sk-0"].requests, 1);
    for turn in 0..5 {
        assert_eq!(served_by(&app.instance, &key, &format!("s{turn}")).await, accounts[1]);
    }
    // It is over: one request finds out, and the account is back.
    app.fake.clear();
    app.database.execute(long_ago).await;
    eventually("the account is tested", || async {
        (served_by(&app.instance, &key, "again").await == accounts[0]).then_some(())
    })
    .await;
    eventually("the account is ready", || async {
        let account = app.instance.manage(Method::GET, &path, None).await;
        (account["state"] == "ready").then_some(())
    })
    .await;
}
