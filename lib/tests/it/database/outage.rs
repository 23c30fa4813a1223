//! The database is away: everybody is told in time and in their own words, and all is well again without a restart.

use std::time::{Duration, Instant};

use fake_upstream::{Answer, Script};
use http::StatusCode;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::{
    support::{App, Chaos, Database, PATIENCE, Wire, eventually, log_of},
    walk::hello,
};

/// A gateway behind a wire that can be taken away, with an account and a key.
async fn wired() -> (App, Chaos, String) {
    let (app, chaos) = unprepared().await;
    app.account("anthropic", "sk-ant-one", json!({})).await;
    app.account("gemini", "AIza-one", json!({})).await;
    let key = app.key(json!({})).await;
    (app, chaos, key)
}

async fn unprepared() -> (App, Chaos) {
    let database = Database::create().await;
    let chaos = Chaos::before(&database).await;
    let url = chaos.url(&database);
    (App::on(database, &[("DATABASE_URL", &url)]).await, chaos)
}

fn contents() -> String {
    json!({ "contents": [{ "role": "user", "parts": [{ "text": "[[say well met]]" }] }] }).to_string()
}

/// Five seconds, as long again for a machine that has too much to do.
const TOLD_WITHIN: Duration = Duration::from_secs(10);

/// Every kind of caller asks at once, and each is told in time.
async fn all_are_told(app: &App, key: &str) {
    let began = Instant::now();
    let (anthropic, gemini, stream, models, management, health) = tokio::join!(
        app.instance.messages(key, hello(false)).send(),
        app.instance.gemini(key, "gemini-2.5-pro:generateContent", contents()).send(),
        app.instance.gemini(key, "gemini-2.5-pro:streamGenerateContent?alt=sse", contents()).send(),
        app.instance
            .request(Method::GET, "/v1/models")
            .header("x-api-key", key)
            .header("anthropic-version", "2023-06-01")
            .send(),
        app.instance.operator(Method::GET, "/api/accounts", None),
        app.instance.request(Method::GET, "/api/health").send(),
    );
    assert!(began.elapsed() < TOLD_WITHIN, "{:?}", began.elapsed());
    for answer in [anthropic.unwrap(), models.unwrap()] {
        let told = told(answer).await;
        assert_eq!((&told["type"], told["error"]["type"].is_string()), (&json!("error"), true), "{told}");
    }
    for answer in [gemini.unwrap(), stream.unwrap()] {
        let told = told(answer).await;
        assert_eq!((&told["error"]["code"], &told["error"]["status"]), (&json!(503), &json!("UNAVAILABLE")), "{told}");
    }
    assert_eq!(told(management).await["error"]["type"], "unavailable");
    let health = health.unwrap();
    assert_eq!(health.status(), StatusCode::SERVICE_UNAVAILABLE);
    let health: Value = serde_json::from_str(&health.text().await.unwrap()).unwrap();
    assert_eq!((&health["status"], &health["database"]), (&json!("unavailable"), &json!("not answering")));
}

async fn told(answer: Response) -> Value {
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers().contains_key("retry-after"), "{:?}", answer.headers());
    assert!(answer.headers().contains_key("x-request-id"));
    let text = answer.text().await.unwrap();
    let text = text.strip_prefix("data: ").unwrap_or(&text);
    serde_json::from_str(text.trim()).unwrap_or_else(|_| panic!("{text}"))
}

/// All is well: at once, since whatever had been broken was found out by somebody who was told.
async fn serves(app: &App, key: &str) {
    let answer = app.instance.messages(key, hello(false)).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK, "{}", answer.text().await.unwrap());
    crate::support::health(&app.instance).await;
}

#[tokio::test]
async fn a_database_that_refuses_is_told_and_comes_back() {
    let (app, chaos, key) = wired().await;
    serves(&app, &key).await;
    app.ledger().await;
    chaos.becomes(Wire::Refused);
    all_are_told(&app, &key).await;
    chaos.becomes(Wire::Open);
    serves(&app, &key).await;
}

#[tokio::test]
async fn a_database_that_hangs_is_told_and_comes_back() {
    let (app, chaos, key) = wired().await;
    serves(&app, &key).await;
    app.ledger().await;
    chaos.becomes(Wire::Frozen);
    all_are_told(&app, &key).await;
    // The second time too, when every connection is found stuck; and a crowd waits no longer than one.
    let began = Instant::now();
    let crowd = (0..40).map(|_| app.instance.messages(&key, hello(false)).send());
    for answer in futures_util::future::join_all(crowd).await {
        told(answer.unwrap()).await;
    }
    assert!(began.elapsed() < TOLD_WITHIN, "{:?}", began.elapsed());
    chaos.becomes(Wire::Open);
    serves(&app, &key).await;
}

#[tokio::test]
async fn a_database_that_is_away_at_the_start_comes_later() {
    let (app, chaos) = unprepared().await;
    let key = "gw_0000000000000000000000000000000000000000000000000000";
    for wire in [Wire::Refused, Wire::Frozen] {
        chaos.becomes(wire);
        let answer = app.instance.operator(Method::GET, "/api/keys", None).await;
        assert_eq!(told(answer).await["error"]["type"], "unavailable", "{wire:?}");
        // What is wrong without asking the database is still said.
        let answer = app.instance.messages(key, hello(false)).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    }
    chaos.becomes(Wire::Open);
    app.account("anthropic", "sk-ant-one", json!({})).await;
    let key = app.key(json!({})).await;
    serves(&app, &key).await;
}

