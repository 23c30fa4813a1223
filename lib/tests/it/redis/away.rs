//! Redis goes away and comes back: no request fails, and what a switch between the two costs is no more than a window.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::future::join_all;
use serde_json::json;

use super::{House, PATIENT, Way};
use crate::support::{
    Instance, eventually,
    keys::{answered, limited},
    log_of, said_of_redis,
};

/// Killed while requests are under way, and back: none fails, health and log say it, and it counts again by itself.
#[tokio::test]
async fn redis_is_killed_mid_run_and_comes_back() {
    for way in [Way::Rest, Way::Tcp] {
        let mut house = House::ready(way).await;
        let neighbour = house.neighbour().await;
        let (_, key) = limited(&house.app, json!({ "requests_per_minute": 1_000_000 })).await;
        let (served, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let (app, redis) = (&house.app, &mut house.redis);
        let instances = [&app.instance, &neighbour];
        let caller = async |n: usize| {
            while !stop.load(Ordering::Relaxed) {
                assert_eq!(answered(&[instances[n % 2]], &key, 1).await, 1);
                served.fetch_add(1, Ordering::Relaxed);
            }
        };
        let more = async || {
            let target = served.load(Ordering::Relaxed) + 20;
            eventually("more are served", || async { (served.load(Ordering::Relaxed) >= target).then_some(()) }).await;
        };
        let says = async |word: &str| {
            for instance in instances {
                eventually(word, || async { (said_of_redis(instance).await == word).then_some(()) }).await;
            }
        };
        tokio::join!(join_all((0..4).map(caller)), async {
            more().await;
            says("ok").await;
            redis.kill();
            more().await;
            says("down").await;
            redis.revive().await;
            says("ok").await;
            more().await;
            stop.store(true, Ordering::Relaxed);
        });
        assert!(house.redis.requests().await > 0, "it counts again");
        assert!(house.counted_in_postgres().await > 0, "Postgres did meanwhile");
        assert!(!log_of("Redis is down").is_empty() && !log_of("Redis answers again").is_empty());
    }
}

/// What Redis had counted goes with it, so a key may use one window more; not two, however often it comes and goes. While
/// both count, the one that has seen more decides.
#[tokio::test]
async fn a_switch_costs_at_most_one_window() {
    let mut house = House::ready(Way::Tcp).await;
    let (_, key) = limited(&house.app, json!({ "requests_per_minute": 50 })).await;
    let neighbour = house.neighbour().await;
    let instances = [&house.app.instance, &neighbour];
    assert_eq!(answered(&instances, &key, 30).await, 30);
    house.redis.kill();
    assert_eq!(answered(&instances, &key, 40).await, 40);
    house.redis.revive().await;
    for instance in instances {
        eventually("it is back", || async { (said_of_redis(instance).await == "ok").then_some(()) }).await;
    }
    assert_eq!(answered(&instances, &key, 40).await, 10, "Postgres knows of forty");
    assert_eq!(house.redis.requests().await, 10, "and Redis begins to know");
    assert_eq!(answered(&instances, &key, 4).await, 0);
    house.redis.kill();
    assert_eq!(answered(&instances, &key, 4).await, 0, "nothing is forgotten this time");
}

/// An instance that cannot reach Redis makes all others count in Postgres too: together they keep the limit.
#[tokio::test]
async fn one_instance_without_redis_is_counted_with_all_others() {
    let house = House::ready(Way::Tcp).await;
    house.app.account("anthropic", "sk-ant-two", json!({ "requests_per_minute": 1000 })).await;
    let (_, key) = limited(&house.app, json!({ "requests_per_minute": 100 })).await;
    let cut_off = Instance::start(&house.app.database.url, &[("REDIS_URL", "redis://127.0.0.1:1"), PATIENT]).await;
    assert_eq!(answered(&[&cut_off], &key, 1).await, 1);
    assert_eq!(said_of_redis(&cut_off).await, "down");
    let neighbour = house.neighbour().await;
    assert_eq!(said_of_redis(&neighbour).await, "ok");
    assert_eq!(answered(&[&cut_off, &neighbour, &house.app.instance], &key, 130).await, 99);
    // A minute later nobody is away from anybody, and Redis has all that counts.
    house.app.database.execute("update redis_away set until = now()").await;
    house.app.ledger().await;
    let before = house.counted_in_postgres().await;
    assert_eq!(
        answered(&[&neighbour], &house.app.key(json!({ "limits": { "requests_per_minute": 5 } })).await, 9).await,
        5
    );
    house.app.ledger().await;
    assert_eq!(house.counted_in_postgres().await, before);
}

/// A rolling change: instances with Redis and instances without it count apart, and let a window each through.
#[tokio::test]
async fn while_only_some_instances_have_redis_each_kind_lets_a_window_through() {
    let house = House::ready(Way::Tcp).await;
    let (_, key) = limited(&house.app, json!({ "requests_per_minute": 10 })).await;
    let without = house.app.neighbour().await;
    assert_eq!(answered(&[&house.app.instance], &key, 14).await, 10);
    assert_eq!(answered(&[&without], &key, 14).await, 10);
    assert_eq!(answered(&[&house.app.instance, &without], &key, 4).await, 0);
    assert_eq!(
        (said_of_redis(&house.app.instance).await, said_of_redis(&without).await),
        ("ok".into(), "unset".into())
    );
}
