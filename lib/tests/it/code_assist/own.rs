//! Clients that speak Code Assist themselves: Gemini CLI with `CODE_ASSIST_ENDPOINT` set to the gateway.

use fake_upstream::{Answer, Script};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::calls;
use crate::support::App;

/// What Gemini CLI sends, with a project that some earlier account had.
const ASK: &str = r#" {"model":"gemini-2.5-pro" ,"project": "theirs","user_prompt_id":"u-1","request":{"contents":[
 {"role":"user","parts":[{"text":"h\u0069 [[words 4]]"}]}],"generationConfig":{"temperature":1.0},"session_id":"s-1"}} "#;

impl App {
    fn own(&self, key: &str, method: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
        let request = self.instance.request(Method::POST, &format!("/v1internal:{method}"));
        request.bearer_auth(key).header("content-type", "application/json").body(body)
    }
}

#[tokio::test]
async fn a_clients_own_call_passes_byte_for_byte_but_for_the_project() {
    let app = App::start().await;
    app.google("ya29.one", json!({})).await;
    app.account("gemini", "AIza-one", json!({})).await;
    let key = app.key(json!({})).await;
    for method in ["generateContent", "streamGenerateContent?alt=sse", "streamGenerateContent"] {
        app.fake.clear();
        let answer = app.own(&key, method, ASK).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{method}");
        let id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
        let text = answer.text().await.unwrap();
        assert!(text.contains("\"traceId\"") && text.contains("\"response\"") && text.contains("remainingCredits"));

        let seen = app.only_seen();
        assert_eq!(seen.body, ASK.replace("\"theirs\"", "\"p-1\""), "{method}");
        assert_eq!(seen.path_and_query, format!("/v1internal:{method}"));
        assert_eq!(seen.header_values("authorization"), ["Bearer ya29.one"]);
        let row = app.ledger().await.into_iter().find(|row| row["id"] == *id).unwrap();
        let said = seen.answered.figures.unwrap();
        assert_eq!((&row["status"], &row["model"]), (&json!("completed"), &json!("gemini-2.5-pro")), "{method}");
        assert_eq!((&row["input_tokens"], &row["output_tokens"]), (&json!(said.input), &json!(said.output)));
        assert!(row["estimated"] == false && row["cost_micros"].as_i64().unwrap() > 0, "{row}");
    }
}

#[tokio::test]
async fn every_method_of_the_list_passes_and_no_other() {
    let app = App::start().await;
    app.google("ya29.one", json!({})).await;
    let key = app.key(json!({})).await;
    let metadata = json!({ "pluginType": "GEMINI", "duetProject": "theirs" });
    for (method, body) in [
        ("loadCodeAssist", json!({ "cloudaicompanionProject": "theirs", "metadata": metadata })),
        (
            "onboardUser",
            json!({ "tierId": "standard-tier", "cloudaicompanionProject": "theirs", "metadata": metadata }),
        ),
        ("retrieveUserQuota", json!({ "project": "theirs" })),
        ("listExperiments", json!({ "project": "theirs", "metadata": metadata })),
        ("fetchAdminControls", json!({ "project": "theirs" })),
        (
            "recordCodeAssistMetrics",
            json!({ "project": "theirs", "requestId": "r", "metadata": metadata, "metrics": [] }),
        ),
        ("countTokens", json!({ "request": { "model": "models/gemini-2.5-pro", "contents": [] } })),
    ] {
        app.fake.clear();
        let answer = app.own(&key, method, body.to_string()).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{method}: {:?}", answer.text().await);
        assert_eq!(app.only_seen().body, body.to_string().replace("theirs", "p-1"), "{method}");
    }
    app.fake.clear();
    for path in ["/v1internal:getCodeAssistGlobalUserSetting", "/v1internal/operations/fake-enrolment"] {
        let answer = app.instance.request(Method::GET, path).bearer_auth(&key).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
    }
    assert_eq!(app.fake.seen().len(), 2);
    for method in ["embedContent", "setCodeAssistGlobalUserSetting", "deleteUser", "generateCode"] {
        let answer = app.own(&key, method, "{}").send().await.unwrap();
        assert_eq!(answer.status(), 404, "{method}");
        let error: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert_eq!(error["error"]["status"], "NOT_FOUND", "{method}");
    }
    assert_eq!(app.fake.seen().len(), 2, "nothing of it left");
    assert!(app.ledger().await.iter().all(|row| row["cost_micros"] == 0 && row["status"] == "completed"));
}

