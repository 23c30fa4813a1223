//! `/api/stats/export.csv`: the whole ledger, streamed, and inert in a spreadsheet.

use std::collections::BTreeMap;

use reqwest::Method;

use super::{get, past, roll_up};
use crate::support::App;

async fn table(app: &App, query: &str) -> Vec<BTreeMap<String, String>> {
    let answer = app.instance.operator(Method::GET, &format!("/api/stats/export.csv{query}"), None).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "text/csv; charset=utf-8");
    assert!(answer.headers()["content-disposition"].to_str().unwrap().contains("requests.csv"));
    assert!(!answer.headers().contains_key("content-length"), "it is streamed");
    let text = answer.text().await.unwrap();
    csv::Reader::from_reader(text.as_bytes()).deserialize().map(Result::unwrap).collect()
}

#[tokio::test]
async fn an_export_holds_every_row_of_every_page_once() {
    let app = past(2_600).await;
    for rolled in [false, true] {
        if rolled {
            roll_up(&app).await;
        }
        let rows = table(&app, "").await;
        let expect = app.database.rows("select id from ledger order by started_at desc, id desc").await;
        let ids: Vec<_> = rows.iter().map(|row| row["id"].as_str()).collect();
        let expect: Vec<_> = expect.iter().map(|row| row["id"].as_str().unwrap()).collect();
        assert_eq!(ids, expect);
        for (filter, column, value) in [("?status=failed", "status", "failed"), ("?model=model-b", "model", "model-b")]
        {
            let some = table(&app, filter).await;
            let count = rows.iter().filter(|row| row[column] == value).count();
            assert_eq!((some.len(), some.iter().all(|row| row[column] == value)), (count, true), "{filter}");
        }
    }
    let shown = get(&app, "requests?limit=1").await["data"][0].clone();
    let row = &table(&app, "").await[0];
    assert_eq!(
        (&*row["id"], &*row["started_at"]),
        (shown["id"].as_str().unwrap(), shown["started_at"].as_str().unwrap())
    );
    let input = shown["tokens"]["input"].as_i64().map(|tokens| tokens.to_string()).unwrap_or_default();
    assert_eq!(row["input_tokens"], input, "what nobody knows is empty");
    assert_eq!(row["cost_usd"].parse::<f64>().unwrap(), shown["cost_usd"].as_f64().unwrap());
}

/// C10: `=cmd` in a name or an error, a break or an escape in what an upstream said, do nothing.
#[tokio::test]
async fn an_export_is_safe_to_open_in_a_spreadsheet() {
    let app = past(20).await;
    app.database
        .execute(r#"update ledger set key_id = 'key_1', model = '@sum(1)', error = E'\r\n=cmd|''/C calc''!A0', client = E'-2+\x1b[31m",x'"#)
        .await;
    for row in table(&app, "").await {
        assert_eq!((&*row["key_name"], &*row["model"]), ("'=key 1", "'@sum(1)"));
        assert_eq!(row["error"], "'  =cmd|'/C calc'!A0");
        assert_eq!(row["client"], "'-2+ [31m\",x");
    }
}
