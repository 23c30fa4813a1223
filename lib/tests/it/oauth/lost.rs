//! Logins that end, and pairs of tokens that get lost on the way: never silently.

use fake_upstream::{Answer, Before, Script};
use reqwest::Method;
use serde_json::json;

use super::refused;
use crate::{
    support::{App, Instance, TOKEN_PATH, eventually, instance_with_logins, pair},
    walk::hello,
};

#[tokio::test]
async fn a_refused_refresh_token_needs_a_login_and_a_new_login_mends_it() {
    let app = App::with_logins().await;
    let id = app.login("anthropic", -60).await;
    app.give_nothing();
    let key = app.key(json!({})).await;
    assert_eq!(app.instance.messages(&key, hello(false)).send().await.unwrap().status(), 503);
    let account = app.shown(&id).await;
    assert_eq!(account["state"], "needs_auth");
    let reason = "log in again: the refresh token is refused (invalid_grant: Refresh token not found or invalid)";
    assert_eq!((&account["state_reason"], &account["last_error"]), (&json!(reason), &json!(reason)));
    assert_eq!(app.instance.messages(&key, hello(false)).send().await.unwrap().status(), 503);
    assert_eq!((app.token_calls().len(), app.tokens_used().len()), (1, 0), "and nobody asks again");

    let new = json!({ "kind": "oauth", "access_token": "access-9", "refresh_token": "refresh-9" });
    let change = json!({ "credential": new, "entitled": true });
    app.instance.manage(Method::PATCH, &format!("/api/accounts/{id}"), Some(change)).await;
    assert_eq!(app.instance.messages(&key, hello(false)).send().await.unwrap().status(), 200);
    assert_eq!(app.tokens_used(), ["access-9"]);
}

#[tokio::test]
async fn a_kill_between_the_answer_and_the_store_is_told() {
    let app = App::with_logins().await;
    let id = app.login("anthropic", -60).await;
    app.fake.script(Script::once(Answer { before: Some(Before::Held), ..pair() }).on(TOKEN_PATH));
    app.give_nothing();
    let key = app.key(json!({})).await;

    // The first instance has a runtime of its own. The pair reaches it, and it dies before the pair is stored.
    let (doomed, runtime) = start_apart(&app).await;
    let call = tokio::spawn(doomed.messages(&key, hello(false)).send());
    app.fake.arrived(1).await;
    app.lock_accounts().await;
    app.fake.release(1);
    app.pair_waits_to_be_stored().await;
    runtime.shutdown_background();
    app.close_what_waits().await;
    assert!(call.await.unwrap().is_err(), "its caller is cut off");
    app.database.execute("rollback").await;
    assert_eq!(app.version().await, 1);

    // Its turn is waited for, and once that has ended the next one says what must have happened.
    app.database.execute("update refreshes set until = now()").await;
    assert_eq!(app.instance.messages(&key, hello(false)).send().await.unwrap().status(), 503);
    let account = app.shown(&id).await;
    assert_eq!(account["state"], "needs_auth", "{account}");
    let reason = account["state_reason"].as_str().unwrap();
    assert!(reason.contains("cut off before its answer was stored") && reason.contains("invalid_grant"), "{reason}");
    assert_eq!(app.token_calls().len(), 2);
}

/// An instance that can be killed as a process is: between any two lines.
async fn start_apart(app: &App) -> (Instance, tokio::runtime::Runtime) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let (fake_url, database_url) = (app.fake.url(), app.database.url.clone());
    let instance = runtime.spawn(async move { instance_with_logins(&fake_url, &database_url).await });
    (instance.await.expect("it starts"), runtime)
}

#[tokio::test]
async fn an_answer_that_broke_off_is_told_too_and_an_old_token_that_still_works_goes_on() {
    for (then, state, part) in [("nothing", "needs_auth", "cut off"), ("pair", "ready", "")] {
        let app = App::with_logins().await;
        let id = app.login("anthropic", -60).await;
        app.fake.script(Script::once(Answer::after(Before::Reset)).on(TOKEN_PATH));
        if then == "pair" {
            app.give_one_pair()
        } else {
            app.give_nothing()
        }
        let key = app.key(json!({})).await;
        assert_eq!(app.instance.messages(&key, hello(false)).send().await.unwrap().status(), 503);
        app.database.execute("update refreshes set until = now()").await;
        let _either_way = app.instance.messages(&key, hello(false)).send().await.unwrap();
        let account = app.shown(&id).await;
        assert_eq!(account["state"], state, "{account}");
        assert!(account["state_reason"].as_str().unwrap_or_default().contains(part), "{account}");
    }
}

#[tokio::test]
async fn a_caller_who_hangs_up_takes_no_token_along() {
    let app = App::with_logins().await;
    app.login("anthropic", -60).await;
    app.fake.script(Script::once(Answer { before: Some(Before::Held), ..pair() }).on(TOKEN_PATH));
    let key = app.key(json!({})).await;
    let call = tokio::spawn(app.instance.messages(&key, hello(false)).send());
    app.fake.arrived(1).await;
    call.abort();
    app.ledger().await;
    app.fake.release(1);
    eventually("the pair is stored", || async { (app.version().await == 2).then_some(()) }).await;
}

