//! Answers that break off after their beginning was shown: no account can absorb that, but the one whose it is pays.

use fake_upstream::{Answer, End, Script};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    routing::{say, served_by, with_accounts},
    support::{App, Instance, Raw, eventually},
};

/// Two accounts, the first of which is asked first and sits out after two answers in a row that broke off; a key.
async fn two() -> (App, String, [String; 2]) {
    let (app, key, accounts) = with_accounts(2, json!({})).await;
    let policy = json!({
        "strategy": "priority", "affinity": { "enabled": false }, "cooldown": { "failure_threshold": 2 },
    });
    app.instance.manage(Method::PUT, "/api/routing/default/anthropic", Some(policy)).await;
    (app, key, accounts.try_into().unwrap())
}

fn stream(session: &str) -> String {
    say(session).replacen('{', "{\"stream\":true,", 1)
}

/// Streams a message to its end: the account that served it, and what came.
async fn streamed(instance: &Instance, key: &str, session: &str) -> (String, String) {
    let answer = instance.messages(key, stream(session)).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let account = answer.headers()["x-gateway-account"].to_str().unwrap().to_owned();
    (account, answer.text().await.unwrap())
}

fn first_answers(app: &App, answer: Answer) {
    app.fake.clear();
    app.fake.script(Script::always(answer).of("sk-0"));
}

/// The first account's answer breaks off. The instance is one that has just looked.
async fn breaks(app: &App, key: &str, first: &str, end: End) {
    first_answers(app, Answer::cut(3, end));
    let (account, text) = streamed(&app.neighbour().await, key, "breaks").await;
    assert_eq!((account.as_str(), text.contains("event: error")), (first, true), "{text}");
    app.ledger().await;
}

async fn counted(app: &App) -> i64 {
    app.database.number("select breaks from accounts where name like '%sk-0'").await
}

async fn cooldown_goes_by(app: &App) {
    app.database.execute("update accounts set probe_at = now() where probe_at is not null").await;
}

/// As the breaker does for failures before the first byte: a few are forgiven, then the account sits out; one request tests
/// it, and only a whole answer frees it, for a beginning it has always given.
#[tokio::test]
async fn an_account_whose_answers_break_off_sits_out_and_a_whole_one_frees_it() {
    let (app, key, [first, second]) = two().await;
    breaks(&app, &key, &first, End::Clean).await;
    let shown = app.shown(&first).await;
    let ended = "the upstream ended its answer early";
    assert_eq!((&shown["state"], &shown["last_error"]), (&json!("ready"), &json!(ended)));
    breaks(&app, &key, &first, End::Reset).await;
    let shown = app.shown(&first).await;
    assert_eq!(shown["state"], "cooling", "{shown}");
    assert_eq!(shown["state_reason"], "the upstream broke off its answer");
    assert_eq!(served_by(&app.instance, &key, "elsewhere").await, second);

    cooldown_goes_by(&app).await;
    let fresh = app.neighbour().await;
    first_answers(&app, Answer::held_after(3));
    let mut test = fresh.messages(&key, stream("tests")).send().await.unwrap();
    assert_eq!(test.headers()["x-gateway-account"], first.as_str());
    assert!(test.chunk().await.unwrap().is_some(), "the beginning is shown");
    assert_eq!(served_by(&fresh, &key, "meanwhile").await, second, "which proves nothing yet");
    let reason = app.shown(&first).await["state_reason"].clone();
    let words = "on probation, a request is testing it; before that: the upstream broke off its answer";
    assert_eq!(reason, words);
    app.fake.release(1);
    assert!(test.text().await.unwrap().contains("message_stop"));
    let shown = app.comes_to(&first, "ready").await;
    assert_eq!((counted(&app).await, &shown["state_reason"]), (0, &Value::Null));
    app.fake.clear();
    assert_eq!(served_by(&app.neighbour().await, &key, "after").await, first);
}

/// A test that breaks off sets the next one, twice as far away; an operator's reset forgets it all.
#[tokio::test]
async fn a_test_that_breaks_off_doubles_the_cooldown() {
    let (app, key, [first, _]) = two().await;
    breaks(&app, &key, &first, End::Reset).await;
    breaks(&app, &key, &first, End::Close).await;
    let left = "select extract(epoch from probe_at - now()) from accounts where probe_at is not null";
    for longest in [15, 30, 60] {
        let seconds = app.database.number(left).await;
        assert!((longest / 2 + 1..=longest).contains(&seconds), "{seconds} s instead of {longest} s");
        cooldown_goes_by(&app).await;
        breaks(&app, &key, &first, End::Reset).await;
    }
    app.instance.manage(Method::POST, &format!("/api/accounts/{first}/reset"), None).await;
    assert_eq!((app.shown(&first).await["state"].clone(), counted(&app).await), (json!("ready"), 0));
}

/// Breaks count in a row: a whole answer, in a stream or in one piece, ends the row; one that was begun does not.
#[tokio::test]
async fn a_whole_answer_ends_the_row() {
    let (app, key, [first, _]) = two().await;
    for session in ["one", "another"] {
        breaks(&app, &key, &first, End::Reset).await;
        app.fake.clear();
        // A count of tokens is whole too, and proves nothing.
        let fresh = app.neighbour().await;
        let count = fresh.request(Method::POST, "/v1/messages/count_tokens").header("x-api-key", &key);
        assert_eq!(count.body(say(session)).send().await.unwrap().status(), 200);
        app.ledger().await;
        assert_eq!(counted(&app).await, 1);
        let (account, _) = streamed(&fresh, &key, session).await;
        assert_eq!(account, first);
        eventually("the row is ended", || async { (counted(&app).await == 0).then_some(()) }).await;
    }
}

/// Peers D12: a client that hangs up in the middle of an answer is no break of the upstream's.
#[tokio::test]
async fn d12_a_hang_up_in_the_middle_of_an_answer_is_no_break() {
    let (app, key, [first, _]) = two().await;
    for _ in 0..3 {
        first_answers(&app, Answer::held_after(5));
        let mut raw = Raw::connect(app.instance.address).await;
        raw.post("/v1/messages", &format!("x-api-key: {key}\r\n"), &stream("leaves")).await;
        raw.until("event: content_block_delta").await;
        drop(raw);
        app.ledger().await;
    }
    let shown = app.shown(&first).await;
    assert_eq!((&shown["state"], &shown["last_error"], counted(&app).await), (&json!("ready"), &Value::Null, 0));
}
