//! The circuit breaker: an account that fails again and again sits out, and one request at a time tests whether it is back.

use fake_upstream::{Answer, Before, Script};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{runtime::Handle, task::JoinHandle};

use crate::{
    routing::{say, served_by, with_accounts},
    support::{App, Instance, eventually},
    walk::hello,
};

/// Two accounts, the first of which is asked first and broken by so many failures in a row; two instances; a key.
struct Broken {
    app: App,
    other: Instance,
    key: String,
    first: String,
    second: String,
}

impl Broken {
    /// An account sits out for 15 seconds after so many failures.
    async fn start(failure_threshold: u32) -> Self {
        let (app, key, accounts) = with_accounts(2, json!({})).await;
        let policy = json!({
            "strategy": "priority", "affinity": { "enabled": false }, "cooldown": { "failure_threshold": failure_threshold },
        });
        app.instance.manage(Method::PUT, "/api/routing/default/anthropic", Some(policy)).await;
        let other = app.neighbour().await;
        let [first, second] = accounts.try_into().unwrap();
        Self { app, other, key, first, second }
    }

    fn script(&self, answer: Answer) {
        self.app.fake.clear();
        self.app.fake.script(Script::always(answer).of("sk-0"));
    }

    /// Puts the first account on probation: it fails, and its cooldown goes by.
    async fn on_probation(&self) {
        self.script(Answer::overloaded());
        assert_eq!(served_by(&self.app.instance, &self.key, "fails").await, self.second);
        self.app.comes_to(&self.first, "cooling").await;
        self.cooldown_goes_by().await;
    }

    async fn cooldown_goes_by(&self) {
        self.app.ledger().await;
        self.app.database.execute("update accounts set probe_at = now() where probe_at is not null").await;
    }

    /// Sends a request on one of the instances.
    fn send(&self, turn: usize) -> JoinHandle<String> {
        send(if turn.is_multiple_of(2) { &self.app.instance } else { &self.other }, &self.key, turn)
    }

    async fn failures(&self) -> i64 {
        self.app.database.number(&format!("select failures from accounts where id = '{}'", self.first)).await
    }

    /// How many seconds the first account still sits out.
    async fn sits_out_for(&self) -> i64 {
        let sql = "select extract(epoch from probe_at - now()) from accounts where probe_at is not null";
        self.app.database.number(sql).await
    }

    fn asked(&self) -> u64 {
        self.app.fake.stats().by_credential.get("sk-0").map_or(0, |count| count.requests)
    }
}

/// Sends a request, which answers the account that served it.
fn send(instance: &Instance, key: &str, turn: usize) -> JoinHandle<String> {
    let request = instance.messages(key, say(&format!("s{turn}")));
    tokio::spawn(async move {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let account = answer.headers()["x-gateway-account"].to_str().unwrap().to_owned();
        answer.bytes().await.unwrap();
        account
    })
}

fn held(answer: Answer) -> Answer {
    Answer { before: Some(Before::Held), ..answer }
}

fn words(shown: &Value) -> &str {
    shown["state_reason"].as_str().unwrap_or_default()
}

/// A half-open probe: after the cooldown one request over all instances tests the account; a success frees it wholly.
#[tokio::test]
async fn after_failures_one_request_of_all_instances_tests_the_account_and_frees_it() {
    let pool = Broken::start(1).await;
    pool.script(Answer::overloaded());
    assert_eq!(served_by(&pool.app.instance, &pool.key, "fails").await, pool.second);
    let shown = pool.app.comes_to(&pool.first, "cooling").await;
    assert_eq!(words(&shown), "529: Overloaded");
    assert!((1..=15).contains(&pool.sits_out_for().await) && shown["state_until"] != Value::Null, "{shown}");
    pool.cooldown_goes_by().await;
    let shown = pool.app.shown(&pool.first).await;
    assert_eq!((&shown["state"], &shown["state_until"]), (&json!("cooling"), &Value::Null));
    assert_eq!(words(&shown), "on probation, the next request tests it; before that: 529: Overloaded");
    pool.script(Answer::after(Before::Held));
    // Instances that know of it: one that does not yet takes a success for nothing new, and the next request tests again.
    let fresh = [pool.app.neighbour().await, pool.app.neighbour().await];
    let calls: Vec<_> = (0..12).map(|turn| send(&fresh[turn % 2], &pool.key, turn)).collect();
    pool.app.fake.arrived(12).await;
    assert_eq!(pool.asked(), 1, "one tests, the others go elsewhere");
    let shown = pool.app.shown(&pool.first).await;
    assert_eq!(words(&shown), "on probation, a request is testing it; before that: 529: Overloaded");
    let ask = json!({ "model": "claude-sonnet-5-5" });
    let preview = pool.app.instance.manage(Method::POST, "/api/routing/preview", Some(ask)).await;
    assert_eq!(preview["excluded"][0]["reason"], "another request is testing whether it is back");
    pool.app.fake.release(12);
    let mut tested = 0;
    for call in calls {
        tested += usize::from(call.await.unwrap() == pool.first);
    }
    assert_eq!(tested, 1);
    pool.app.comes_to(&pool.first, "ready").await;
    assert_eq!(pool.failures().await, 0);
    eventually("it is asked first again", || async {
        (served_by(&pool.other, &pool.key, "after").await == pool.first).then_some(())
    })
    .await;
}

