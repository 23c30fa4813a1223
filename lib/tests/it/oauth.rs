//! Logins: taken with a statement, sent as the provider wants them, renewed once and never lost silently.

mod given;
mod lost;

use fake_upstream::{Answer, Before, Script};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{
    support::{App, TOKEN_PATH, eventually, instance_with_logins, pair},
    walk::hello,
};

const EXPIRED: &str = "OAuth token has expired. Please obtain a new token or refresh your existing token.";

fn refused() -> Answer {
    let error = json!({ "type": "authentication_error", "message": EXPIRED });
    Answer::json(401, json!({ "type": "error", "error": error }))
}

#[tokio::test]
async fn fifty_requests_on_two_instances_with_an_ended_token_make_one_token_call() {
    let app = App::with_logins().await;
    let other = instance_with_logins(&app.fake.url(), &app.database.url).await;
    app.login("anthropic", -60).await;
    app.give_one_pair();
    let key = app.key(json!({})).await;
    let revision = app.database.number("select revision from settings").await;

    let calls = (0..50).map(|n| [&app.instance, &other][n % 2].messages(&key, hello(false)).send());
    for answer in join_all(calls).await {
        assert_eq!(answer.unwrap().status(), 200);
    }
    assert_eq!(app.tokens_used(), vec!["access-2"; 50]);
    let [call] = app.token_calls().try_into().unwrap();
    let asked: Value = serde_json::from_slice(&call.body).unwrap();
    let expect = json!({ "grant_type": "refresh_token", "refresh_token": "refresh-1", "client_id": "an-application" });
    assert_eq!(asked, expect);
    assert_eq!(app.version().await, 2);
    assert_eq!(app.database.number("select count(*) from refreshes").await, 0);
    assert_eq!(app.database.number("select revision from settings").await, revision, "no operator changed anything");
}

#[tokio::test]
async fn twenty_refusals_at_once_make_one_refresh_and_no_failure() {
    let app = App::with_logins().await;
    app.login("anthropic", 3_600).await;
    app.give_one_pair();
    app.fake.script(Script::always(Answer { before: Some(Before::Held), ..refused() }).of("access-1"));
    let key = app.key(json!({})).await;

    let calls = join_all((0..20).map(|_| app.instance.messages(&key, hello(true)).send()));
    let all_refused = async {
        app.fake.arrived(20).await;
        app.fake.release(20);
    };
    for answer in tokio::join!(calls, all_refused).0 {
        let answer = answer.unwrap();
        assert_eq!((answer.status().as_u16(), &answer.headers()["x-gateway-attempts"]), (200, &"2".parse().unwrap()));
        assert!(answer.text().await.unwrap().contains("message_stop"));
    }
    assert_eq!(app.token_calls().len(), 1);
    let attempts = app.ledger().await.remove(0)["attempts"].clone();
    assert_eq!((&attempts[0]["verdict"], &attempts[1]["verdict"]), (&json!("token_refused"), &json!("delivered")));
}

#[tokio::test]
async fn a_new_pair_is_stored_before_it_is_used() {
    let app = App::with_logins().await;
    app.login("anthropic", -60).await;
    app.fake.script(Script::once(Answer { before: Some(Before::Held), ..pair() }).on(TOKEN_PATH));
    let key = app.key(json!({})).await;
    let call = tokio::spawn(app.instance.messages(&key, hello(false)).send());
    app.fake.arrived(1).await;
    app.lock_accounts().await;
    app.fake.release(1);
    app.pair_waits_to_be_stored().await;
    assert_eq!(app.tokens_used(), Vec::<String>::new());
    app.database.execute("commit").await;
    assert_eq!(call.await.unwrap().unwrap().status(), 200);
    assert_eq!((app.tokens_used(), app.version().await), (vec!["access-2".to_owned()], 2));
}

