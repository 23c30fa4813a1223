//! `llm-gateway migrate` as a person runs it.

use crate::support::{Database, Done, program, run};

fn migrate(variables: &[(&str, &str)], more: &[&str]) -> Done {
    run(program(variables, &[&["migrate"], more].concat()), "")
}

#[tokio::test]
async fn a_database_is_brought_up_to_date_once_and_each_step_is_told() {
    let database = Database::create().await;
    let done = migrate(&[("POSTGRES_URL", &database.url)], &[]);
    assert!(done.err.contains(": accounts\n") && done.err.starts_with("migration 1 of "), "{}", done.err);
    assert!(done.good().starts_with("applied "));
    let done = migrate(&[("DATABASE_URL", &database.url)], &[]);
    assert_eq!(done.err, "");
    assert!(done.good().starts_with("the schema is up to date: version "));
    let told = migrate(&[("DATABASE_URL", &database.url)], &["--json"]).json();
    assert_eq!((&told["applied"], told["schema"].as_i64()), (&serde_json::json!([]), Some(i64::from(gateway::store::LATEST_SCHEMA))));
}

#[test]
fn what_keeps_it_from_working_is_said() {
    let said = migrate(&[], &[]).bad(3);
    assert_eq!(said, "llm-gateway: set DATABASE_URL to a PostgreSQL URL\n");
    let said = migrate(&[("DATABASE_URL", "postgresql://gateway:hunter2@127.0.0.1:1/gateway")], &[]).bad(3);
    assert!(said.contains("database is not answering") && !said.contains("hunter2"), "{said}");
}
