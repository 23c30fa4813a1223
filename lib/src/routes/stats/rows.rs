//! `GET /api/stats/accounts`, `/keys` and `/models`: what requests add up to, row by row.
//!
//! Answers `{data: [{id, name, …figures}], next_cursor}` with the figures of `figures.rs`, the greatest first. `id` is an account's, a
//! key's or a model's name; null, where requests name none. A row of a model has its `provider`. `name` is null for a model,
//! and for what was deleted. `sort`: `requests` (default), `errors`, `tokens`, `cost`, `success_rate`, `cache_hit_ratio`,
//! `latency`, `first_token` (the last two by their average). Only what had requests in the span is listed.

use serde_json::{Value, json};

use super::{figures::figures, query::Query};
use crate::{
    access::Caller,
    error::{Error, Result},
    gateway::Context,
    http::Response,
    routes::reply,
    store::{GroupBy, GroupRow, Sort},
};

/// How far a table can be turned over: beyond it, ask with a filter.
const DEEPEST: i64 = 100_000;

pub(super) async fn answer(cx: &Context, caller: &Caller, query: &Query, group: &GroupBy) -> Result<Response> {
    let filter = query.filter(caller)?;
    let span = query.span()?;
    let sort = query.word("sort", Sort::parse)?.unwrap_or(Sort::Requests);
    let limit = query.limit()?;
    let skip = match query.text("cursor").map(|cursor| cursor.parse()) {
        None => 0,
        Some(Ok(skip)) if (0..=DEEPEST).contains(&skip) => skip,
        Some(_) => return Err(Error::invalid("cursor", "is not a cursor of this list")),
    };
    let rows = cx.gateway.store.group_rows(&filter, span, group, (sort, skip, limit)).await?;
    let data: Vec<_> = rows.iter().map(|row| told(row, group)).collect();
    let next = query.next(&data, limit, |_| (skip + limit).to_string());
    reply::page(&data, next.as_deref())
}

fn told(row: &GroupRow, group: &GroupBy) -> Value {
    let mut told = figures(&row.measures);
    told["id"] = json!(row.group);
    told["name"] = json!(row.name);
    if *group == GroupBy::Model {
        told["provider"] = json!(row.provider);
    }
    told
}