#[tokio::test]
async fn a_token_is_renewed_ahead_beside_the_requests_of_others_even_while_its_account_sits_out() {
    let app = App::with_logins().await;
    app.account("anthropic", "sk-ant-one", json!({})).await;
    let key = app.key(json!({})).await;
    for (provider, health) in [("anthropic", "exhausted"), ("gemini", "cooling")] {
        let id = app.login(provider, 100).await;
        let sits_out = format!("update accounts set health = '{health}', health_until = now() + interval '1 hour'");
        app.database.execute(&format!("{sits_out} where id = '{id}'")).await;
    }
    app.fake.script(Script::always(pair()).on(TOKEN_PATH));
    assert_eq!(app.instance.messages(&key, hello(false)).send().await.unwrap().status(), 200);
    let renewed = "select count(*) from accounts where credential_version = 2";
    eventually("both are renewed", || async { (app.database.number(renewed).await == 2).then_some(()) }).await;
    assert_eq!((app.tokens_used(), app.token_calls().len()), (vec!["sk-ant-one".to_owned()], 2));
    let forms: Vec<_> = app.token_calls().iter().map(|call| call.header_values("content-type").concat()).collect();
    assert!(forms.contains(&"application/x-www-form-urlencoded".to_owned()), "{forms:?}");
    assert_eq!(app.database.number("select count(*) from accounts where health = 'ready'").await, 1);
}

#[tokio::test]
async fn a_paused_login_is_left_alone() {
    let app = App::with_logins().await;
    app.account("anthropic", "sk-ant-one", json!({})).await;
    let key = app.key(json!({})).await;
    let id = app.login("anthropic", -60).await;
    app.instance.manage(reqwest::Method::POST, &format!("/api/accounts/{id}/pause"), None).await;
    assert_eq!(app.instance.messages(&key, hello(false)).send().await.unwrap().status(), 200);
    app.ledger().await;
    assert_eq!(app.token_calls().len(), 0);
}

#[tokio::test]
async fn while_the_endpoint_is_down_a_living_token_serves_and_a_dead_one_does_not() {
    let app = App::with_logins().await;
    let id = app.login("anthropic", 20).await;
    app.fake.script(Script::always(Answer::text(503, "text/html", "<html>")).on(TOKEN_PATH));
    let key = app.key(json!({})).await;
    for _ in 0..2 {
        assert_eq!(app.instance.messages(&key, hello(false)).send().await.unwrap().status(), 200);
    }
    assert_eq!((app.tokens_used(), app.token_calls().len()), (vec!["access-1".to_owned(); 2], 1), "and it is let rest");
    assert_eq!(app.shown(&id).await["state"], "ready");

    let dead = json!({ "kind": "oauth", "access_token": "dead", "refresh_token": "refresh-1", "expires_at": "2020-01-01T00:00:00Z" });
    let change = json!({ "credential": dead, "entitled": true });
    app.instance.manage(reqwest::Method::PATCH, &format!("/api/accounts/{id}"), Some(change)).await;
    assert_eq!(app.instance.messages(&key, hello(false)).send().await.unwrap().status(), 503);
    app.account("anthropic", "sk-ant-two", json!({ "priority": 1 })).await;
    assert_eq!(app.instance.messages(&key, hello(false)).send().await.unwrap().status(), 200);
    assert_eq!(app.tokens_used().last().unwrap(), "sk-ant-two");
    assert!(!app.tokens_used().contains(&"dead".to_owned()));
}

#[tokio::test]
async fn a_check_renews_too() {
    let app = App::with_logins().await;
    let id = app.login("gemini", -60).await;
    app.give_one_pair();
    let path = format!("/api/accounts/{id}/check");
    let finding = app.instance.manage(reqwest::Method::POST, &path, None).await;
    // The project is looked for with the new token, and then the account is checked with it.
    assert_eq!((&finding["ok"], app.tokens_used()), (&json!(true), vec!["access-2".to_owned(); 2]), "{finding}");
}
