//! `/api/stats/series`: what charts are drawn from.

use http::StatusCode;
use reqwest::Method;
use serde_json::{Value, json};

use super::{SPAN, get, past, roll_up};
use crate::support::{App, refused};

fn sum(line: &Value) -> f64 {
    line["values"].as_array().unwrap().iter().filter_map(Value::as_f64).sum()
}

async fn lines(app: &App, query: &str) -> Vec<Value> {
    let answer = get(app, &format!("series?{SPAN}&{query}")).await;
    let times = answer["times"].as_array().unwrap().len();
    let lines = answer["series"].as_array().unwrap().clone();
    assert!(
        lines.iter().all(|line| line["values"].as_array().unwrap().len() == times),
        "{query}: a value for each time"
    );
    lines
}

#[tokio::test]
async fn the_points_of_a_chart_add_up_to_the_summary() {
    let app = past(600).await;
    for rolled in [false, true] {
        if rolled {
            roll_up(&app).await;
        }
        let summary = get(&app, &format!("summary?{SPAN}")).await;
        let told = |kinds: &[&str]| kinds.iter().map(|kind| summary["tokens"][*kind].as_f64().unwrap()).sum::<f64>();
        let failed = &summary["failed"];
        let errors = ["failed", "refused", "lost"].map(|kind| failed[kind].as_f64().unwrap()).iter().sum();
        for (metric, expect) in [
            ("requests", summary["requests"].as_f64().unwrap()),
            ("errors", errors),
            ("cost", summary["cost_usd"].as_f64().unwrap()),
            ("output_tokens", told(&["output"])),
            ("tokens", told(&["input", "output", "cache_read", "cache_write_5m", "cache_write_1h"])),
            ("failovers", summary["failovers"].as_f64().unwrap()),
            ("moved", summary["affinity"]["moved"].as_f64().unwrap()),
        ] {
            for group in [
                "",
                "&group_by=provider",
                "&group_by=model",
                "&group_by=status",
                "&group_by=key&groups=2",
                "&group_by=label:team",
                "&group_by=pool&groups=1",
            ] {
                for step in ["hour", "day"] {
                    let lines = lines(&app, &format!("metric={metric}&step={step}{group}")).await;
                    let all: f64 = lines.iter().map(sum).sum();
                    assert!((all - expect).abs() < 1e-6, "{metric} by {step}{group}: {all} for {expect}");
                }
            }
        }
    }
}

#[tokio::test]
async fn the_greatest_groups_have_a_line_and_the_others_share_one() {
    let app = past(600).await;
    let all = lines(&app, "group_by=key&groups=20").await;
    assert_eq!(all.len(), 4);
    assert!(all.windows(2).all(|pair| sum(&pair[0]) >= sum(&pair[1])), "greatest first");
    let two = lines(&app, "group_by=key&groups=2").await;
    assert_eq!(two[..2], all[..2]);
    assert_eq!((&two[2]["group"], &two[2]["other"]), (&Value::Null, &json!(true)));
    assert_eq!(sum(&two[2]), sum(&all[2]) + sum(&all[3]));
    let named: Vec<_> = all.iter().map(|line| (line["group"].as_str().unwrap(), line["name"].as_str())).collect();
    assert!(named.contains(&("key_1", Some("=key 1"))) && named.contains(&("key_3", None)), "{named:?}");
    // Requests that name no model are a line, and not the others.
    let models = lines(&app, "group_by=model").await;
    assert!(models.iter().any(|line| line["group"].is_null() && line["other"] == false), "{models:?}");
    let teams = lines(&app, "group_by=label:team").await;
    let names: Vec<_> = teams.iter().map(|line| line["group"].as_str()).collect();
    assert!([Some("search"), Some("ads"), None].iter().all(|team| names.contains(team)), "{names:?}");
}

