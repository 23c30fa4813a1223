//! Reading the ledger: one request, a page of them, and what they add up to.

mod attempts;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use tokio_postgres::{
    Row,
    types::{Json, ToSql, Type},
};

pub use self::attempts::Attempt;
use self::attempts::{Together, attempts};
use super::Store;
use crate::{
    error::{Error, Kind, Result},
    id::RequestId,
};

/// Which rows are meant; an empty field means any.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// From this time on.
    pub from: Option<Timestamp>,
    /// Up to, not including, this time.
    pub to: Option<Timestamp>,
    /// `anthropic` or `gemini`.
    pub provider: Option<String>,
    /// The account that served last.
    pub account: Option<String>,
    /// The key.
    pub key: Option<String>,
    /// The model asked for.
    pub model: Option<String>,
    /// The key's pool.
    pub pool: Option<String>,
    /// How it ended.
    pub status: Option<String>,
}

/// Where a page ends: rows after this one, which are older, are on the next.
#[derive(Debug, Clone)]
pub struct Cursor {
    /// When the last row of the page began.
    pub started_at: Timestamp,
    /// The last row of the page.
    pub id: RequestId,
}

/// One row of the ledger, as it is shown.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "the names are those of the ledger's columns, which the migration explains")]
pub struct RequestRow {
    pub id: String,
    pub started_at: Timestamp,
    pub key: String,
    pub key_name: Option<String>,
    pub account: String,
    pub account_name: Option<String>,
    pub pool: String,
    pub provider: String,
    pub operation: String,
    pub model: Option<String>,
    pub served_model: Option<String>,
    pub stream: bool,
    pub session: Option<String>,
    pub client: Option<String>,
    pub status: String,
    pub http_status: Option<i32>,
    pub error: Option<String>,
    pub attempts: Vec<Attempt>,
    pub tokens: BTreeMap<&'static str, Option<i64>>,
    pub cost_usd: f64,
    pub estimated: bool,
    pub unpriced: bool,
    pub first_token_ms: Option<i32>,
    pub duration_ms: i32,
    pub upstream_request_id: Option<String>,
}

/// What rows add up to. A figure that nobody knows is null, never 0.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "the names are the contract's")]
pub struct Summary {
    pub from: Timestamp,
    pub to: Timestamp,
    pub requests: i64,
    pub succeeded: i64,
    pub failed: BTreeMap<String, i64>,
    pub success_rate: Option<f64>,
    pub tokens: BTreeMap<&'static str, i64>,
    pub cost_usd: f64,
    pub cache_hit_ratio: Option<f64>,
    pub latency_ms: BTreeMap<&'static str, Option<f64>>,
    pub first_token_ms: BTreeMap<&'static str, Option<f64>>,
    pub failovers: i64,
    pub estimated: i64,
    pub unpriced: i64,
    pub in_flight: i64,
}

/// The columns of [`RequestRow::tokens`], with their words in the API.
const TOKENS: [(&str, &str); 8] = [
    ("input", "input_tokens"),
    ("output", "output_tokens"),
    ("cache_read", "cache_read_tokens"),
    ("cache_write_5m", "cache_write_5m_tokens"),
    ("cache_write_1h", "cache_write_1h_tokens"),
    ("thinking", "thinking_tokens"),
    ("tool_use", "tool_use_tokens"),
    ("searches", "searches"),
];

/// The filter as parameters $1 to $8, so that every query that takes one says the same.
const WHERE: &str = "
    ($1::timestamptz is null or l.started_at >= $1) and ($2::timestamptz is null or l.started_at < $2)
    and ($3::text is null or l.provider = $3) and ($4::text is null or l.account_id = $4)
    and ($5::text is null or l.key_id = $5) and ($6::text is null or l.model = $6)
    and ($7::text is null or l.pool = $7) and ($8::text is null or l.status = $8)";

impl Filter {
    fn parameters(&self) -> Vec<(&(dyn ToSql + Sync), Type)> {
        vec![
            (&self.from, Type::TIMESTAMPTZ),
            (&self.to, Type::TIMESTAMPTZ),
            (&self.provider, Type::TEXT),
            (&self.account, Type::TEXT),
            (&self.key, Type::TEXT),
            (&self.model, Type::TEXT),
            (&self.pool, Type::TEXT),
            (&self.status, Type::TEXT),
        ]
    }
}

const SELECT: &str = "
    select l.*, k.name as key_name, a.name as account_name
    from ledger l left join api_keys k on k.id = l.key_id left join accounts a on a.id = l.account_id
    where ";

