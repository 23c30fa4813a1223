//! Statistics: exact at any moment, whoever asks for whatever.

mod exact;
mod export;
mod lists;
mod metrics;
mod monitoring;
mod reported;
mod retention;
mod series;
mod times;

use std::fmt::Write;

use reqwest::Method;
use serde_json::Value;

use crate::support::{App, Chance};

/// When the made-up past began.
const BEGAN: &str = "2020-11-10T00:00:00Z";
/// A span within it that begins and ends in the middle of an hour.
const SPAN: &str = "from=2020-11-10T05:17:11Z&to=2020-11-13T19:43:10.5Z";

/// A row of the ledger at so many seconds after [`BEGAN`], as the columns of an insert.
fn row(id: &str, second: usize, chance: &mut Chance) -> String {
    let provider = chance.pick(&["anthropic", "anthropic", "gemini"]);
    let status = chance.pick(&["completed", "completed", "completed", "failed", "refused", "cancelled", "lost"]);
    let known = chance.below(8) > 0;
    let tokens = |of: usize| if known { of.to_string() } else { "null".to_owned() };
    let attempts = chance.pick(&["[{}]", "[{}]", "[{}, {}]", "[]"]);
    let model = chance.pick(&["'model-a'", "'model-b'", "'other'", "null"]);
    let affinity = chance.pick(&["'kept'", "'kept'", "'moved'", "'new'", "null"]);
    let first = if status == "completed" { chance.below(3_000).to_string() } else { "null".to_owned() };
    format!(
        "('{id}', timestamptz '{BEGAN}' + interval '{second} seconds', 'key_{}', 'acc_{}', '{}', '{provider}', 'generate', {model},
        true, 'session_{}', {affinity}, '{status}', '{attempts}', {}, {}, {}, {}, {}, {}, {}, {}, {first}, {})",
        chance.below(4),
        chance.below(3),
        chance.pick(&["default", "search"]),
        chance.below(9),
        tokens(chance.below(500)),
        tokens(chance.below(9_000)),
        tokens(chance.below(900)),
        tokens(chance.below(90)),
        tokens(chance.below(700)),
        chance.below(100_000),
        chance.below(9) == 0,
        chance.below(11) == 0,
        chance.below(90_000),
    )
}

const INSERT: &str =
    "insert into ledger (id, started_at, key_id, account_id, pool, provider, operation, model, stream, session,
    affinity, status, attempts, input_tokens, cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens,
    output_tokens, cost_micros, estimated, unpriced, first_token_ms, duration_ms) values ";

/// A gateway with so many rows over four days, and the keys and accounts of some of them.
async fn past(rows: usize) -> App {
    let app = App::start().await;
    app.instance.manage(Method::GET, "/api/stats/summary", None).await;
    let chance = &mut Chance::of(6);
    let mut insert = if rows == 0 { String::new() } else { INSERT.to_owned() };
    for n in 0..rows {
        let comma = if n == 0 { "" } else { ", " };
        write!(insert, "{comma}{}", row(&format!("req_{n:05}"), chance.below(4 * 86_400), chance)).unwrap();
    }
    app.database
        .execute(&format!(
            "select ledger_partition(timestamptz '{BEGAN}');
             insert into api_keys (id, hash, prefix, name, role, labels)
             select 'key_' || n, sha256(n::text::bytea), 'gw_', '=key ' || n, 'member',
                 jsonb_build_object('team', (array['search', 'ads'])[n % 2 + 1])
             from generate_series(0, 2) n;
             insert into accounts (id, provider, name, credential, credential_kind, credential_hint)
             select 'acc_' || n, 'anthropic', 'account ' || n, '\\x00', 'api_key', '' from generate_series(0, 1) n;
             {insert}"
        ))
        .await;
    app
}

/// Rolls up whatever is over.
async fn roll_up(app: &App) {
    while app.database.rows("select roll_up() as more").await[0]["more"] == true {}
    assert_eq!(app.database.number("select count(*) from dirty_hours").await, 0);
}

async fn get(app: &App, path: &str) -> Value {
    app.instance.manage(Method::GET, &format!("/api/stats/{path}"), None).await
}