#[tokio::test]
async fn nothing_is_zero_where_it_is_counted_and_null_where_it_is_measured() {
    let app = past(5).await;
    for (metric, empty) in [
        ("requests", json!(0.0)),
        ("cost", json!(0.0)),
        ("success_rate", Value::Null),
        ("latency_p50", Value::Null),
        ("cache_hit_ratio", Value::Null),
    ] {
        let answer =
            get(&app, &format!("series?from=2020-10-01T00:30:00Z&to=2020-10-01T02:10:00Z&metric={metric}")).await;
        assert_eq!(answer["times"], json!(["2020-10-01T00:00:00Z", "2020-10-01T01:00:00Z", "2020-10-01T02:00:00Z"]));
        let line = answer["series"].as_array().unwrap().first().cloned();
        assert!(line.is_none_or(|line| line["values"] == json!([empty, empty, empty])), "{metric}: {answer}");
    }
    // A row whose tokens nobody knows is no row with none.
    app.database
        .execute(
            "update ledger set input_tokens = null, cache_read_tokens = null, cache_write_5m_tokens = null,
                cache_write_1h_tokens = null, output_tokens = null",
        )
        .await;
    let summary = get(&app, "summary?from=2020-11-10T00:00:00Z&to=2020-11-14T00:00:00Z").await;
    assert_eq!((&summary["requests"], &summary["tokens"]["output"]), (&json!(5), &Value::Null));
    for rolled in [false, true] {
        if rolled {
            roll_up(&app).await;
        }
        for metric in ["tokens", "prompt_tokens", "output_tokens", "cache_write_tokens"] {
            let answer = get(&app, &format!("series?{SPAN}&step=day&metric={metric}")).await;
            let requests = get(&app, &format!("series?{SPAN}&step=day&metric=requests")).await;
            let pairs = requests["series"][0]["values"]
                .as_array()
                .unwrap()
                .iter()
                .zip(answer["series"][0]["values"].as_array().unwrap());
            let wrong: Vec<_> =
                pairs.filter(|(requests, tokens)| tokens.is_null() != (requests.as_f64() > Some(0.0))).collect();
            assert!(wrong.is_empty(), "{metric}, rolled up: {rolled}: {wrong:?}");
        }
    }
    let text = app.instance.operator(Method::GET, "/api/stats/metrics", None).await.text().await.unwrap();
    assert!(!text.contains("llm_gateway_tokens_total{"), "{text}");
    let nothing = get(&app, "summary?from=2020-10-10T00:00:00Z&to=2020-10-14T00:00:00Z").await;
    assert_eq!((&nothing["tokens"]["output"], &nothing["cost_usd"]), (&json!(0), &json!(0.0)));
}

#[tokio::test]
async fn minutes_are_read_from_the_ledger_itself() {
    let app = past(600).await;
    roll_up(&app).await;
    let answer = get(&app, "series?from=2020-11-11T00:00:00Z&to=2020-11-12T00:00:00Z&step=minute").await;
    assert_eq!(answer["times"].as_array().unwrap().len(), 1_440);
    let summary = get(&app, "summary?from=2020-11-11T00:00:00Z&to=2020-11-12T00:00:00Z").await;
    assert_eq!(sum(&answer["series"][0]), summary["requests"].as_f64().unwrap());
}

#[tokio::test]
async fn every_mistake_in_a_question_is_named() {
    let app = App::start().await;
    for (query, param) in [
        ("series?metric=nonsense", "metric"),
        ("series?step=week", "step"),
        ("series?group_by=label:", "group_by"),
        ("series?group_by=session", "group_by"),
        ("series?groups=21", "groups"),
        ("series?step=minute&from=2020-01-01T00:00:00Z&to=2020-03-01T00:00:00Z", "step"),
        ("series?from=2001-01-01T00:00:00Z", "from"),
        ("series?acount=acc_1", "acount"),
        ("summary?limit=3", "limit"),
        ("models?sort=name", "sort"),
        ("models?cursor=x", "cursor"),
        ("keys?limit=0", "limit"),
        ("requests?mark=nonsense", "mark"),
        ("requests?labels.team=x", "labels.team"),
        ("export.csv?limit=5", "limit"),
        ("audit?key=key_1", "key"),
        ("audit?cursor=x", "cursor"),
    ] {
        let answer = app.instance.operator(Method::GET, &format!("/api/stats/{query}"), None).await;
        refused(answer, StatusCode::BAD_REQUEST, "invalid_request", Some(param)).await;
    }
}
