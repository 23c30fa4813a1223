//! `GET /api/stats/live`: the last sixty seconds, cheap enough to be asked for every two.
//!
//! Answers `{at, seconds: 60, requests_per_second, tokens_per_second, cost_usd, in_flight, error_rate, accounts: [{id, name, provider, pool,
//! state, state_reason, state_until, in_flight, max_in_flight}]}`. Requests count when they come; tokens, cost and errors when
//! a request ends, and not where it took more than five minutes. `error_rate` is null while none has ended. A member is told of
//! its own requests, and of no account (`accounts` is null).

use serde_json::json;

use super::query::Query;
use crate::{
    access::{Caller, Role},
    clock,
    error::Result,
    gateway::Context,
    http::Response,
    pool::Account,
    routes::reply,
    store::{ratio, usd},
};

const SECONDS: i64 = 60;

pub(super) async fn answer(cx: &Context, caller: &Caller) -> Result<Response> {
    let filter = Query::of(&http::Uri::default()).filter(caller)?;
    let store = &cx.gateway.store;
    let (live, accounts) = if caller.role() == Role::Member {
        (store.live(&filter).await?, None)
    } else {
        let (live, accounts) = tokio::try_join!(store.live(&filter), store.accounts())?;
        (live, Some(accounts))
    };
    let now = clock::now();
    let told = |account: &Account| {
        let state = account.state(now);
        let reason = (state.as_str() != "ready").then_some(account.health.reason.as_deref()).flatten();
        let until = (state.as_str() != "ready").then_some(account.health.until).flatten();
        json!({
            "id": account.id, "name": account.name, "provider": account.provider, "pool": account.pool,
            "state": state.as_str(), "state_reason": reason, "state_until": until,
            "in_flight": account.in_flight, "max_in_flight": account.max_in_flight,
        })
    };
    reply::ok(&json!({
        "at": live.at,
        "seconds": SECONDS,
        "requests_per_second": ratio(live.begun, SECONDS),
        "tokens_per_second": live.tokens.or((live.ended == 0).then_some(0)).and_then(|tokens| ratio(tokens, SECONDS)),
        "cost_usd": usd(live.cost_micros),
        "in_flight": live.in_flight,
        "error_rate": ratio(live.errors, live.ended),
        "accounts": accounts.map(|accounts| accounts.iter().map(told).collect::<Vec<_>>()),
    }))
}