#[tokio::test]
async fn a_session_stays_on_its_account_and_takes_that_accounts_project() {
    let app = App::start().await;
    for n in 0..6 {
        let token = format!("ya29.{n}");
        let login = json!({ "kind": "oauth", "access_token": token, "project": format!("p-{n}") });
        app.google(&token, json!({ "credential": login })).await;
    }
    let key = app.key(json!({})).await;
    for session in ["s-1", "s-2", "s-3"] {
        app.fake.clear();
        for text in ["one", "two", "three"] {
            let ask = ASK.replace("s-1", session).replace("words 4", text);
            assert_eq!(app.own(&key, "generateContent", ask).send().await.unwrap().status(), 200);
        }
        let tokens = app.credentials();
        assert!(tokens.iter().all(|token| *token == tokens[0]), "{tokens:?}");
        let project = tokens[0].replace("ya29.", "p-");
        assert!(
            app.fake.seen().iter().all(|seen| seen.body.windows(project.len()).any(|part| part == project.as_bytes()))
        );
    }
}

#[tokio::test]
async fn a_failing_account_is_replaced_and_the_next_ones_project_named() {
    let app = App::start().await;
    app.google("ya29.one", json!({})).await;
    let login = json!({ "kind": "oauth", "access_token": "ya29.two", "project": "p-2" });
    app.google("ya29.two", json!({ "credential": login, "priority": 1 })).await;
    let key = app.key(json!({})).await;
    app.fake.script(Script::once(Answer::gemini_rate_limited("gemini-2.5-pro", "45s")));
    let answer = app.own(&key, "streamGenerateContent?alt=sse", ASK).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), &answer.headers()["x-gateway-attempts"]), (200, &"2".parse().unwrap()));
    assert!(answer.text().await.unwrap().contains("finishReason"));
    let seen: Vec<_> = app.fake.seen().into_iter().map(|seen| seen.body).collect();
    assert_eq!(seen, ["p-1", "p-2"].map(|project| ASK.replace("theirs", project)));

    // A question may be asked twice, what changes an account may not.
    let down = || Script::once(Answer::gemini_error(503, "UNAVAILABLE", "Later.")).of("ya29.one");
    for (method, status, attempts) in [("loadCodeAssist", 200, "2"), ("onboardUser", 503, "1")] {
        app.fake.script(down());
        let answer = app.own(&key, method, r#"{"metadata":{}}"#).send().await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["x-gateway-attempts"]),
            (status, &attempts.parse().unwrap())
        );
        app.fake.clear();
    }
}

#[tokio::test]
async fn keys_models_and_kinds_of_account_hold_here_too() {
    let app = App::start().await;
    let refused = async |key: &str, body: &'static str| {
        let answer = app.own(key, "generateContent", body).send().await.unwrap();
        let status = answer.status().as_u16();
        let error: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        (status, error["error"]["message"].as_str().unwrap().to_owned())
    };
    let key = app.key(json!({})).await;
    app.account("gemini", "AIza-one", json!({})).await;
    let (status, message) = refused(&key, ASK).await;
    assert!(status == 400 && message.contains("login"), "{message}");
    app.google("ya29.one", json!({ "model_map": { "gemini-2.5-pro": "gemini-x" } })).await;
    let narrow = app.key(json!({ "models": ["gemini-2.5-flash"] })).await;
    assert_eq!(refused(&narrow, ASK).await.0, 400);
    assert_eq!(refused(&key, r#"{"project":"x","request":{}}"#).await.0, 400, "a model is wanted");
    assert_eq!(refused(&key, "{").await.0, 400);
    assert_eq!(refused("gw_none", ASK).await.0, 400);
    assert_eq!(app.fake.seen().len(), 0);

    assert_eq!(app.own(&key, "generateContent", ASK).send().await.unwrap().status(), 200);
    let mapped = ASK.replace("\"gemini-2.5-pro\"", "\"gemini-x\"").replace("theirs", "p-1");
    assert_eq!(calls(&app, "v1internal")[0].body, mapped);
}
