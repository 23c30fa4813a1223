//! The cooldown of one model family of an account: tested early, ended by what the upstream reports, and of its own count.

use fake_upstream::{Answer, Before, Lifelike, Script};
use reqwest::Method;
use serde_json::json;

use crate::{
    routing::{self, with_accounts},
    support::{App, Instance, eventually},
};

/// The model that `7d_oi` is a limit of.
const FABLE: &str = "claude-fable-5-1";
const OTHER_FAMILY: &str = "claude-haiku-5-5";

fn say(session: &str) -> String {
    routing::say(session).replace("claude-sonnet-5-5", FABLE)
}

/// Sends a request and answers the account that served it.
async fn served_by(instance: &Instance, key: &str, session: &str) -> String {
    answered_by(instance, key, say(session)).await
}

async fn answered_by(instance: &Instance, key: &str, body: String) -> String {
    let response = instance.messages(key, body).send().await.unwrap();
    assert_eq!(response.status(), 200);
    response.headers()["x-gateway-account"].to_str().unwrap().to_owned()
}

/// Two accounts, the first of which is asked first unless a conversation is elsewhere; a key.
async fn two() -> (App, String, [String; 2]) {
    let (app, key, accounts) = with_accounts(2, json!({})).await;
    let policy = json!({ "strategy": "priority", "affinity": { "enabled": false } });
    app.instance.manage(Method::PUT, "/api/routing/default/anthropic", Some(policy)).await;
    (app, key, accounts.try_into().unwrap())
}

fn in_hours(hours: u64) -> u64 {
    gateway::clock::now().as_second().unsigned_abs() + hours * 3600
}

/// The week of one model family is spent, for longer than a quarter of an hour.
async fn week_is_spent(app: &App, key: &str, [first, second]: &[String; 2]) {
    app.fake.script(Script::once(Answer::window_spent("7d_oi", in_hours(50))).of("sk-0"));
    assert_eq!(served_by(&app.instance, key, "spends").await, *second);
    let shown = app.shown(first).await;
    assert_eq!((&shown["state"], shown["cooling_families"].as_array().map(Vec::len)), (&json!("ready"), Some(1)));
    app.fake.clear();
}

async fn a_quarter_goes_by(app: &App) {
    app.database.execute("update family_cooldowns set probe_at = now() where probe_at is not null").await;
}

fn asked_of(app: &App, credential: &str) -> u64 {
    app.fake.stats().by_credential.get(credential).map_or(0, |count| count.requests)
}

/// Peers D10: a long cooldown of a family is tested by one request of all instances, and its success frees the family.
#[tokio::test]
async fn d10_a_long_cooldown_of_a_family_is_tested_by_one_request_of_all_instances_and_freed() {
    let (app, key, accounts) = two().await;
    week_is_spent(&app, &key, &accounts).await;
    let minutes = "select extract(epoch from probe_at - now()) / 60 from family_cooldowns";
    assert!((14..=15).contains(&app.database.number(minutes).await), "not before a quarter of an hour");
    assert_eq!(served_by(&app.neighbour().await, &key, "early").await, accounts[1]);
    a_quarter_goes_by(&app).await;
    let fresh = [app.neighbour().await, app.neighbour().await];
    app.fake.clear();
    app.fake.script(Script::always(Answer::after(Before::Held)));
    let calls: Vec<_> = (0..8).map(|turn| tokio::spawn(fresh[turn % 2].messages(&key, say("s")).send())).collect();
    app.fake.arrived(8).await;
    assert_eq!(asked_of(&app, "sk-0"), 1, "one tests, the others go elsewhere");
    let ask = json!({ "model": FABLE });
    let preview = app.instance.manage(Method::POST, "/api/routing/preview", Some(ask)).await;
    assert_eq!(preview["excluded"][0]["reason"], "another request is testing whether it is back");
    app.fake.release(8);
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap().status(), 200);
    }
    app.fake.clear();
    eventually("the family is free", || async {
        (app.database.number("select count(*) from family_cooldowns").await == 0).then_some(())
    })
    .await;
    assert_eq!(served_by(&app.neighbour().await, &key, "after").await, accounts[0]);
}

/// A test that fails, on the limit or on something else, sets the next one, and the caller does not notice.
#[tokio::test]
async fn a_test_of_a_family_that_fails_sets_the_next() {
    for fault in [Answer::window_spent("7d_oi", in_hours(50)), Answer::overloaded(), Answer::after(Before::Reset)] {
        let (app, key, accounts) = two().await;
        week_is_spent(&app, &key, &accounts).await;
        a_quarter_goes_by(&app).await;
        app.fake.script(Script::always(fault.clone()).of("sk-0"));
        let fresh = app.neighbour().await;
        assert_eq!(served_by(&fresh, &key, "tests").await, accounts[1]);
        app.ledger().await;
        let next = "select extract(epoch from probe_at - now()) / 60 from family_cooldowns where tester is null";
        assert!((14..=15).contains(&app.database.number(next).await), "{fault:?}");
        for turn in 0..4 {
            assert_eq!(served_by(&app.neighbour().await, &key, &format!("s{turn}")).await, accounts[1]);
        }
        assert_eq!(asked_of(&app, "sk-0"), 1, "{fault:?}");
    }
}