/// A test that fails sends the account back for twice as long, and the caller does not notice.
#[tokio::test]
async fn a_test_that_fails_sends_the_account_back_for_twice_as_long() {
    let pool = Broken::start(1).await;
    pool.on_probation().await;
    for (fault, wait) in [(Answer::overloaded(), 30), (Answer::after(Before::Reset), 60), (Answer::bad_gateway(), 120)]
    {
        pool.script(fault.clone());
        eventually("it is tested", || async {
            assert_eq!(served_by(&pool.app.instance, &pool.key, "tests").await, pool.second);
            (pool.asked() > 0).then_some(())
        })
        .await;
        pool.app.ledger().await;
        let left = pool.sits_out_for().await;
        assert!((wait / 2 + 1..=wait).contains(&left), "{left} s after {fault:?}");
        for turn in 0..4 {
            assert_eq!(pool.send(turn).await.unwrap(), pool.second);
        }
        assert_eq!(pool.asked(), 1, "nobody else tests it before");
        pool.cooldown_goes_by().await;
    }
}

/// A tester who hangs up proves nothing: the next request tests.
#[tokio::test]
async fn a_tester_who_hangs_up_leaves_the_test_to_the_next() {
    let pool = Broken::start(1).await;
    pool.on_probation().await;
    pool.script(Answer::after(Before::Held));
    // Another instance, whose snapshot is new.
    let fresh = pool.app.neighbour().await;
    tokio::select! {
        answer = fresh.messages(&pool.key, say("hangs up")).send() => panic!("it is held: {answer:?}"),
        () = pool.app.fake.arrived(1) => {}
    }
    assert_eq!(pool.asked(), 1);
    pool.app.ledger().await;
    let shown = pool.app.shown(&pool.first).await;
    assert!(words(&shown).starts_with("on probation, the next request tests it"), "{shown}");
    assert_eq!(pool.failures().await, 1);
    pool.app.fake.clear();
    assert_eq!(served_by(&pool.app.neighbour().await, &pool.key, "tests").await, pool.first);
    pool.app.comes_to(&pool.first, "ready").await;
}

/// A plain 429 ends by itself: everybody is served again at once.
#[tokio::test]
async fn a_cooldown_of_a_limit_ends_without_probation() {
    let pool = Broken::start(1).await;
    pool.script(Answer::window_spent("5h", gateway::clock::now().as_second().unsigned_abs() + 60));
    assert_eq!(served_by(&pool.app.instance, &pool.key, "limited").await, pool.second);
    pool.app.comes_to(&pool.first, "cooling").await;
    let over = "update accounts set health_until = now(), reported_limits = '[]' where health_until is not null";
    pool.app.database.execute(over).await;
    let shown = pool.app.shown(&pool.first).await;
    assert_eq!((&shown["state"], &shown["state_reason"]), (&json!("ready"), &Value::Null));
    pool.script(Answer::after(Before::Held));
    let fresh = pool.app.neighbour().await;
    let calls: Vec<_> = (0..4).map(|turn| send(&fresh, &pool.key, turn)).collect();
    pool.app.fake.arrived(4).await;
    assert_eq!(pool.asked(), 4, "all of them at once");
    pool.app.fake.release(4);
    for call in calls {
        assert_eq!(call.await.unwrap(), pool.first);
    }
}

