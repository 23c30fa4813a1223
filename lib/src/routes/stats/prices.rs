//! `/api/stats/prices`: prices that take the place of built-in ones.

use serde_json::{Value, json};

use crate::{
    access::Caller,
    error::{Error, Kind, Result},
    gateway::Context,
    http::Response,
    ledger::{RATES, Rate},
    protocol::Provider,
    routes::{Fields, name_in_path, reply},
};

const KINDS: [&str; 5] = ["chat", "image", "tts", "transcribe", "embedding"];
const STATUSES: [&str; 4] = ["current", "retiring", "free", "retired"];

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
    let (provider, model) = (price_of(provider)?, name_in_path(model)?);
    let price = read(body)?;
    let mut row = price.clone();
    row["provider"] = json!(provider);
    row["model"] = json!(model);
    cx.gateway.store.set_price(provider, &model, &price, caller.name()).await?;
    reply::ok(&row)
}

pub(super) async fn unset(cx: &Context, caller: &Caller, (provider, model): (&str, &str)) -> Result<Response> {
    caller.may_manage()?;
    cx.gateway.store.unset_price(price_of(provider)?, &name_in_path(model)?, caller.name()).await?;
    Ok(reply::done())
}

/// The given columns of a price; every one is checked as the price table will read it.
fn read(mut body: Fields) -> Result<Value> {
    let kind = body.word("kind", one_of(&KINDS), "`chat`, `image`, `tts`, `transcribe`, `embedding`")?;
    let status = body.word("status", one_of(&STATUSES), "`current`, `retiring`, `free`, `retired`")?;
    let mut price = json!({ "kind": body.required("kind", kind)?, "status": body.required("status", status)? });
    if let Some(Some(above)) = body.nullable_count("long_above")? {
        price["long_above"] = json!(above);
    }
    if let Some(note) = body.text("note")? {
        price["note"] = json!(note);
    }
    for column in RATES {
        let Some(value) = body.value(column) else { continue };
        if !value.is_number() || serde_json::from_value::<Rate>(value.clone()).is_err() {
            return Err(body.wrong(column, "must be a number from 0 to 10000, with at most six decimals"));
        }
        price[column] = value;
    }
    body.finish()?;
    Ok(price)
}

fn one_of(words: &'static [&'static str]) -> impl Fn(&str) -> Option<&'static str> {
    |word| words.iter().find(|known| **known == word).copied()
}

fn price_of(provider: &str) -> Result<Provider> {
    Provider::parse(provider).ok_or_else(|| Error::new(Kind::NotFound, format!("there is no provider {provider}")))
}
