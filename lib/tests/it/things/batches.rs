//! Batches: their addresses, their results, and what those cost, once.

use http::StatusCode;
use reqwest::Method;
use serde_json::{Value, json};

use super::{House, good, refused};
use crate::support::{
    eventually,
    keys::{limited, standing, sums_are_the_ledgers},
};

/// `results_url` is the gateway's, and leads to the results.
#[tokio::test]
async fn results_are_fetched_from_the_gateway() {
    let house = House::new().await;
    house.only("sk-ant-two").await;
    let batch = house.batch(&house.alice).await;
    house.all().await;
    let described = good(house.get(&house.alice, &format!("/v1/messages/batches/{batch}")).await).await;
    let url = described["results_url"].as_str().unwrap();
    assert_eq!(url, format!("http://{}/v1/messages/batches/{batch}/results", house.app.instance.address));
    house.reached().await;
    let answer = reqwest::Client::new().get(url).header("x-api-key", &house.alice).send().await.unwrap();
    let lines: Vec<Value> =
        answer.text().await.unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[1]["custom_id"], "b");
    assert_eq!(lines[1]["result"]["message"]["usage"]["service_tier"], "batch");
    assert_eq!(house.reached().await, ["sk-ant-two"]);
}

async fn row_of(house: &House, batch: &str) -> Value {
    house.app.ledger().await;
    let id = format!("req_{}", batch.replace('/', "_"));
    let mut rows = house.app.database.rows(&format!("select * from ledger where id = '{id}'")).await;
    assert_eq!(rows.len(), 1, "{batch} is booked once");
    rows.remove(0)
}

/// What a batch used is on one row of the ledger, at half the price, however often its results are fetched.
#[tokio::test]
async fn a_batch_is_booked_once_at_half_the_price() {
    let house = House::new().await;
    let batch = house.batch(&house.alice).await;
    let path = format!("/v1/messages/batches/{batch}/results");
    let mut used = (0, 0);
    for _ in 0..3 {
        let text = house.get(&house.alice, &path).await.text().await.unwrap();
        let usages =
            text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["result"]["message"]["usage"].take());
        let figure = |usage: &Value, name: &str| usage[name].as_u64().unwrap_or(0);
        used = usages.fold((0, 0), |(input, output), usage| {
            (input + figure(&usage, "input_tokens"), output + figure(&usage, "output_tokens"))
        });
    }
    let row = row_of(&house, &batch).await;
    assert_eq!((&row["input_tokens"], &row["output_tokens"]), (&json!(used.0), &json!(used.1)), "{row}");
    assert_eq!((&row["operation"], &row["status"]), (&json!("batches"), &json!("completed")));
    assert_eq!(row["served_model"], "claude-haiku-4-5");
    // claude-haiku-4-5 in a batch: 0.5 and 2.5 USD for a million tokens; in tenths of a millionth of a USD.
    let cost = used.0 * 5 + used.1 * 25;
    assert_eq!(row["cost_micros"], (cost + 5) / 10);
    let free = house.app.database.number("select count(*) from ledger where operation = 'batch_results' and cost_micros = 0 and input_tokens is null").await;
    assert_eq!(free, 3, "fetching is free");
}

/// A caller who hangs up in the middle of the results has the batch on the books all the same.
#[tokio::test]
async fn results_that_are_not_read_to_their_end_are_booked() {
    use fake_upstream::{Answer, Body, Chunk, Script};
    let house = House::new().await;
    let batch = house.batch(&house.alice).await;
    let line = |id: &str| {
        let usage = json!({ "input_tokens": 1000, "output_tokens": 100, "service_tier": "batch" });
        let message = json!({ "type": "message", "model": "claude-haiku-4-5", "content": [], "stop_reason": "end_turn", "usage": usage });
        format!("{}\n", json!({ "custom_id": id, "result": { "type": "succeeded", "message": message } }))
    };
    let chunk = |data: String, after_ms| Chunk { after_ms, data: data.into() };
    let (first, rest) = (line("a"), line("b"));
    let (half, other) = rest.split_at(30);
    let chunks = vec![chunk(first, 0), chunk(half.to_owned(), 300), chunk(other.to_owned(), 300)];
    house.app.fake.script(Script::once(Answer { body: Body::Chunks(chunks), ..Answer::default() }).on("/results"));
    let mut answer = house.get(&house.alice, &format!("/v1/messages/batches/{batch}/results")).await;
    assert!(answer.chunk().await.unwrap().is_some());
    drop(answer);
    let row = row_of(&house, &batch).await;
    assert_eq!((&row["input_tokens"], &row["output_tokens"]), (&json!(2000), &json!(200)), "{row}");
    assert_eq!(row["cost_micros"], 1500);
}

