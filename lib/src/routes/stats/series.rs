//! `GET /api/stats/series`: one figure over time, for a chart.
//!
//! `metric`: `requests` (default), `errors` (failed, refused, lost), `tokens`, `prompt_tokens`, `input_tokens`, `output_tokens`,
//! `cache_read_tokens`, `cache_write_tokens`, `cost` (dollars), `failovers`, `moved`, `success_rate`, `cache_hit_ratio`,
//! and `latency_` or `first_token_` with `p50`, `p90` or `p99` (milliseconds). `step`: `minute`, `hour` (default), `day`, in UTC; at most
//! 2,300 points. `group_by`: `provider`, `account`, `key`, `model`, `status`, `pool`, `label:NAME`; the `groups` (8, at most 20) with
//! most have a line each, all others share one.
//!
//! Answers `{metric, step, group_by, from, to, times: […], series: [{group, name, other, values: […]}]}`, each value at the
//! time of the same place: the beginning of its step. The first and the last step may lie partly outside the span; only what is inside counts.
//! `group` is null without `group_by`, for requests that name none, and for the others (`other: true`). A count is 0 where
//! nothing happened; a ratio or a percentile is null there.

use serde_json::{Value, json};

use super::query::Query;
use crate::{
    access::Caller,
    error::{Error, Result},
    gateway::Context,
    http::Response,
    routes::reply,
    store::{GroupBy, Line, Metric, Step, points},
};

const MOST_POINTS: i64 = 2_300;
const GROUPS: i64 = 8;
const MOST_GROUPS: i64 = 20;

pub(super) async fn answer(cx: &Context, caller: &Caller, query: &Query) -> Result<Response> {
    let filter = query.filter(caller)?;
    let span = query.span()?;
    let metric = query.word("metric", Metric::parse)?.unwrap_or(Metric::Sum("f.requests"));
    let step = query.word("step", Step::parse)?.unwrap_or(Step::Hour);
    let group = query.word("group_by", group)?;
    let most = query.number("groups", GROUPS, MOST_GROUPS)?;
    if points(step, span) > MOST_POINTS {
        let message = format!("is too fine for this span: there are at most {MOST_POINTS} points");
        return Err(Error::invalid("step", message));
    }
    let series = cx.gateway.store.series(&filter, span, (metric, step), (group.as_ref(), most)).await?;
    let lines: Vec<_> = series.lines.iter().map(|line| told(line, group.is_some())).collect();
    reply::ok(&json!({
        "metric": query.text("metric").as_deref().unwrap_or("requests"),
        "step": step.as_str(),
        "group_by": query.text("group_by"),
        "from": span.0,
        "to": span.1,
        "times": series.times,
        "series": lines,
    }))
}

fn told(line: &Line, grouped: bool) -> Value {
    json!({
        "group": line.group.as_ref().filter(|_| grouped),
        "name": line.name,
        "other": line.other,
        "values": line.values,
    })
}

fn group(word: &str) -> Option<GroupBy> {
    Some(match word {
        "provider" => GroupBy::Provider,
        "account" => GroupBy::Account,
        "key" => GroupBy::Key,
        "model" => GroupBy::Model,
        "status" => GroupBy::Status,
        "pool" => GroupBy::Pool,
        other => GroupBy::Label(other.strip_prefix("label:").filter(|name| !name.is_empty())?.to_owned()),
    })
}
