//! Accounts, claims and records with everything set that requests usually set.

use gateway::{
    id::{AccountId, KeyId, RequestId},
    pool::Account,
    protocol::{Operation, Provider, ReportedLimit},
    store::{AttemptRecord, Binding, Claim, Draft, Record, Spent, Status, Tokens},
};
use jiff::Timestamp;

const NOW: i64 = 1_800_000_000;

/// The moment at which everything here happens.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_second(NOW).expect("it is in range")
}

fn account_id(number: usize) -> AccountId {
    AccountId::from(format!("acc_{number:026}"))
}

fn request_id(number: usize) -> RequestId {
    RequestId::from(format!("req_{number:026}"))
}

fn key_id() -> KeyId {
    KeyId::from(format!("key_{:026}", 1))
}

/// One of many accounts, which have reported what is left of four limits, one of them of a family.
pub(crate) fn account(number: usize) -> Account {
    let limit = |name: &str, family: Option<&str>, used: usize, hours: i64| ReportedLimit {
        name: name.to_owned(),
        family: family.map(str::to_owned),
        limit: None,
        remaining: None,
        utilization: Some(used as f64 / 100.0),
        resets_at: Timestamp::from_second(NOW + 3_600 * hours).ok(),
        status: Some("allowed".to_owned()),
    };
    let mut account = Account::new(account_id(number), Provider::Anthropic, format!("account {number}"), now());
    account.priority = i32::from(number.is_multiple_of(10));
    account.weight = 1 + i32::from(number.is_multiple_of(3));
    account.in_flight = (number % 7) as i64;
    account.reported_limits = vec![
        limit("5h", None, number % 97, 1 + (number % 5) as i64),
        limit("7d", None, number % 89, 1 + (number % 160) as i64),
        limit("7d", Some("opus-5"), number % 83, 1 + (number % 150) as i64),
        limit("overage", None, 0, 700),
    ];
    account
}

fn spent() -> Spent {
    let tokens = Tokens {
        input_tokens: Some(1_200),
        cache_read_tokens: Some(80_000),
        cache_write_5m_tokens: Some(900),
        cache_write_1h_tokens: Some(0),
        output_tokens: Some(950),
        thinking_tokens: Some(0),
        tool_use_tokens: Some(0),
        searches: Some(0),
    };
    Spent { tokens, cost_micros: 123_456, estimated: false, unpriced: false }
}

/// A claim that names ten accounts.
pub(crate) fn claim(number: usize) -> Claim {
    let session = Some("0123456789abcdef0123456789abcdef".to_owned());
    Claim {
        request: request_id(number),
        revision: 42,
        key: key_id(),
        pool: "default".to_owned(),
        family: "opus-5".to_owned(),
        tokens: 25_000,
        accounts: Some((0..10).map(account_id).collect()),
        secret_ends: None,
        unsuited: None,
        session: session.clone(),
        pinned: false,
        patient: false,
        affinity: Some(Binding { session_seconds: 3_600, session_in_flight: 8 }),
        minutes: None,
        draft: Draft {
            id: request_id(number),
            started_at: now(),
            key_id: key_id(),
            pool: "default".to_owned(),
            provider: "anthropic",
            operation: Operation::Generate,
            model: Some("claude-opus-5".to_owned()),
            stream: true,
            session,
            client: Some("claude-cli/2.1.330 (external, cli)".to_owned()),
            spent: Spent { estimated: true, ..spent() },
            attempts: Vec::new(),
        },
    }
}

/// A request that was served by the first account it was sent to.
pub(crate) fn record(number: usize) -> Record {
    let account = account_id(number % 10);
    let attempt =
        AttemptRecord { account: account.clone(), verdict: "delivered", status: Some(200), took_ms: 812, spent: None };
    Record {
        id: request_id(number),
        started_at: now(),
        key_id: key_id(),
        account_id: account,
        pool: "default".to_owned(),
        provider: "anthropic",
        operation: Operation::Generate,
        model: Some("claude-opus-5".to_owned()),
        served_model: Some("claude-opus-5".to_owned()),
        stream: true,
        session: Some("0123456789abcdef0123456789abcdef".to_owned()),
        client: Some("claude-cli/2.1.330 (external, cli)".to_owned()),
        affinity: Some("kept".to_owned()),
        status: Status::Completed,
        http_status: Some(200),
        error: None,
        attempts: vec![attempt],
        spent: spent(),
        first_token_ms: Some(812),
        duration_ms: 9_870,
        upstream_request_id: Some("req_011CQ0123456789abcdef".to_owned()),
        crossed: None,
    }
}