#[tokio::test]
async fn connections_that_were_cut_meanwhile_are_no_fault() {
    let (app, chaos, key) = wired().await;
    for _ in 0..3 {
        serves(&app, &key).await;
        app.instance.manage(Method::GET, "/api/keys", None).await;
        app.ledger().await;
        chaos.cut().await;
        serves(&app, &key).await;
        chaos.cut().await;
        app.key(json!({ "name": "after the cut" })).await;
        // A server that is restarted says so on each connection.
        let name = app.database.name();
        let end =
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity where pid <> pg_backend_pid() and datname";
        app.database
            .rows(&format!("select count(*) from ({end} = '{name}' and application_name = 'llm-gateway') q"))
            .await;
        app.key(json!({ "name": "after the restart" })).await;
    }
}

#[tokio::test]
async fn a_settlement_outlives_an_outage_and_lands_once() {
    for wire in [Wire::Refused, Wire::Frozen] {
        let (app, chaos, key) = wired().await;
        app.fake.script(Script::once(Answer::held_after(3)));
        let mut answer = app.instance.messages(&key, hello(true)).send().await.unwrap();
        let id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
        assert!(answer.chunk().await.unwrap().is_some());
        chaos.becomes(wire);
        app.fake.release(1);
        let rest = answer.text().await.unwrap();
        assert!(rest.contains("message_stop"), "an outage is no matter to a stream that runs: {rest}");
        let failed = |line: &String| line.contains("a ledger row could not be written");
        eventually("the settlement has failed", || async { log_of(&id).into_iter().find(failed) }).await;
        chaos.becomes(Wire::Open);
        let row = app.only_row().await;
        assert_eq!((&row["status"], &row["estimated"]), (&json!("completed"), &json!(false)));
        assert_eq!(row["output_tokens"], app.only_seen().answered.figures.unwrap().output);
    }
}

#[tokio::test]
async fn a_settlement_that_never_lands_is_one_line_of_the_log() {
    let (app, chaos, key) = wired().await;
    app.fake.script(Script::once(Answer::held_after(3)));
    let mut answer = app.instance.messages(&key, hello(true)).send().await.unwrap();
    let id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
    assert!(answer.chunk().await.unwrap().is_some());
    chaos.becomes(Wire::Refused);
    app.fake.release(1);
    answer.text().await.unwrap();
    let lost = |line: &String| line.contains("a ledger row was not written");
    let line = tokio::time::timeout(4 * PATIENCE, async {
        loop {
            if let Some(line) = log_of(&id).into_iter().find(lost) {
                return line;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let line = line.await.expect("the tries end");
    // The record is a field of the line, as JSON in quotes.
    let quoted = &line[line.find("record=").unwrap() + 7..];
    let quoted: String = serde_json::Deserializer::from_str(quoted).into_iter().next().unwrap().unwrap();
    let record: Value = serde_json::from_str(&quoted).unwrap();
    assert_eq!((&record["id"], &record["status"]), (&json!(id), &json!("completed")));
    assert_eq!(record["output_tokens"], app.only_seen().answered.figures.unwrap().output);
    // And it can be written later.
    chaos.becomes(Wire::Open);
    app.database.execute(&format!("select settle('[{}]')", quoted.replace('\'', "''"))).await;
    assert_eq!(app.only_row().await["id"], *id);
}

/// A claim that was made though its answer never came leaves nothing behind: its caller was told, and nothing was sent.
#[tokio::test]
async fn a_claim_whose_answer_is_never_heard_is_given_up() {
    let (app, chaos, key) = wired().await;
    serves(&app, &key).await;
    app.ledger().await;
    app.database.execute("begin; select pg_advisory_xact_lock(hashtextextended('claim default', 0))").await;
    let call = tokio::spawn(app.instance.messages(&key, hello(false)).send());
    let waits = "select count(*) from pg_locks where locktype = 'advisory' and not granted
                 and database = (select oid from pg_database where datname = current_database())";
    eventually("the claim waits", || async { (app.database.number(waits).await == 1).then_some(()) }).await;
    chaos.becomes(Wire::Mute);
    app.database.execute("commit").await;
    let leases = || async { app.database.number("select count(*) from leases").await };
    eventually("the claim is made", || async { (leases().await == 1).then_some(()) }).await;
    told(call.await.unwrap().unwrap()).await;
    chaos.becomes(Wire::Open);
    eventually("the claim is given up", || async { (leases().await == 0).then_some(()) }).await;
    assert_eq!((app.ledger().await.len(), app.fake.seen().len()), (1, 1), "only what was served");
}

/// What was given up must not be done all the same once its turn comes: nobody would ever give its lease back.
#[tokio::test]
async fn a_claim_that_waited_too_long_takes_nothing_afterwards() {
    let (app, key) = App::ready().await;
    app.database.execute("begin; select pg_advisory_xact_lock(hashtextextended('claim default', 0))").await;
    told(app.instance.messages(&key, hello(false)).send().await.unwrap()).await;
    app.database.execute("commit").await;
    // This claim stands in line behind whoever waited before it.
    serves(&app, &key).await;
    assert_eq!(app.ledger().await.len(), 1, "only what was served");
    assert_eq!(app.fake.seen().len(), 1);
}
