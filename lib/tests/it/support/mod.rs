//! What every test needs: a gateway under test, with a database and a fake upstream of its own.

mod app;
mod bouncer;
mod chance;
mod chaos;
mod database;
pub(crate) mod keys;
mod login;
mod logs;
mod raw;
mod receiver;
mod redis;
mod upstash;

pub(crate) use app::{ADMIN_TOKEN, App, Instance};
pub(crate) use bouncer::{Bouncer, Certificates};
pub(crate) use chance::Chance;
pub(crate) use chaos::{Chaos, Wire};
pub(crate) use database::Database;
pub(crate) use login::{TOKEN_PATH, instance_with_logins, pair, soon};
pub(crate) use logs::log_of;
pub(crate) use raw::Raw;
pub(crate) use receiver::{Heard, Receiver};
pub(crate) use redis::{PASSWORD, Redis, said_of_redis};
pub(crate) use upstash::{TOKEN, Trouble, Upstash};

use std::{future::Future, time::Duration};

use http::StatusCode;
use reqwest::{Method, Response};
use serde_json::Value;

/// How long a condition may take to come true before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `condition` gives a value; asks again and again rather than sleeping for a guessed time.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut condition: impl FnMut() -> F) -> T {
    let asking = async {
        loop {
            if let Some(value) = condition().await {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    match tokio::time::timeout(PATIENCE, asking).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: not within {PATIENCE:?}"),
    }
}

/// What an instance says of its health once its database has answered: it asks for a second only, and the first question
/// may find a schema that is being made.
pub(crate) async fn health(instance: &Instance) -> Value {
    eventually("the database answers", || async {
        let answer = instance.request(Method::GET, "/api/health").send().await.expect("an answer");
        let well = answer.status() == StatusCode::OK;
        let text = answer.text().await.expect("a body");
        well.then(|| serde_json::from_str(&text).expect("JSON"))
    })
    .await
}

/// Takes an answer that must be a refusal of the management API, in its shape and with its headers.
pub(crate) async fn refused(answer: Response, status: StatusCode, word: &str, param: Option<&str>) -> String {
    let (url, got, headers) = (answer.url().clone(), answer.status(), answer.headers().clone());
    let text = answer.text().await.expect("a body");
    let said: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{url}: {got} {text}"));
    assert_eq!(got, status, "{url}: {text}");
    assert_eq!(said["error"]["type"], word, "{url}: {text}");
    assert_eq!(said["error"].get("param").and_then(Value::as_str), param, "{url}: {text}");
    assert!(said["error"]["message"].as_str().is_some_and(|message| !message.is_empty()), "{url}: {text}");
    assert_eq!(headers["cache-control"], "no-store", "{url}");
    assert!(headers["x-request-id"].to_str().is_ok_and(|id| id.starts_with("req_")), "{url}");
    text
}
