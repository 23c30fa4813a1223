//! `llm-gateway stats` and `requests`: the ledger of a real gateway.

use serde_json::{Value, json};

use crate::support::Site;

async fn furnished() -> (Site, String) {
    let site = Site::start().await;
    site.account("team-1", "sk-ant-one-0123456789");
    let key = site.key("=cmd|' /C calc'!A0");
    for word in ["one", "two", "three"] {
        site.message(&key, word).await;
    }
    (site, key)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_used_is_told_in_all() {
    let (site, _) = furnished().await;
    let summary = site.json(&["stats"]);
    assert_eq!((&summary["requests"], &summary["succeeded"]), (&json!(3), &json!(3)));
    let told = site.run(&["stats", "--from", "1h"]).good();
    let line = told.lines().find(|line| line.starts_with("requests")).unwrap();
    assert_eq!(line.split_whitespace().collect::<Vec<_>>(), ["requests", "3", "0"], "{told}");
    assert!(told.lines().any(|line| line.starts_with("success rate") && line.contains("100.0 %")), "{told}");
    assert_eq!(site.json(&["stats", "--model", "no-such"])["requests"], 0);
    assert_eq!(site.json(&["stats", "--from", "2020-01-01", "--to", "2020-02-01"])["requests"], 0);
    assert!(site.run(&["stats", "--from", "yesterday"]).bad(1).contains("2027-01-31"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_used_is_told_by_account_key_and_model() {
    let (site, _) = furnished().await;
    for (by, name) in [("account", "team-1"), ("key", "=cmd|' /C calc'!A0"), ("model", "claude-sonnet-4-5")] {
        let table = site.run(&["stats", "--by", by, "--from", "7d"]).good();
        let row = table.lines().nth(1).unwrap();
        assert!(table.starts_with("NAME ") && row.starts_with(name) && row.contains("  100.0 %"), "{by}: {table}");
        let rows = site.json(&["stats", "--by", by]);
        assert_eq!(rows[0]["requests"], 3, "{by}: {rows}");
    }
    assert_eq!(site.json(&["stats", "--by", "key", "--provider", "gemini"]), json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_listed_filtered_and_shown_with_their_attempts() {
    let (site, _) = furnished().await;
    let table = site.run(&["requests"]).good();
    assert_eq!(table.lines().count(), 4, "{table}");
    assert!(table.starts_with("STARTED ") && table.contains("  completed"), "{table}");
    let rows = site.json(&["requests"]);
    assert_eq!(rows.as_array().unwrap().len(), 3);
    assert_eq!(site.json(&["requests", "--limit", "2"]).as_array().unwrap().len(), 2);
    assert_eq!(site.json(&["requests", "--status", "failed"]), json!([]));
    let account = rows[0]["account"].as_str().unwrap();
    let from = ["requests", "--all", "--account", account, "--from", "today", "--model", "claude-sonnet-4-5"];
    assert_eq!(site.json(&from).as_array().unwrap().len(), 3);
    let id = rows[0]["id"].as_str().unwrap();
    assert_eq!(site.json(&["requests", id]), rows[0]);
    let shown = site.run(&["requests", id]).good();
    assert!(shown.contains("\nATTEMPT ") && shown.contains("  delivered"), "{shown}");
    assert!(site.run(&["requests", "req_nobody"]).bad(5).contains("req_nobody"));
}

/// C10: a spreadsheet takes no name for a formula.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ledger_goes_into_a_file_that_a_spreadsheet_may_open() {
    let (site, _) = furnished().await;
    let table = site.run(&["requests", "--csv"]).good();
    let mut table = csv::Reader::from_reader(table.as_bytes());
    let head = table.headers().unwrap().clone();
    let column = |name: &str| head.iter().position(|head| head == name).unwrap();
    let rows: Vec<_> = table.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 3);
    let of_api: Value = site.json(&["requests"]);
    for (row, of_api) in rows.iter().zip(of_api.as_array().unwrap()) {
        assert_eq!(&row[column("id")], of_api["id"].as_str().unwrap());
        assert_eq!(&row[column("key_name")], "'=cmd|' /C calc'!A0");
        assert_eq!(row[column("output_tokens")], of_api["tokens"]["output"].to_string());
        assert_eq!(&row[column("attempts")], "1");
    }
    // More than a page, without holding more than a page: as the ledger goes, so does the file.
    site.database
        .client
        .batch_execute(
            "insert into ledger select l.* from ledger m cross join generate_series(1, 400) n
             cross join lateral jsonb_populate_record(m, jsonb_build_object('id', m.id || '_' || n)) l",
        )
        .await
        .unwrap();
    let table = site.run(&["requests", "--csv"]).good();
    let ids: std::collections::BTreeSet<_> =
        table.lines().skip(1).map(|line| line.split(',').next().unwrap()).collect();
    assert_eq!((table.lines().count(), ids.len()), (1 + 1_203, 1_203));
    assert_eq!(site.json(&["requests", "--all"]).as_array().unwrap().len(), 1_203);
    assert_eq!(site.json(&["requests", "--limit", "501"]).as_array().unwrap().len(), 501);
}

/// As `head` does: who has read enough is no fault.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_who_goes_early_is_no_fault() {
    let (site, _) = furnished().await;
    let program = env!("CARGO_BIN_EXE_llm-gateway");
    let mut bash = std::process::Command::new("bash");
    bash.args(["-c", &format!("set -o pipefail; {program} requests --csv | true")]);
    bash.env("GATEWAY_URL", &site.url).env("ADMIN_TOKEN", crate::support::ADMIN_TOKEN);
    let done = crate::support::run(bash, "");
    assert_eq!((done.code, &*done.err), (0, ""));
}
