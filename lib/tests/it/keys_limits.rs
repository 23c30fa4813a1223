//! Each limit of a key refuses in the caller's protocol, says what it is and when it resets, and shows what is left of it.

use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::{
    support::{
        App,
        keys::{age, change, issue, limited, me, standing},
    },
    walk::hello,
};

const PROMPT: &str = r#"{"contents":[{"parts":[{"text":"hi"}]}]}"#;
const VERBS: [&str; 2] = ["gemini-2.5-pro:generateContent", "gemini-2.5-pro:streamGenerateContent?alt=sse"];

/// Every limit but the one in flight, each used up by one request; and its words in a refusal.
const SPENT_BY_ONE: [(&str, &str); 11] = [
    (r#"{ "requests_per_minute": 1 }"#, "1 requests a minute (requests_per_minute)"),
    (r#"{ "tokens_per_minute": 1 }"#, "1 tokens a minute (tokens_per_minute)"),
    (r#"{ "requests_per_day": 1 }"#, "1 requests a day (requests_per_day)"),
    (r#"{ "tokens_per_day": 1 }"#, "1 tokens a day (tokens_per_day)"),
    (r#"{ "cost_per_day_usd": 0.000001 }"#, "$0.000001 a day (cost_per_day_usd)"),
    (r#"{ "cost_per_week_usd": 0.000001 }"#, "$0.000001 a week (cost_per_week_usd)"),
    (r#"{ "cost_per_month_usd": 0.000001 }"#, "$0.000001 a month (cost_per_month_usd)"),
    (r#"{ "cost_total_usd": 0.000001 }"#, "$0.000001 in total (cost_total_usd)"),
    (r#"{ "windows": [{ "hours": 5, "requests": 1 }] }"#, "1 requests in 5 hours (windows[0].requests)"),
    (
        r#"{ "windows": [{ "hours": 9, "requests": 9 }, { "hours": 2, "tokens": 1, "models": ["*"] }] }"#,
        "1 tokens in 2 hours on * (windows[1].tokens)",
    ),
    (r#"{ "windows": [{ "hours": 168, "cost_usd": 0.000001 }] }"#, "$0.000001 in 168 hours (windows[0].cost_usd)"),
];

/// Takes an answer that must be a 429; gives its body, and whether it says that it is worth trying again.
async fn refused(answer: Response, about: &str) -> (Value, bool) {
    let (status, headers) = (answer.status(), answer.headers().clone());
    let text = answer.text().await.unwrap();
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS, "{about}: {text}");
    let body: Value = serde_json::from_str(&text).unwrap();
    let message = body["error"]["message"].as_str().unwrap();
    let named = format!("this API key has reached its limit of {about}: ");
    assert!(message.starts_with(&named), "{message}");
    let resets = if about.contains("cost_total") { "it does not reset" } else { "; resets at 2" };
    assert!(message.contains(resets), "{message}");
    let wait = headers.get("retry-after").map(|wait| wait.to_str().unwrap().parse::<u64>().unwrap());
    assert_eq!(wait.is_none(), about.contains("cost_total"), "{about}");
    let again = headers.get("x-should-retry").is_none();
    assert_eq!(again, wait.is_some_and(|seconds| seconds < 60), "{about}: {wait:?}");
    (body, again)
}

/// Each limit × Anthropic's paths: 429 that names the limit, its value and its reset, with `retry-after` and the SDK's
/// headers; a spent budget is a `billing_error`, which Claude Code takes for final.
#[tokio::test]
async fn every_limit_refuses_in_anthropics_protocol() {
    let (app, _) = App::ready().await;
    for (limits, about) in SPENT_BY_ONE {
        let (_, key) = limited(&app, serde_json::from_str(limits).unwrap()).await;
        assert_eq!(app.instance.messages(&key, hello(false)).send().await.unwrap().status(), 200, "{about}");
        app.ledger().await;
        for stream in [false, true] {
            let answer = app.instance.messages(&key, hello(stream)).send().await.unwrap();
            let headers = answer.headers().clone();
            let (body, _) = refused(answer, about).await;
            let money = about.contains("cost");
            assert_eq!(body["error"]["type"], if money { "billing_error" } else { "rate_limit_error" });
            let what = if about.contains("requests") { "requests" } else { "tokens" };
            let named =
                |name: &str| headers.get(format!("anthropic-ratelimit-{what}-{name}")).map(|v| v.to_str().unwrap());
            assert_eq!((named("limit"), named("remaining")), if money { (None, None) } else { (Some("1"), Some("0")) });
            assert_eq!(named("reset").is_some(), !money);
            assert!(
                !headers.keys().any(|name| name.as_str().contains("unified")),
                "clients show those as their user's"
            );
        }
        let count = app.instance.request(Method::POST, "/v1/messages/count_tokens").bearer_auth(&key);
        let count = count.header("anthropic-version", "2023-06-01").body(hello(false)).send().await.unwrap();
        refused(count, about).await;
    }
}

/// Each limit × Gemini's paths: `RetryInfo` in the body, nothing that reads as a quota of Google's.
#[tokio::test]
async fn every_limit_refuses_in_geminis_protocol() {
    let (app, _) = App::ready().await;
    for (limits, about) in SPENT_BY_ONE {
        let (_, key) = limited(&app, serde_json::from_str(limits).unwrap()).await;
        assert_eq!(app.instance.gemini(&key, VERBS[0], PROMPT).send().await.unwrap().status(), 200, "{about}");
        app.ledger().await;
        for verb in VERBS {
            let answer = app.instance.gemini(&key, verb, PROMPT).send().await.unwrap();
            assert!(!answer.headers().keys().any(|name| name.as_str().contains("ratelimit")));
            let (body, _) = refused(answer, about).await;
            assert_eq!((&body["error"]["code"], &body["error"]["status"]), (&json!(429), &json!("RESOURCE_EXHAUSTED")));
            let details = body["error"]["details"].as_array().unwrap();
            assert_eq!(details.len(), 1);
            assert_eq!(details[0]["@type"], "type.googleapis.com/google.rpc.RetryInfo");
            if about.contains("cost_total") {
                assert_eq!(details[0]["retryDelay"], "86400s", "Gemini CLI gives up at once");
            }
        }
    }
}

/// A holder sees what is left of each limit and when it resets.
#[tokio::test]
async fn a_holder_sees_what_is_left_and_when_it_resets() {
    let (app, _) = App::ready().await;
    let limits = json!({
        "max_in_flight": 4, "requests_per_minute": 10, "requests_per_day": 20, "tokens_per_day": 1_000_000,
        "cost_per_week_usd": 7, "cost_per_month_usd": 30, "cost_total_usd": 100,
        "windows": [{ "hours": 5, "models": ["claude-*"], "requests": 8 }, { "hours": 5, "models": ["gemini-*"], "requests": 8 }],
    });
    let (id, key) = limited(&app, limits).await;
    for _ in 0..3 {
        assert_eq!(app.instance.messages(&key, hello(false)).send().await.unwrap().status(), 200);
    }
    app.ledger().await;
    let sums = "select sum(input_tokens + output_tokens) as tokens, sum(cost_micros) as cost from ledger";
    let sums = app.database.rows(sums).await.remove(0);
    let cost = sums["cost"].as_i64().unwrap();
    let seen = me(&app.instance, &key).await;
    let shown = app.instance.manage(Method::GET, &format!("/api/keys/{id}"), None).await;
    let listed = app.instance.manage(Method::GET, "/api/keys?limit=1", None).await["data"][0].clone();
    let of = |key: &Value| -> Vec<(String, Value, Value)> {
        let one = |one: &Value| (one["limit"].as_str().unwrap().to_owned(), one["used"].clone(), one["left"].clone());
        key["standing"].as_array().unwrap().iter().map(one).collect()
    };
    let usd = |micros: i64| json!(micros as f64 / 1e6);
    let expect: Vec<_> = [
        ("max_in_flight", json!(0), json!(4)),
        ("requests_per_minute", json!(3), json!(7)),
        ("requests_per_day", json!(3), json!(17)),
        ("tokens_per_day", sums["tokens"].clone(), json!(1_000_000 - sums["tokens"].as_i64().unwrap())),
        ("cost_per_week_usd", usd(cost), usd(7_000_000 - cost)),
        ("cost_per_month_usd", usd(cost), usd(30_000_000 - cost)),
        ("cost_total_usd", usd(cost), usd(100_000_000 - cost)),
        ("windows[0].requests", json!(3), json!(5)),
        ("windows[1].requests", json!(0), json!(8)),
    ]
    .map(|(name, used, left)| (name.to_owned(), used, left))
    .into();
    for key in [&seen, &shown, &listed] {
        assert_eq!(of(key), expect);
        assert_eq!(key["budget_warning"], Value::Null);
    }
    let resets = |name: &str| {
        seen["standing"].as_array().unwrap().iter().find(|one| one["limit"] == name).unwrap()["resets_at"].clone()
    };
    let midnight = "select to_char(date_trunc('day', now() at time zone 'UTC') + interval '1 day', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') as at";
    assert_eq!(resets("requests_per_day"), app.database.rows(midnight).await[0]["at"]);
    for never in ["max_in_flight", "cost_total_usd", "windows[1].requests"] {
        assert_eq!(resets(never), Value::Null, "{never}");
    }
    for some in ["requests_per_minute", "cost_per_week_usd", "cost_per_month_usd", "windows[0].requests"] {
        assert!(resets(some).is_string(), "{some}");
    }
}

/// A `budget_warning` when more than 80 % of a budget are used.
#[tokio::test]
async fn a_budget_that_is_nearly_spent_warns() {
    let (app, _) = App::ready().await;
    let (_, key) = limited(&app, json!({ "requests_per_day": 5, "requests_per_minute": 5 })).await;
    for n in 1..=5 {
        assert_eq!(app.instance.messages(&key, hello(false)).send().await.unwrap().status(), 200);
        let warning = me(&app.instance, &key).await["budget_warning"].clone();
        assert_eq!(warning.is_string(), n == 5, "{n}: {warning}");
    }
    let warning = me(&app.instance, &key).await["budget_warning"].as_str().unwrap().to_owned();
    assert!(warning.starts_with("100 % of 5 requests a day are used (requests_per_day); resets at "), "{warning}");
}

/// A limit on one model family stops that family only, and all of its models together.
#[tokio::test]
async fn a_window_is_of_its_models_only() {
    let (app, _) = App::ready().await;
    let (_, key) =
        limited(&app, json!({ "windows": [{ "hours": 5, "models": ["claude-opus-*"], "requests": 2 }] })).await;
    let call = async |model: &str| {
        let body = hello(false).replace("claude-sonnet-5-5", model);
        app.instance.messages(&key, body).send().await.unwrap().status().as_u16()
    };
    for (model, status) in [
        ("claude-opus-5-5", 200),
        ("claude-sonnet-5-5", 200),
        ("claude-opus-4-8", 200),
        ("claude-opus-5-5", 429),
        ("claude-opus-4-8", 429),
        ("claude-sonnet-5-5", 200),
    ] {
        assert_eq!(call(model).await, status, "{model}");
    }
    assert_eq!(standing(&app.instance, &key, "windows[0].requests").await["used"], 2);
}

/// A limit newly set on an old key: days, weeks, months and totals count what the ledger holds of them.
#[tokio::test]
async fn d8_a_calendar_limit_set_on_an_old_key_counts_what_the_ledger_holds() {
    let (app, _) = App::ready().await;
    for limit in [
        "requests_per_day",
        "tokens_per_day",
        "cost_per_day_usd",
        "cost_per_week_usd",
        "cost_per_month_usd",
        "cost_total_usd",
    ] {
        let (id, key) = limited(&app, json!({})).await;
        for _ in 0..2 {
            assert_eq!(app.instance.messages(&key, hello(false)).send().await.unwrap().status(), 200);
        }
        app.ledger().await;
        let column = match limit.split('_').next() {
            Some("requests") => "count(*)",
            Some("tokens") => "sum(input_tokens + output_tokens)",
            _ => "sum(cost_micros)",
        };
        let used = app.database.number(&format!("select {column} from ledger where key_id = '{id}'")).await;
        let value = if column.contains("cost") { json!(used as f64 / 1e6) } else { json!(used) };
        change(&app, &id, json!({ "limits": { limit: value } })).await;
        assert_eq!(standing(&app.instance, &key, limit).await["left"], 0, "{limit}");
        assert_eq!(app.instance.messages(&key, hello(false)).send().await.unwrap().status(), 429, "{limit}");
        change(&app, &id, json!({ "limits": { limit: null } })).await;
        assert_eq!(app.instance.messages(&key, hello(false)).send().await.unwrap().status(), 200, "{limit}");
    }
}

/// D8: a rolling window newly set on an old key counts its own span, not the key's whole life; a minute starts at 0.
#[tokio::test]
async fn d8_a_window_set_on_an_old_key_counts_only_its_own_span() {
    let (app, _) = App::ready().await;
    let (id, key) = limited(&app, json!({})).await;
    for _ in 0..5 {
        assert_eq!(app.instance.messages(&key, hello(false)).send().await.unwrap().status(), 200);
    }
    app.ledger().await;
    age(&app, "6 hours").await;
    assert_eq!(app.instance.messages(&key, hello(false)).send().await.unwrap().status(), 200);
    app.ledger().await;
    let limits = json!({ "requests_per_minute": 9, "windows": [{ "hours": 5, "requests": 2 }] });
    change(&app, &id, json!({ "limits": limits })).await;
    assert_eq!(standing(&app.instance, &key, "requests_per_minute").await["used"], 0);
    assert_eq!(standing(&app.instance, &key, "windows[0].requests").await["used"], 1);
    assert_eq!(app.instance.messages(&key, hello(false)).send().await.unwrap().status(), 200);
    assert_eq!(app.instance.messages(&key, hello(false)).send().await.unwrap().status(), 429);
}

/// Days, weeks (Monday) and months begin in the key's time zone.
#[tokio::test]
async fn days_weeks_and_months_begin_in_the_keys_time_zone() {
    let (app, _) = App::ready().await;
    for (zone, span, at, began) in [
        ("UTC", "day", "2026-11-24T23:59:59Z", "2026-11-24T00:00:00Z"),
        ("Asia/Kathmandu", "day", "2026-11-24T18:14:59Z", "2026-11-23T18:15:00Z"),
        ("Asia/Kathmandu", "day", "2026-11-24T18:15:00Z", "2026-11-24T18:15:00Z"),
        ("Europe/Berlin", "day", "2026-10-25T12:00:00Z", "2026-10-24T22:00:00Z"),
        ("Europe/Berlin", "day", "2026-10-26T12:00:00Z", "2026-10-25T23:00:00Z"),
        ("America/New_York", "week", "2026-11-30T04:59:59Z", "2026-11-23T05:00:00Z"),
        ("America/New_York", "week", "2026-11-30T05:00:00Z", "2026-11-30T05:00:00Z"),
        ("America/New_York", "month", "2026-12-01T04:59:59Z", "2026-11-01T04:00:00Z"),
        ("Pacific/Auckland", "month", "2026-11-30T11:00:00Z", "2026-11-30T11:00:00Z"),
    ] {
        let same = format!(
            "select (limit_began('{{\"span\": \"{span}\"}}', '{zone}', '{at}') = '{began}'::timestamptz)::integer"
        );
        assert_eq!(app.database.number(&same).await, 1, "{zone} {span} {at}");
    }
    let (id, key) = issue(&app, json!({ "time_zone": "Asia/Kathmandu", "limits": { "requests_per_day": 2 } })).await;
    let midnight = "date_trunc('day', now() at time zone 'Asia/Kathmandu') at time zone 'Asia/Kathmandu'";
    // One request of yesterday's last moment, one of today's first.
    for at in [format!("{midnight} - interval '1 microsecond'"), midnight.to_owned()] {
        let row = format!(
            "select settle(jsonb_build_array(jsonb_build_object('id', 'req_' || extract(epoch from {at}), 'started_at', {at},
            'key_id', '{id}', 'account_id', 'acc_1', 'pool', 'default', 'provider', 'anthropic', 'operation', 'generate',
            'stream', false, 'status', 'completed', 'attempts', '[]'::jsonb, 'cost_micros', 1, 'estimated', false,
            'unpriced', false, 'duration_ms', 1)))"
        );
        app.database.execute(&row).await;
    }
    let seen = me(&app.instance, &key).await;
    assert_eq!((&seen["usage_today"]["requests"], &seen["standing"][0]["used"]), (&json!(1), &json!(1)));
    assert_eq!(app.instance.messages(&key, hello(false)).send().await.unwrap().status(), 200);
    assert_eq!(app.instance.messages(&key, hello(false)).send().await.unwrap().status(), 429);
}

/// PATCH changes the limits that it names, takes back those that are null, and leaves the rest.
#[tokio::test]
async fn a_change_leaves_the_limits_it_does_not_name() {
    let app = App::start().await;
    let (id, _) =
        limited(&app, json!({ "requests_per_day": 5, "cost_total_usd": 1, "windows": [{ "hours": 1, "tokens": 5 }] }))
            .await;
    for (change_to, expect) in [
        (
            json!({ "requests_per_minute": 2, "cost_total_usd": null }),
            json!({ "max_in_flight": null, "requests_per_minute": 2, "requests_per_day": 5, "windows": [{ "hours": 1, "tokens": 5 }] }),
        ),
        (
            json!({ "requests_per_day": 6, "windows": [], "max_in_flight": 2 }),
            json!({ "max_in_flight": 2, "requests_per_minute": 2, "requests_per_day": 6 }),
        ),
    ] {
        assert_eq!(change(&app, &id, json!({ "limits": change_to })).await["limits"], expect);
    }
    let told = app.database.rows("select after->'limits' as limits from audit_log order by id desc limit 1").await;
    assert_eq!(told[0]["limits"]["requests_per_day"], 6);
}
