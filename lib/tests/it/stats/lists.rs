//! Tables, the ledger's pages, live, audit, and who may see them.

use fake_upstream::{Answer, Script};
use http::StatusCode;
use reqwest::Method;
use serde_json::{Value, json};

use super::{SPAN, get, past, roll_up};
use crate::{
    manage::document::{document, operations},
    support::{App, eventually, refused},
    walk::hello,
};

async fn all_pages(app: &App, path: &str) -> Vec<Value> {
    let (mut rows, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = get(app, &format!("{path}{cursor}")).await;
        rows.extend(page["data"].as_array().unwrap().iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return rows,
        }
    }
}

#[tokio::test]
async fn tables_are_sorted_paged_and_add_up_to_the_summary() {
    let app = past(400).await;
    roll_up(&app).await;
    let summary = get(&app, &format!("summary?{SPAN}")).await;
    for table in ["accounts", "keys", "models"] {
        for sort in
            ["requests", "errors", "tokens", "cost", "success_rate", "cache_hit_ratio", "latency", "first_token"]
        {
            let whole = all_pages(&app, &format!("{table}?{SPAN}&sort={sort}")).await;
            let paged = all_pages(&app, &format!("{table}?{SPAN}&sort={sort}&limit=2")).await;
            assert_eq!(paged, whole, "{table} by {sort}");
            let requests: i64 = whole.iter().map(|row| row["requests"].as_i64().unwrap()).sum();
            assert_eq!(requests, summary["requests"].as_i64().unwrap(), "{table}");
        }
        for (sort, column) in [("cost", "cost_usd"), ("requests", "requests"), ("success_rate", "success_rate")] {
            let rows = all_pages(&app, &format!("{table}?{SPAN}&sort={sort}")).await;
            let figures: Vec<_> = rows.iter().map(|row| row[column].as_f64().unwrap()).collect();
            assert!(figures.windows(2).all(|pair| pair[0] >= pair[1]), "{table} by {sort}: {figures:?}");
        }
    }
    let accounts = all_pages(&app, &format!("accounts?{SPAN}")).await;
    let names: Vec<_> = accounts.iter().map(|row| (row["id"].as_str().unwrap(), row["name"].as_str())).collect();
    assert!(names.contains(&("acc_0", Some("account 0"))) && names.contains(&("acc_2", None)), "{names:?}");
    let models = all_pages(&app, &format!("models?{SPAN}")).await;
    assert!(models.iter().any(|row| row["id"].is_null()) && models.iter().all(|row| row["provider"].is_string()));
}

/// Whatever is asked for, pages hold every row of it once, newest first, rolled up or not.
#[tokio::test]
async fn filtered_pages_hold_every_row_once() {
    let app = past(700).await;
    let cases = [
        ("status=lost", "status = 'lost'"),
        ("mark=estimated", "estimated"),
        ("mark=unpriced&provider=gemini", "unpriced and provider = 'gemini'"),
        ("model=model-*&status=failed", "model like 'model-%' and status = 'failed'"),
        ("label.team=ads", "key_id = 'key_1'"),
        ("key=key_2&account=acc_0", "key_id = 'key_2' and account_id = 'acc_0'"),
        ("session=session_3", "session = 'session_3'"),
        ("session=session_3&status=completed", "session = 'session_3' and status = 'completed'"),
        ("model=no-such", "false"),
        (
            "pool=search&from=2020-11-11T10:30:00Z&to=2020-11-12T10:30:00Z",
            "pool = 'search' and started_at >= '2020-11-11T10:30:00Z' and started_at < '2020-11-12T10:30:00Z'",
        ),
    ];
    for rolled in [false, true] {
        if rolled {
            roll_up(&app).await;
            // One hour is not, as after a late row.
            app.database.execute("insert into dirty_hours values ('2020-11-12T09:00:00Z')").await;
        }
        for (filter, sql) in cases {
            let sql = format!("select id from ledger where {sql} order by started_at desc, id desc");
            let expect: Vec<_> = app.database.rows(&sql).await.iter().map(|row| row["id"].clone()).collect();
            for limit in [3, 50] {
                let got = all_pages(&app, &format!("requests?{filter}&limit={limit}")).await;
                let got: Vec<_> = got.iter().map(|row| row["id"].clone()).collect();
                assert_eq!(got, expect, "{filter}, {limit} a page, rolled up: {rolled}");
            }
        }
    }
}

