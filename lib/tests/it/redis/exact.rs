//! Limits by the minute hold as exactly in Redis as they do in Postgres. Lines of the Redis checklist are named in the comments.

use std::cell::Cell;

use fake_upstream::{Answer, Before, Script};
use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{House, SCRIPT, Way};
use crate::{
    support::{
        TOKEN, Trouble, eventually,
        keys::{answered, decided, limited, me, standing},
        log_of, said_of_redis,
    },
    walk::hello,
};

/// Across 8 instances a key with 100 requests a minute gets 100 through, not 101.
#[tokio::test]
async fn a_hundred_requests_are_a_hundred_across_eight_instances() {
    for way in [Way::Rest, Way::Tcp] {
        let house = House::ready(way).await;
        let instances = house.crowd(8).await;
        let (_, key) = limited(&house.app, json!({ "requests_per_minute": 100 })).await;
        assert_eq!(answered(&instances, &key, 130).await, 100, "{way:?}");
        assert_eq!(answered(&instances, &key, 8).await, 0, "{way:?}");
        assert_eq!(standing(&house.app.instance, &key, "requests_per_minute").await["left"], 0);
        assert_eq!(house.app.ledger().await.len(), 100);
        assert_eq!(house.counted_in_postgres().await, 0, "{way:?}: {:?}", log_of("Redis is down"));
        assert_eq!(said_of_redis(&house.app.instance).await, "ok");
    }
}

/// "Exact N of 1000 at once, both transports": the script alone, as each way sends it.
#[tokio::test]
async fn a_hundred_of_a_thousand_at_once_are_let_through() {
    let house = House::start(Way::Tcp).await;
    let (address, client) = (format!("http://{}", house.upstash.address), reqwest::Client::new());
    let connection = house.redis.connection().await.expect("redis-server answers");
    let locking = ["#!lua flags=allow-key-locking\n", SCRIPT].concat();
    for way in [Way::Rest, Way::Tcp] {
        let take = async |n: usize| {
            let (key, tokens, id) = (format!("{way:?}:requests"), format!("{way:?}:tokens"), n.to_string());
            let script = if way == Way::Rest { &locking } else { SCRIPT };
            let words = ["EVAL", script, "2", &key, &tokens, "take", &id, "0", "1", "1", "100", "-1"];
            let figures: Vec<i64> = match way {
                Way::Tcp => redis::cmd("EVAL").arg(&words[1..]).query_async(&mut connection.clone()).await.unwrap(),
                Way::Rest => {
                    // Of so many at once some may not be let in at first; the same id counts once.
                    let answer = eventually("it is let in", || async {
                        let sent = client.post(&address).bearer_auth(TOKEN).body(json!(words).to_string()).send();
                        let text = sent.await.ok()?.text().await.ok()?;
                        serde_json::from_str::<Value>(&text).ok()
                    })
                    .await;
                    serde_json::from_value(answer["result"].clone()).unwrap()
                }
            };
            usize::from(figures[0] == 0)
        };
        let through: usize = join_all((0..1000).map(take)).await.into_iter().sum();
        assert_eq!(through, 100, "{way:?}");
    }
}

/// An account's limits hold likewise, and one that is full leaves its requests to the next.
#[tokio::test]
async fn accounts_take_what_they_may_across_eight_instances() {
    for way in [Way::Rest, Way::Tcp] {
        let house = House::start(way).await;
        for account in ["sk-ant-one", "sk-ant-two"] {
            house.app.account("anthropic", account, json!({ "requests_per_minute": 10 })).await;
        }
        let instances = house.crowd(8).await;
        let key = house.app.key(json!({})).await;
        assert_eq!(answered(&instances, &key, 40).await, 20, "{way:?}");
        let one = house.app.credentials().iter().filter(|credential| *credential == "sk-ant-one").count();
        assert_eq!((one, house.redis.requests().await, house.counted_in_postgres().await), (10, 20, 0));
    }
}

