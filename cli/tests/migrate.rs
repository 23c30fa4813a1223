//! `llm-gateway migrate` and `llm-gateway rotate-encryption` as a person runs them.

use std::process::{Command, Output};

use tokio_postgres::NoTls;

fn migrate(variables: &[(&str, &str)]) -> Output {
    run("migrate", variables)
}

fn run(what: &str, variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_llm-gateway"));
    command.arg(what).env_clear().envs(variables.iter().copied());
    command.output().expect("the program runs")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("it speaks UTF-8")
}

/// An empty database on the test server; answers its URL.
#[expect(clippy::disallowed_methods, reason = "tests are told their server by the environment")]
async fn empty_database(purpose: &str) -> String {
    let server = std::env::var("TEST_DATABASE_URL").expect("set TEST_DATABASE_URL, as `npm test` does");
    let (client, connection) = tokio_postgres::connect(&server, NoTls).await.expect("the test server answers");
    tokio::spawn(connection);
    let name = format!("test_cli_{purpose}_{}", std::process::id());
    client.batch_execute(&format!("drop database if exists {name} with (force)")).await.expect("it may be dropped");
    client.batch_execute(&format!("create database {name}")).await.expect("it may be created");
    let (base, query) = server.split_once('?').unwrap_or((&server, ""));
    format!("{}/{name}?{query}", &base[..base.rfind('/').expect("a URL names a database")])
}

#[tokio::test]
async fn a_database_is_brought_up_to_date_once() {
    let url = empty_database("migrate").await;
    for (variable, says) in [("POSTGRES_URL", "applied "), ("DATABASE_URL", "the schema is up to date: version ")] {
        let done = migrate(&[(variable, &url)]);
        assert!(done.status.success(), "{}", text(&done.stderr));
        assert!(text(&done.stdout).starts_with(says), "{}", text(&done.stdout));
    }
}

#[test]
fn what_keeps_it_from_working_is_said() {
    let done = migrate(&[]);
    assert!(!done.status.success());
    assert_eq!(text(&done.stderr), "llm-gateway: set DATABASE_URL to a PostgreSQL URL\n");
    let done = migrate(&[("DATABASE_URL", "postgresql://gateway:hunter2@127.0.0.1:1/gateway")]);
    assert!(!done.status.success());
    let said = text(&done.stderr);
    assert!(said.contains("database is not answering") && !said.contains("hunter2"), "{said}");
}

#[tokio::test]
async fn sealing_anew_says_what_it_did_or_what_is_missing() {
    let url = empty_database("rotate").await;
    let keys = [
        ("DATABASE_URL", url.as_str()),
        ("ADMIN_TOKEN", "test-operator-0123456789abcdefghijk"),
        ("ENCRYPTION_KEY", "bmV3IHNlc2FtZSBuZXcgc2VzYW1lIDEyMzQ1Njc4OTA="),
        ("LOG", "error"),
    ];
    let done = run("rotate-encryption", &keys);
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert!(
        text(&done.stdout).starts_with("every credential is sealed with ENCRYPTION_KEY;"),
        "{}",
        text(&done.stdout)
    );

    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.expect("the test server answers");
    tokio::spawn(connection);
    let stranger = "insert into accounts (id, provider, name, pool, credential, credential_kind, credential_hint, priority, weight,
                        models, model_map, note, paused, health, failures, created_at)
                    values ('acc_1', 'anthropic', 'a', 'default', '\\x0102', 'api_key', '', 0, 1, '{}', '{}', '', false, 'ready', 0, now())";
    client.batch_execute(stranger).await.expect("a row");
    let done = run("rotate-encryption", &keys);
    assert!(!done.status.success());
    assert!(text(&done.stdout).starts_with("1/1 acc_1: CANNOT BE OPENED"), "{}", text(&done.stdout));
    assert!(text(&done.stderr).contains("1 credentials cannot be opened"), "{}", text(&done.stderr));

    let done = run("rotate-encryption", &keys[..1]);
    assert!(text(&done.stderr).contains("ENCRYPTION_KEY"), "{}", text(&done.stderr));
}