#[tokio::test]
async fn live_tells_of_the_last_minute() {
    let (app, key) = App::ready().await;
    let quiet = get(&app, "live").await;
    assert_eq!(
        (&quiet["requests_per_second"], &quiet["in_flight"], &quiet["error_rate"], &quiet["tokens_per_second"]),
        (&json!(0.0), &json!(0), &Value::Null, &json!(0.0))
    );
    app.instance.messages(&key, hello(false)).send().await.unwrap().text().await.unwrap();
    app.fake.script(Script::once(Answer::invalid_request("no")));
    app.instance.messages(&key, hello(false)).send().await.unwrap().text().await.unwrap();
    app.ledger().await;
    app.fake.script(Script::once(Answer::held_after(2)));
    let mut held = app.instance.messages(&key, hello(true)).send().await.unwrap();
    held.chunk().await.unwrap().unwrap();
    let live = get(&app, "live").await;
    assert_eq!((&live["in_flight"], &live["error_rate"]), (&json!(1), &json!(0.5)), "{live}");
    assert_eq!(live["requests_per_second"], json!(3.0 / 60.0));
    assert!(live["tokens_per_second"].as_f64().unwrap() > 0.0 && live["cost_usd"].as_f64().unwrap() > 0.0, "{live}");
    let accounts = live["accounts"].as_array().unwrap();
    let busy = accounts.iter().find(|account| account["provider"] == "anthropic").unwrap();
    assert_eq!((&busy["state"], &busy["in_flight"]), (&json!("ready"), &json!(1)));
    app.database.execute("update ledger set started_at = started_at - interval '2 minutes'").await;
    assert_eq!(get(&app, "live").await["error_rate"], Value::Null, "that was before");
    app.fake.release(1);
    while held.chunk().await.unwrap().is_some() {}
}

