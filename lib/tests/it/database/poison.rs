//! What Postgres cannot store, from a caller who sends it: that caller's own trouble.

use fake_upstream::{Answer, Script};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{support::App, walk::hello};

#[tokio::test]
async fn a_request_that_cannot_be_written_harms_no_other() {
    let (app, key) = App::ready().await;
    // JSON in Postgres holds no NUL and no half of a surrogate pair; a request's may.
    let poison = |model: &str| hello(false).replace("claude-sonnet-5-5", model);
    let bodies: Vec<_> = (0..60)
        .map(|n| match n % 6 {
            0 => poison("claude-sonnet-5-5\\u0000"),
            3 => poison("claude-\\ud800"),
            _ => hello(false),
        })
        .collect();
    let answers = join_all(bodies.into_iter().map(|body| app.instance.messages(&key, body).send())).await;
    for (n, answer) in answers.into_iter().enumerate() {
        let answer = answer.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        if n % 3 == 0 {
            assert_eq!(status, 400, "{n}: {text}");
            let told: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(told["error"]["type"], "invalid_request_error");
        } else {
            assert_eq!(status, 200, "{n}: {text}");
        }
    }
    let rows = app.ledger().await;
    let completed = rows.iter().filter(|row| row["status"] == json!("completed")).count();
    // The halves of pairs went to the upstream, which refused them.
    assert_eq!((completed, rows.len()), (40, 50));
}

#[tokio::test]
async fn what_an_upstream_says_is_written_whatever_it_is() {
    let (app, key) = App::ready().await;
    let message = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude\0sonnet", "content": [],
        "stop_reason": "end_turn", "usage": { "input_tokens": 3, "output_tokens": 5 },
    });
    app.fake.script(Script::once(Answer::json(200, message)));
    assert_eq!(app.instance.messages(&key, hello(false)).send().await.unwrap().status(), 200);
    let row = app.only_row().await;
    assert_eq!((&row["status"], &row["served_model"]), (&json!("completed"), &json!("claudesonnet")));
    assert_eq!((&row["input_tokens"], &row["output_tokens"]), (&json!(3), &json!(5)));
}