/// Peers D10: what an answer for another family reports of the limit ends the cooldown that came from it.
#[tokio::test]
async fn d10_a_cooldown_of_a_family_ends_when_an_answer_reports_that_its_limit_is_renewed() {
    let (app, key, accounts) = two().await;
    week_is_spent(&app, &key, &accounts).await;
    eventually("the limit is kept as spent", || async {
        let shown = app.shown(&accounts[0]).await;
        (shown["reported_limits"][0]["status"] == "rejected").then_some(())
    })
    .await;
    let other = say("other").replace(FABLE, OTHER_FAMILY);
    let reports = |utilization: &str, status: &str| {
        Answer::lifelike(Lifelike::default())
            .with_header("anthropic-ratelimit-unified-7d_oi-utilization", utilization)
            .with_header("anthropic-ratelimit-unified-7d_oi-status", status)
            .with_header("anthropic-ratelimit-unified-7d_oi-reset", &in_hours(99).to_string())
    };
    for (answer, left) in [(reports("1.0", "rejected"), 1), (reports("0.9", "allowed_warning"), 0)] {
        app.fake.clear();
        app.fake.script(Script::always(answer).of("sk-0"));
        // The reset that was reported belongs to the cooldown until a newer one is.
        app.database.execute("update family_cooldowns set until = (select (reported_limits->0->>'resets_at')::timestamptz from accounts where id = account_id)").await;
        // It matters for its own family only.
        assert_eq!(answered_by(&app.neighbour().await, &key, other.clone()).await, accounts[0]);
        eventually("the report is kept", || async {
            let shown = app.shown(&accounts[0]).await;
            let is_new = shown["reported_limits"][0]["resets_at"]
                .as_str()
                .is_some_and(|at| at.parse::<jiff::Timestamp>().unwrap().as_second().unsigned_abs() > in_hours(98));
            is_new.then_some(())
        })
        .await;
        eventually("the family is as reported", || async {
            (app.database.number("select count(*) from family_cooldowns").await == left).then_some(())
        })
        .await;
    }
    assert_eq!(served_by(&app.neighbour().await, &key, "after").await, accounts[0]);
}

/// A limit of a family without a reset costs a minute and doubles by the family's own count, which a success ends; what
/// else befell the account does not count.
#[tokio::test]
async fn a_familys_429_without_a_reset_doubles_by_its_own_count() {
    let (app, key, accounts) = two().await;
    app.database.execute("update accounts set failures = 2").await;
    let sits_out_for = "select ceil(extract(epoch from until - now()))::bigint from family_cooldowns";
    let goes_by = "update family_cooldowns set until = now()";
    for wait in [60, 120, 240] {
        app.fake.clear();
        app.fake.script(Script::once(Answer::rate_limited_silently()).of("sk-0"));
        assert_eq!(served_by(&app.neighbour().await, &key, "limited").await, accounts[1]);
        let left = app.database.number(sits_out_for).await;
        assert!((wait / 2 + 1..=wait).contains(&left), "{left} s instead of {wait} s");
        app.ledger().await;
        app.database.execute(goes_by).await;
    }
    assert_eq!(served_by(&app.neighbour().await, &key, "served").await, accounts[0]);
    eventually("it is forgotten", || async {
        (app.database.number("select count(*) from family_cooldowns").await == 0).then_some(())
    })
    .await;
}

/// A count of tokens is no use of a limit: it is not made where a limit is to be tested, and frees nobody.
#[tokio::test]
async fn a_count_of_tokens_neither_tests_nor_frees_an_account_whose_limit_is_spent() {
    let (app, key, accounts) = two().await;
    let limited = "update accounts set health = 'cooling', health_until = now() + interval '5 hours', failures = 1,
        health_reason = '429', probe_at = now() - interval '1 minute' where name like '%sk-0'";
    app.database.execute(limited).await;
    let fresh = app.neighbour().await;
    let count = |session: &str| {
        fresh.request(Method::POST, "/v1/messages/count_tokens").header("x-api-key", &key).body(say(session))
    };
    for turn in 0..3 {
        let answer = count(&format!("s{turn}")).send().await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["x-gateway-account"]),
            (200, &accounts[1].parse().unwrap())
        );
    }
    app.ledger().await;
    assert_eq!((app.shown(&accounts[0]).await["state"].clone(), asked_of(&app, "sk-0")), (json!("cooling"), 0));
    // After failures it only has to be there, and that a count of tokens does tell.
    let failed = "update accounts set health_until = null where name like '%sk-0'";
    app.database.execute(failed).await;
    let other = app.neighbour().await;
    let other = other.request(Method::POST, "/v1/messages/count_tokens").header("x-api-key", &key);
    let answer = other.body(say("back")).send().await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["x-gateway-account"]),
        (200, &accounts[0].parse().unwrap())
    );
    app.comes_to(&accounts[0], "ready").await;
}
