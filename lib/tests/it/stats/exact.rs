//! Rollups are the ledger, whatever is written late, changed or deleted (D4).

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{BEGAN, SPAN, get, past, roll_up};
use crate::support::App;

const FILTERS: [&str; 14] = [
    "",
    "&provider=gemini",
    "&account=acc_1",
    "&key=key_2",
    "&model=model-b",
    "&model=model-*",
    "&pool=search",
    "&status=failed",
    "&label.team=search",
    "&label.team=ads&status=completed&provider=anthropic",
    "&key=key_0&account=acc_0&model=other",
    "&key=key_none",
    "&model=%25%25%25%25",
    "&label.team=%25",
];

/// All that rollups have a part in.
fn questions() -> Vec<String> {
    let mut paths = Vec::new();
    for filter in FILTERS {
        for path in ["summary?", "models?", "keys?sort=cost&", "accounts?sort=latency&"] {
            paths.push(format!("{path}{SPAN}{filter}"));
        }
        paths.push(format!("requests?limit=500{filter}"));
        paths.push(format!("requests?limit=7&mark=unpriced{filter}"));
        paths.push(format!("requests?limit=7&{SPAN}{filter}"));
    }
    for metric in
        ["requests", "errors", "tokens", "cost", "success_rate", "cache_hit_ratio", "latency_p90", "first_token_p50"]
    {
        for step in ["hour", "day"] {
            for group in ["", "&group_by=model&groups=2", "&group_by=label:team", "&group_by=account", "&group_by=key"]
            {
                paths.push(format!("series?{SPAN}&metric={metric}&step={step}{group}"));
            }
        }
    }
    paths.push("summary?from=2020-11-12T00:00:00Z&to=2020-11-13T00:00:00Z".to_owned());
    paths.push("summary?from=2020-11-12T08:20:00Z&to=2020-11-12T08:40:00Z".to_owned());
    paths
}

async fn answers(app: &App) -> Vec<Value> {
    let mut answers = Vec::new();
    for some in questions().chunks(8) {
        answers.extend(join_all(some.iter().map(|path| get(app, path))).await);
    }
    answers
}

fn same(got: &[Value], expect: &[Value], when: &str) {
    for ((path, got), expect) in questions().iter().zip(got).zip(expect) {
        assert_eq!(got, expect, "{path}, {when}");
    }
}

/// What a fresh sum of the ledger has and the rollups have not, or the other way round.
const DIFFERENCES: &str = "
    with told as (
        select step, facet, key_id, account_id, model, status, requests, input_tokens, cost_micros, moved_cache_write_5m, latency
        from rollups
    ),
    rollups_again as (
        select s.step, 'both' as facet, key_id, account_id, provider, pool, model, status,
            date_trunc(s.step, f.at, 'UTC') as at, sum(requests) as requests, sum(input_tokens) as input_tokens,
            sum(cost_micros) as cost_micros, sum(moved_cache_write_5m) as moved_cache_write_5m, sum(latency) as latency
        from ledger_facts f, (values ('hour'), ('day')) s (step)
        group by s.step, key_id, account_id, provider, pool, model, status, date_trunc(s.step, f.at, 'UTC')
    ),
    mine as (
        select step, at, key_id, account_id, provider, pool, model, status, requests::numeric, input_tokens::numeric,
            cost_micros::numeric, moved_cache_write_5m::numeric, latency
        from rollups where facet = 'both'
    ),
    truth as (
        select step, at, key_id, account_id, provider, pool, model, status, requests, input_tokens, cost_micros,
            moved_cache_write_5m, latency
        from rollups_again
    ),
    facets as (
        select facet from rollups where step = 'day' group by facet
        having sum(requests) <> (select count(*) from ledger) or sum(cost_micros) <> (select sum(cost_micros) from ledger)
            or sum(latency) <> (select sum(latency) from ledger_facts)
    )
    select (select count(*) from ((table mine except table truth) union all (table truth except table mine)) d)
        + (select count(*) from facets) + (select case when count(*) = 0 then 1 else 0 end from told)";

