//! How long answers took: percentiles of any range, and what is no answer.

use serde_json::{Value, json};

use super::{get, past, roll_up};
use crate::support::{App, Chance};

/// What a summary says of a span, beside what the ledger's rows say exactly.
async fn compare(app: &App, from: &str, to: &str) {
    let told = get(app, &format!("summary?from={from}&to={to}")).await;
    let exact = format!(
        "select percentile_disc(array[0.5, 0.9, 0.99]) within group (order by duration_ms)
             filter (where status = 'completed') as latency_ms,
             percentile_disc(array[0.5, 0.9, 0.99]) within group (order by first_token_ms) as first_token_ms
         from ledger where started_at >= '{from}' and started_at < '{to}'"
    );
    let exact = app.database.rows(&exact).await.remove(0);
    for name in ["latency_ms", "first_token_ms"] {
        for (place, rank) in ["p50", "p90", "p99"].into_iter().enumerate() {
            let (told, exact) = (&told[name][rank], &exact[name][place]);
            let Some(exact) = exact.as_f64() else {
                assert_eq!(told, &Value::Null, "{from} to {to}, {name} {rank}");
                continue;
            };
            let told = told.as_f64().unwrap();
            // A time is at least a millisecond.
            let near = (told / exact.max(1.0) - 1.0).abs() < 0.05;
            assert!(near, "{from} to {to}, {name} {rank}: {told} for {exact}");
        }
    }
}

#[tokio::test]
async fn percentiles_are_within_five_percent_over_any_range() {
    let app = past(1_500).await;
    roll_up(&app).await;
    compare(&app, "2020-11-10T00:00:00Z", "2020-11-14T00:00:00Z").await;
    compare(&app, "2020-11-11T03:30:00Z", "2020-11-11T18:10:00Z").await;
}

/// Times of a shape that the number of the day chooses: even, one value, two heaps, long tails, from a millisecond to an hour.
const SHAPES: &str = "
    select setseed(0.42);
    select ledger_partition(timestamptz '2020-12-01T00:00:00Z' + n * interval '1 day') from generate_series(0, 19) n;
    insert into ledger (id, started_at, key_id, account_id, pool, provider, operation, stream, status, http_status, first_token_ms, duration_ms)
    select format('req_%s_%s', day, n), timestamptz '2020-12-01T00:00:00Z' + day * interval '1 day' + random() * interval '23 hours',
        'key_1', 'acc_1', 'default', 'anthropic', 'generate', true, 'completed', 200,
        case when random() < 0.8 then 1 + (case day % 5
            when 0 then 2000 * random() when 1 then 7 + day when 2 then case when random() < 0.5 then 20 else 900000 end
            when 3 then exp(8 * random()) else 400 * -ln(1 - random()) end)::integer end,
        least(3600000, 1 + (case day % 5
            when 0 then 90000 * random() when 1 then 13 * (day + 1) when 2 then case when random() < 0.3 then 3 else 60000 * random() end
            when 3 then exp(15 * random()) else 9000 * -ln(1 - random()) end)::integer)
    from generate_series(0, 19) day, generate_series(1, 150) n";

#[tokio::test]
async fn percentiles_are_within_five_percent_whatever_the_shape() {
    let app = past(1).await;
    app.database.execute(SHAPES).await;
    roll_up(&app).await;
    let chance = &mut Chance::of(77);
    let at = |hour: usize, minute: usize| format!("2020-12-{:02}T{:02}:{minute:02}:00Z", 1 + hour / 24, hour % 24);
    for day in 0..20 {
        compare(&app, &at(24 * day, 0), &at(24 * day + 24, 0)).await;
        let (begin, hours) = (chance.below(400), 1 + chance.below(60));
        compare(&app, &at(begin, chance.below(60)), &at(begin + hours, chance.below(60))).await;
    }
}

/// The row of a batch says what it used, and that it took no time: it is no answer that took none.
#[tokio::test]
async fn batches_took_no_time() {
    let app = past(0).await;
    app.database
        .execute(
            "select ledger_partition('2020-11-11T10:00:00Z');
             insert into ledger (id, started_at, key_id, account_id, pool, provider, operation, stream, status, http_status, output_tokens, duration_ms)
             select 'req_' || n, timestamptz '2020-11-11T10:00:00Z', 'key_1', 'acc_1', 'default', 'anthropic',
                case n when 0 then 'messages' else 'batches' end, false, 'completed', case when n < 2 then 200 end, 7,
                (array[5000, 300])[n + 1]
             from generate_series(0, 1) n
             union all
             select 'req_batch_' || n, '2020-11-11T10:30:00Z', 'key_1', 'acc_1', 'default', 'anthropic', 'batches', false, 'completed', null, 7, 0
             from generate_series(1, 3) n",
        )
        .await;
    for rolled in [false, true] {
        if rolled {
            roll_up(&app).await;
        }
        let span = "from=2020-11-11T00:00:00Z&to=2020-11-12T00:00:00Z";
        let summary = get(&app, &format!("summary?{span}")).await;
        assert_eq!(
            (&summary["requests"], &summary["tokens"]["output"]),
            (&json!(5), &json!(35)),
            "rolled up: {rolled}"
        );
        let [low, high] = ["p50", "p99"].map(|rank| summary["latency_ms"][rank].as_f64().unwrap());
        assert!((low / 300.0 - 1.0).abs() < 0.05 && (high / 5_000.0 - 1.0).abs() < 0.05, "{low} {high}");
        let text = app.instance.operator(reqwest::Method::GET, "/api/stats/metrics", None).await.text().await.unwrap();
        let count = "llm_gateway_request_duration_seconds_count{provider=\"anthropic\"} 2\n";
        assert!(text.contains(count), "rolled up: {rolled}\n{text}");
    }
}
