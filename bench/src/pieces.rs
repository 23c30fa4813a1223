//! What is counted, by name.

use std::hint::black_box;

use bytes::Bytes;
use gateway::{
    access::PresentedKey,
    pool::{Account, Ask, Lot, Strategy, rank},
    protocol::{Api, Call, Demand, Form, Operation, Protocol, Provider, meter, presented_keys},
    store::{encode_claims, encode_settlements},
};
use http::{HeaderMap, HeaderValue, Method, Uri};
use serde_json::Value;

use crate::{conversations, rows};

/// One go at a piece; its input was made before.
pub(crate) type Piece = Box<dyn FnMut()>;

/// A piece's name, and how it is made ready.
type Named = (&'static str, fn() -> Piece);

/// Every piece.
pub(crate) const PIECES: [Named; 11] = [
    ("read a long request, Anthropic", || reader("/v1/messages", &conversations::anthropic())),
    ("read a long request, Gemini", || {
        reader("/v1beta/models/gemini-3.8-pro:streamGenerateContent?alt=sse", &conversations::gemini())
    }),
    ("rank 1,000 accounts, weighted", || ranking(1_000, Strategy::Weighted, &[])),
    ("rank 1,000 accounts, headroom", || ranking(1_000, Strategy::Headroom, &[])),
    ("rank 100 accounts with globs of models", || ranking(100, Strategy::Weighted, &["claude-*"])),
    ("meter a stream of 100 events, Anthropic", || metering(Provider::Anthropic, conversations::anthropic_events(100))),
    ("meter a stream of 100 events, Gemini", || metering(Provider::Gemini, conversations::gemini_events(100))),
    ("encode a claim", || claiming(1)),
    ("encode 32 claims", || claiming(32)),
    ("encode a settlement", || settling(1)),
    ("encode 32 settlements", || settling(32)),
];

/// From the head to the demand: the dialect, the key, the call, and the body in one pass.
fn reader(target: &'static str, body: &Value) -> Piece {
    let body = Bytes::from(body.to_string());
    let uri = Uri::from_static(target);
    let mut headers = HeaderMap::new();
    let key = PresentedKey::generate();
    headers.insert("x-api-key", HeaderValue::from_str(key.reveal()).expect("a key is plain text"));
    for (name, value) in [
        ("anthropic-version", "2023-06-01"),
        ("anthropic-beta", "claude-code-20250219,interleaved-thinking-2025-05-14"),
        ("content-type", "application/json"),
        ("user-agent", "claude-cli/2.1.330 (external, cli)"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    Box::new(move || {
        let protocol = Protocol::of(uri.path(), uri.query(), &headers);
        for presented in presented_keys(&headers, uri.query()) {
            black_box(PresentedKey::parse(&presented).expect("it is a key").hash());
        }
        let call = Call::read(protocol, &Method::POST, &uri, &[]).expect("these paths are served");
        black_box(Demand::read(call, &headers, black_box(&body)).expect("it is a request"));
    })
}

/// A claim names the best 64 of them.
fn ranking(count: usize, strategy: Strategy, models: &[&str]) -> Piece {
    let models: Vec<_> = models.iter().map(|&glob| glob.to_owned()).collect();
    let accounts: Vec<Account> =
        (0..count).map(|number| Account { models: models.clone(), ..rows::account(number) }).collect();
    let ask = Ask {
        pool: "default",
        provider: Provider::Anthropic,
        api: Api::Anthropic,
        operation: Operation::Generate,
        model: Some("claude-opus-5"),
        family: "opus-5",
        tried: &[],
    };
    Box::new(move || {
        let lot = Lot { seed: b"a conversation", turn: 7 };
        let mut ranking = rank(black_box(&accounts), &ask, strategy, &lot, rows::now());
        black_box(ranking.take(64));
    })
}

/// An event a chunk, as they come from an upstream, and asked after each what the relay asks.
fn metering(provider: Provider, events: Vec<String>) -> Piece {
    Box::new(move || {
        let mut meter = meter(provider, Operation::Generate, Form::Sse, None, 1_200);
        for event in &events {
            meter.see(black_box(event.as_bytes()));
            black_box((meter.first_output(), meter.between_events()));
        }
        black_box(meter.tally());
    })
}

/// A batch of claims, as it goes to Postgres.
fn claiming(count: usize) -> Piece {
    let claims: Vec<_> = (0..count).map(rows::claim).collect();
    Box::new(move || {
        black_box(encode_claims(black_box(&claims)).expect("claims have the types of their columns"));
    })
}

/// A batch of rows, as it goes to Postgres.
fn settling(count: usize) -> Piece {
    let records: Vec<_> = (0..count).map(rows::record).collect();
    Box::new(move || {
        let rows: Vec<_> = records.iter().collect();
        black_box(encode_settlements(black_box(&rows)).expect("rows have the types of their columns"));
    })
}
