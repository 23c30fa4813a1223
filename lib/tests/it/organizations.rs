//! Accounts of one organization share caches and can read each other's thinking: a conversation that has to leave its account
//! stays among them where it can, and the books say where it could not.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    routing::say,
    support::{App, Instance, eventually},
};

/// The account that served a request of the conversation, and the request's row.
async fn served(app: &App, instance: &Instance, key: &str) -> (String, Value) {
    let answer = instance.messages(key, say("conversation")).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    assert_eq!(answer.headers()["x-gateway-attempts"], "1");
    let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
    let (account, id) = (header("x-gateway-account"), header("x-request-id"));
    app.ledger().await;
    (account, app.instance.manage(Method::GET, &format!("/api/stats/requests/{id}"), None).await)
}

async fn act(app: &App, account: &str, act: &str) {
    app.instance.manage(Method::POST, &format!("/api/accounts/{account}/{act}"), None).await;
}

/// Checklist of the Messages API, 14: a conversation that goes to another organization is on record as having crossed.
#[tokio::test]
async fn crossing_to_another_organization_is_recorded() {
    let app = App::start().await;
    let mut accounts = Vec::new();
    // The fake's organization is what stands before the `@`.
    for credential in ["one@a", "two@a", "one@b"] {
        accounts.push(app.account("anthropic", credential, json!({})).await);
    }
    app.instance.manage(Method::PUT, "/api/routing/default/anthropic", Some(json!({ "strategy": "priority" }))).await;
    let key = app.key(json!({})).await;
    // Which account is taken out, who serves then, and whether that is another organization's.
    for (out, serves, affinity, crossed) in [
        (None, 0, "new", Value::Null),
        (None, 0, "kept", Value::Null),
        (Some(0), 1, "moved", json!(true)),
        (Some(1), 2, "moved", json!(true)),
        (Some(2), 0, "moved", json!(false)),
    ] {
        if let Some(out) = out {
            act(&app, &accounts[out], "pause").await;
            // Of those that sit out, the first is back for the last.
            if out == 2 {
                act(&app, &accounts[0], "resume").await;
            }
        }
        let (account, row) = served(&app, &app.neighbour().await, &key).await;
        assert_eq!(account, accounts[serves], "{row}");
        assert_eq!((&row["affinity"], &row["crossed"]), (&json!(affinity), &crossed), "{row}");
        let known = format!("select count(organization) from accounts where id = '{account}'");
        eventually("the organization is learnt", || async { (app.database.number(&known).await == 1).then_some(()) })
            .await;
    }
}

/// Where an upstream does not say whom it bills, nobody knows whether a conversation crossed.
#[tokio::test]
async fn without_a_word_of_the_upstream_crossing_is_not_known() {
    let app = App::start().await;
    let mut accounts = Vec::new();
    for credential in ["AIza-one", "AIza-two"] {
        accounts.push(app.account("gemini", credential, json!({})).await);
    }
    app.instance.manage(Method::PUT, "/api/routing/default/gemini", Some(json!({ "strategy": "priority" }))).await;
    let key = app.key(json!({})).await;
    let contents = json!({ "contents": [{ "role": "user", "parts": [{ "text": "[[say well met]]" }] }] }).to_string();
    for affinity in ["new", "moved"] {
        let fresh = app.neighbour().await;
        let call = fresh.gemini(&key, "gemini-2.5-pro:generateContent", contents.clone());
        assert_eq!(call.send().await.unwrap().status(), 200);
        let row = app.ledger().await.pop().unwrap();
        assert_eq!((&row["affinity"], &row["crossed"]), (&json!(affinity), &Value::Null), "{row}");
        act(&app, &accounts[0], "pause").await;
    }
}

/// "Organization first" holds however many accounts rank before the organization's, also where a claim cannot name them all.
#[tokio::test]
async fn an_organization_comes_first_among_a_thousand_accounts() {
    let app = App::start().await;
    app.instance.manage(Method::PUT, "/api/routing/default/anthropic", Some(json!({ "strategy": "priority" }))).await;
    let home = app.account("anthropic", "one@a", json!({})).await;
    let key = app.key(json!({})).await;
    assert_eq!(served(&app, &app.instance, &key).await.0, home);
    let last = json!({ "priority": 9 });
    let elsewhere =
        app.account("anthropic", "one@models", json!({ "priority": 9, "models": ["claude-haiku-*"] })).await;
    let mate = app.account("anthropic", "one@b", last).await;
    // They rank first, and cannot serve: whoever asks one of them has made an attempt too many.
    let others = "insert into accounts (id, provider, name, credential, credential_kind, credential_hint)
        select 'acc_other' || n, 'anthropic', 'other ' || n, '', 'api_key', 'none' from generate_series(1, 1000) n";
    app.database.execute(others).await;
    let known = format!("update accounts set organization = 'org' where id in ('{home}', '{mate}', '{elsewhere}')");
    app.database.execute(&format!("{known}; update settings set revision = revision + 1")).await;
    act(&app, &home, "pause").await;
    let (account, row) = served(&app, &app.neighbour().await, &key).await;
    assert_eq!((account, &row["affinity"]), (mate, &json!("moved")), "{row}");
}
