//! What the wire to Redis may bring: lost scripts, silence, refusals, other clocks. The rest of the Redis checklist.

use reqwest::Method;
use serde_json::json;

use super::{House, PATIENT, SCRIPT, Way};
use crate::{
    support::{
        Certificates, Instance, PASSWORD, Redis, TOKEN, Trouble, Upstash, eventually, keys::limited, log_of,
        said_of_redis,
    },
    walk::hello,
};

/// One call that must be answered.
async fn call(instance: &Instance, key: &str) {
    assert_eq!(instance.messages(key, hello(false)).send().await.unwrap().status(), 200);
}

/// "NOSCRIPT": a server that forgot the script is sent it again, within the request.
#[tokio::test]
async fn a_forgotten_script_is_sent_again() {
    for way in [Way::Rest, Way::Tcp] {
        let house = House::ready(way).await;
        let (_, key) = limited(&house.app, json!({ "requests_per_minute": 100 })).await;
        call(&house.app.instance, &key).await;
        call(&house.app.instance, &key).await;
        let _ok: String = house.redis.ask(&["SCRIPT", "FLUSH"]).await;
        call(&house.app.instance, &key).await;
        assert_eq!((house.redis.requests().await, house.counted_in_postgres().await), (3, 0), "{way:?}");
        if way == Way::Rest {
            assert_eq!(house.upstash.commands(), ["EVALSHA", "EVAL", "EVALSHA", "EVALSHA", "EVAL"]);
        }
    }
}

/// "Timeout → Postgres", and "quota → breaker": whatever Upstash has, no request fails, Postgres counts and holds the
/// limit, health says it, and Redis is left alone for a while.
#[tokio::test]
async fn whatever_upstash_has_postgres_counts() {
    for (trouble, reason) in [
        (Trouble::Silent, "no answer in time"),
        (Trouble::Quota, "its quota is used up"),
        (Trouble::Page, "what answers at its address is not Redis"),
    ] {
        let house = House::ready(Way::Rest).await;
        let (_, key) = limited(&house.app, json!({ "requests_per_minute": 2 })).await;
        house.upstash.has(trouble);
        let ms = if trouble == Trouble::Silent { "200" } else { PATIENT.1 };
        let instance = house.neighbour_with((PATIENT.0, ms)).await;
        call(&instance, &key).await;
        let asked = house.upstash.commands().len();
        call(&instance, &key).await;
        let refused = instance.messages(&key, hello(false)).send().await.unwrap();
        assert_eq!(refused.status(), 429, "{trouble:?}");
        assert_eq!(house.upstash.commands().len(), asked, "{trouble:?}: it is left alone");
        assert_eq!(said_of_redis(&instance).await, "down");
        assert!(!log_of(reason).is_empty(), "{reason}");
        assert_eq!(house.app.ledger().await.len(), 2);
    }
}

/// A token or a password that is not accepted: requests are served, health says that Redis is down, the log says why, and
/// neither of them.
#[tokio::test]
async fn a_wrong_secret_is_said_and_not_shown() {
    let house = House::ready(Way::Tcp).await;
    let (_, key) = limited(&house.app, json!({ "requests_per_minute": 100 })).await;
    let upstash = Upstash::before(&house.redis).await;
    let (rest, wrong) = (format!("http://{}", upstash.address), format!("{TOKEN}-but-wrong"));
    let tcp = house.redis.url().replace(PASSWORD, &format!("{PASSWORD}-but-wrong"));
    let none = house.redis.url().replace(&format!(":{PASSWORD}@"), "");
    for variables in [
        vec![("KV_REST_API_URL", rest.as_str()), ("KV_REST_API_TOKEN", &wrong), PATIENT],
        vec![("REDIS_URL", &tcp), PATIENT],
        vec![("REDIS_URL", &none), PATIENT],
    ] {
        let instance = Instance::start(&house.app.database.url, &variables).await;
        call(&instance, &key).await;
        assert_eq!(said_of_redis(&instance).await, "down", "{variables:?}");
    }
    assert!(!log_of("does not accept the token or the password").is_empty());
    assert!(log_of(TOKEN).is_empty() && log_of(PASSWORD).is_empty());
}

/// The other family of names, and a token that is right.
#[tokio::test]
async fn both_families_of_names_are_understood() {
    let house = House::ready(Way::Tcp).await;
    let (_, key) = limited(&house.app, json!({ "requests_per_minute": 100 })).await;
    let rest = format!("http://{}", house.upstash.address);
    for (url, token) in
        [("UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN"), ("KV_REST_API_URL", "KV_REST_API_TOKEN")]
    {
        let instance = Instance::start(&house.app.database.url, &[(url, &rest), (token, TOKEN), PATIENT]).await;
        let before = house.upstash.commands().len();
        call(&instance, &key).await;
        assert!(house.upstash.commands().len() > before);
        assert_eq!(said_of_redis(&instance).await, "ok");
    }
    assert_eq!(house.counted_in_postgres().await, 0);
}