/// A batch counts towards the limits of its key, those by model too, in the time that it was made in; and once.
#[tokio::test]
async fn a_batch_counts_when_it_was_made() {
    let house = House::new().await;
    let window = |models: &str| json!({ "hours": 48, "models": [models], "cost_usd": 9 });
    let limits = json!({ "cost_per_day_usd": 9, "windows": [window("claude-haiku-*"), window("claude-opus-*")] });
    let (_, key) = limited(&house.app, limits).await;
    let batch = house.batch(&key).await;
    house.app.database.execute("update things set created_at = now() - interval '26 hours'").await;
    for _ in 0..2 {
        house.get(&key, &format!("/v1/messages/batches/{batch}/results")).await.bytes().await.unwrap();
    }
    let row = row_of(&house, &batch).await;
    let age = "select extract(epoch from now() - started_at)::bigint / 3600 from ledger where operation = 'batches' and cost_micros > 0";
    assert_eq!(house.app.database.number(age).await, 26);
    sums_are_the_ledgers(&house.app).await;
    let cost = row["cost_micros"].as_f64().unwrap() / 1e6;
    for (limit, used) in [("cost_per_day_usd", 0.0), ("windows[0].cost_usd", cost), ("windows[1].cost_usd", 0.0)] {
        let standing = standing(&house.app.instance, &key, limit).await;
        assert_eq!(standing["used"].as_f64(), Some(used), "{standing}");
    }
}

/// Gemini's results stand in the description of its batch: booked once, too, by the batch's prices.
#[tokio::test]
async fn a_gemini_batch_is_booked_once() {
    let house = House::new().await;
    let batch = house.gemini_batch(&house.alice).await;
    let mut said = Value::Null;
    for _ in 0..2 {
        said = good(house.get(&house.alice, &format!("/v1beta/{batch}")).await).await;
    }
    let usage = &said["response"]["inlinedResponses"]["inlinedResponses"][0]["response"]["usageMetadata"];
    let input = usage["promptTokenCount"].as_u64().unwrap() * 2;
    let row = row_of(&house, &batch).await;
    assert_eq!((&row["input_tokens"], &row["status"]), (&json!(input), &json!("completed")), "{row}");
    assert!(row["cost_micros"].as_i64().unwrap() > 0);
}

/// A key's models are its limits in a batch and in a cached content too; what is no JSON is refused here.
#[tokio::test]
async fn a_batch_holds_no_model_that_the_key_may_not_call() {
    let house = House::new().await;
    let key = house.app.key(json!({ "name": "small", "models": ["claude-haiku-*"] })).await;
    let batch = |models: &[&str]| {
        let requests: Vec<_> =
            models.iter().map(|model| json!({ "custom_id": model, "params": { "model": model } })).collect();
        json!({ "requests": requests })
    };
    let allowed = batch(&["claude-haiku-4-5", "claude-haiku-5-5"]);
    good(house.post(&key, "/v1/messages/batches", &allowed).await).await;
    house.reached().await;
    let said =
        refused(house.post(&key, "/v1/messages/batches", &batch(&["claude-haiku-4-5", "claude-opus-5-5"])).await, 400)
            .await;
    assert!(said.contains("claude-opus-5-5"), "{said}");
    let cache = json!({ "model": "models/gemini-2.5-pro", "contents": [{ "parts": [{ "text": "long" }] }] });
    let said = refused(house.post(&key, "/v1beta/cachedContents", &cache).await, 400).await;
    assert!(said.contains("gemini-2.5-pro"), "{said}");
    let broken = house.call(&key, Method::POST, "/v1/messages/batches").body("{\"requests\":[").send().await.unwrap();
    assert_eq!(broken.status(), StatusCode::BAD_REQUEST);
    assert_eq!(house.reached().await, [""; 0]);
}

/// Removing and cancelling a batch, at both.
#[tokio::test]
async fn batches_are_cancelled_and_removed() {
    let house = House::new().await;
    for (batch, cancel) in [
        (format!("/v1/messages/batches/{}", house.batch(&house.alice).await), "/cancel"),
        (format!("/v1beta/{}", house.gemini_batch(&house.alice).await), ":cancel"),
    ] {
        good(house.post(&house.alice, &format!("{batch}{cancel}"), &json!({})).await).await;
        good(house.call(&house.alice, Method::DELETE, &batch).send().await.unwrap()).await;
        refused(house.get(&house.alice, &batch).await, 404).await;
    }
    eventually("nothing is left", || async {
        (house.app.database.number("select count(*) from things").await == 0).then_some(())
    })
    .await;
}
