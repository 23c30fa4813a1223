//! Reading the ledger: one request, and a page of them.

mod attempts;
mod sieve;

use std::collections::BTreeMap;

use jiff::{Timestamp, ToSpan};
use serde::Serialize;
use serde_json::Value;
use tokio_postgres::{
    Row,
    types::{Json, Type},
};

pub use self::attempts::Attempt;
use self::attempts::{Together, attempts};
use super::{
    Store, Transaction,
    filter::{Filter, WHICH},
    stats,
};
use crate::{
    error::{Error, Kind, Result},
    id::{self, RequestId},
};

/// What only the list of single requests can tell apart.
#[derive(Debug, Clone, Default)]
pub struct Only {
    /// From this time on.
    pub from: Option<Timestamp>,
    /// Up to, not including, this time.
    pub to: Option<Timestamp>,
    /// The conversation.
    pub session: Option<String>,
    /// Rows with an estimated figure.
    pub estimated: bool,
    /// Rows whose model has no price of its own.
    pub unpriced: bool,
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
    pub affinity: Option<String>,
    pub crossed: Option<bool>,
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

/// The columns of [`RequestRow::tokens`], with their words in the API.
pub(crate) const TOKENS: [(&str, &str); 8] = [
    ("input", "input_tokens"),
    ("output", "output_tokens"),
    ("cache_read", "cache_read_tokens"),
    ("cache_write_5m", "cache_write_5m_tokens"),
    ("cache_write_1h", "cache_write_1h_tokens"),
    ("thinking", "thinking_tokens"),
    ("tool_use", "tool_use_tokens"),
    ("searches", "searches"),
];

/// What only a list can ask for, and where its page begins: more of [`WHICH`], with the parameters $9 to $15.
const ONLY: &str = "
    and ($9::timestamptz is null or f.started_at >= $9) and ($10::timestamptz is null or f.started_at < $10)
    and ($11::text is null or f.session = $11) and (not $12::boolean or f.estimated) and (not $13::boolean or f.unpriced)
    and ($14::timestamptz is null or (f.started_at, f.id) < ($14, $15))";

const SELECT: &str = "
    select f.*, k.name as key_name, a.name as account_name
    from (select f.* from ";
const NAMED: &str = ") f left join api_keys k on k.id = f.key_id left join accounts a on a.id = f.account_id
    order by f.started_at desc, f.id desc";

impl Store {
    /// A page of the ledger, newest first.
    pub async fn requests(
        &self,
        filter: &Filter,
        only: &Only,
        after: Option<&Cursor>,
        limit: i64,
    ) -> Result<Vec<RequestRow>> {
        let mut loan = self.for_reading().await?;
        let reading = stats::begin(&mut loan).await?;
        let hours = sieve::hours(&reading, filter, only, (after, limit)).await?;
        let labels = filter.labels();
        let (at, id) = (after.map(|cursor| cursor.started_at), after.map(|cursor| cursor.id.as_str()));
        let mut parameters = filter.parameters(&labels);
        parameters.extend([
            (&only.from as _, Type::TIMESTAMPTZ),
            (&only.to as _, Type::TIMESTAMPTZ),
            (&only.session as _, Type::TEXT),
            (&only.estimated as _, Type::BOOL),
            (&only.unpriced as _, Type::BOOL),
            (&at as _, Type::TIMESTAMPTZ),
            (&id as _, Type::TEXT),
            (&limit as _, Type::INT8),
        ]);
        let page = " order by f.started_at desc, f.id desc limit $16";
        let rows = match &hours {
            None if only.session.is_some() => {
                // The offset has the conversation's own index asked, not the order of the whole ledger walked.
                let within = "(select l.* from ledger l where l.session = $11 offset 0) f";
                reading.rows(&[SELECT, within, WHICH, ONLY, page, NAMED].concat(), &parameters).await?
            }
            None => reading.rows(&[SELECT, "ledger f", WHICH, ONLY, page, NAMED].concat(), &parameters).await?,
            Some((from, to)) => {
                parameters.extend([(from as _, Type::TIMESTAMPTZ_ARRAY), (to as _, Type::TIMESTAMPTZ_ARRAY)]);
                // The offset keeps the planner from walking the whole ledger in its order to spare itself a sort.
                let within =
                    "unnest($17::timestamptz[], $18::timestamptz[]) as span (since, until) cross join lateral (
                    select l.* from ledger l where l.started_at >= span.since and l.started_at < span.until offset 0
                ) f";
                reading.rows(&[SELECT, within, WHICH, ONLY, page, NAMED].concat(), &parameters).await?
            }
        };
        Ok(rows.iter().map(request).collect())
    }

    /// One request.
    pub async fn request(&self, id: &str) -> Result<RequestRow> {
        // The ledger is in the order of time, and an id knows when it was made: a moment before its request was read.
        let made = id::made_at(id);
        let (from, to) = (made.map(|at| at - 1.minute()), made.map(|at| at + 10.minutes()));
        let sql =
            [SELECT, "ledger f where f.id = $1 and ($2::timestamptz is null or f.started_at between $2 and $3)", NAMED];
        let of = [(&id as _, Type::TEXT), (&from as _, Type::TIMESTAMPTZ), (&to as _, Type::TIMESTAMPTZ)];
        let mut loan = self.for_reading().await?;
        let reading: Transaction<'_> = stats::begin(&mut loan).await?;
        let rows = reading.rows(&sql.concat(), &of).await?;
        rows.first().map(request).ok_or_else(|| Error::new(Kind::NotFound, format!("there is no request {id}")))
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
        affinity: row.get("affinity"),
        crossed: row.get("crossed"),
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
