//! How reported limits stood over time, and how long what is known of the past is kept.

use fake_upstream::{Answer, Lifelike, Script};
use http::StatusCode;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    support::{App, Instance, eventually, refused},
    walk::hello,
};

/// Points of a made-up past: one account's two limits, five minutes apart.
const PAST: &str = "
    insert into accounts (id, provider, name, credential, credential_kind, credential_hint)
    values ('acc_past', 'anthropic', 'past', '\\x00', 'api_key', '');
    insert into reported_history (account_id, at, family, name, used, resets_at)
    select 'acc_past', timestamptz '2026-11-10T00:00:00Z' + n * interval '5 minutes', '', '5h', 0.01 * n, '2026-11-10T05:00:00Z'
    from generate_series(0, 23) n where n <> 2;
    insert into reported_history (account_id, at, family, name, used)
    values ('acc_past', '2026-11-10T00:10:00Z', 'claude-opus', '7d_opus', 1.02);";

async fn history(app: &App, account: &str, query: &str) -> Value {
    app.instance.manage(Method::GET, &format!("/api/accounts/{account}/limits{query}"), None).await
}

/// What an upstream says with its next answer.
fn reports(app: &App, used: &str) {
    let answer = Answer::lifelike(Lifelike::default());
    app.fake.script(Script::once(answer.with_header("anthropic-ratelimit-unified-5h-utilization", used)));
}

#[tokio::test]
async fn what_upstreams_report_is_kept_by_five_minutes_with_its_peak() {
    let app = App::start().await;
    let account = app.account("anthropic", "sk-ant-one", json!({})).await;
    let key = app.key(json!({})).await;
    assert_eq!(history(&app, &account, "").await["series"], json!([]));
    // What is kept comes later than the answer; each instance reports what is news to it.
    for used in ["0.31", "0.42", "0.4"] {
        reports(&app, used);
        app.neighbour().await.messages(&key, hello(false)).send().await.unwrap().text().await.unwrap();
        let used: f64 = used.parse().unwrap();
        eventually("the report is kept", || async {
            let now = &app.shown(&account).await["reported_limits"];
            now.as_array().unwrap().iter().any(|limit| limit["utilization"] == used).then_some(())
        })
        .await;
    }
    let told = history(&app, &account, "").await;
    let line = told["series"].as_array().unwrap().iter().find(|line| line["name"] == "5h").expect("a line").clone();
    assert_eq!(line["family"], Value::Null);
    let values: Vec<f64> = line["values"].as_array().unwrap().iter().filter_map(Value::as_f64).collect();
    // A border of five minutes may lie between them.
    let points = app.database.number("select count(*) from reported_history where name = '5h'").await;
    assert_eq!(values.len() as i64, points);
    assert!(points <= 3 && values.contains(&0.42), "{values:?}");
    assert!(points > 1 || values == [0.42], "the peak of the five minutes: {values:?}");
    assert_eq!(told["times"].as_array().unwrap().len(), line["resets_at"].as_array().unwrap().len());
}

#[tokio::test]
async fn the_history_is_told_in_steps_that_fit_the_span() {
    let app = App::start().await;
    app.instance.manage(Method::GET, "/api/accounts", None).await;
    app.database.execute(PAST).await;
    let fine = history(&app, "acc_past", "?from=2026-11-10T00:03:00Z&to=2026-11-10T00:20:00Z").await;
    assert_eq!(fine["step_seconds"], 300);
    let quarter = ["00:00", "00:05", "00:10", "00:15"].map(|time| format!("2026-11-10T{time}:00Z"));
    assert_eq!(fine["times"], json!(quarter));
    assert_eq!(
        fine["series"],
        json!([
            { "name": "5h", "family": null, "values": [0.0, 0.01, null, 0.03],
              "resets_at": ["2026-11-10T05:00:00Z", "2026-11-10T05:00:00Z", null, "2026-11-10T05:00:00Z"] },
            { "name": "7d_opus", "family": "claude-opus", "values": [null, null, 1.02, null],
              "resets_at": [null, null, null, null] },
        ])
    );
    let coarse = history(&app, "acc_past", "?from=2026-11-09T22:30:00Z&to=2026-11-12T00:00:00Z").await;
    assert_eq!((&coarse["step_seconds"], coarse["times"].as_array().unwrap().len()), (&json!(3_600), 50));
    let line = &coarse["series"][0]["values"];
    assert_eq!((&line[1], &line[2], &line[3], &line[4]), (&Value::Null, &json!(0.11), &json!(0.23), &Value::Null));
    let missing = app.instance.operator(Method::GET, "/api/accounts/acc_none/limits", None).await;
    refused(missing, StatusCode::NOT_FOUND, "not_found", None).await;
    for (query, param) in [("from=yesterday", "from"), ("step=hour", "step")] {
        let answer = app.instance.operator(Method::GET, &format!("/api/accounts/acc_past/limits?{query}"), None).await;
        refused(answer, StatusCode::BAD_REQUEST, "invalid_request", Some(param)).await;
    }
    app.instance.operator(Method::DELETE, "/api/accounts/acc_past", None).await;
    assert_eq!(app.database.number("select count(*) from reported_history").await, 0, "it goes with its account");
}

#[tokio::test]
async fn reports_are_kept_as_long_as_the_ledger_which_the_settings_tell() {
    let short = [("LEDGER_RETENTION_DAYS", "60")];
    let app = App::start_with(&short).await;
    app.account("anthropic", "sk-ant-one", json!({})).await;
    let key = app.key(json!({})).await;
    app.database.execute(PAST).await;
    app.database
        .execute(
            "update reported_history set at = at - interval '61 days' - (timestamptz '2026-11-10T00:00:00Z' - now())
             where name = '5h'",
        )
        .await;
    let retention = app.instance.manage(Method::GET, "/api/stats/retention", None).await;
    assert_eq!(retention, json!({ "ledger_days": 60, "kept_from": null }));
    // One round of upkeep is made beside the first request to an instance.
    Instance::start(&app.database.url, &short).await.messages(&key, hello(false)).send().await.unwrap();
    eventually("what is old is gone", || async {
        let old = "select count(*) from reported_history where account_id = 'acc_past' and name = '5h'";
        (app.database.number(old).await == 0).then_some(())
    })
    .await;
    let young = "select count(*) from reported_history where account_id = 'acc_past'";
    assert_eq!(app.database.number(young).await, 1, "what is young stays");

    app.database.execute("update ledger_state set kept_from = '2026-08-24T00:00:00Z'").await;
    let forever = Instance::start(&app.database.url, &[("LEDGER_RETENTION_DAYS", "0")]).await;
    let retention = forever.manage(Method::GET, "/api/stats/retention", None).await;
    assert_eq!(retention, json!({ "ledger_days": null, "kept_from": "2026-08-24T00:00:00Z" }));
}
