//! The schema: applied once, by whoever comes first, and no hindrance when it is newer than the code.

use gateway::{Secret, store};
use http::StatusCode;
use serde_json::json;

use crate::{
    support::{App, Database, Instance},
    walk::hello,
};

const LIST: &str = "select version, name from schema_migrations order by version";

#[tokio::test]
async fn gateways_that_start_together_apply_each_migration_once() {
    let database = Database::create().await;
    let mut starting = Vec::new();
    for _ in 0..8 {
        starting.push(Instance::start(&database.url, &[]).await);
    }
    let asked = starting.iter().map(|instance| instance.manage(reqwest::Method::GET, "/api/accounts", None));
    for answer in futures_util::future::join_all(asked).await {
        assert_eq!(answer["data"], json!([]));
    }
    let applied = database.rows(LIST).await;
    let versions: Vec<_> = applied.iter().map(|row| row["version"].as_i64().unwrap()).collect();
    assert_eq!(versions, (1..=i64::from(store::LATEST_SCHEMA)).collect::<Vec<_>>());
    let times = database.number("select count(distinct applied_at) from schema_migrations").await;
    assert_eq!(times, 1, "one transaction applied all of them");
}

#[tokio::test]
async fn a_migration_by_hand_is_applied_once_and_says_what_it_did() {
    let database = Database::create().await;
    let url = Secret::new(&database.url);
    let (first, second) = tokio::join!(store::migrate(&url), store::migrate(&url));
    let mut applied = [first.unwrap(), second.unwrap()];
    applied.sort_by_key(Vec::len);
    assert_eq!(applied, [Vec::new(), (1..=store::LATEST_SCHEMA).collect::<Vec<_>>()]);
    assert_eq!(store::migrate(&url).await.unwrap(), Vec::<i32>::new());
}

#[tokio::test]
async fn a_migration_that_fails_leaves_nothing_half_done() {
    let database = Database::create().await;
    // The third migration finds its table's name taken.
    database.execute("create table ledger (taken integer)").await;
    let error = store::migrate(&Secret::new(&database.url)).await.unwrap_err();
    assert_eq!(error.message, "migration 3 (ledger) failed");
    assert_eq!(database.number("select count(*) from pg_tables where tablename in ('accounts', 'api_keys')").await, 0);

    let instance = Instance::start(&database.url, &[]).await;
    let answer = instance.operator(reqwest::Method::GET, "/api/keys", None).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    database.execute("drop table ledger").await;
    instance.manage(reqwest::Method::GET, "/api/keys", None).await;
}

/// Before release 18, Postgres holds a plan that has to do what it is told not to for so dear that it is worth compiling: a claim
/// then took 870 milliseconds.
#[tokio::test]
async fn what_is_told_how_to_read_is_not_compiled_for_each_call() {
    let database = Database::create().await;
    store::migrate(&Secret::new(&database.url)).await.unwrap();
    let told = "select proname as name, proconfig @> '{jit=off}' as interpreted from pg_proc \
                where array_to_string(proconfig, ' ') like '%enable_seqscan=off%' order by 1";
    let told: Vec<_> = database.rows(told).await;
    let expect: Vec<_> =
        ["claim", "claim_all", "settle_all"].map(|name| json!({ "name": name, "interpreted": true })).into();
    assert_eq!(told, expect);
}

#[tokio::test]
async fn a_newer_schema_still_serves() {
    let database = Database::create().await;
    store::migrate(&Secret::new(&database.url)).await.unwrap();
    // What a later release does: it adds.
    let later = store::LATEST_SCHEMA + 1;
    database.execute(&format!("insert into schema_migrations (version, name) values ({later}, 'later')")).await;
    database.execute("alter table accounts add column later text").await;
    database.execute("alter table api_keys add column later text not null default ''").await;
    database.execute("alter table leases add column later text").await;
    database.execute("alter table ledger add column later text").await;

    let app = App::on(database, &[]).await;
    app.account("anthropic", "sk-ant-one", json!({})).await;
    let key = app.key(json!({})).await;
    assert_eq!(app.instance.messages(&key, hello(false)).send().await.unwrap().status(), 200);
    assert_eq!(app.only_row().await["status"], "completed");
    assert_eq!(app.database.rows(LIST).await.len(), usize::try_from(later).unwrap());
    assert!(store::migrate(&Secret::new(&app.database.url)).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_schema_that_was_taken_away_is_made_again() {
    let (app, key) = App::ready().await;
    assert_eq!(app.instance.messages(&key, hello(false)).send().await.unwrap().status(), 200);
    app.ledger().await;
    app.database.execute("drop schema public cascade; create schema public").await;
    assert_eq!(app.instance.manage(reqwest::Method::GET, "/api/accounts", None).await["data"], json!([]));
    app.account("anthropic", "sk-ant-one", json!({})).await;
    let key = app.key(json!({})).await;
    assert_eq!(app.instance.messages(&key, hello(false)).send().await.unwrap().status(), 200);
    assert_eq!(app.only_row().await["status"], "completed");
}
