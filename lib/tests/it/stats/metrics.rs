//! `/api/stats/metrics`: Prometheus's text format, by the rules of promtool's lint.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;

use super::{past, roll_up};
use crate::support::App;

/// Samples by name with labels; what is wrong with the text panics.
fn linted(text: &str) -> BTreeMap<String, f64> {
    assert!(text.ends_with('\n'));
    let (mut samples, mut families): (BTreeMap<String, f64>, BTreeMap<String, String>) = Default::default();
    let mut helped = BTreeSet::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a help text");
            assert!(helped.insert(name.to_owned()) && help.len() > 3, "{line}");
            continue;
        }
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(helped.contains(name), "{name} has no help before its type");
            assert!(families.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} is there twice");
            check_name(name, kind);
            current = name.to_owned();
            continue;
        }
        let (sample, value) = line.rsplit_once(' ').unwrap();
        let name = sample.split('{').next().unwrap();
        let suffixes: &[&str] = if families[&current] == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
        let of_family = suffixes.iter().any(|suffix| name.strip_suffix(suffix) == Some(&current));
        assert!(of_family, "{name} is among {current}");
        assert!(samples.insert(sample.to_owned(), value.parse().unwrap()).is_none(), "{sample} is there twice");
    }
    assert_eq!(helped.len(), families.len());
    samples
}

/// promtool: base units, no type or abbreviated unit in a name, counters and only they end with `_total`.
fn check_name(name: &str, kind: &str) {
    assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
    assert_eq!(name.ends_with("_total"), kind == "counter", "{name} is a {kind}");
    for part in name.split('_') {
        let bad = [
            "counter",
            "gauge",
            "histogram",
            "summary",
            "ms",
            "sec",
            "milliseconds",
            "minutes",
            "kb",
            "bytes_total",
            "percent",
        ];
        assert!(!bad.contains(&part), "{name}");
    }
    for reserved in ["_bucket", "_count", "_sum"] {
        assert!(!name.ends_with(reserved), "{name}");
    }
    assert!(["counter", "gauge", "histogram"].contains(&kind), "{name} is a {kind}");
}

async fn scraped(app: &App) -> BTreeMap<String, f64> {
    let answer = app.instance.operator(Method::GET, "/api/stats/metrics", None).await;
    assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    linted(&answer.text().await.unwrap())
}

fn total(samples: &BTreeMap<String, f64>, family: &str, label: &str) -> f64 {
    let mine = samples.iter().filter(|(name, _)| name.split('{').next() == Some(family) && name.contains(label));
    mine.map(|(_, value)| value).sum()
}

#[tokio::test]
async fn metrics_are_lint_clean_and_add_up_to_the_ledger() {
    let app = past(500).await;
    app.database.execute(r#"update accounts set name = E'a"b\\c\nd' where id = 'acc_0'"#).await;
    let before = scraped(&app).await;
    roll_up(&app).await;
    let samples = scraped(&app).await;
    assert_eq!(samples, before, "rolled up or not");
    let count = async |sql: &str| app.database.number(&format!("select count(*) from ledger where {sql}")).await as f64;
    assert_eq!(total(&samples, "llm_gateway_requests_total", ""), 500.0);
    assert_eq!(total(&samples, "llm_gateway_requests_total", "status=\"failed\""), count("status = 'failed'").await);
    assert_eq!(
        total(&samples, "llm_gateway_account_requests_total", "account=\"acc_2\""),
        count("account_id = 'acc_2'").await
    );
    assert_eq!(total(&samples, "llm_gateway_estimated_requests_total", ""), count("estimated").await);
    let output = app.database.number("select sum(output_tokens) from ledger").await as f64;
    assert_eq!(total(&samples, "llm_gateway_tokens_total", "kind=\"output\""), output);
    let cost = app.database.number("select sum(cost_micros) from ledger").await as f64 / 1e6;
    assert!((total(&samples, "llm_gateway_cost_dollars_total", "") - cost).abs() < 1e-6);
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(samples[&format!("llm_gateway_build_info{{version=\"{version}\"}}")], 1.0);
    assert_eq!(samples["llm_gateway_in_flight_requests"], 0.0);
    assert_eq!(total(&samples, "llm_gateway_account_state", "account=\"acc_1\""), 1.0, "one state each");
    assert_eq!(total(&samples, "llm_gateway_account_state", "name=\"a\\\"b\\\\c\\nd\""), 1.0);

    let name = "llm_gateway_request_duration_seconds";
    let completed = count("status = 'completed' and provider = 'gemini'").await;
    assert_eq!(samples[&format!("{name}_count{{provider=\"gemini\"}}")], completed);
    assert_eq!(samples[&format!("{name}_bucket{{provider=\"gemini\",le=\"+Inf\"}}")], completed);
    let ms = "select coalesce(sum(duration_ms), 0) from ledger where status = 'completed' and provider = 'gemini'";
    let seconds = app.database.number(ms).await as f64 / 1e3;
    assert!((samples[&format!("{name}_sum{{provider=\"gemini\"}}")] - seconds).abs() < 1e-6);
    let prefix = format!("{name}_bucket{{provider=\"gemini\",le=\"");
    let mut buckets: Vec<(f64, f64)> = samples
        .iter()
        .filter_map(|(sample, value)| {
            Some((sample.strip_prefix(&prefix)?.trim_end_matches("\"}").parse().ok()?, *value))
        })
        .collect();
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    assert!(buckets.len() > 10 && buckets.windows(2).all(|pair| pair[0].1 <= pair[1].1), "{buckets:?}");
}
