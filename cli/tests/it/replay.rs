//! `llm-gateway replay`: rows that went to the log come into the ledger, once.

use serde_json::{Value, json};

use crate::support::{Database, Done, Folder, program, run};

fn replay(database: &Database, file: &str, input: &str) -> Done {
    run(program(&[("DATABASE_URL", &database.url)], &["replay", file, "--json"]), input)
}

async fn migrated() -> Database {
    let database = Database::create().await;
    run(program(&[("DATABASE_URL", &database.url)], &["migrate"]), "").good();
    database
}

fn row(id: &str, status: &str) -> Value {
    json!({
        "id": id, "started_at": "2026-11-24T20:30:00.123456Z", "key_id": "key_1", "account_id": "acc_1", "pool": "default",
        "provider": "anthropic", "operation": "messages", "model": "claude-sonnet-4-5", "stream": true, "status": status,
        "http_status": 200, "attempts": [{ "account": "acc_1", "verdict": "delivered", "status": 200, "took_ms": 5 }],
        "input_tokens": 100, "output_tokens": 20, "cost_micros": 600, "estimated": false, "unpriced": false, "duration_ms": 900,
        "error": "it's \"said\" \u{9b}31m \\ and 中文",
    })
}

/// The line as the server's log has it.
fn logged(row: &Value) -> String {
    let id = row["id"].as_str().unwrap();
    format!(
        "2026-11-24T20:31:00.000000Z ERROR gateway::unsettled: a ledger row was not written request={id} record={:?}\n",
        row.to_string()
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_a_log_are_written_once_and_sums_follow() {
    let database = migrated().await;
    let ids: Vec<_> = (0..250).map(|number| format!("req_{number:03}")).collect();
    let mut log = String::from("llm-gateway listening on http://127.0.0.1:13010\n");
    for id in &ids {
        log += "2026-11-24T20:30:59Z  INFO request settled request=req_x\n";
        log += &logged(&row(id, "completed"));
    }
    let folder = Folder::new();
    let file = folder.write("gateway.log", &log);
    let told = replay(&database, &file, "").json();
    assert_eq!(told, json!({ "lines": 501, "written": 250, "present": 0, "refused": 0 }));
    let sums = "select sum(tokens) from key_usage where key_id = 'key_1' and span = 'day'";
    let before = (database.number("select sum(cost_micros) from ledger").await, database.number(sums).await);
    assert_eq!(before, (250 * 600, 250 * 120));
    let error: String = database.client.query_one("select error from ledger limit 1", &[]).await.unwrap().get(0);
    assert_eq!(error, "it's \"said\" \u{9b}31m \\ and 中文");

    let told = replay(&database, "-", &log).json();
    assert_eq!(told, json!({ "lines": 501, "written": 0, "present": 250, "refused": 0 }));
    assert_eq!((database.number("select sum(cost_micros) from ledger").await, database.number(sums).await), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_was_given_up_as_lost_is_put_right() {
    let database = migrated().await;
    let lost = row("req_1", "lost").to_string().replace('\'', "''");
    database.client.batch_execute(&format!("select settle('[{lost}]')")).await.unwrap();
    // Bare rows, and lines that a log service has wrapped, are as good.
    let wrapped = json!({ "level": "error", "message": logged(&row("req_2", "failed")) });
    let told = replay(&database, "-", &format!("{}\n{wrapped}\n", row("req_1", "completed"))).json();
    assert_eq!((&told["written"], &told["refused"]), (&json!(2), &json!(0)));
    assert_eq!(database.number("select count(*) from ledger where status = 'lost'").await, 0);
    assert_eq!(database.number("select count(*) from ledger").await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_or_written_is_named_and_the_rest_is_written() {
    let database = migrated().await;
    let cut = logged(&row("req_cut", "completed"));
    let mut odd = row("req_odd", "completed");
    odd["http_status"] = json!("none");
    let log = [logged(&row("req_1", "completed")), cut[..cut.len() / 2].to_owned() + "\n", logged(&odd)].concat();
    let done = replay(&database, "-", &log);
    assert_eq!(done.code, 1, "{}", done.err);
    assert!(done.err.contains("line 2: ") && done.err.contains("line 3: "), "{}", done.err);
    let told: Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(told, json!({ "lines": 3, "written": 1, "present": 0, "refused": 2 }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_not_ready_is_not_written_to() {
    let database = Database::create().await;
    assert!(replay(&database, "-", "").bad(1).contains("llm-gateway migrate"));
    let away = [("DATABASE_URL", "postgresql://gateway:hunter2@127.0.0.1:1/gateway")];
    let said = run(program(&away, &["replay", "-"]), "").bad(3);
    assert!(!said.contains("hunter2"), "{said}");
    assert!(run(program(&[], &["replay", "-"]), "").bad(3).contains("DATABASE_URL"));
    assert!(replay(&database, "/nonexistent", "").bad(1).contains("/nonexistent"));
}
