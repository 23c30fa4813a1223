//! `llm-gateway migrate` and `llm-gateway rotate-encryption` as a person runs them.

use crate::support::{ADMIN_TOKEN, Database, Done, program, run};

fn migrate(variables: &[(&str, &str)], more: &[&str]) -> Done {
    run(program(variables, &[&["migrate"], more].concat()), "")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_is_brought_up_to_date_once_and_each_step_is_told() {
    let database = Database::create().await;
    let done = migrate(&[("POSTGRES_URL", &database.url)], &[]);
    assert!(done.err.contains(": accounts\n") && done.err.starts_with("migration 1 of "), "{}", done.err);
    assert!(done.good().starts_with("applied "));
    let done = migrate(&[("DATABASE_URL", &database.url)], &[]);
    assert_eq!(done.err, "");
    assert!(done.good().starts_with("the schema is up to date: version "));
    let told = migrate(&[("DATABASE_URL", &database.url)], &["--json"]).json();
    assert_eq!(
        (&told["applied"], told["schema"].as_i64()),
        (&serde_json::json!([]), Some(i64::from(gateway::store::LATEST_SCHEMA)))
    );
}

#[test]
fn what_keeps_it_from_working_is_said() {
    let said = migrate(&[], &[]).bad(3);
    assert_eq!(said, "llm-gateway: set DATABASE_URL to a PostgreSQL URL\n");
    let said = migrate(&[("DATABASE_URL", "postgresql://gateway:hunter2@127.0.0.1:1/gateway")], &[]).bad(3);
    assert!(said.contains("database is not answering") && !said.contains("hunter2"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sealing_anew_says_what_it_did_or_what_is_missing() {
    let database = Database::create().await;
    let keys = [
        ("DATABASE_URL", &*database.url),
        ("ADMIN_TOKEN", ADMIN_TOKEN),
        ("ENCRYPTION_KEY", "bmV3IHNlc2FtZSBuZXcgc2VzYW1lIDEyMzQ1Njc4OTA="),
    ];
    let rotate = |more: &[&str]| run(program(&keys, &[&["rotate-encryption"], more].concat()), "");
    assert!(rotate(&[]).good().starts_with("every credential is sealed with ENCRYPTION_KEY;"));
    let stranger = "insert into accounts (id, provider, name, pool, credential, credential_kind, credential_hint, priority, weight,
                        models, model_map, note, paused, health, failures, created_at)
                    values ('acc_1', 'anthropic', 'a', 'default', '\\x0102', 'api_key', '', 0, 1, '{}', '{}', '', false, 'ready', 0, now())";
    database.client.batch_execute(stranger).await.unwrap();
    let done = rotate(&[]);
    assert!(done.out.starts_with("1/1 acc_1: CANNOT BE OPENED"), "{}", done.out);
    assert!(done.bad(1).contains("1 credentials cannot be opened"));
    let done = rotate(&["--json"]);
    let told: serde_json::Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(told, serde_json::json!({ "accounts": [{ "account": "acc_1", "became": "unopened" }], "unopened": 1 }));
    done.bad(1);
    let said = run(program(&keys[..1], &["rotate-encryption"]), "").bad(3);
    assert!(said.contains("ENCRYPTION_KEY"), "{said}");
}
