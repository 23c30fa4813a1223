//! The ledger forgets, the sums do not (D15).

use reqwest::Method;
use serde_json::json;

use super::{BEGAN, get};
use crate::{
    support::{App, Chance, eventually},
    walk::hello,
};

const OLD: &str = "summary?from=2020-01-01T00:00:00Z&to=2020-03-01T00:00:00Z";
const PARTITIONS: &str = "select count(*) from pg_inherits where inhparent = 'ledger'::regclass and inhrelid::regclass::text = 'ledger_2020w07'";

/// A gateway with a short memory, and a week of long ago.
async fn with_an_old_week() -> (App, String) {
    let app = App::start_with(&[("LEDGER_RETENTION_DAYS", "60")]).await;
    app.account("anthropic", "sk-ant-one", json!({})).await;
    let key = app.key(json!({})).await;
    let chance = &mut Chance::of(9);
    for n in 0..40 {
        let row = super::row(&format!("req_{n}"), chance.below(86_400 * 5), chance);
        // The same, many weeks before.
        let row = row.replace(BEGAN, "2020-02-10T00:00:00Z");
        app.database.execute(&format!("select ledger_partition('2020-02-10T00:00:00Z'); {}{row}", super::INSERT)).await;
    }
    (app, key)
}

/// One round of upkeep is made beside the first request to an instance.
async fn one_round(app: &App, key: &str) {
    let neighbour = crate::support::Instance::start(&app.database.url, &[("LEDGER_RETENTION_DAYS", "60")]).await;
    neighbour.messages(key, hello(false)).send().await.unwrap().text().await.unwrap();
}

#[tokio::test]
async fn retention_drops_partitions_and_keeps_rollups() {
    let (app, key) = with_an_old_week().await;
    let before = get(&app, OLD).await;
    assert_eq!(before["requests"], 40);
    // It is dropped only when all of it is rolled up.
    app.database.execute("select drop_old_partition(60)").await;
    assert_eq!(app.database.number(PARTITIONS).await, 1);
    super::roll_up(&app).await;
    app.database.execute("update ledger_state set swept_at = 'epoch'").await;
    one_round(&app, &key).await;
    eventually("the partition is dropped", || async { (app.database.number(PARTITIONS).await == 0).then_some(()) })
        .await;
    assert_eq!(app.database.number("select count(*) from ledger where started_at < '2020-03-01'").await, 0);
    let mut after = get(&app, OLD).await;
    after["in_flight"] = before["in_flight"].clone();
    assert_eq!(after, before, "the sums stay");
    let page = get(&app, "requests?to=2020-03-01T00:00:00Z").await;
    assert_eq!(page["data"], json!([]));
    assert_eq!(app.ledger().await.len(), 1, "what is young stays");
    // A row that comes later still does not undo the sums.
    app.database
        .execute(&format!(
            "select ledger_partition('2020-02-10T00:00:00Z'); {}{}",
            super::INSERT,
            super::row("req_ghost", 60, &mut Chance::of(3)).replace(BEGAN, "2020-02-10T00:00:00Z")
        ))
        .await;
    super::roll_up(&app).await;
    assert_eq!(get(&app, OLD).await["requests"], 40);
}

#[tokio::test]
async fn retention_waits_for_no_lock() {
    let (app, key) = with_an_old_week().await;
    super::roll_up(&app).await;
    // Somebody reads the ledger for a long time.
    app.database.execute("begin; lock table ledger in access share mode").await;
    one_round(&app, &key).await;
    eventually("somebody has tried", || async {
        (app.database.number("select count(*) from ledger_state where swept_at > 'epoch'").await == 1).then_some(())
    })
    .await;
    // Rows were written meanwhile, and the partition is still there.
    eventually("the row is written", || async {
        (app.database.number("select count(*) from ledger where started_at > now() - interval '1 hour'").await == 1)
            .then_some(())
    })
    .await;
    assert_eq!(app.database.number(PARTITIONS).await, 1);
    app.database.execute("commit; update ledger_state set swept_at = 'epoch'").await;
    one_round(&app, &key).await;
    eventually("it is dropped", || async { (app.database.number(PARTITIONS).await == 0).then_some(()) }).await;
}

#[tokio::test]
async fn zero_days_keep_the_ledger_for_ever() {
    let (app, key) = with_an_old_week().await;
    super::roll_up(&app).await;
    let forever = crate::support::Instance::start(&app.database.url, &[("LEDGER_RETENTION_DAYS", "0")]).await;
    app.database.execute("update ledger_state set swept_at = 'epoch'").await;
    forever.messages(&key, hello(false)).send().await.unwrap().text().await.unwrap();
    let mut forever = forever;
    forever.drain().await;
    assert_eq!(app.database.number(PARTITIONS).await, 1);
    assert_eq!(forever_swept(&app).await, 0, "nobody looked");
}

async fn forever_swept(app: &App) -> i64 {
    let _reads = app.instance.manage(Method::GET, "/api/health", None).await;
    app.database.number("select count(*) from ledger_state where swept_at > 'epoch'").await
}
