//! The sums that limits go by are the ledger's, whatever happens.

use fake_upstream::{Answer, Before, Script};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;

use crate::{
    support::{
        App, eventually,
        keys::{change, limited, me, standing, sums_are_the_ledgers},
    },
    walk::hello,
};

/// Tokens are charged by estimate at the claim and corrected at the settlement.
#[tokio::test]
async fn tokens_are_charged_by_estimate_and_corrected() {
    let (app, _) = App::ready().await;
    let (_, key) = limited(&app, json!({ "tokens_per_minute": 100_000, "tokens_per_day": 100_000 })).await;
    app.fake.script(Script::always(Answer::after(Before::Held)));
    let held = tokio::spawn(app.instance.messages(&key, hello(false)).send());
    app.fake.arrived(1).await;
    let estimate = app.database.number("select draft->>'input_tokens' from leases").await;
    assert!(estimate > 0);
    for limit in ["tokens_per_minute", "tokens_per_day"] {
        assert_eq!(standing(&app.instance, &key, limit).await["used"], estimate, "{limit}");
    }
    app.fake.release(1);
    assert_eq!(held.await.unwrap().unwrap().status(), 200);
    let row = app.only_row().await;
    let used = row["input_tokens"].as_i64().unwrap() + row["output_tokens"].as_i64().unwrap();
    assert_ne!(used, estimate);
    for limit in ["tokens_per_minute", "tokens_per_day"] {
        assert_eq!(standing(&app.instance, &key, limit).await["used"], used, "{limit}");
    }
}

/// What costs nothing at the upstream charges no tokens, also where an account counts them by the minute.
#[tokio::test]
async fn counting_tokens_charges_none() {
    let app = App::start().await;
    app.account("anthropic", "sk-ant-one", json!({ "tokens_per_minute": 1_000 })).await;
    let (_, key) = limited(&app, json!({ "tokens_per_minute": 1_000, "tokens_per_day": 1_000 })).await;
    for _ in 0..3 {
        let call = app.instance.request(Method::POST, "/v1/messages/count_tokens").bearer_auth(&key);
        let answer = call.header("anthropic-version", "2023-06-01").body(hello(false)).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }
    assert_eq!(app.ledger().await.len(), 3);
    for limit in ["tokens_per_minute", "tokens_per_day"] {
        assert_eq!(standing(&app.instance, &key, limit).await["used"], 0, "{limit}");
    }
    assert_eq!(app.database.number("select sum(tokens) from minutes").await, 0);
}

/// A row that was given up as lost and then replaced by the true one corrects the sums to the last token.
#[tokio::test]
async fn a_lost_row_that_comes_true_corrects_the_sums() {
    let (app, key) = App::ready().await;
    app.fake.script(Script::always(Answer::after(Before::Held)));
    let held = tokio::spawn(app.instance.messages(&key, hello(false)).send());
    app.fake.arrived(1).await;
    app.give_up().await;
    assert_eq!(app.only_row().await["status"], "lost");
    sums_are_the_ledgers(&app).await;
    assert_eq!(me(&app.instance, &key).await["usage_today"]["errors"], 1);
    app.fake.release(1);
    assert_eq!(held.await.unwrap().unwrap().status(), 200);
    let replaced = || async {
        let rows = app.database.rows("select status from ledger").await;
        (rows == [json!({ "status": "completed" })]).then_some(())
    };
    eventually("the true row is written", replaced).await;
    sums_are_the_ledgers(&app).await;
    let today = me(&app.instance, &key).await["usage_today"].clone();
    assert_eq!((&today["requests"], &today["errors"]), (&json!(1), &json!(0)));
}

/// D6: saving a key's settings again and again during 10,000 settlements writes nothing over: totals equal the ledger.
#[tokio::test]
async fn d6_changes_of_a_key_during_settlements_lose_nothing() {
    const BATCHES: usize = 100;
    let (app, key) = App::ready().await;
    let (other, _) = limited(&app, json!({ "requests_per_minute": 1_000_000 })).await;
    let me_id = me(&app.instance, &key).await["id"].as_str().unwrap().to_owned();
    app.database.execute("select ledger_partition(now())").await;
    // Each batch has both keys in it, in either order, and every hundredth row twice.
    let settle = |n: usize| {
        format!(
            "select settle((select jsonb_agg(jsonb_build_object(
                'id', 'req_' || {n} || '_' || (i % 99), 'started_at', now() - make_interval(secs => i % 99),
                'key_id', case when (i % 99 + {n}) % 2 = 0 then '{me_id}' else '{other}' end, 'account_id', 'acc_1',
                'pool', 'default', 'provider', 'anthropic', 'operation', 'generate', 'model', 'model-' || (i % 3),
                'stream', false, 'status', case when i % 7 = 0 then 'failed' else 'completed' end, 'attempts', '[]'::jsonb,
                'input_tokens', i, 'output_tokens', i % 5, 'cost_micros', i * 3, 'estimated', false, 'unpriced', false,
                'duration_ms', 1) order by i * {sign}) from generate_series(0, 98 + 1) i))",
            sign = if n.is_multiple_of(2) { 1 } else { -1 },
        )
    };
    let settled = std::cell::Cell::new(false);
    let settling = async {
        let lane = async |first: usize| {
            let database = app.database.again().await;
            for n in (first..BATCHES).step_by(4) {
                database.execute(&settle(n)).await;
            }
        };
        join_all((0..4).map(lane)).await;
        settled.set(true);
    };
    let changing = async {
        let mut n = 0;
        while !settled.get() {
            n += 1;
            let limits = json!({ "cost_total_usd": 1_000 + n, "tokens_per_day": 1_000_000 + n });
            change(&app, &me_id, json!({ "note": n.to_string(), "limits": limits })).await;
            assert_eq!(app.instance.messages(&key, hello(false)).send().await.unwrap().status(), 200);
        }
    };
    tokio::join!(settling, changing);
    assert!(app.ledger().await.len() >= BATCHES * 99);
    sums_are_the_ledgers(&app).await;
}