/// A gateway without Redis says so.
#[tokio::test]
async fn without_redis_health_says_unset() {
    let app = crate::support::App::start().await;
    // An empty database is prepared by then.
    app.instance.manage(Method::GET, "/api/keys", None).await;
    assert_eq!(said_of_redis(&app.instance).await, "unset");
}

/// `rediss://` looks at the certificate: a server that nobody vouches for is none, and nothing is sent to it in the clear.
#[tokio::test]
async fn a_server_that_nobody_vouches_for_is_down() {
    let house = House::ready(Way::Tcp).await;
    let (_, key) = limited(&house.app, json!({ "requests_per_minute": 100 })).await;
    let unknown = Redis::with_tls(Certificates::make()).await;
    let instance = Instance::start(&house.app.database.url, &[("REDIS_URL", &unknown.url()), PATIENT]).await;
    call(&instance, &key).await;
    assert_eq!(said_of_redis(&instance).await, "down");
    assert_eq!(unknown.requests().await, 0, "though it answers those who know its authority");
}

/// "Clock off by a minute": the server's time counts, whatever the caller's clock says.
#[tokio::test]
async fn a_callers_clock_does_not_matter() {
    let redis = Redis::start().await;
    let now: Vec<u64> = redis.ask(&["TIME"]).await;
    let (early, late) = ((now[0] - 61) * 1000, (now[0] + 61) * 1000);
    let mut answers = Vec::new();
    for (id, clock) in [("a", early), ("b", late), ("c", early), ("d", late)] {
        let clock = clock.to_string();
        let words = ["EVAL", SCRIPT, "2", "k:requests", "k:tokens", "take", id, &clock, "1", "1", "2", "-1"];
        answers.push(redis.ask::<Vec<i64>>(&words).await);
    }
    let refused: Vec<_> = answers.iter().map(|answer| answer[0]).collect();
    assert_eq!(refused, [0, 0, 1, 1], "two of four");
    assert!(answers[2][3] > 55_000 && answers[2][3] <= 60_000, "{answers:?}");
}

/// A service that tells scripts no time: the caller's clock counts, and never runs behind what was counted last.
#[tokio::test]
async fn without_a_clock_no_caller_counts_in_the_past() {
    let house = House::ready(Way::Rest).await;
    house.upstash.has(Trouble::NoClock);
    let (id, key) = limited(&house.app, json!({ "requests_per_minute": 2 })).await;
    call(&house.app.instance, &key).await;
    // An instance whose clock is a minute fast.
    let name = format!("llm-gateway:{{{id}}}:requests");
    let ids: Vec<String> = house.redis.ask(&["ZRANGE", &name, "0", "-1"]).await;
    let _score: f64 = house.redis.ask(&["ZINCRBY", &name, "61000", &ids[0]]).await;
    call(&house.app.instance, &key).await;
    let refused = house.app.instance.messages(&key, hello(false)).send().await.unwrap();
    assert_eq!(refused.status(), 429);
    let scores: Vec<(String, f64)> = house.redis.ask(&["ZRANGE", &name, "0", "-1", "WITHSCORES"]).await;
    assert!(scores[1].1 >= scores[0].1, "{scores:?}");
    assert_eq!(house.counted_in_postgres().await, 0);
}

/// A token that a server repeats in its error is not logged, and no secret of Redis is in any answer.
#[tokio::test]
async fn no_secret_of_redis_is_shown() {
    for way in [Way::Rest, Way::Tcp] {
        let house = House::ready(way).await;
        let key = house.app.key(json!({ "limits": { "requests_per_minute": 100 } })).await;
        call(&house.app.instance, &key).await;
        if way == Way::Rest {
            house.upstash.has(Trouble::RepeatsToken);
            call(&house.app.instance, &key).await;
            eventually("it is said", || async { log_of("your token …").into_iter().next() }).await;
        }
        for path in ["/api/health", "/api/keys", "/api/accounts"] {
            let shown = house.app.instance.operator(Method::GET, path, None).await.text().await.unwrap();
            assert!(!shown.contains(TOKEN) && !shown.contains(PASSWORD), "{path}");
        }
    }
    assert!(log_of(TOKEN).is_empty() && log_of(PASSWORD).is_empty());
}
