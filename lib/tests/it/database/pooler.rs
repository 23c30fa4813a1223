//! A transaction-mode pooler, and TLS: the ways to a hosted Postgres.

use http::StatusCode;
use reqwest::Method;
use serde_json::json;

use crate::{
    support::{App, Bouncer, Certificates, Database, Instance, log_of},
    walk::hello,
};

/// A gateway that knows its database through a pooler only; the schema too is applied through it.
async fn behind_a_pooler() -> (App, Bouncer) {
    let database = Database::create().await;
    let bouncer = Bouncer::before(&database, None).await;
    let url = database.through(&format!("127.0.0.1:{}", bouncer.port));
    (App::on(database, &[("DATABASE_URL", &url)]).await, bouncer)
}

#[tokio::test]
async fn everything_works_through_a_transaction_mode_pooler() {
    let (app, _bouncer) = behind_a_pooler().await;
    let account = app.account("anthropic", "sk-ant-one", json!({})).await;
    let key = app.key(json!({})).await;

    let answers = (0..12).map(|n| app.instance.messages(&key, hello(n % 2 == 0)).send());
    for answer in futures_util::future::join_all(answers).await {
        let answer = answer.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(answer.text().await.unwrap().contains("met"));
    }
    let rows = app.ledger().await;
    assert_eq!(rows.len(), 12);
    assert!(rows.iter().all(|row| row["status"] == "completed" && row["account_id"] == *account), "{rows:#?}");

    let path = format!("/api/accounts/{account}");
    let changed = app.instance.manage(Method::PATCH, &path, Some(json!({ "weight": 7 }))).await;
    assert_eq!(changed["weight"], 7);
    app.instance.manage(Method::POST, &format!("{path}/pause"), None).await;
    assert_eq!(app.instance.manage(Method::GET, &path, None).await["state"], "paused");
    let summary = app.instance.manage(Method::GET, "/api/stats/summary", None).await;
    assert_eq!(summary["requests"], 12);
    app.instance.manage(Method::DELETE, &path, None).await;
    let page = app.instance.manage(Method::GET, "/api/stats/requests", None).await;
    assert_eq!(page["data"].as_array().unwrap().len(), 12);
}

#[tokio::test]
async fn a_connection_that_is_used_often_keeps_its_statement_prepared() {
    let app = App::start().await;
    app.account("anthropic", "sk-ant-one", json!({})).await;
    let key = app.key(json!({})).await;
    let sql = "
        create table noted (place serial, prepared boolean);
        create function note() returns trigger language plpgsql as $$
        begin
            insert into noted (prepared)
            select exists (select from pg_prepared_statements where statement ~ 'claim_all');
            return null;
        end
        $$;
        create trigger note after insert on leases for each row execute function note()";
    app.database.execute(sql).await;
    for n in 0..8 {
        assert_eq!(app.instance.messages(&key, hello(n % 2 == 0)).send().await.unwrap().status(), 200);
    }
    let noted = app.database.rows("select prepared from noted order by place").await;
    let noted: Vec<_> = noted.iter().map(|row| row["prepared"].as_bool().unwrap()).collect();
    assert_eq!((noted.first(), noted.last()), (Some(&false), Some(&true)), "{noted:?}");
    assert!(noted.is_sorted(), "{noted:?}");
}

/// This pooler's release is one that does not know of prepared statements: once one is lost, claims go without.
#[tokio::test]
async fn a_pooler_that_loses_prepared_statements_is_got_on_with() {
    let (app, _bouncer) = behind_a_pooler().await;
    app.account("anthropic", "sk-ant-one", json!({})).await;
    let key = app.key(json!({})).await;
    let mut sent = 0;
    while sent < 40 || log_of("prepared statements are not kept").is_empty() {
        assert!(sent < 1_000, "nothing is lost");
        let crowd = (0..4).map(|n| app.instance.messages(&key, hello(n % 2 == 0)).send());
        for answer in futures_util::future::join_all(crowd).await {
            assert_eq!(answer.unwrap().status(), 200);
            sent += 1;
        }
    }
    assert_eq!(app.ledger().await.len(), sent);
}

#[tokio::test]
async fn tls_needs_a_certificate_that_holds() {
    let database = Database::create().await;
    let certificates = Certificates::make();
    let bouncer = Bouncer::before(&database, Some(&certificates)).await;
    let by_name = database.through(&format!("localhost:{}", bouncer.port));
    let by_address = database.through(&format!("127.0.0.1:{}", bouncer.port));
    let root = format!("sslrootcert={}", certificates.authority());
    for (url, good) in [
        (format!("{by_name}?sslmode=require&{root}"), true),
        (format!("{by_name}?sslmode=verify-full&{root}&pgbouncer=true&connection_limit=1&pool_timeout=20"), true),
        (format!("{by_name}?{root}&sslmode=prefer"), true),
        // An authority that nobody vouches for; a name that the certificate does not bear; no TLS at all.
        (format!("{by_name}?sslmode=require"), false),
        (format!("{by_name}?sslmode=verify-full&sslrootcert=system"), false),
        (format!("{by_address}?sslmode=require&{root}"), false),
        (format!("{by_name}?sslmode=disable"), false),
    ] {
        let instance = Instance::start(&url, &[]).await;
        let answer = instance.operator(Method::GET, "/api/accounts", None).await;
        let expect = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert_eq!(status, expect, "{url}: {text}");
        assert!(good || text.contains("database is not answering"), "{text}");
    }
}
