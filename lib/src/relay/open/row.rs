//! A ledger row before its request has ended: what is known at the start, and what a usage makes of it.

use http::HeaderMap;

use super::Open;
use crate::{
    id::AccountId,
    ledger::PriceTable,
    protocol::{Form, Provider, Usage},
    relay::Arrival,
    store::{AttemptRecord, Draft, Record, Spent, Status, Tokens},
};

/// A user agent is kept up to here.
const CLIENT_CHARS: usize = 120;
/// An upstream's name for a request is kept up to here.
const REQUEST_ID_CHARS: usize = 120;

pub(super) fn blank(arrival: &Arrival) -> Record {
    Record {
        id: arrival.id.clone(),
        started_at: arrival.at,
        key_id: arrival.key.id.clone(),
        account_id: AccountId::from(String::new()),
        pool: arrival.key.pool.clone(),
        provider: arrival.demand.provider.as_str(),
        operation: arrival.demand.operation,
        model: arrival.demand.model.clone(),
        served_model: None,
        stream: arrival.demand.form != Form::Json,
        session: arrival.session.clone(),
        client: client(arrival),
        affinity: None,
        crossed: None,
        status: Status::Cancelled,
        http_status: None,
        error: None,
        attempts: Vec::new(),
        spent: Spent::default(),
        first_token_ms: None,
        duration_ms: 0,
        upstream_request_id: None,
    }
}

/// What a request used of which nobody will ever say it: its prompt, by estimate. `None` where the upstream charges nothing.
pub(super) fn unsaid(arrival: &Arrival) -> Option<Usage> {
    let demand = &arrival.demand;
    (!demand.operation.is_free()).then(|| Usage::estimate(demand.input_estimate))
}

/// What the request is recorded as should this instance die.
pub(in crate::relay) fn draft(arrival: &Arrival, open: &Open, prices: &PriceTable) -> Draft {
    let blank = blank(arrival);
    let mut attempts = open.attempted_so_far();
    let mut spent = Spent::default();
    if let Some(usage) = unsaid(arrival) {
        let tokens = Tokens { input_tokens: Some(usage.input), ..Tokens::default() };
        spent = Spent { tokens, ..price(prices, &blank, None, &usage) };
    }
    if !attempts.is_empty() {
        // Whose account that is, the claim decides and `reap` fills in.
        let account = blank.account_id.clone();
        attempts.push(AttemptRecord { account, verdict: "lost", status: None, took_ms: 0, spent: Some(spent.clone()) });
        spent = Spent::of_all(&mut attempts);
    }
    Draft {
        id: blank.id,
        started_at: blank.started_at,
        key_id: blank.key_id,
        pool: blank.pool,
        provider: blank.provider,
        operation: blank.operation,
        model: blank.model,
        stream: blank.stream,
        session: blank.session,
        client: blank.client,
        spent,
        attempts,
    }
}

/// What a usage costs, at the prices of the model that served, else of the one that was asked for.
pub(super) fn price(prices: &PriceTable, row: &Record, served: Option<&str>, usage: &Usage) -> Spent {
    let asked = row.model.as_deref().unwrap_or_default();
    let priced = prices.price(provider(row), asked, served, usage);
    Spent {
        tokens: Tokens {
            input_tokens: Some(usage.input),
            cache_read_tokens: Some(usage.cache_read),
            cache_write_5m_tokens: Some(usage.cache_write_5m),
            cache_write_1h_tokens: Some(usage.cache_write_1h),
            output_tokens: Some(usage.output),
            thinking_tokens: Some(usage.thinking),
            tool_use_tokens: Some(usage.tool_use),
            searches: Some(usage.searches),
        },
        cost_micros: priced.cost.0,
        estimated: usage.estimated,
        unpriced: priced.unpriced,
    }
}

pub(super) fn provider(row: &Record) -> Provider {
    Provider::parse(row.provider).expect("a record holds a provider's word")
}

fn client(arrival: &Arrival) -> Option<String> {
    let agent = arrival.headers.get(http::header::USER_AGENT)?.to_str().ok()?;
    Some(agent.chars().take(CLIENT_CHARS).collect())
}

pub(super) fn upstream_request_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get("request-id").or_else(|| headers.get("x-cloud-trace-context"))?;
    Some(id.to_str().ok()?.chars().take(REQUEST_ID_CHARS).collect())
}
