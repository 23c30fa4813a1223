//! The settlement: ledger rows written and leases freed, after the last byte.

use std::{borrow::Cow, future::Future, pin::Pin, sync::Arc};

use bytes::BytesMut;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio_postgres::types::{Json, Type};

use super::{
    Columns, Lane, Lanes, Store,
    columns::{bigint, integer},
};
use crate::{
    error::Result,
    id::{AccountId, KeyId, RequestId},
    protocol::Operation,
};

/// How a claimed request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The caller got a whole answer.
    Completed,
    /// The upstream failed, before or in the middle of its answer.
    Failed,
    /// The upstream refused what the caller asked.
    Refused,
    /// The caller hung up.
    Cancelled,
}

impl Status {
    /// The ledger's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Cancelled => "cancelled",
        }
    }
}

/// One ledger row. The fields are the table's columns.
#[derive(Debug, Clone, Serialize)]
pub struct Record {
    /// The request.
    pub id: RequestId,
    /// When it came.
    pub started_at: Timestamp,
    /// The key.
    pub key_id: KeyId,
    /// The account that served last.
    pub account_id: AccountId,
    /// The key's pool.
    pub pool: String,
    /// The provider.
    pub provider: &'static str,
    /// What the path asked.
    pub operation: Operation,
    /// The model asked for.
    pub model: Option<String>,
    /// The model that answered.
    pub served_model: Option<String>,
    /// Whether the answer was a stream.
    pub stream: bool,
    /// The session, as the hash that affinity goes by.
    pub session: Option<String>,
    /// The client's user agent, cut short.
    pub client: Option<String>,
    /// Whether the session is `new`, was `kept` on its account, or `moved`.
    pub affinity: Option<String>,
    /// Where it moved: whether to another organization; `None` where that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crossed: Option<bool>,
    /// How it ended.
    pub status: Status,
    /// The status the caller saw; `None` when it saw none.
    pub http_status: Option<u16>,
    /// What went wrong, in words.
    pub error: Option<String>,
    /// Every attempt, oldest first.
    pub attempts: Vec<AttemptRecord>,
    /// What all attempts together used and cost.
    #[serde(flatten)]
    pub spent: Spent,
    /// From the request's arrival to the first output.
    pub first_token_ms: Option<u32>,
    /// From the request's arrival to the end.
    pub duration_ms: u32,
    /// What the upstream calls the request.
    pub upstream_request_id: Option<String>,
}

/// One attempt of a request.
#[derive(Debug, Clone, Serialize)]
pub struct AttemptRecord {
    /// The account tried.
    pub account: AccountId,
    /// What came of it: `delivered`, or why it did not.
    pub verdict: &'static str,
    /// The upstream's status; `None` when there was no answer.
    pub status: Option<u16>,
    /// How long it took, up to the decision.
    pub took_ms: u32,
    /// What it used and cost; not written for an only attempt, of which the row says it.
    #[serde(flatten)]
    pub spent: Option<Spent>,
}

/// What was used, and what that cost.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Spent {
    /// Tokens; `None` where nothing was ever said.
    #[serde(flatten)]
    pub tokens: Tokens,
    /// The cost, in millionths of a USD.
    pub cost_micros: i64,
    /// Whether any figure is our estimate.
    pub estimated: bool,
    /// Whether the model has no price of its own.
    pub unpriced: bool,
}

impl Spent {
    /// What attempts used and cost together. One that nobody said anything of has used nothing, and says so from now on.
    pub fn of_all(attempts: &mut [AttemptRecord]) -> Self {
        let mut sum = Self::default();
        for attempt in attempts {
            sum.add(attempt.spent.get_or_insert_default());
        }
        sum
    }

    fn add(&mut self, other: &Self) {
        for (sum, more) in self.tokens.all_mut().into_iter().zip(other.tokens.clone().all_mut()) {
            *sum = match (*sum, *more) {
                (Some(sum), Some(more)) => Some(sum.saturating_add(more)),
                (sum, more) => sum.or(more),
            };
        }
        self.cost_micros = self.cost_micros.saturating_add(other.cost_micros);
        self.estimated |= other.estimated;
        self.unpriced |= other.unpriced;
    }
}

/// Tokens by kind, as columns.
#[derive(Debug, Clone, Default, Serialize)]
#[expect(missing_docs, reason = "the names are those of the ledger's columns, which the migration explains")]
pub struct Tokens {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_read_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_write_5m_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_write_1h_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thinking_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_use_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub searches: Option<u64>,
}

impl Tokens {
    /// All of them, as a key's limits count.
    pub fn all(&self) -> u64 {
        sum(&[
            self.input_tokens,
            self.cache_read_tokens,
            self.cache_write_5m_tokens,
            self.cache_write_1h_tokens,
            self.output_tokens,
            self.tool_use_tokens,
        ])
    }

    /// As an account's limits count: cache reads are free of the providers' own.
    pub fn charged(&self) -> u64 {
        sum(&[self.input_tokens, self.cache_write_5m_tokens, self.cache_write_1h_tokens, self.output_tokens])
    }

