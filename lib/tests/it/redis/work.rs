//! What Redis is for: the same requests are less work in Postgres, counted in rows and looks.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{House, Way};
use crate::{
    support::{App, eventually, keys::limited},
    walk::hello,
};

/// Rows written to the two tables of minutes and rows read from them, when sixty requests have been served one by one.
async fn work_of_sixty(mut app: App) -> (i64, i64) {
    let account = json!({ "requests_per_minute": 1000, "tokens_per_minute": 1_000_000_000 });
    app.account("anthropic", "sk-ant-one", account).await;
    let (_, key) = limited(&app, json!({ "requests_per_minute": 1000, "tokens_per_minute": 1_000_000_000 })).await;
    for _ in 0..6 {
        let calls = join_all((0..10).map(|_| app.instance.messages(&key, hello(false)).send())).await;
        assert!(calls.into_iter().all(|answer| answer.unwrap().status() == 200));
    }
    app.ledger().await;
    // What a connection has done is told when it ends.
    app.instance.drain().await;
    let connections = format!("select count(*) from pg_stat_activity where datname = '{}'", app.database.name());
    drop(app.instance);
    eventually("only the test is connected", || async { (app.database.number(&connections).await == 1).then_some(()) })
        .await;
    let rows = app
        .database
        .rows(
            "select sum(n_tup_ins) as written, sum(idx_tup_fetch + seq_tup_read) as read
            from pg_stat_user_tables where relname in ('minutes', 'key_minutes')",
        )
        .await;
    let figure = |name: &str| rows[0][name].as_i64().unwrap_or_else(|| panic!("{}", Value::from(rows.clone())));
    (figure("written"), figure("read"))
}

/// Without Redis a request of a limited key on a limited account writes four rows of minutes, and reads all of the last
/// minute; with it, none.
#[tokio::test]
async fn a_claim_leaves_minutes_to_redis() {
    let (written, read) = work_of_sixty(App::start().await).await;
    assert!(written == 4 * 60 && read > 60 * 60, "{written} written, {read} read");
    let House { app, redis: _redis, upstash: _upstash, .. } = House::start(Way::Tcp).await;
    assert_eq!(work_of_sixty(app).await, (0, 0));
}
