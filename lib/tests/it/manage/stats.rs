//! `/api/stats` and `/api/health`: what the ledger adds up to, and its pages.

use http::StatusCode;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    support::{App, refused},
    walk::hello,
};

/// Rows of a made-up past: twelve of each day, for eight days.
const PAST: &str = "
    select ledger_partition(now() - n * interval '1 day') from generate_series(0, 10) n;
    insert into ledger (id, started_at, key_id, account_id, pool, provider, operation, model, stream, status, http_status,
        attempts, input_tokens, output_tokens, cache_read_tokens, cost_micros, estimated, first_token_ms, duration_ms)
    select format('req_%s', lpad(n::text, 4, '0')),
        -- Three at a time: a page must not lose those that share a moment.
        timestamptz '2026-11-10T12:00:00Z' + (n / 3) * interval '6 hours',
        'key_' || n % 2, 'acc_' || n % 3, case when n % 2 = 0 then 'default' else 'search' end,
        case when n % 3 = 0 then 'gemini' else 'anthropic' end, 'generate', 'model-' || n % 4, n % 2 = 0,
        (array['completed', 'completed', 'completed', 'failed', 'refused', 'cancelled'])[n % 6 + 1], 200,
        case when n % 6 = 3 then '[{}, {}]' else '[{}]' end::jsonb,
        100, 10, 300, 1000, n % 6 = 5, n, n * 10
    from generate_series(0, 95) n;";

async fn past() -> App {
    let app = App::start().await;
    app.instance.manage(Method::GET, "/api/stats/summary", None).await;
    app.database.execute("select ledger_partition(timestamptz '2026-11-10T12:00:00Z' + n * interval '1 day') from generate_series(0, 10) n").await;
    app.database.execute(PAST).await;
    app
}

