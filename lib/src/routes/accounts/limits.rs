//! `GET /api/accounts/{id}/limits`: how the limits stood that the account's upstream reports, for a chart.
//!
//! Answers `{from, to, step_seconds, times: […], series: [{name, family, values: […], resets_at: […]}]}`, each value at the time of the
//! same place: the beginning of its step. A value is the greatest share that was used in the step and can exceed 1; null: nothing new
//! was reported in it. Steps are five minutes up to two days, an hour up to thirty, six hours up to 180, and days beyond.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    access::Caller,
    error::Result,
    gateway::Context,
    http::Response,
    id::AccountId,
    routes::{reply, stats::Query},
    store::{LimitHistory, LimitPoint, POINT_SECONDS, steps},
};

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

pub(super) async fn answer(cx: &Context, caller: &Caller, id: &AccountId, query: &Query) -> Result<Response> {
    caller.may_view()?;
    let (from, to) = query.span()?;
    let store = &cx.gateway.store;
    let step = step_seconds(to.duration_since(from).as_secs());
    store.account(id).await?;
    let histories = store.limit_history(id, (from, to), step).await?;
    let times = steps((from, to), step);
    let series: Vec<_> = histories.iter().map(|history| told(history, &times)).collect();
    reply::ok(&json!({ "from": from, "to": to, "step_seconds": step, "times": times, "series": series }))
}

fn told(history: &LimitHistory, times: &[Timestamp]) -> Value {
    let points: Vec<Option<&LimitPoint>> = times.iter().map(|at| history.points.get(at)).collect();
    let values: Vec<_> = points.iter().map(|point| point.map(|point| point.used)).collect();
    let resets: Vec<_> = points.iter().map(|point| point.and_then(|point| point.resets_at)).collect();
    json!({ "name": history.name, "family": history.family, "values": values, "resets_at": resets })
}

/// As fine as a chart can show.
fn step_seconds(span_seconds: i64) -> i64 {
    match span_seconds {
        ..=172_800 => POINT_SECONDS,
        ..=2_592_000 => HOUR,
        ..=15_552_000 => 6 * HOUR,
        _ => DAY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_has_some_hundred_points() {
        for (days, step, points) in [
            (1, 300, 289),
            (2, 300, 577),
            (3, 3_600, 73),
            (30, 3_600, 721),
            (90, 21_600, 361),
            (180, 21_600, 721),
            (365, 86_400, 366),
        ] {
            let from: Timestamp = "2026-11-01T10:17:00Z".parse().unwrap();
            let to = Timestamp::from_second(from.as_second() + days * DAY).unwrap();
            assert_eq!(step_seconds(days * DAY), step, "{days} days");
            let times = steps((from, to), step);
            assert_eq!(times.len(), points, "{days} days");
            assert!(times[0] <= from && times[points - 1] < to, "{days} days");
        }
    }
}