/// Failures over many instances are counted one by one on the account as it is; once it is out, what else was under way
/// with it adds nothing.
#[tokio::test]
async fn a_burst_of_failures_counts_each_and_costs_one_cooldown() {
    for (threshold, calls, expect) in [(9, 8, (8, "ready")), (3, 16, (3, "cooling"))] {
        let pool = Broken::start(threshold).await;
        pool.script(held(Answer::overloaded()));
        let calls: Vec<_> = (0..calls).map(|turn| pool.send(turn)).collect();
        pool.app.fake.arrived(calls.len() as u64).await;
        pool.app.fake.release(calls.len());
        for call in calls {
            assert_eq!(call.await.unwrap(), pool.second);
        }
        pool.app.ledger().await;
        assert_eq!((pool.failures().await, pool.app.shown(&pool.first).await["state"].as_str().unwrap()), expect);
        if expect.1 == "cooling" {
            assert!((1..=15).contains(&pool.sits_out_for().await), "as after three");
        }
    }
}

/// What began before an account was put out does not free it.
#[tokio::test]
async fn a_late_success_of_an_older_attempt_frees_nobody() {
    let pool = Broken::start(2).await;
    pool.app.fake.script(Script::once(Answer::after(Before::Held)).of("sk-0"));
    let succeeds = pool.send(0);
    pool.app.fake.arrived(1).await;
    pool.app.fake.script(Script::always(Answer::overloaded()).of("sk-0"));
    for turn in 1..3 {
        assert_eq!(pool.send(turn).await.unwrap(), pool.second);
    }
    pool.app.comes_to(&pool.first, "cooling").await;
    pool.app.fake.release(1);
    assert_eq!(succeeds.await.unwrap(), pool.first);
    pool.app.ledger().await;
    assert_eq!(pool.app.shown(&pool.first).await["state"], "cooling");
    assert_eq!(pool.failures().await, 2);
}

/// A refusal of a credential that the operator has replaced meanwhile says nothing of the new one.
#[tokio::test]
async fn a_late_refusal_of_a_former_credential_takes_nobody_out() {
    let pool = Broken::start(1).await;
    pool.script(held(Answer::unauthorized()));
    let call = pool.send(0);
    pool.app.fake.arrived(1).await;
    let new = json!({ "credential": { "kind": "api_key", "api_key": "sk-new" } });
    pool.app.instance.manage(Method::PATCH, &format!("/api/accounts/{}", pool.first), Some(new)).await;
    pool.app.fake.release(1);
    assert_eq!(call.await.unwrap(), pool.second, "another absorbs it");
    pool.app.ledger().await;
    assert_eq!(pool.app.shown(&pool.first).await["state"], "ready");
    assert_eq!(served_by(&pool.app.instance, &pool.key, "new").await, pool.first);
}

/// Peers D12: a client's hang-up is nobody's fault. After many of them the account is ready, nothing is under way, and no
/// task of theirs lives on.
#[tokio::test]
async fn hang_ups_leave_the_account_ready_and_nothing_behind() {
    const AT_ONCE: usize = 100;
    let (app, key) = App::ready().await;
    let alive = || Handle::current().metrics().num_alive_tasks();
    let mut after_the_first = 0;
    for round in 0..10 {
        app.fake.clear();
        let before_the_head = round % 2 == 0;
        let answer = if before_the_head { Answer::after(Before::Held) } else { Answer::held_after(2) };
        app.fake.script(Script::always(answer));
        let calls: Vec<_> =
            (0..AT_ONCE).map(|_| tokio::spawn(app.instance.messages(&key, hello(true)).send())).collect();
        app.fake.arrived(AT_ONCE as u64).await;
        for call in calls {
            if before_the_head {
                call.abort();
            } else {
                drop(call.await.unwrap().unwrap());
            }
        }
        app.fake.idle().await;
        app.ledger().await;
        if round == 0 {
            after_the_first = alive();
        }
    }
    eventually("no task lives on", || async { (alive() <= after_the_first + AT_ONCE / 10).then_some(()) }).await;
    assert_eq!(app.database.number("select count(*) from ledger where status = 'cancelled'").await, 1_000);
    let accounts = app.database.rows("select health, failures, last_error from accounts").await;
    let untouched = json!({ "health": "ready", "failures": 0, "last_error": null });
    assert_eq!(accounts, [untouched.clone(), untouched]);
}