async fn recomputed(app: &App) {
    assert_eq!(app.database.number(DIFFERENCES).await, 0, "recomputing from the ledger gives the same numbers");
    // The same of every column, and of what keys and accounts are not told apart in.
    app.database
        .execute(&format!(
            "create temporary table kept as table rollups; delete from rollups;
             insert into dirty_hours select timestamptz '{BEGAN}' + n * interval '1 hour' from generate_series(0, 95) n"
        ))
        .await;
    roll_up(app).await;
    let again =
        "select count(*) from ((table kept except table rollups) union all (table rollups except table kept)) d";
    assert_eq!(app.database.number(again).await, 0, "every column is the same when all is rolled up anew");
    assert!(app.database.number("select count(*) from kept").await > 100);
    app.database.execute("drop table kept").await;
}

#[tokio::test]
async fn rollups_are_the_ledger_whatever_is_written_late() {
    let app = past(1_500).await;
    let from_ledger = answers(&app).await;
    assert_eq!(app.database.number("select count(*) from rollups").await, 0);
    roll_up(&app).await;
    recomputed(&app).await;
    same(&answers(&app).await, &from_ledger, "rolled up");

    // A row that comes late, one that was lost and is true after all, one that is gone.
    let late = format!(
        r#"[{{"id": "req_late", "started_at": "2020-11-11T10:30:00Z", "key_id": "key_1", "account_id": "acc_1", "pool": "default",
            "provider": "anthropic", "operation": "generate", "model": "model-a", "stream": true, "affinity": "moved",
            "status": "completed", "attempts": [], "input_tokens": 1000000, "cache_write_5m_tokens": 5, "cost_micros": 12345,
            "estimated": false, "unpriced": false, "duration_ms": 100}},
          {}]"#,
        r#"{"id": "req_true", "started_at": "2020-11-12T10:30:00Z", "key_id": "key_1", "account_id": "acc_1", "pool": "default",
            "provider": "anthropic", "operation": "generate", "stream": true, "status": "lost", "attempts": [], "cost_micros": 7,
            "estimated": true, "unpriced": false, "duration_ms": 100}"#
    );
    app.database.execute(&format!("select settle('{late}')")).await;
    app.database.execute("delete from ledger where id in ('req_00007', 'req_00008')").await;
    let marked = answers(&app).await;
    assert_ne!(marked, from_ledger);
    roll_up(&app).await;
    recomputed(&app).await;
    same(&answers(&app).await, &marked, "late rows rolled up");

    let truth = late.replace("\"lost\"", "\"completed\"").replace("\"cost_micros\": 7", "\"cost_micros\": 999999");
    app.database.execute(&format!("select settle('{truth}')")).await;
    let replaced = answers(&app).await;
    assert_ne!(replaced, marked, "the true row counts at once");
    roll_up(&app).await;
    recomputed(&app).await;
    same(&answers(&app).await, &replaced, "the true row rolled up");

    // Every hour marked anew: all of it from the ledger.
    app.database
        .execute(&format!(
            "insert into dirty_hours select timestamptz '{BEGAN}' + n * interval '1 hour' from generate_series(0, 96) n"
        ))
        .await;
    same(&answers(&app).await, &replaced, "read from the ledger alone");
}

#[tokio::test]
async fn an_hour_that_is_running_leaves_no_mark_and_is_told_at_once() {
    let (app, key) = App::ready().await;
    app.instance.messages(&key, crate::walk::hello(false)).send().await.unwrap().text().await.unwrap();
    app.ledger().await;
    let marks = "select count(*) from dirty_hours where hour >= date_trunc('hour', now())";
    assert_eq!(app.database.number(marks).await, 0);
    assert_eq!(get(&app, "summary").await["requests"], 1);
    let row = super::row("req_x", 60, &mut crate::support::Chance::of(1));
    app.database.execute(&format!("select ledger_partition('{BEGAN}'); {}{row}", super::INSERT)).await;
    assert_eq!(
        app.database.rows("select hour from dirty_hours").await,
        [json!({ "hour": "2020-11-10T00:00:00+00:00" })]
    );
}
