//! In the middle of a tool loop a conversation waits a moment for its account, rather than tell another everything again.

use std::time::Duration;

use fake_upstream::{Answer, Before, Script};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio::{task::JoinHandle, time::timeout};

use crate::{
    routing::{served_by, with_accounts},
    support::{App, eventually},
};

/// A turn of the conversation that brings what a tool has found.
fn found(session: &str) -> String {
    json!({
        "model": "claude-sonnet-5-5", "max_tokens": 8,
        "metadata": { "user_id": json!({ "device_id": "d", "account_uuid": "", "session_id": session }).to_string() },
        "messages": [
            { "role": "user", "content": format!("of {session}") },
            { "role": "assistant", "content": [{ "type": "tool_use", "id": "toolu_1", "name": "ls", "input": {} }] },
            { "role": "user", "content": [{ "type": "tool_result", "tool_use_id": "toolu_1", "content": "a.rs" }] },
        ],
    })
    .to_string()
}

type Sent = JoinHandle<reqwest::Result<Response>>;

fn send(app: &App, key: &str, body: String) -> Sent {
    tokio::spawn(app.instance.messages(key, body).send())
}

/// The account that served, and what the books say of the conversation.
async fn outcome(app: &App, sent: Sent) -> (String, Value) {
    let answer = sent.await.unwrap().unwrap();
    assert_eq!(answer.status(), 200);
    let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
    let (account, id) = (header("x-gateway-account"), header("x-request-id"));
    answer.bytes().await.unwrap();
    let written = format!("select affinity from ledger where id = '{id}'");
    let row = eventually("its row is written", || async { app.database.rows(&written).await.pop() }).await;
    (account, row["affinity"].clone())
}

/// Two accounts that take one request at a time; the conversation is on the first, which another one keeps busy.
async fn busy() -> (App, String, Vec<String>, Sent) {
    let (app, key, accounts) = with_accounts(2, json!({ "max_in_flight": 1 })).await;
    app.instance.manage(Method::PUT, "/api/routing/default/anthropic", Some(json!({ "strategy": "priority" }))).await;
    assert_eq!(served_by(&app.instance, &key, "loop").await, accounts[0]);
    app.ledger().await;
    app.fake.script(Script::once(Answer::after(Before::Held)).of("sk-0"));
    let other = send(&app, &key, found("other"));
    app.fake.arrived(2).await;
    (app, key, accounts, other)
}

#[tokio::test]
async fn a_tool_loop_waits_for_an_account_that_is_busy() {
    let (app, key, accounts, other) = busy().await;
    // Between two turns it would not: where it is served matters less than when.
    assert_eq!(served_by(&app.instance, &key, "loop").await, accounts[1]);
    let mut waiting = send(&app, &key, found("loop"));
    assert!(timeout(Duration::from_millis(400), &mut waiting).await.is_err(), "it waits");
    app.fake.release(1);
    assert_eq!(outcome(&app, waiting).await, (accounts[0].clone(), json!("kept")));
    assert_eq!(other.await.unwrap().unwrap().status(), 200);
}

#[tokio::test]
async fn a_tool_loop_does_not_wait_for_long() {
    let (app, key, accounts, other) = busy().await;
    assert_eq!(outcome(&app, send(&app, &key, found("loop"))).await, (accounts[1].clone(), json!("moved")));
    app.fake.release(1);
    assert_eq!(other.await.unwrap().unwrap().status(), 200);
    app.ledger().await;
    // It had only overflowed.
    assert_eq!(outcome(&app, send(&app, &key, found("loop"))).await, (accounts[0].clone(), json!("kept")));
}

#[tokio::test]
async fn a_tool_loop_waits_for_an_account_that_rests_briefly_and_for_no_other() {
    let (app, key, accounts) = with_accounts(2, json!({})).await;
    app.instance.manage(Method::PUT, "/api/routing/default/anthropic", Some(json!({ "strategy": "priority" }))).await;
    let rests = async |seconds: u32, models: &str| {
        let rest = format!(
            "delete from sessions; insert into sessions
             select session, '{}', now() + interval '1 hour' from ledger where session is not null limit 1;
             update accounts set health = 'cooling', health_reason = 'failing', models = '{{{models}}}',
                 health_until = now() + interval '{seconds} seconds' where id = '{}';
             update settings set revision = revision + 1",
            accounts[0], accounts[0],
        );
        app.database.execute(&rest).await;
    };
    assert_eq!(served_by(&app.instance, &key, "loop").await, accounts[0]);
    app.ledger().await;
    for (seconds, models, serves, affinity) in [
        (1, "", 0, "kept"),
        (60, "", 1, "moved"),
        // It would be back, and could not serve the model then either.
        (1, "claude-haiku-*", 1, "moved"),
    ] {
        rests(seconds, models).await;
        let expect = (accounts[serves].clone(), json!(affinity));
        assert_eq!(outcome(&app, send(&app, &key, found("loop"))).await, expect, "{seconds} s, {models}");
    }
}