    fn all_mut(&mut self) -> [&mut Option<u64>; 8] {
        [
            &mut self.input_tokens,
            &mut self.cache_read_tokens,
            &mut self.cache_write_5m_tokens,
            &mut self.cache_write_1h_tokens,
            &mut self.output_tokens,
            &mut self.thinking_tokens,
            &mut self.tool_use_tokens,
            &mut self.searches,
        ]
    }
}

fn sum(tokens: &[Option<u64>]) -> u64 {
    tokens.iter().flatten().fold(0, |sum, more| sum.saturating_add(*more))
}

impl Store {
    /// Writes a record and frees its lease. Writing it twice changes nothing.
    pub async fn settle(&self, record: Arc<Record>) -> Result<()> {
        self.settlements.submit(record).await
    }
}

type SettleRun = Pin<Box<dyn Future<Output = Result<Vec<()>>> + Send>>;

pub(super) fn run(lanes: &Arc<Lanes>) -> impl Fn(Arc<[Arc<Record>]>) -> SettleRun + Send + Sync + 'static + use<> {
    let lanes = Arc::clone(lanes);
    move |records| {
        let lanes = Arc::clone(&lanes);
        Box::pin(async move {
            settle(&lanes, &records).await?;
            Ok(vec![(); records.len()])
        })
    }
}

const SETTLE: &str = "
    select settle_all(
        $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25,
        $26, $27, $28, $29, $30, $31, $32
    )";

async fn settle(lanes: &Lanes, records: &[Arc<Record>]) -> Result<()> {
    // In one order everywhere, so that two settlements of the same rows do not wait for each other.
    let mut rows: Vec<&Record> = records.iter().map(Arc::as_ref).collect();
    rows.sort_unstable_by(|one, other| (one.started_at, &one.id).cmp(&(other.started_at, &other.id)));
    lanes.rows_often(Lane::Work, SETTLE, &columns(&rows).parameters()).await.map(drop)
}

/// Rows as the bytes that Postgres gets: for whoever measures what that costs.
pub fn encode_settlements(rows: &[&Record]) -> Result<BytesMut> {
    columns(rows).encoded()
}

/// What an upstream said is kept, but for what Postgres cannot hold.
fn storable(said: &str) -> Cow<'_, str> {
    if said.contains('\0') { said.replace('\0', "").into() } else { said.into() }
}

fn columns<'a>(rows: &'a [&'a Record]) -> Columns<'a, &'a Record> {
    let columns = Columns::of(rows)
        .add(Type::TEXT_ARRAY, |row| row.id.as_str())
        .add(Type::TIMESTAMPTZ_ARRAY, |row| row.started_at)
        .add(Type::TEXT_ARRAY, |row| row.key_id.as_str())
        .add(Type::TEXT_ARRAY, |row| row.account_id.as_str())
        .add(Type::TEXT_ARRAY, |row| &*row.pool)
        .add(Type::TEXT_ARRAY, |row| row.provider)
        .add(Type::TEXT_ARRAY, |row| row.operation.as_str())
        .add(Type::TEXT_ARRAY, |row| row.model.as_deref())
        .add(Type::TEXT_ARRAY, |row| row.served_model.as_deref().map(storable))
        .add(Type::BOOL_ARRAY, |row| row.stream)
        .add(Type::TEXT_ARRAY, |row| row.session.as_deref())
        .add(Type::TEXT_ARRAY, |row| row.client.as_deref())
        .add(Type::TEXT_ARRAY, |row| row.affinity.as_deref())
        .add(Type::TEXT_ARRAY, |row| row.status.as_str())
        .add(Type::INT4_ARRAY, |row| row.http_status.map(i32::from))
        .add(Type::TEXT_ARRAY, |row| row.error.as_deref().map(storable))
        .add(Type::JSONB_ARRAY, |row| Json(&*row.attempts));
    let tokens: [fn(&Tokens) -> Option<u64>; 8] = [
        |tokens| tokens.input_tokens,
        |tokens| tokens.cache_read_tokens,
        |tokens| tokens.cache_write_5m_tokens,
        |tokens| tokens.cache_write_1h_tokens,
        |tokens| tokens.output_tokens,
        |tokens| tokens.thinking_tokens,
        |tokens| tokens.tool_use_tokens,
        |tokens| tokens.searches,
    ];
    tokens
        .into_iter()
        .fold(columns, |columns, kind| columns.add(Type::INT8_ARRAY, move |row| kind(&row.spent.tokens).map(bigint)))
        .add(Type::INT8_ARRAY, |row| row.spent.cost_micros)
        .add(Type::BOOL_ARRAY, |row| row.spent.estimated)
        .add(Type::BOOL_ARRAY, |row| row.spent.unpriced)
        .add(Type::INT4_ARRAY, |row| row.first_token_ms.map(integer))
        .add(Type::INT4_ARRAY, |row| integer(row.duration_ms))
        .add(Type::TEXT_ARRAY, |row| row.upstream_request_id.as_deref())
        .add(Type::BOOL_ARRAY, |row| row.crossed)
}
