//! The project of a login: given, or found once for all instances and kept.

use fake_upstream::{Answer, Script, Seen};
use futures_util::future::join_all;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{ASK, VERBS, calls, verb};
use crate::support::{App, TOKEN_PATH, instance_with_logins, pair};

fn body(seen: &Seen) -> Value {
    serde_json::from_slice(&seen.body).unwrap()
}

/// The project in a wrapper; the request beside it holds what no parser of values takes.
fn named(seen: &Seen) -> String {
    #[derive(Deserialize)]
    struct Wrapper {
        project: String,
    }
    serde_json::from_slice::<Wrapper>(&seen.body).unwrap().project
}

fn loaded(answer: Value) -> Script {
    Script::always(Answer::json(200, answer)).on("loadCodeAssist")
}

#[tokio::test]
async fn forty_requests_on_two_instances_ask_once_and_it_is_never_asked_again() {
    let app = App::with_logins().await;
    let other = instance_with_logins(&app.fake.url(), &app.database.url).await;
    app.login("gemini", 3_600).await;
    let key = app.key(json!({})).await;
    let ask = |n: usize| [&app.instance, &other][n % 2].gemini(&key, &verb(VERBS[n % 3]), ASK).send();
    for answer in join_all((0..40).map(ask)).await {
        assert_eq!(answer.unwrap().status(), 200);
    }
    let third = instance_with_logins(&app.fake.url(), &app.database.url).await;
    assert_eq!(third.gemini(&key, &verb(VERBS[0]), ASK).send().await.unwrap().status(), 200);

    let [asked] = calls(&app, "loadCodeAssist").try_into().unwrap();
    let metadata = json!({ "ideType": "IDE_UNSPECIFIED", "platform": "PLATFORM_UNSPECIFIED", "pluginType": "GEMINI" });
    assert_eq!(body(&asked), json!({ "metadata": metadata }));
    let made = calls(&app, "enerateContent");
    assert_eq!(made.len(), 41);
    assert!(made.iter().all(|seen| named(seen) == "fake-project"));
    assert_eq!(app.version().await, 2);
    assert_eq!(app.database.number("select count(*) from refreshes").await, 0);
}

#[tokio::test]
async fn an_account_that_is_not_enrolled_is_enrolled_in_the_free_tier() {
    let app = App::with_logins().await;
    app.login("gemini", 3_600).await;
    let key = app.key(json!({})).await;
    app.fake.script(loaded(json!({ "allowedTiers": [{ "id": "free-tier", "isDefault": true }] })));
    let running = Answer::json(200, json!({ "name": "operations/fake-enrolment", "done": false }));
    app.fake.script(Script::once(running).on("onboardUser"));
    for _ in 0..2 {
        let answer = app.instance.gemini(&key, &verb(VERBS[0]), ASK).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{:?}", answer.text().await);
    }
    let [enrolled] = calls(&app, "onboardUser").try_into().unwrap();
    let enrolled = body(&enrolled);
    assert_eq!((&enrolled["tierId"], enrolled.get("cloudaicompanionProject")), (&json!("free-tier"), None));
    assert_eq!(calls(&app, "/v1internal/operations/fake-enrolment").len(), 1);
    let made = calls(&app, "generateContent");
    assert!(made.len() == 2 && made.iter().all(|seen| named(seen) == "fake-free-project"));
}

#[tokio::test]
async fn an_account_that_cannot_be_used_says_why_and_the_next_serves() {
    for (answer, told) in [
        (json!({ "currentTier": { "id": "standard-tier" } }), "GOOGLE_CLOUD_PROJECT"),
        (
            json!({ "ineligibleTiers": [{ "reasonMessage": "Not here.", "validationUrl": "https://v.example/x" }] }),
            "Not here. (confirm the account at https://v.example/x)",
        ),
    ] {
        let app = App::with_logins().await;
        let id = app.login("gemini", 3_600).await;
        app.account("gemini", "AIza-one", json!({ "priority": 1 })).await;
        let key = app.key(json!({})).await;
        app.fake.script(loaded(answer));
        for _ in 0..2 {
            let answer = app.instance.gemini(&key, &verb(VERBS[0]), ASK).send().await.unwrap();
            assert_eq!(answer.status(), 200);
        }
        let shown = app.comes_to(&id, "needs_auth").await;
        assert!(shown["state_reason"].as_str().unwrap().contains(told), "{shown}");
        assert_eq!((calls(&app, "loadCodeAssist").len(), calls(&app, "v1beta").len()), (1, 2));

        let given = json!({ "kind": "oauth", "access_token": "access-9", "project": "own-project" });
        let change = json!({ "credential": given, "entitled": true });
        app.instance.manage(Method::PATCH, &format!("/api/accounts/{id}"), Some(change)).await;
        // Another conversation, for this one has moved to the account with a key.
        let ask = ASK.replace("both of you", "all of you");
        assert_eq!(app.instance.gemini(&key, &verb(VERBS[0]), ask).send().await.unwrap().status(), 200);
        assert_eq!(named(&calls(&app, "v1internal:generateContent")[0]), "own-project");
        assert_eq!(calls(&app, "loadCodeAssist").len(), 1, "what the operator gave is not asked for");
    }
}

#[tokio::test]
async fn a_token_that_is_refused_on_the_way_is_renewed_first() {
    let app = App::with_logins().await;
    app.login("gemini", 3_600).await;
    let key = app.key(json!({})).await;
    app.fake.script(Script::once(pair()).on(TOKEN_PATH));
    app.fake.script(Script::always(Answer::gemini_error(401, "UNAUTHENTICATED", "No.")).of("access-1"));
    let answer = app.instance.gemini(&key, &verb(VERBS[1]), ASK).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(app.tokens_used(), ["access-1", "access-2", "access-2"]);
    assert_eq!((app.token_calls().len(), app.version().await), (1, 3), "a new pair, then the project");
}

#[tokio::test]
async fn while_code_assist_is_down_the_account_is_left_for_another_and_comes_back() {
    let app = App::with_logins().await;
    let id = app.login("gemini", 3_600).await;
    app.account("gemini", "AIza-one", json!({ "priority": 1 })).await;
    let key = app.key(json!({})).await;
    app.fake.script(Script::once(Answer::gemini_error(503, "UNAVAILABLE", "Later.")).on("loadCodeAssist"));
    let answer = app.instance.gemini(&key, &verb(VERBS[0]), ASK).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), &answer.headers()["x-gateway-attempts"]), (200, &"2".parse().unwrap()));
    assert_eq!(app.shown(&id).await["state"], "ready");
    // Nobody waits for the rest after a failure here.
    app.database.execute("update refreshes set until = now()").await;
    let answer = app.instance.gemini(&key, &verb(VERBS[0]), ASK).send().await.unwrap();
    assert_eq!(answer.headers()["x-gateway-account"], *id);
}
