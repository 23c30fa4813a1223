//! What the ledger adds up to. Each question is answered in one snapshot of the database, from rollups where an hour is
//! rolled up and from the ledger where it is not: so an answer is the ledger's, and reads little.

mod histogram;
mod live;
mod measures;
mod metrics;
mod rollup;
mod rows;
mod series;
mod spans;
mod totals;
mod uses;

use jiff::Timestamp;
use tokio_postgres::{
    Row,
    types::{Json, ToSql, Type},
};

use super::{Loan, Transaction, requests::Filter};
use crate::error::Result;

pub use histogram::Histogram;
pub use live::Live;
pub use measures::Measures;
pub(crate) use measures::ratio;
pub use metrics::{Counted, CountedAccount};
pub use rows::{GroupRow, Sort};
pub(crate) use series::points;
pub use series::{Line, Metric, Series, Step};
pub use totals::Totals;
pub(super) use uses::uses;

use spans::{Grain, Spans};

/// A statement of a statistic is given up by the database after this.
const STATEMENT_TIMEOUT: &str = "4000";

/// What figures are told apart by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupBy {
    /// `anthropic` or `gemini`.
    Provider,
    /// The account that served last.
    Account,
    /// The key.
    Key,
    /// The model asked for.
    Model,
    /// How it ended.
    Status,
    /// The key's pool.
    Pool,
    /// The value of this label of the key, as it is now.
    Label(String),
}

impl GroupBy {
    /// The group of a row of facts, as SQL; a label's name is the parameter after the facts' own.
    fn sql(&self) -> &'static str {
        match self {
            Self::Provider => "f.provider",
            Self::Account => "f.account_id",
            Self::Key => "f.key_id",
            Self::Model => "f.model",
            Self::Status => "f.status",
            Self::Pool => "f.pool",
            Self::Label(_) => "label.value",
        }
    }

    /// What the facts are joined with to tell the groups apart, as SQL.
    fn join_sql(&self) -> &'static str {
        match self {
            Self::Label(_) => {
                " left join (select k.id, k.labels->>$16 as value from api_keys k) label on label.id = f.key_id "
            }
            _ => " ",
        }
    }

    /// What a person calls the group `g.grp`, as SQL; null where it has no name but itself.
    fn name_sql(&self) -> &'static str {
        match self {
            Self::Account => "(select a.name from accounts a where a.id = g.grp)",
            Self::Key => "(select k.name from api_keys k where k.id = g.grp)",
            _ => "null::text",
        }
    }

    fn label(&self) -> &str {
        match self {
            Self::Label(name) => name,
            _ => "",
        }
    }
}

/// The facts of a span: one row for each group of requests that some rollup holds together, or for each request. Its
/// parameters are $1 to $15; a query's own begin after them. Between the two, a query may join something.
const FACTS: &str = include_str!("facts.sql");
/// Which of the facts are meant.
const WHICH: &str = include_str!("which.sql");

/// How many parameters [`FACTS`] and [`WHICH`] have.
const FACTS_PARAMETERS: usize = 15;

/// The values of the parameters of [`FACTS`] and [`WHICH`].
struct Facts<'a> {
    spans: Spans,
    facet: &'static str,
    filter: &'a Filter,
    labels: Option<Json<&'a std::collections::BTreeMap<String, String>>>,
}

impl<'a> Facts<'a> {
    /// The facts of a filter's span, told apart as `group` needs it.
    async fn of(
        reading: &Transaction<'_>,
        filter: &'a Filter,
        (from, to): (Timestamp, Timestamp),
        (grain, group): (Grain, Option<&GroupBy>),
    ) -> Result<Self> {
        let spans = spans::read(reading, from, to, grain).await?;
        let key = filter.key.is_some()
            || !filter.labels.is_empty()
            || matches!(group, Some(GroupBy::Key | GroupBy::Label(_)));
        let account = filter.account.is_some() || group == Some(&GroupBy::Account);
        let facet = match (key, account) {
            (true, true) => "both",
            (true, false) => "key",
            (false, true) => "account",
            (false, false) => "all",
        };
        let labels = (!filter.labels.is_empty()).then_some(Json(&filter.labels));
        Ok(Self { spans, facet, filter, labels })
    }

    fn parameters(&self) -> [(&(dyn ToSql + Sync), Type); FACTS_PARAMETERS] {
        let Self { spans, facet, filter, labels } = self;
        [
            (&spans.days.from, Type::TIMESTAMPTZ_ARRAY),
            (&spans.days.to, Type::TIMESTAMPTZ_ARRAY),
            (&spans.hours.from, Type::TIMESTAMPTZ_ARRAY),
            (&spans.hours.to, Type::TIMESTAMPTZ_ARRAY),
            (facet, Type::TEXT),
            (&spans.ledger.from, Type::TIMESTAMPTZ_ARRAY),
            (&spans.ledger.to, Type::TIMESTAMPTZ_ARRAY),
            (&filter.provider, Type::TEXT),
            (&filter.account, Type::TEXT),
            (&filter.key, Type::TEXT),
            (&filter.model, Type::TEXT),
            (&filter.model_prefix, Type::TEXT),
            (&filter.pool, Type::TEXT),
            (&filter.status, Type::TEXT),
            (labels, Type::JSONB),
        ]
    }

    /// Carries out a query over the facts; `more` are its own parameters, from $16 on.
    async fn ask(
        &self,
        reading: &Transaction<'_>,
        sql: &[&str],
        more: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>> {
        let mut parameters = Vec::from(self.parameters());
        parameters.extend(more.iter().cloned());
        reading.rows(&sql.concat(), &parameters).await
    }
}

/// Begins to read: what follows sees one moment of the database, and no statement of it takes long.
pub(super) async fn begin(loan: &mut Loan) -> Result<Transaction<'_>> {
    let reading = loan.begin_reading().await?;
    // How long the parts of a span are is not seen by the planner, who would rather read the whole ledger once.
    let sql = "select set_config('statement_timeout', $1, true), set_config('enable_seqscan', 'off', true)";
    reading.rows(sql, &[(&STATEMENT_TIMEOUT, Type::TEXT)]).await?;
    Ok(reading)
}