impl Store {
    /// A page of the ledger, newest first.
    pub async fn requests(&self, filter: &Filter, after: Option<&Cursor>, limit: i64) -> Result<Vec<RequestRow>> {
        let page = "
            and ($9::timestamptz is null or (l.started_at, l.id) < ($9, $10))
            order by l.started_at desc, l.id desc limit $11";
        let mut parameters = filter.parameters();
        let (at, id) = (after.map(|cursor| cursor.started_at), after.map(|cursor| cursor.id.as_str()));
        parameters.extend([(&at as _, Type::TIMESTAMPTZ), (&id as _, Type::TEXT), (&limit as _, Type::INT8)]);
        let sql = [SELECT, WHERE, page].concat();
        let rows = self.rows(&sql, &parameters).await?;
        Ok(rows.iter().map(request).collect())
    }

    /// One request.
    pub async fn request(&self, id: &str) -> Result<RequestRow> {
        let sql = [SELECT, "l.id = $1"].concat();
        let rows = self.rows(&sql, &[(&id, Type::TEXT)]).await?;
        rows.first().map(request).ok_or_else(|| Error::new(Kind::NotFound, format!("there is no request {id}")))
    }

    /// What the rows of a span add up to.
    pub async fn summary(&self, filter: &Filter, from: Timestamp, to: Timestamp) -> Result<Summary> {
        let filter = Filter { from: Some(from), to: Some(to), ..filter.clone() };
        let sql = [include_str!("summary.sql"), WHERE].concat();
        let rows = self.rows(&sql, &filter.parameters()).await?;
        let row = &rows[0];
        let percentiles = |column| {
            let values: Option<Vec<Option<f64>>> = row.get(column);
            ["p50", "p90", "p99"].into_iter().zip(values.unwrap_or_else(|| vec![None; 3])).collect()
        };
        let requests: i64 = row.get("requests");
        let succeeded: i64 = row.get("succeeded");
        let tokens: BTreeMap<_, i64> = TOKENS.iter().map(|(word, column)| (*word, row.get(*column))).collect();
        let prompt = tokens["input"] + tokens["cache_read"] + tokens["cache_write_5m"] + tokens["cache_write_1h"];
        Ok(Summary {
            from,
            to,
            requests,
            succeeded,
            failed: row.get::<_, Json<BTreeMap<String, i64>>>("failed").0,
            success_rate: ratio(succeeded, requests),
            cost_usd: usd(row.get("cost_micros")),
            cache_hit_ratio: ratio(tokens["cache_read"], prompt),
            tokens,
            latency_ms: percentiles("latency"),
            first_token_ms: percentiles("first_token"),
            failovers: row.get("failovers"),
            estimated: row.get("estimated"),
            unpriced: row.get("unpriced"),
            in_flight: row.get("in_flight"),
        })
    }
}

/// Money as the API shows it: a JSON number of dollars with six decimals.
#[expect(
    clippy::cast_precision_loss,
    reason = "an f64 holds every amount below nine billion dollars to the micro-dollar"
)]
pub(crate) fn usd(micros: i64) -> f64 {
    micros as f64 / 1e6
}

#[expect(clippy::cast_precision_loss, reason = "a ratio needs no more than an f64 has")]
fn ratio(part: i64, whole: i64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

fn request(row: &Row) -> RequestRow {
    let tokens = TOKENS.iter().map(|(word, column)| (*word, row.get(*column))).collect();
    let (cost_micros, estimated, unpriced) = (row.get("cost_micros"), row.get("estimated"), row.get("unpriced"));
    let together = Together { tokens: &tokens, cost_micros, estimated, unpriced };
    RequestRow {
        id: row.get("id"),
        started_at: row.get("started_at"),
        key: row.get("key_id"),
        key_name: row.get("key_name"),
        account: row.get("account_id"),
        account_name: row.get("account_name"),
        pool: row.get("pool"),
        provider: row.get("provider"),
        operation: row.get("operation"),
        model: row.get("model"),
        served_model: row.get("served_model"),
        stream: row.get("stream"),
        session: row.get("session"),
        client: row.get("client"),
        status: row.get("status"),
        http_status: row.get("http_status"),
        error: row.get("error"),
        attempts: attempts(row.get::<_, Json<Value>>("attempts").0, &together),
        tokens,
        cost_usd: usd(cost_micros),
        estimated,
        unpriced,
        first_token_ms: row.get("first_token_ms"),
        duration_ms: row.get("duration_ms"),
        upstream_request_id: row.get("upstream_request_id"),
    }
}