#[tokio::test]
async fn affinity_is_told_with_what_it_saved_and_what_moves_cost() {
    let (app, key) = App::ready().await;
    app.instance.messages(&key, hello(false)).send().await.unwrap().text().await.unwrap();
    app.ledger().await;
    app.database
        .execute(
            "update ledger set affinity = 'kept', model = 'claude-sonnet-5-5', input_tokens = 0, cache_read_tokens = 1000000,
                cache_write_5m_tokens = 0, cache_write_1h_tokens = 0;
             insert into ledger select (jsonb_populate_record(l, '{\"id\": \"req_moved\", \"affinity\": \"moved\", \"input_tokens\": 1000000,
                \"cache_read_tokens\": 0, \"cache_write_5m_tokens\": 1000000}')).* from ledger l",
        )
        .await;
    let price = |kind: &str| {
        let table = include_str!("../../../src/ledger/pricing.csv");
        let mut lines = table.lines().map(|line| line.split(',').collect::<Vec<_>>());
        let head = lines.next().unwrap();
        let row = lines.find(|row| row.contains(&"claude-sonnet-5-5")).unwrap();
        row[head.iter().position(|name| *name == kind).unwrap()].parse::<f64>().unwrap()
    };
    let affinity = get(&app, "summary").await["affinity"].clone();
    assert_eq!(
        (&affinity["kept"], &affinity["moved"], &affinity["new"], &affinity["none"]),
        (&json!(1), &json!(1), &json!(0), &json!(0))
    );
    assert_eq!((&affinity["cache_hit_ratio_kept"], &affinity["cache_hit_ratio_moved"]), (&json!(1.0), &json!(0.0)));
    assert_eq!((&affinity["cache_hit_ratio_new"], &affinity["rewarm_tokens"]), (&Value::Null, &json!(1_000_000)));
    let near = |told: &Value, expect: f64| (told.as_f64().unwrap() - expect).abs() < 1e-6;
    assert!(near(&affinity["rewarm_usd"], price("cache_write_5m")), "{affinity}");
    assert!(near(&affinity["saved_usd"], price("input") - price("cache_read")), "{affinity}");
}

/// A8: a member sees its own and nothing else, and the refusal says no name.
#[tokio::test]
async fn a_member_sees_its_own_on_every_path() {
    let app = past(300).await;
    let body = json!({ "name": "mine", "role": "member", "labels": { "team": "ads" } });
    let own = app.instance.manage(Method::POST, "/api/keys", Some(body)).await;
    let (id, token) = (own["id"].as_str().unwrap(), own["key"].as_str().unwrap());
    app.database
        .execute(&format!("update ledger set key_id = '{id}' where id in ('req_00001', 'req_00002', 'req_00003')"))
        .await;
    let ask = async |path: &str| {
        let answer =
            app.instance.request(Method::GET, &format!("/api/stats/{path}")).bearer_auth(token).send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    };
    let json = async |path: &str| serde_json::from_str::<Value>(&ask(path).await.1).unwrap();
    for rolled in [false, true] {
        if rolled {
            roll_up(&app).await;
        }
        let span = "from=2020-11-10T00:00:00Z&to=2020-11-14T00:00:00Z";
        assert_eq!(json(&format!("summary?{span}")).await["requests"], 3);
        assert_eq!(json(&format!("summary?{span}&label.team=search")).await["requests"], 0);
        let series = json(&format!("series?{span}&group_by=key")).await;
        assert_eq!((series["series"].as_array().unwrap().len(), &series["series"][0]["group"]), (1, &json!(id)));
        for table in ["accounts", "models", "keys"] {
            let rows = json(&format!("{table}?{span}")).await;
            let all: i64 = rows["data"].as_array().unwrap().iter().map(|row| row["requests"].as_i64().unwrap()).sum();
            assert_eq!(all, 3, "{table}");
        }
        assert_eq!(json("requests").await["data"].as_array().unwrap().len(), 3);
        assert_eq!(ask("export.csv").await.1.lines().count(), 4);
    }
    app.database
        .execute("select ledger_partition(now()); update ledger set started_at = now() where id in ('req_00004', 'req_00005')")
        .await;
    let live = json("live").await;
    assert_eq!((&live["accounts"], &live["requests_per_second"]), (&Value::Null, &json!(0.0)), "{live}");
    assert_eq!(ask("requests/req_00004").await.0, StatusCode::NOT_FOUND);
    // Whatever the document lets a member read, it names nobody else.
    for operation in
        operations(&document()).iter().filter(|one| one.method == Method::GET && one.roles().contains(&"member"))
    {
        let path = operation.path.replace("{id}", "req_00001");
        let answer = app.instance.request(Method::GET, &path).bearer_auth(token).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        let text = answer.text().await.unwrap();
        let others = (0..4).flat_map(|n| [format!("\"key_{n}\""), format!(",key_{n},")]).chain(["=key".to_owned()]);
        assert!(!others.into_iter().any(|other| text.contains(&other)), "{path}: {text}");
    }
    for path in ["summary", "series", "accounts", "keys", "models", "requests", "export.csv"] {
        let (status, text) = ask(&format!("{path}?key=key_1")).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
        assert!(!text.contains("=key 1"), "{text}");
    }
    assert_eq!(ask("metrics").await.0, StatusCode::FORBIDDEN);
    assert_eq!(ask("audit").await.0, StatusCode::FORBIDDEN);
    let viewer =
        app.instance.manage(Method::POST, "/api/keys", Some(json!({ "name": "viewer", "role": "viewer" }))).await;
    let viewer = viewer["key"].as_str().unwrap();
    for (path, status) in [("metrics", 200), ("audit", 403), ("export.csv", 200), ("live", 200)] {
        let answer =
            app.instance.request(Method::GET, &format!("/api/stats/{path}")).bearer_auth(viewer).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{path}");
    }
}

#[tokio::test]
async fn the_audit_log_is_filtered_and_paged() {
    let app = App::start().await;
    let mut keys = Vec::new();
    for name in ["one", "two", "three"] {
        let key = app.instance.manage(Method::POST, "/api/keys", Some(json!({ "name": name, "role": "admin" }))).await;
        keys.push((key["id"].as_str().unwrap().to_owned(), key["key"].as_str().unwrap().to_owned()));
    }
    app.account("anthropic", "sk-ant-one", json!({})).await;
    let request = app.instance.request(Method::DELETE, &format!("/api/keys/{}", keys[0].0)).bearer_auth(&keys[1].1);
    assert!(request.send().await.unwrap().status().is_success());
    let actions = async |query: &str| -> Vec<String> {
        all_pages(&app, &format!("audit?limit=2{query}"))
            .await
            .iter()
            .map(|row| row["action"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(actions("").await, ["key.revoke", "account.create", "key.create", "key.create", "key.create"]);
    assert_eq!(actions("&action=key.*").await.len(), 4);
    assert_eq!(actions("&action=account.create").await, ["account.create"]);
    assert_eq!(actions(&format!("&subject={}", keys[0].0)).await, ["key.revoke", "key.create"]);
    assert_eq!(actions("&from=2099-01-01T00:00:00Z").await, [""; 0]);
    let by_two = all_pages(&app, &format!("audit?actor={}", keys[1].0)).await;
    assert_eq!(
        (by_two.len(), &by_two[0]["actor_name"], &by_two[0]["action"]),
        (1, &json!("two"), &json!("key.revoke"))
    );
}

/// C8: a statistic that takes too long is given up by the database, and the refusal says so.
#[tokio::test]
async fn a_question_that_takes_too_long_is_given_up() {
    let app = past(5).await;
    app.database.execute("begin; lock table ledger in access exclusive mode").await;
    let answer = app
        .instance
        .operator(Method::GET, "/api/stats/summary?from=2020-11-10T00:00:00Z&to=2020-11-14T00:00:00Z", None)
        .await;
    let text = refused(answer, StatusCode::SERVICE_UNAVAILABLE, "unavailable", None).await;
    assert!(text.contains("shorter time"), "{text}");
    eventually("nothing is left waiting", || async {
        let waiting =
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        (app.database.number(waiting).await == 0).then_some(())
    })
    .await;
    app.database.execute("commit").await;
}
