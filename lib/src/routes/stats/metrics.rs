//! `GET /api/stats/metrics`: what there is to watch, in Prometheus's text format; a viewer's key is the token to scrape with.
//!
//! Counters count everything since the ledger began, on all instances together: each instance gives the same figures, so scrape one.

mod text;

use http::{HeaderValue, header};

use crate::{
    access::Caller,
    clock,
    error::Result,
    gateway::Context,
    http::{Response, full},
    pool::{Account, State},
    store::{Counted, CountedAccount, Filter, Histogram, TOKENS, usd},
};

use text::{Kind, Text};

pub(super) async fn answer(cx: &Context, caller: &Caller) -> Result<Response> {
    caller.may_view()?;
    let now = clock::now();
    let store = &cx.gateway.store;
    let everyone = Filter::default();
    let (counted, live, accounts) = tokio::try_join!(store.counted(now), store.live(&everyone), store.accounts())?;
    let mut text = Text::default();
    text.family("llm_gateway_build_info", Kind::Gauge, "The version that answered; always 1.");
    text.sample("", &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    text.family("llm_gateway_in_flight_requests", Kind::Gauge, "Requests under way now.");
    text.sample("", &[], float(live.in_flight));
    requests(&mut text, &counted.0);
    times(&mut text, &counted.0);
    served(&mut text, &counted.1, &accounts);
    states(&mut text, &accounts, now);
    if cx.gateway.config.webhook.is_some() {
        text.family(
            "llm_gateway_webhooks_waiting",
            Kind::Gauge,
            "Events that the webhook's receiver does not have yet.",
        );
        text.sample("", &[], float(store.outbox().await?.waiting));
    }
    let mut response = Response::new(full(text.finish()));
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}

fn requests(text: &mut Text, counted: &[Counted]) {
    let mut family = |name: &str, help: &str, figure: &dyn Fn(&Counted) -> f64| {
        text.family(name, Kind::Counter, help);
        for row in counted {
            let labels = [("provider", &*row.provider), ("pool", &*row.pool), ("status", &*row.status)];
            text.sample("", &labels, figure(row));
        }
    };
    family("llm_gateway_requests_total", "Requests that have ended, by how they did.", &|row| {
        float(row.measures.count("requests"))
    });
    family("llm_gateway_failovers_total", "Attempts that went on to another account.", &|row| {
        float(row.measures.count("failovers"))
    });
    family("llm_gateway_moved_requests_total", "Requests whose conversation had to change its account.", &|row| {
        float(row.measures.count("moved"))
    });
    family("llm_gateway_estimated_requests_total", "Requests with an estimated figure.", &|row| {
        float(row.measures.count("estimated"))
    });
    family("llm_gateway_unpriced_requests_total", "Requests whose model has no price of its own.", &|row| {
        float(row.measures.count("unpriced"))
    });
    family("llm_gateway_cost_dollars_total", "What requests cost, in US dollars.", &|row| {
        usd(row.measures.count("cost_micros"))
    });
    text.family("llm_gateway_tokens_total", Kind::Counter, "Tokens by kind; thinking is part of output.");
    for row in counted {
        for (kind, column) in TOKENS.iter().filter(|(kind, _)| *kind != "searches") {
            let labels =
                [("provider", &*row.provider), ("pool", &*row.pool), ("status", &*row.status), ("kind", *kind)];
            if let Some(tokens) = row.measures.tokens(column) {
                text.sample("", &labels, float(tokens));
            }
        }
    }
}

fn times(text: &mut Text, counted: &[Counted]) {
    type Times = fn(&Counted) -> (&Histogram, i64);
    let families: [(&str, &str, Times); 2] = [
        ("llm_gateway_request_duration_seconds", "How long completed requests took.", |row| {
            (&row.measures.latency, row.measures.count("latency_ms"))
        }),
        ("llm_gateway_first_token_seconds", "From a request's arrival to the first output.", |row| {
            (&row.measures.first_token, row.measures.count("first_token_ms"))
        }),
    ];
    for (name, help, times) in families {
        text.family(name, Kind::Histogram, help);
        for provider in ["anthropic", "gemini"] {
            let mut all = Histogram::default();
            let mut sum = 0;
            for row in counted.iter().filter(|row| row.provider == provider) {
                let (histogram, ms) = times(row);
                all.add(histogram);
                sum += ms;
            }
            text.histogram(("provider", provider), &all, float(sum) / 1_000.0);
        }
    }
}

fn served(text: &mut Text, counted: &[CountedAccount], accounts: &[Account]) {
    let help = "Requests by the account that served them last.";
    text.family("llm_gateway_account_requests_total", Kind::Counter, help);
    for row in counted {
        let name = accounts.iter().find(|account| account.id.as_str() == row.account);
        let name = name.map_or("", |account| account.name.as_str());
        let labels = [("account", &*row.account), ("name", name), ("status", &*row.status)];
        text.sample("", &labels, float(row.requests));
    }
}

fn states(text: &mut Text, accounts: &[Account], now: jiff::Timestamp) {
    text.family("llm_gateway_account_in_flight_requests", Kind::Gauge, "Requests under way on an account.");
    for account in accounts {
        text.sample("", &[("account", account.id.as_str()), ("name", &account.name)], float(account.in_flight));
    }
    text.family("llm_gateway_account_state", Kind::Gauge, "1 for the state that an account is in, 0 for the others.");
    for account in accounts {
        for state in State::ALL {
            let labels = [
                ("account", account.id.as_str()),
                ("name", &account.name),
                ("provider", account.provider.as_str()),
                ("pool", &account.pool),
                ("state", state.as_str()),
            ];
            text.sample("", &labels, if account.state(now) == state { 1.0 } else { 0.0 });
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus counts in f64")]
fn float(count: i64) -> f64 {
    count as f64
}