/// In-flight caps are the leases', with Redis as without.
#[tokio::test]
async fn requests_in_flight_never_exceed_the_cap_across_eight_instances() {
    const CAP: usize = 5;
    let house = House::ready(Way::Tcp).await;
    let instances = house.crowd(8).await;
    let (_, key) = limited(&house.app, json!({ "max_in_flight": CAP, "requests_per_minute": 100 })).await;
    house.app.fake.script(Script::always(Answer::after(Before::Held)));
    let refused = Cell::new(0);
    let call = async |n: usize| {
        let answer = decided(&instances[n % 8], &key).await;
        refused.set(refused.get() + usize::from(answer.status() == StatusCode::TOO_MANY_REQUESTS));
    };
    tokio::join!(join_all((0..40).map(call)), async {
        eventually("all others are refused", || async { (refused.get() == 40 - CAP).then_some(()) }).await;
        house.app.fake.release(CAP);
    });
    assert_eq!(house.app.fake.stats().total.max_in_flight, CAP as u64);
    assert_eq!(house.redis.requests().await, CAP, "what was refused was given back");
}

/// "No 2 N at an edge": what was used 45 seconds ago counts, and is free a little later.
#[tokio::test]
async fn a_minute_slides() {
    for way in [Way::Rest, Way::Tcp] {
        let house = House::ready(way).await;
        let (_, key) = limited(&house.app, json!({ "requests_per_minute": 3 })).await;
        let call = || house.app.instance.messages(&key, hello(false)).send();
        for _ in 0..3 {
            assert_eq!(call().await.unwrap().status(), 200);
        }
        house.redis.age(45).await;
        let answer = call().await.unwrap();
        assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
        let wait: u64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=15).contains(&wait), "{wait}");
        house.redis.age(15).await;
        assert_eq!(call().await.unwrap().status(), 200);
    }
}

/// "Same id twice": an answer that got lost on the way is asked for again, and the request counts once.
#[tokio::test]
async fn a_request_whose_answer_was_lost_counts_once() {
    let house = House::ready(Way::Rest).await;
    let (_, key) = limited(&house.app, json!({ "requests_per_minute": 1, "tokens_per_minute": 1_000_000 })).await;
    house.upstash.has(Trouble::LosesOneAnswer);
    let call = || house.app.instance.messages(&key, hello(false)).send();
    assert_eq!(call().await.unwrap().status(), 200);
    assert_eq!((house.redis.requests().await, house.counted_in_postgres().await), (1, 0));
    assert_eq!(call().await.unwrap().status(), 429);
}

/// A request that goes on to another account counts on each account, and once on its key.
#[tokio::test]
async fn a_failover_counts_once_on_the_key() {
    let house = House::start(Way::Tcp).await;
    let per_minute = json!({ "requests_per_minute": 10, "tokens_per_minute": 1_000_000 });
    house.app.account("anthropic", "sk-ant-one", per_minute.clone()).await;
    let mut second = per_minute;
    second["priority"] = json!(1);
    house.app.account("anthropic", "sk-ant-two", second).await;
    let (_, key) = limited(&house.app, json!({ "requests_per_minute": 1 })).await;
    house.app.fake.script(Script::always(Answer::overloaded()).of("sk-ant-one"));
    assert_eq!(house.app.instance.messages(&key, hello(false)).send().await.unwrap().status(), 200);
    assert_eq!(house.app.credentials(), ["sk-ant-one", "sk-ant-two"]);
    assert_eq!(standing(&house.app.instance, &key, "requests_per_minute").await["used"], 1);
    assert_eq!(house.redis.requests().await, 3, "the key once, and each account");
}

