//! What `docs/monitoring/` asks Prometheus for is there, and every alert is explained.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::Value;

use crate::{support::App, tidy::text, walk::hello};

const ALERTS: &str = "docs/monitoring/alerts.yml";
const DASHBOARD: &str = "docs/monitoring/grafana-dashboard.json";

/// The names of metrics that a text holds.
fn metrics(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_lowercase() && c != '_');
    words.filter(|word| word.starts_with("llm_gateway_")).map(str::to_owned).collect()
}

/// The labels that a text asks for, in braces and after `by`.
fn labels(expression: &str) -> BTreeSet<String> {
    let matchers = expression.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(inside, _)| inside);
    let asked = matchers.flat_map(|inside| inside.split(", ")).filter_map(|one| one.split(['=', '!']).next());
    let groups = expression.split(" by (").skip(1).filter_map(|rest| rest.split_once(')')).map(|(inside, _)| inside);
    asked.chain(groups.flat_map(|inside| inside.split(", "))).map(|label| label.trim().to_owned()).collect()
}

fn alerts(text: &str) -> Vec<String> {
    text.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).map(str::to_owned).collect()
}

/// Every expression of the dashboard.
fn expressions(dashboard: &Value) -> Vec<String> {
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    targets.map(|target| target["expr"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn every_metric_that_is_watched_is_there_with_its_labels() {
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=";
    let app = App::start_with(&[("WEBHOOK_URL", "http://127.0.0.1:1/in"), ("WEBHOOK_SECRET", secret)]).await;
    app.account("anthropic", "sk-ant-one", serde_json::json!({})).await;
    let key = app.key(serde_json::json!({})).await;
    app.instance.messages(&key, hello(false)).send().await.unwrap().text().await.unwrap();
    app.ledger().await;
    let answer = app.instance.operator(Method::GET, "/api/stats/metrics", None).await.text().await.unwrap();
    let samples: Vec<&str> = answer.lines().filter(|line| !line.starts_with('#')).collect();
    let named: BTreeSet<String> =
        samples.iter().map(|line| line.split(['{', ' ']).next().unwrap().to_owned()).collect();
    let [alerts, dashboard] = [ALERTS, DASHBOARD].map(text);
    for (file, text) in [(ALERTS, &alerts), (DASHBOARD, &dashboard)] {
        let wanted = metrics(text);
        assert!(wanted.len() > 5, "{file} watches something");
        let missing: Vec<_> = wanted.difference(&named).collect();
        assert!(missing.is_empty(), "{file} watches {missing:?}");
    }
    let known: BTreeSet<String> = samples
        .iter()
        .filter_map(|line| line.split_once('{')?.1.split_once('}'))
        .flat_map(|(inside, _)| inside.split("\",").map(|one| one.split('=').next().unwrap().to_owned()))
        .collect();
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let asked = expressions(&dashboard).into_iter().chain(alerts.lines().map(str::to_owned));
    for expression in asked.filter(|text| text.contains("llm_gateway_")) {
        let unknown: Vec<_> = labels(&expression).difference(&known).cloned().collect();
        assert!(unknown.is_empty(), "{expression} asks for {unknown:?} of {known:?}");
    }
}

#[test]
fn every_alert_says_what_it_means_and_what_to_do() {
    let (rules, runbook) = (text(ALERTS), text("docs/OPERATIONS.md"));
    let alerts = alerts(&rules);
    assert_eq!(rules.matches("expr:").count(), alerts.len());
    assert_eq!(rules.matches("severity:").count(), alerts.len());
    assert_eq!(rules.matches("summary:").count(), alerts.len());
    for alert in &alerts {
        let rows = runbook.lines().filter(|line| line.starts_with(&format!("| `{alert}` |")));
        let [row] = rows.collect::<Vec<_>>()[..] else { panic!("{alert} has no row in docs/OPERATIONS.md, or two") };
        assert_eq!(row.matches(" | ").count(), 2, "{row}: name, meaning, cure");
    }
    let explained = runbook.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let names = explained.map(|(name, _)| name).filter(|name| name.starts_with(char::is_uppercase));
    for name in names.filter(|name| name.chars().any(char::is_lowercase)) {
        assert!(alerts.iter().any(|alert| alert == name), "docs/OPERATIONS.md explains {name}, which is no alert");
    }
}

/// A dashboard as Grafana imports it: every panel has its place, its name and something to show.
#[test]
fn the_dashboard_is_whole() {
    let dashboard: Value = serde_json::from_str(&text(DASHBOARD)).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut ids = BTreeSet::new();
    let mut taken = BTreeSet::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        assert!(panel["title"].as_str().is_some_and(|title| title.len() > 3), "{panel}");
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap());
        assert!(x + w <= 24, "{panel}");
        for place in (x..x + w).flat_map(|column| (y..y + h).map(move |row| (column, row))) {
            assert!(taken.insert(place), "{panel} lies on another");
        }
    }
    for expression in expressions(&dashboard) {
        for (open, close) in [('(', ')'), ('{', '}'), ('[', ']')] {
            assert_eq!(expression.matches(open).count(), expression.matches(close).count(), "{expression}");
        }
    }
}
