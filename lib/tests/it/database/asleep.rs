//! A database that sleeps while nobody asks, as the free plans' do, and the few connections of an instance on Vercel.

use std::time::{Duration, Instant};

use http::StatusCode;
use reqwest::Method;
use serde_json::json;

use crate::{
    support::{App, Chaos, Database, Instance, Wire, eventually},
    walk::hello,
};

/// Peers wake within this ("500 ms to a few seconds").
const USUAL: Duration = Duration::from_secs(2);

/// A database with a schema, an account and a key, asleep behind a wire; and the key.
async fn asleep(takes: Duration) -> (App, Chaos, String) {
    let database = Database::create().await;
    let chaos = Chaos::before(&database).await;
    let url = chaos.url(&database);
    let mut app = App::on(database, &[]).await;
    app.account("anthropic", "sk-ant-one", json!({})).await;
    let key = app.key(json!({})).await;
    chaos.becomes(Wire::Asleep(takes));
    app.instance = Instance::start(&url, &[("VERCEL", "1")]).await;
    (app, chaos, key)
}

#[tokio::test]
async fn a_cold_instance_before_a_sleeping_database_serves_its_first_request() {
    let (app, _chaos, key) = asleep(USUAL).await;
    let began = Instant::now();
    let answers = (0..8).map(|_| app.instance.messages(&key, hello(false)).send());
    for answer in futures_util::future::join_all(answers).await {
        let answer = answer.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{}", answer.text().await.unwrap());
    }
    assert!(began.elapsed() >= USUAL, "it did sleep");
    assert!(app.ledger().await.iter().all(|row| row["status"] == "completed"));
}

#[tokio::test]
async fn a_database_that_wakes_too_slowly_is_told_in_time_and_serves_the_next() {
    const TAKES: Duration = Duration::from_secs(9);
    let (app, _chaos, key) = asleep(TAKES).await;
    let began = Instant::now();
    let answer = app.instance.messages(&key, hello(false)).send().await.unwrap();
    assert!(began.elapsed() < TAKES, "before it wakes: {:?}", began.elapsed());
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers().contains_key("retry-after"));
    eventually("it is awake", || async {
        let answer = app.instance.messages(&key, hello(false)).send().await.unwrap();
        (answer.status() == StatusCode::OK).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_instance_on_vercel_holds_two_connections_whatever_comes() {
    let app = App::start_with(&[("VERCEL", "1")]).await;
    app.account("anthropic", "sk-ant-one", json!({})).await;
    let key = app.key(json!({})).await;
    let questions =
        ["summary", "series", "accounts", "keys", "models", "requests", "live", "export.csv", "metrics", "audit"];
    // Who is told that the database had no time, comes again.
    let calls = (0..80).map(|n| {
        let (app, key) = (&app, &key);
        eventually("it is answered", move || async move {
            let answer = match n % 4 {
                0 | 1 => {
                    let path = format!("/api/stats/{}", questions[(n / 4 * 2 + n % 4) % questions.len()]);
                    app.instance.operator(Method::GET, &path, None).await
                }
                2 => app.instance.operator(Method::POST, "/api/keys", Some(json!({ "name": "k" }))).await,
                _ => app.instance.messages(key, hello(true)).send().await.unwrap(),
            };
            let status = answer.status();
            answer.text().await.unwrap();
            (status != StatusCode::SERVICE_UNAVAILABLE).then_some(status)
        })
    });
    for status in futures_util::future::join_all(calls).await {
        assert!(status.is_success(), "{status}");
    }
    app.ledger().await;
    // Connections stay once they are there; the one that applied the schema is closed.
    let database = app.database.name();
    let theirs = format!(
        "select count(*) from pg_stat_activity where datname = '{database}' and application_name = 'llm-gateway'"
    );
    assert_eq!(app.database.number(&theirs).await, 2);
}
