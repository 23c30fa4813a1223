//! `/api/stats`: what was used and what it cost; and `/api/health`.
//!
//! Each file below says what its paths answer. A viewer and an admin see everything; a member sees its own key's requests
//! and nothing else. Times are RFC 3339, money is dollars, and a figure that nobody knows is null, never 0.

mod audit;
mod export;
mod figures;
mod live;
mod metrics;
mod prices;
mod query;
mod requests;
mod retention;
mod rows;
mod series;
mod summary;

use http::{Method, StatusCode};
use serde_json::json;

use super::{caller, fields, no_such_path, openapi, reply, segments};
use crate::{
    error::Result,
    gateway::Context,
    http::{Request, Response},
    store::GroupBy,
};

pub(super) use query::Query;

pub(super) async fn answer(cx: &Context, request: Request) -> Result<Response> {
    let method = request.method().clone();
    let uri = request.uri().clone();
    let segments = segments(&uri);
    if let ["api", open @ ("health" | "openapi.json")] = segments.as_slice() {
        // A monitor that adds a parameter of its own must not take the gateway for ill.
        openapi::must_take(&method, &uri)?;
        return if *open == "health" { health(cx).await } else { Ok(openapi::answer()) };
    }
    let caller = caller(cx, &request).await?;
    let query = Query::of(&uri);
    match (method, segments.as_slice()) {
        (Method::GET, ["api", "stats", "summary"]) => summary::answer(cx, &caller, &query).await,
        (Method::GET, ["api", "stats", "series"]) => series::answer(cx, &caller, &query).await,
        (Method::GET, ["api", "stats", "accounts"]) => rows::answer(cx, &caller, &query, &GroupBy::Account).await,
        (Method::GET, ["api", "stats", "keys"]) => rows::answer(cx, &caller, &query, &GroupBy::Key).await,
        (Method::GET, ["api", "stats", "models"]) => rows::answer(cx, &caller, &query, &GroupBy::Model).await,
        (Method::GET, ["api", "stats", "requests"]) => requests::page(cx, &caller, &query).await,
        (Method::GET, ["api", "stats", "requests", id]) => requests::one(cx, &caller, id).await,
        (Method::GET, ["api", "stats", "live"]) => live::answer(cx, &caller).await,
        (Method::GET, ["api", "stats", "export.csv"]) => export::answer(cx, &caller, &query).await,
        (Method::GET, ["api", "stats", "metrics"]) => metrics::answer(cx, &caller).await,
        (Method::GET, ["api", "stats", "audit"]) => audit::answer(cx, &caller, &query).await,
        (Method::GET, ["api", "stats", "retention"]) => retention::answer(cx, &caller).await,
        (Method::GET, ["api", "stats", "prices"]) => prices::list(cx, &caller).await,
        (Method::PUT, ["api", "stats", "prices", provider, model]) => {
            prices::set(cx, &caller, (provider, model), fields(request).await?).await
        }
        (Method::DELETE, ["api", "stats", "prices", provider, model]) => {
            prices::unset(cx, &caller, (provider, model)).await
        }
        _ => Err(no_such_path()),
    }
}

/// Says what is wrong to whoever asks, and nothing else.
async fn health(cx: &Context) -> Result<Response> {
    let (ping, redis) = tokio::join!(cx.gateway.store.ping(), redis(cx));
    let (status, word, database) = match ping {
        Ok(()) => (StatusCode::OK, "ok", "ok"),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "not answering"),
    };
    let version = env!("CARGO_PKG_VERSION");
    let webhooks = if status == StatusCode::OK { webhooks(cx).await? } else { "unknown" };
    let mut health =
        json!({ "status": word, "version": version, "database": database, "redis": redis, "webhooks": webhooks });
    if cx.gateway.config.demo {
        health["demo"] = json!(true);
    }
    reply::json(status, &health)
}

/// Whether the operator's receiver takes what it is told.
async fn webhooks(cx: &Context) -> Result<&'static str> {
    if cx.gateway.config.webhook.is_none() {
        return Ok("unset");
    }
    let outbox = cx.gateway.store.outbox().await?;
    Ok(if outbox.refused > 0 { "failing" } else { "ok" })
}

/// Nothing fails without it, so it changes nothing of the status.
async fn redis(cx: &Context) -> &'static str {
    match &cx.gateway.windows {
        None => "unset",
        Some(windows) if windows.answer().await => "ok",
        Some(_) => "down",
    }
}
