//! When all have failed: who is asked again, who never is, and what the books say of an upstream that went away.

use fake_upstream::{Answer, Before, Script};
use reqwest::Method;
use serde_json::json;

use crate::{support::App, walk::hello};

async fn alone(variables: &[(&str, &str)]) -> (App, String) {
    let app = App::start_with(variables).await;
    app.account("anthropic", "sk-ant-one", json!({})).await;
    let key = app.key(json!({})).await;
    (app, key)
}

/// A lone account's overload that is over in a moment is not the caller's concern.
#[tokio::test]
async fn an_overload_of_everyone_is_asked_again_once() {
    let (app, key) = alone(&[]).await;
    let lenient = json!({ "cooldown": { "failure_threshold": 100 } });
    app.instance.manage(Method::PUT, "/api/routing/default/anthropic", Some(lenient)).await;
    app.fake.script(Script::once(Answer::overloaded()));
    let answer = app.instance.messages(&key, hello(true)).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), &answer.headers()["x-gateway-attempts"]), (200, &"2".parse().unwrap()));
    answer.text().await.unwrap();
    let row = app.only_row().await;
    let verdicts: Vec<_> = row["attempts"].as_array().unwrap().iter().map(|attempt| &attempt["verdict"]).collect();
    assert_eq!(verdicts, ["overloaded", "delivered"]);
    // Not again and again: what lasts is told, in the upstream's own words.
    app.fake.clear();
    app.fake.script(Script::always(Answer::overloaded()));
    let answer = app.instance.messages(&key, hello(true)).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), app.fake.seen().len()), (529, 2));
    // A limit is not over in a moment: it is told at once.
    app.fake.clear();
    app.fake.script(Script::always(Answer::rate_limited(30)));
    let answer = app.instance.messages(&key, hello(true)).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), app.fake.seen().len()), (429, 1));
}

/// A call that makes something at the upstream is not made twice, unless the upstream refused before doing anything.
#[tokio::test]
async fn what_makes_something_is_never_made_twice() {
    for (fault, sent) in [
        (Answer::overloaded(), 1),
        (Answer::after(Before::Reset), 1),
        (Answer::unauthorized(), 2),
        (Answer::rate_limited(30), 2),
    ] {
        let (app, key) = alone(&[("PASSTHROUGH_PATHS", "/v1/things")]).await;
        app.account("anthropic", "sk-ant-two", json!({})).await;
        app.fake.script(Script::once(fault.clone()).on("/v1/things"));
        app.fake.script(Script::always(Answer::json(200, json!({ "made": true }))).on("/v1/things"));
        let call = app.instance.request(Method::POST, "/v1/things").header("anthropic-version", "2023-06-01");
        call.header("x-api-key", &key).body("{}").send().await.unwrap();
        assert_eq!(app.fake.seen().len(), sent, "{fault:?}");
    }
}

/// An upstream that goes away without a word may have charged for the prompt: the row says so.
#[tokio::test]
async fn an_upstream_that_goes_away_without_a_word_is_not_free() {
    let (app, key) = alone(&[]).await;
    app.fake.script(Script::always(Answer::after(Before::Reset)));
    assert_eq!(app.instance.messages(&key, hello(false)).send().await.unwrap().status(), 503);
    let row = app.only_row().await;
    assert_eq!((&row["status"], &row["estimated"]), (&json!("failed"), &json!(true)));
    assert!(row["input_tokens"].as_u64().unwrap() > 0 && row["cost_micros"].as_u64().unwrap() > 0, "{row}");
    // Where nothing can have arrived, nothing can have been charged.
    app.database.execute("delete from ledger").await;
    app.database.execute("update accounts set base_url = 'http://127.0.0.1:9', health = 'ready', failures = 0").await;
    app.database.execute("update settings set revision = revision + 1").await;
    assert_eq!(app.instance.messages(&key, hello(false)).send().await.unwrap().status(), 503);
    let row = app.only_row().await;
    assert_eq!((&row["estimated"], &row["cost_micros"]), (&json!(false), &json!(0)));
}
