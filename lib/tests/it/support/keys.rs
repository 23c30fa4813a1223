//! Keys with limits: issued, looked at by their holders, and their sums held against the ledger.

use std::borrow::Borrow;

use futures_util::future::join_all;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use super::{App, Instance, eventually};
use crate::walk::hello;

/// Issues a key with these limits; gives its id and the key.
pub(crate) async fn limited(app: &App, limits: Value) -> (String, String) {
    issue(app, json!({ "limits": limits })).await
}

/// Issues a key with further fields; gives its id and the key.
pub(crate) async fn issue(app: &App, mut body: Value) -> (String, String) {
    body["name"] = json!("test");
    let key = app.instance.manage(Method::POST, "/api/keys", Some(body)).await;
    (key["id"].as_str().unwrap().to_owned(), key["key"].as_str().unwrap().to_owned())
}

/// Changes a key.
pub(crate) async fn change(app: &App, id: &str, body: Value) -> Value {
    app.instance.manage(Method::PATCH, &format!("/api/keys/{id}"), Some(body)).await
}

/// What a holder sees of the own key.
pub(crate) async fn me(instance: &Instance, key: &str) -> Value {
    let answer = instance.request(Method::GET, "/api/keys/me").bearer_auth(key).send().await.unwrap();
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).unwrap()
}

/// What a holder sees of one limit.
pub(crate) async fn standing(instance: &Instance, key: &str, limit: &str) -> Value {
    let me = me(instance, key).await;
    let standing = me["standing"].as_array().unwrap();
    standing.iter().find(|one| one["limit"] == limit).unwrap_or_else(|| panic!("{limit} in {me}")).clone()
}

/// Moves what keys have used so far into the past.
pub(crate) async fn age(app: &App, span: &str) {
    let sql = format!(
        "update key_usage set start = start - interval '{span}' where span = 'quarter';
        delete from key_usage where span = 'day';
        insert into key_usage
        select key_id, 'day', date_bin('24 hours', start, 'epoch'), model,
            sum(requests), sum(errors), sum(tokens), sum(cost_micros)
        from key_usage group by 1, 2, 3, 4"
    );
    app.database.execute(&sql).await;
}

/// Recomputes the sums of every key from the ledger: both must say the same, row by row.
pub(crate) async fn sums_are_the_ledgers(app: &App) {
    let of_ledger = "
        select key_id, span, case span when 'quarter' then date_bin('15 minutes', started_at, 'epoch')
                else date_trunc('day', started_at, 'UTC') end as start,
            left(coalesce(model, ''), 200) as model, count(*) as requests,
            count(*) filter (where status not in ('completed', 'cancelled')) as errors,
            sum(coalesce(input_tokens, 0) + coalesce(cache_read_tokens, 0) + coalesce(cache_write_5m_tokens, 0)
                + coalesce(cache_write_1h_tokens, 0) + coalesce(output_tokens, 0) + coalesce(tool_use_tokens, 0)) as tokens,
            sum(cost_micros) as cost_micros
        from ledger cross join (values ('quarter'), ('day')) spans (span) group by 1, 2, 3, 4";
    let kept = "select key_id, span, start, model, requests, errors, tokens, cost_micros from key_usage";
    let differing = app
        .database
        .rows(&format!("(({of_ledger}) except all ({kept})) union all (({kept}) except all ({of_ledger}))"))
        .await;
    assert!(differing.is_empty(), "{differing:#?}");
    assert!(app.database.number("select count(*) from key_usage").await > 0, "there is something to compare");
}

/// A message that the database has decided on. On a machine with too much to do a claim may not be made in the time that it
/// has: then nothing was taken, and the caller comes again.
pub(crate) async fn decided(instance: &Instance, key: &str) -> Response {
    eventually("a claim is made in time", || async {
        let answer = instance.messages(key, hello(false)).send().await.unwrap();
        (answer.status() != StatusCode::SERVICE_UNAVAILABLE).then_some(answer)
    })
    .await
}

/// How many of so many calls at once, spread over the instances, are answered; all others must be refused with 429.
pub(crate) async fn answered<I: Borrow<Instance>>(instances: &[I], key: &str, calls: usize) -> usize {
    let call = async |n: usize| decided(instances[n % instances.len()].borrow(), key).await.status();
    let statuses = join_all((0..calls).map(call)).await;
    assert!(statuses.iter().all(|status| [200, 429].contains(&status.as_u16())), "{statuses:?}");
    statuses.into_iter().filter(|status| *status == StatusCode::OK).count()
}