#[tokio::test]
async fn a_token_that_nothing_renews_serves_until_it_is_refused() {
    let app = App::with_logins().await;
    let id = app.login("anthropic", -60).await;
    let bare = json!({ "kind": "oauth", "access_token": "from-setup-token", "expires_at": "2020-01-01T00:00:00Z" });
    let change = json!({ "credential": bare, "entitled": true });
    app.instance.manage(Method::PATCH, &format!("/api/accounts/{id}"), Some(change)).await;
    let key = app.key(json!({})).await;
    assert_eq!(app.instance.messages(&key, hello(false)).send().await.unwrap().status(), 200);
    app.fake.script(Script::always(refused()).of("from-setup-token"));
    let answer = app.instance.messages(&key, hello(false)).send().await.unwrap();
    assert_eq!(answer.status(), 401);
    let account = app.shown(&id).await;
    assert_eq!((&account["state"], app.token_calls().len()), (&json!("needs_auth"), 0));
    assert_eq!(account["state_reason"], format!("401: {}", super::EXPIRED));
}

#[tokio::test]
async fn a_token_that_is_refused_after_its_renewal_needs_a_login() {
    let app = App::with_logins().await;
    let id = app.login("anthropic", 3_600).await;
    app.give_one_pair();
    app.fake.script(Script::always(refused()).on("/v1/messages"));
    app.account("anthropic", "sk-ant-spare", json!({ "priority": 1 })).await;
    app.fake.script(Script::always(Answer::default()).of("sk-ant-spare"));
    let key = app.key(json!({})).await;
    let _refused = app.instance.messages(&key, hello(false)).send().await.unwrap();
    assert_eq!(app.tokens_used()[..2], ["access-1", "access-2"]);
    assert_eq!((&app.shown(&id).await["state"], app.token_calls().len()), (&json!("needs_auth"), 1));
}

#[tokio::test]
async fn without_an_application_a_login_ends_with_its_token_and_says_what_to_set() {
    let app = App::start().await;
    let id = app.login("gemini", -60).await;
    let key = app.key(json!({})).await;
    let body = json!({ "contents": [{ "role": "user", "parts": [{ "text": "hi" }] }] }).to_string();
    let answer = app.instance.gemini(&key, "gemini-2.5-pro:generateContent", body).send().await.unwrap();
    assert_eq!(answer.status(), 503);
    let account = app.shown(&id).await;
    assert_eq!(account["state"], "needs_auth");
    assert!(account["state_reason"].as_str().unwrap().contains("GEMINI_OAUTH_CLIENT_ID is not set"), "{account}");

    // A token that lives is used, until the upstream says otherwise.
    let id = app.login("anthropic", 28).await;
    assert_eq!(app.instance.messages(&key, hello(false)).send().await.unwrap().status(), 200);
    app.fake.script(Script::always(refused()).of("access-1"));
    assert_eq!(app.instance.messages(&key, hello(false)).send().await.unwrap().status(), 401);
    let account = app.shown(&id).await;
    assert_eq!(account["state"], "needs_auth");
    let reason = account["state_reason"].as_str().unwrap();
    assert!(reason.contains("has expired") && reason.contains("ANTHROPIC_OAUTH_CLIENT_ID is not set"), "{reason}");
}

/// What the token endpoint asks for is kept, by every instance: until then it is not asked again, and the token that is
/// left serves.
#[tokio::test]
async fn a_token_endpoint_that_says_when_to_come_back_is_left_alone_until_then() {
    let app = App::with_logins().await;
    app.login("anthropic", 28).await;
    let later = |status: u16, wait: &str| {
        let answer = Answer::json(status, json!({ "error": "slow_down" })).with_header("retry-after", wait);
        app.fake.script(Script::always(answer).on(TOKEN_PATH));
    };
    later(429, "1800");
    let key = app.key(json!({})).await;
    for instance in [&app.instance, &instance_with_logins(&app.fake.url(), &app.database.url).await] {
        assert_eq!(instance.messages(&key, hello(false)).send().await.unwrap().status(), 200);
    }
    assert_eq!((app.token_calls().len(), app.tokens_used()), (1, vec!["access-1".to_owned(); 2]));
    let rests = "select extract(epoch from until - now()) from refreshes";
    let left = app.database.number(rests).await;
    assert!((1_700..=1_800).contains(&left), "{left} s");
    // Less than a moment is none, and more than an hour is not believed.
    for (asked, rest) in [("0", 1..=10), ("90000", 3_500..=3_600)] {
        app.database.execute("update refreshes set until = now()").await;
        app.fake.clear();
        later(503, asked);
        assert_eq!(app.instance.messages(&key, hello(false)).send().await.unwrap().status(), 200);
        let left = app.database.number(rests).await;
        assert!(rest.contains(&left), "{left} s after {asked}");
    }
}
