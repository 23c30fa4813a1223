//! `GET /api/stats/summary`: what the requests of a span add up to, beside the span of the same length before it.
//!
//! Answers `{from, to, in_flight, …figures, previous: {from, to, …figures}}` with the figures of `figures.rs`; `in_flight` is now,
//! whatever the span. In `affinity` there are three more: `rewarm_tokens`, what moved conversations wrote to caches anew, `rewarm_usd`, what
//! that costs at today's prices, and `saved_usd`, what kept ones would have cost more without their cache.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{figures::figures, query::Query};
use crate::{
    access::Caller,
    error::Result,
    gateway::Context,
    http::Response,
    ledger::PriceTable,
    protocol::{Provider, Usage},
    routes::reply,
    store::{Measures, Totals, usd},
};

/// Tokens that a price is asked for: few enough to be priced as those of an ordinary prompt.
const MANY: u64 = 100_000;

pub(super) async fn answer(cx: &Context, caller: &Caller, query: &Query) -> Result<Response> {
    let filter = query.filter(caller)?;
    let (from, to) = query.span()?;
    let before = from.checked_sub(to.duration_since(from)).unwrap_or(Timestamp::UNIX_EPOCH);
    let spans = [(from, to), (before, from)];
    let (totals, in_flight) = cx.gateway.store.totals(&filter, &spans).await?;
    let prices = &cx.snapshot().await?.prices;
    let mut told = totals.iter().zip(spans).map(|(totals, span)| told(totals, span, prices));
    let mut answer = told.next().unwrap_or_default();
    answer["in_flight"] = json!(in_flight);
    answer["previous"] = told.next().unwrap_or_default();
    reply::ok(&answer)
}

fn told(totals: &Totals, (from, to): (Timestamp, Timestamp), prices: &PriceTable) -> Value {
    let sum = totals.sum();
    let mut told = figures(&sum);
    told["from"] = json!(from);
    told["to"] = json!(to);
    let affinity = &mut told["affinity"];
    let rewarmed = sum.known("moved_cache_write_5m").zip(sum.known("moved_cache_write_1h"));
    let rewarmed = rewarmed.map(|(short, long)| short + long).or((sum.count("moved") == 0).then_some(0));
    let read = sum.known("kept_cache_read").or((sum.count("kept") == 0).then_some(0));
    affinity["rewarm_tokens"] = json!(rewarmed);
    affinity["rewarm_usd"] = json!(rewarmed.map(|_| usd(total(totals, prices, rewarm))));
    affinity["saved_usd"] = json!(read.map(|_| usd(total(totals, prices, saved))));
    told
}

type Priced = fn(&Measures, &dyn Fn(Usage) -> i64) -> i128;

/// The sum over all models, in millionths of a dollar.
fn total(totals: &Totals, prices: &PriceTable, priced: Priced) -> i64 {
    let of = |(provider, model, measures): &(String, Option<String>, Measures)| {
        let provider = Provider::parse(provider)?;
        let model = model.as_deref().unwrap_or_default();
        Some(priced(measures, &|usage| prices.price(provider, model, None, &usage).cost.0))
    };
    let micros: i128 = totals.by_model.iter().filter_map(of).sum::<i128>() / i128::from(MANY);
    i64::try_from(micros).unwrap_or(i64::MAX)
}

/// What writing the caches of moved conversations anew costs, times [`MANY`].
fn rewarm(measures: &Measures, price: &dyn Fn(Usage) -> i64) -> i128 {
    let short = i128::from(measures.count("moved_cache_write_5m"))
        * i128::from(price(Usage { cache_write_5m: MANY, ..Usage::default() }));
    let long = i128::from(measures.count("moved_cache_write_1h"))
        * i128::from(price(Usage { cache_write_1h: MANY, ..Usage::default() }));
    short + long
}

/// What reading from caches saved against reading the same prompts whole, times [`MANY`].
fn saved(measures: &Measures, price: &dyn Fn(Usage) -> i64) -> i128 {
    let whole = price(Usage { input: MANY, ..Usage::default() });
    let cached = price(Usage { cache_read: MANY, ..Usage::default() });
    i128::from(measures.count("kept_cache_read")) * i128::from(whole - cached)
}
