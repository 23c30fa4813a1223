//! `/api/stats/prices`: prices that take the place of built-in ones.

use serde_json::json;

use crate::{
    access::Caller,
    error::{Error, Kind, Result},
    gateway::Context,
    http::Response,
    ledger::{Row, is_price_column},
    protocol::Provider,
    routes::{Fields, reply},
};

pub(super) async fn list(cx: &Context, caller: &Caller) -> Result<Response> {
    caller.may_view()?;
    reply::page(&cx.gateway.store.prices().await?, None)
}

pub(super) async fn set(
    cx: &Context,
    caller: &Caller,
    (provider, model): (&str, &str),
    body: Fields,
) -> Result<Response> {
    caller.may_manage()?;
    let provider = price_of(provider)?;
    let price = body.into_value();
    if let Some(name) = price.as_object().and_then(|price| price.keys().find(|name| !is_price_column(name))) {
        return Err(Error::invalid(name.clone(), "there is no such field"));
    }
    let mut row = price.clone();
    row["provider"] = json!(provider);
    row["model"] = json!(model);
    serde_json::from_value::<Row>(row.clone()).map_err(|why| Error::invalid("body", why.to_string()))?;
    cx.gateway.store.set_price(provider, model, &price, caller.name()).await?;
    reply::ok(&row)
}

pub(super) async fn unset(cx: &Context, caller: &Caller, (provider, model): (&str, &str)) -> Result<Response> {
    caller.may_manage()?;
    cx.gateway.store.unset_price(price_of(provider)?, model, caller.name()).await?;
    Ok(reply::done())
}

fn price_of(provider: &str) -> Result<Provider> {
    Provider::parse(provider).ok_or_else(|| Error::new(Kind::NotFound, format!("there is no provider {provider}")))
}
