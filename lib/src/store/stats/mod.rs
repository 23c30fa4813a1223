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
use tokio_postgres::{Row, types::Type};

use super::{
    Loan, Transaction,
    filter::{Apart, Filter, Labels, Parameter, WHICH},
};
use crate::error::Result;

pub use histogram::Histogram;
pub use live::Live;
pub use measures::Measures;
pub(crate) use measures::ratio;
pub use metrics::{Counted, CountedAccount};
pub use rows::{GroupRow, Sort};
pub use series::{Line, Metric, Series, Step};
pub(crate) use series::{points, steps};
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

    fn apart(&self) -> Apart {
        match self {
            Self::Key | Self::Label(_) => Apart::Key,
            Self::Account => Apart::Account,
            Self::Model => Apart::Model,
            Self::Provider | Self::Status | Self::Pool => Apart::None,
        }
    }

    fn label(&self) -> &str {
        match self {
            Self::Label(name) => name,
            _ => "",
        }
    }
}

/// The facts of a span: one row for each group of requests that some rollup holds together, or for each request. Goes on with
/// [`WHICH`]; its own parameters are $9 to $15, and a query's begin after them. Between the two, a query may join something.
const FACTS: &str = include_str!("facts.sql");

/// The values of the parameters of [`FACTS`] and [`WHICH`].
struct Facts<'a> {
    spans: Spans,
    facet: &'static str,
    filter: &'a Filter,
    labels: Labels<'a>,
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
        let facet = filter.facet(group.map_or(Apart::None, GroupBy::apart));
        Ok(Self { spans, facet, filter, labels: filter.labels() })
    }

    fn parameters(&self) -> Vec<Parameter<'_>> {
        let Self { spans, facet, filter, labels } = self;
        let mut parameters = filter.parameters(labels);
        parameters.extend([
            (&spans.days.from as _, Type::TIMESTAMPTZ_ARRAY),
            (&spans.days.to as _, Type::TIMESTAMPTZ_ARRAY),
            (&spans.hours.from as _, Type::TIMESTAMPTZ_ARRAY),
            (&spans.hours.to as _, Type::TIMESTAMPTZ_ARRAY),
            (&spans.ledger.from as _, Type::TIMESTAMPTZ_ARRAY),
            (&spans.ledger.to as _, Type::TIMESTAMPTZ_ARRAY),
            (facet as _, Type::TEXT),
        ]);
        parameters
    }

    /// Carries out a query over the facts; `more` are its own parameters, from $16 on.
    async fn ask(&self, reading: &Transaction<'_>, sql: &[&str], more: &[Parameter<'_>]) -> Result<Vec<Row>> {
        let mut parameters = self.parameters();
        parameters.extend(more.iter().cloned());
        reading.rows(&sql.concat(), &parameters).await
    }
}

/// Begins to read: what follows sees one moment of the database, and no statement of it takes long.
pub(super) async fn begin(loan: &mut Loan) -> Result<Transaction<'_>> {
    let reading = loan.begin_reading().await?;
    // How long the parts of a span are is not seen by the planner, who would rather read the whole ledger once. And where a small
    // table must be read as a whole nevertheless, it would be for compiling the statement first.
    let sql = "
        select set_config('statement_timeout', $1, true), set_config('enable_seqscan', 'off', true),
               set_config('jit', 'off', true)";
    reading.rows(sql, &[(&STATEMENT_TIMEOUT, Type::TEXT)]).await?;
    Ok(reading)
}