async fn ids(app: &App, path: &str) -> (Vec<String>, Option<String>) {
    let page = app.instance.manage(Method::GET, path, None).await;
    let ids = page["data"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect();
    (ids, page["next_cursor"].as_str().map(str::to_owned))
}

#[tokio::test]
async fn pages_hold_every_row_once_newest_first() {
    let app = past().await;
    let expect: Vec<String> = (0..96).rev().map(|n| format!("req_{n:04}")).collect();
    for limit in [1, 7, 32, 96, 500] {
        let (mut got, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let after = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
            let (page, next) = ids(&app, &format!("/api/stats/requests?limit={limit}{after}")).await;
            assert!(page.len() <= limit);
            got.extend(page);
            match next {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
        assert_eq!(got, expect, "pages of {limit}");
    }
    assert_eq!(ids(&app, "/api/stats/requests").await.0.len(), 50);
    // A row that comes meanwhile moves nothing.
    let (first, cursor) = ids(&app, "/api/stats/requests?limit=10").await;
    app.database.execute("insert into ledger select (jsonb_populate_record(l, '{\"id\": \"req_new\", \"started_at\": \"2026-11-20T00:00:00Z\"}')).* from ledger l where id = 'req_0001'").await;
    let (second, _) = ids(&app, &format!("/api/stats/requests?limit=10&cursor={}", cursor.unwrap())).await;
    assert_eq!([first, second].concat(), expect[..20]);
}

#[tokio::test]
async fn filters_narrow_the_pages_and_the_sums_alike() {
    let app = past().await;
    let span = "from=2026-11-01T00:00:00Z&to=2026-11-30T00:00:00Z";
    for (filter, count) in [
        ("", 96),
        ("&provider=gemini", 32),
        ("&account=acc_1", 32),
        ("&key=key_1", 48),
        ("&model=model-3", 24),
        ("&pool=search", 48),
        ("&provider=gemini&pool=search", 16),
        ("&key=key_none", 0),
    ] {
        let (rows, _) = ids(&app, &format!("/api/stats/requests?limit=500&{span}{filter}")).await;
        let summary = app.instance.manage(Method::GET, &format!("/api/stats/summary?{span}{filter}"), None).await;
        assert_eq!((rows.len(), &summary["requests"]), (count, &json!(count)), "{filter}");
    }
    for (status, count) in [("completed", 48), ("failed", 16), ("refused", 16), ("cancelled", 16), ("lost", 0)] {
        let (rows, _) = ids(&app, &format!("/api/stats/requests?limit=500&status={status}")).await;
        assert_eq!(rows.len(), count, "{status}");
    }
    // From the moment on; up to, not including, the moment.
    let day = "from=2026-11-11T12:00:00Z&to=2026-11-12T12:00:00Z";
    assert_eq!(ids(&app, &format!("/api/stats/requests?{day}")).await.0.len(), 12);
    for (query, param) in
        [("from=yesterday", "from"), ("to=1", "to"), ("from=2026-11-12T00:00:00Z&to=2026-11-11T00:00:00Z", "from")]
    {
        let answer = app.instance.operator(Method::GET, &format!("/api/stats/summary?{query}"), None).await;
        refused(answer, StatusCode::BAD_REQUEST, "invalid_request", Some(param)).await;
    }
    for query in ["cursor=nonsense", "cursor=cmVxXzAwMDE"] {
        let answer = app.instance.operator(Method::GET, &format!("/api/stats/requests?{query}"), None).await;
        refused(answer, StatusCode::BAD_REQUEST, "invalid_request", Some("cursor")).await;
    }
}

#[tokio::test]
async fn the_summary_adds_up_the_span_and_the_one_before() {
    let app = past().await;
    let path = "/api/stats/summary?from=2026-11-14T12:00:00Z&to=2026-11-18T12:00:00Z";
    let sums = app.instance.manage(Method::GET, path, None).await;
    let expect = json!({
        "requests": 48, "succeeded": 24, "success_rate": 0.5,
        "failed": { "failed": 8, "refused": 8, "cancelled": 8, "lost": 0 },
        "cost_usd": 0.048, "cache_hit_ratio": 0.75, "failovers": 8, "estimated": 8, "unpriced": 0, "in_flight": 0,
    });
    for (name, value) in expect.as_object().unwrap() {
        assert_eq!(&sums[name], value, "{name}");
    }
    let tokens = &sums["tokens"];
    assert_eq!(
        (&tokens["input"], &tokens["output"], &tokens["cache_read"]),
        (&json!(4800), &json!(480), &json!(14400))
    );
    let median = sums["first_token_ms"]["p50"].as_f64().unwrap();
    assert!((median / 71.5 - 1.0).abs() < 0.05, "{median}");
    assert!(sums["latency_ms"]["p99"].as_f64() > sums["latency_ms"]["p50"].as_f64());
    let before = &sums["previous"];
    assert_eq!(
        (&before["requests"], &before["to"], &before["from"]),
        (&json!(48), &sums["from"], &json!("2026-11-10T12:00:00Z"))
    );

    let nothing = app
        .instance
        .manage(Method::GET, "/api/stats/summary?from=2020-01-01T00:00:00Z&to=2020-01-02T00:00:00Z", None)
        .await;
    assert_eq!(
        (&nothing["requests"], &nothing["success_rate"], &nothing["latency_ms"]["p50"]),
        (&json!(0), &Value::Null, &Value::Null)
    );
}

#[tokio::test]
async fn one_request_is_shown_with_its_attempts() {
    let (app, key) = App::ready().await;
    let answer = app.instance.messages(&key, hello(true)).header("user-agent", "claude-cli/9").send().await.unwrap();
    let id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
    let account = answer.headers()["x-gateway-account"].to_str().unwrap().to_owned();
    answer.text().await.unwrap();
    let row = app.only_row().await;
    let shown = app.instance.manage(Method::GET, &format!("/api/stats/requests/{id}"), None).await;
    let said = app.only_seen().answered.figures.unwrap();
    for (name, value) in [
        ("id", json!(id)),
        ("account", json!(account)),
        ("status", json!("completed")),
        ("http_status", json!(200)),
        ("stream", json!(true)),
        ("client", json!("claude-cli/9")),
        ("model", json!("claude-sonnet-5-5")),
        ("provider", json!("anthropic")),
        ("pool", json!("default")),
        ("estimated", json!(false)),
        ("unpriced", json!(false)),
        ("key_name", json!("test")),
        ("account_name", json!("anthropic sk-ant-one")),
        ("error", Value::Null),
    ] {
        assert_eq!(shown[name], value, "{name}");
    }
    assert_eq!((&shown["tokens"]["input"], &shown["tokens"]["output"]), (&json!(said.input), &json!(said.output)));
    assert_eq!(shown["cost_usd"].as_f64().unwrap() * 1e6, row["cost_micros"].as_f64().unwrap());
    let attempt = &shown["attempts"][0];
    assert_eq!(
        (&attempt["account"], &attempt["verdict"], &attempt["status"]),
        (&json!(account), &json!("delivered"), &json!(200))
    );
    let started = shown["started_at"].as_str().unwrap();
    assert!(started.ends_with('Z') && started.len() <= "2026-11-24T20:58:56.123456Z".len(), "{started}");
    let page = app.instance.manage(Method::GET, "/api/stats/requests", None).await;
    assert_eq!(page["data"], json!([shown]));
}

#[tokio::test]
async fn health_needs_no_token() {
    let app = App::start().await;
    let health = crate::support::health(&app.instance).await;
    let answer = app.instance.request(Method::GET, "/api/health").send().await.unwrap();
    assert_eq!(answer.headers()["cache-control"], "no-store");
    assert!(answer.headers().contains_key("x-request-id"));
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        health,
        json!({ "status": "ok", "version": version, "database": "ok", "redis": "unset", "webhooks": "unset" })
    );
}

#[tokio::test]
async fn a_price_of_the_operators_own_is_charged_from_then_on() {
    let (app, key) = App::ready().await;
    let cost = async || {
        // The first request after a change brings this instance the news.
        app.instance.messages(&key, hello(false)).send().await.unwrap().text().await.unwrap();
        app.instance.messages(&key, hello(false)).send().await.unwrap().text().await.unwrap();
        let row = app.ledger().await.pop().unwrap();
        (
            row["cost_micros"].as_i64().unwrap(),
            row["input_tokens"].as_i64().unwrap(),
            row["output_tokens"].as_i64().unwrap(),
        )
    };
    let (built_in, ..) = cost().await;
    let path = "/api/stats/prices/anthropic/claude-sonnet-5-5";
    let set = app
        .instance
        .manage(Method::PUT, path, Some(json!({ "kind": "chat", "status": "current", "input": 7, "output": 11 })))
        .await;
    assert_eq!(
        (&set["provider"], &set["model"], &set["input"]),
        (&json!("anthropic"), &json!("claude-sonnet-5-5"), &json!(7))
    );
    assert_eq!(app.instance.manage(Method::GET, "/api/stats/prices", None).await["data"], json!([set]));
    let (own, input, output) = cost().await;
    assert_eq!(own, input * 7 + output * 11);
    app.instance.manage(Method::DELETE, path, None).await;
    assert_eq!(cost().await.0, built_in);
    for (body, param) in [
        (json!({ "kind": "chat", "status": "current", "inptu": 7 }), "inptu"),
        (json!({ "kind": "chat", "status": "current", "input": "seven" }), "input"),
        (json!({ "kind": "chat", "status": "current", "input": -1 }), "input"),
        (json!({}), "kind"),
    ] {
        let answer = app.instance.operator(Method::PUT, path, Some(body)).await;
        refused(answer, StatusCode::BAD_REQUEST, "invalid_request", Some(param)).await;
    }
    let answer = app.instance.operator(Method::DELETE, path, None).await;
    refused(answer, StatusCode::NOT_FOUND, "not_found", None).await;
}
