//! `GET /api/stats/retention`: how long single requests are kept.
//!
//! Answers `{ledger_days, kept_from}`: `LEDGER_RETENTION_DAYS`, null where nothing is dropped; and the time before which there are
//! only the sums of hours and days, null while nothing was dropped yet.

use serde_json::json;

use crate::{access::Caller, error::Result, gateway::Context, http::Response, routes::reply};

pub(super) async fn answer(cx: &Context, caller: &Caller) -> Result<Response> {
    caller.may_view()?;
    let kept_from = cx.gateway.store.kept_from().await?;
    reply::ok(&json!({ "ledger_days": cx.gateway.config.ledger_retention_days, "kept_from": kept_from }))
}