/// "Second limit refuses, first uncharged": of the key's limits, and where the database refuses, of Redis's.
#[tokio::test]
async fn a_refusal_leaves_every_other_window_as_it_was() {
    for way in [Way::Rest, Way::Tcp] {
        for narrow in ["requests_per_minute", "tokens_per_minute", "requests_per_day"] {
            let house = House::start(way).await;
            let account = json!({ "requests_per_minute": 50, "tokens_per_minute": 1_000_000 });
            house.app.account("anthropic", "sk-ant-one", account).await;
            let mut limits =
                json!({ "requests_per_minute": 50, "tokens_per_minute": 1_000_000, "requests_per_day": 50 });
            limits[narrow] = json!(1);
            let (_, key) = limited(&house.app, limits).await;
            let call = || house.app.instance.messages(&key, hello(false)).send();
            assert_eq!(call().await.unwrap().status(), 200);
            house.tokens_are_what_was_used().await;
            let used = async || {
                let figures = me(&house.app.instance, &key).await["standing"].as_array().unwrap().clone();
                figures.iter().map(|one| one["used"].to_string()).collect::<Vec<_>>()
            };
            let before = (used().await, house.redis.requests().await);
            for _ in 0..4 {
                let answer = call().await.unwrap();
                assert_eq!(answer.status(), 429);
                assert!(answer.text().await.unwrap().contains(narrow));
            }
            assert_eq!((used().await, house.redis.requests().await), before, "{way:?} {narrow}");
        }
    }
}

/// Tokens are charged by estimate, and what was really used counts in the end: on the key and on the account.
#[tokio::test]
async fn tokens_are_corrected_when_a_request_has_ended() {
    for way in [Way::Rest, Way::Tcp] {
        let house = House::start(way).await;
        house.app.account("anthropic", "sk-ant-one", json!({ "tokens_per_minute": 1_000_000 })).await;
        let (_, key) = limited(&house.app, json!({ "tokens_per_minute": 1_000_000 })).await;
        assert_eq!(house.app.instance.messages(&key, hello(false)).send().await.unwrap().status(), 200);
        let used = house.tokens_are_what_was_used().await;
        assert_eq!(standing(&house.app.instance, &key, "tokens_per_minute").await["used"], used);
        assert_eq!(house.counted_in_postgres().await, 0);
    }
}

/// A conversation stays on its account though another comes first by rank: it is counted there, and nowhere else.
#[tokio::test]
async fn a_conversation_counts_on_the_account_that_it_stays_on() {
    let house = House::start(Way::Tcp).await;
    let first =
        house.app.account("anthropic", "sk-ant-one", json!({ "requests_per_minute": 10, "max_in_flight": 1 })).await;
    let second = house.app.account("anthropic", "sk-ant-two", json!({ "requests_per_minute": 2, "priority": 1 })).await;
    let key = house.app.key(json!({})).await;
    let call = || {
        let request = house.app.instance.messages(&key, hello(false));
        request.header("x-claude-code-session-id", "one-conversation").send()
    };
    house.app.instance.manage(reqwest::Method::POST, &format!("/api/accounts/{first}/pause"), None).await;
    assert_eq!(call().await.unwrap().status(), 200);
    house.app.instance.manage(reqwest::Method::POST, &format!("/api/accounts/{first}/resume"), None).await;
    for (of_first, of_second) in [(0, 2), (1, 2)] {
        assert_eq!(call().await.unwrap().status(), 200);
        let mut counted = Vec::new();
        for account in [&first, &second] {
            let name = format!("llm-gateway:{{{account}}}:requests");
            counted.push(house.redis.ask::<usize>(&["ZCARD", &name]).await);
        }
        assert_eq!(counted, [of_first, of_second], "the second is full after two");
    }
    assert_eq!(house.counted_in_postgres().await, 0);
}

/// What an operator changes counts from the next request on, whatever an instance remembers of the limits.
#[tokio::test]
async fn a_limit_that_is_raised_holds_at_once() {
    let house = House::ready(Way::Tcp).await;
    let neighbour = house.neighbour().await;
    let (id, key) = limited(&house.app, json!({ "requests_per_minute": 1 })).await;
    let call = || neighbour.messages(&key, hello(false)).send();
    assert_eq!(call().await.unwrap().status(), 200);
    assert_eq!(call().await.unwrap().status(), 429);
    crate::support::keys::change(&house.app, &id, json!({ "limits": { "requests_per_minute": 2 } })).await;
    assert_eq!(call().await.unwrap().status(), 200);
    assert_eq!(call().await.unwrap().status(), 429);
    house.app.instance.manage(reqwest::Method::DELETE, &format!("/api/keys/{id}"), None).await;
    assert_eq!(call().await.unwrap().status(), 401, "a revoked key is that first");
}
