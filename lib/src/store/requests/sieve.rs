//! Finds the hours in which a page of the ledger is, by the rollups: what is rare is found without reading all that lies between.

use jiff::{Timestamp, ToSpan};
use tokio_postgres::types::Type;

use super::{Cursor, Only};
use crate::{
    error::Result,
    store::{
        Transaction,
        filter::{Apart, Filter, WHICH},
    },
};

/// Hours in which something of what is meant is: begins a statement that [`WHICH`] and [`HOURS`] go on with.
const MATCHING: &str = "
    with matching as (
        select f.at, sum(case when $11 then f.estimated when $12 then f.unpriced else f.requests end) as requests
        from rollups f";
const HOURS: &str = include_str!("sieve.sql");

/// Beginnings and ends of the spans that a page is in.
pub(super) type Hours = (Vec<Timestamp>, Vec<Timestamp>);

/// The hours to look into for a page, newest first: those that hold enough of what is asked for, and those that nobody has
/// rolled up. `None`: an index leads to the page, look everywhere.
pub(super) async fn hours(
    reading: &Transaction<'_>,
    filter: &Filter,
    only: &Only,
    (after, limit): (Option<&Cursor>, i64),
) -> Result<Option<Hours>> {
    let narrow = filter.provider.is_some()
        || filter.model.is_some()
        || filter.model_prefix.is_some()
        || filter.pool.is_some()
        || filter.status.is_some()
        || !filter.labels.is_empty()
        || (filter.key.is_some() && filter.account.is_some())
        || only.estimated
        || only.unpriced;
    // Rollups know nothing of conversations.
    if !narrow || only.session.is_some() {
        return Ok(None);
    }
    let until = [only.to, after.map(|cursor| cursor.started_at + 1.microsecond())].into_iter().flatten().min();
    let (labels, facet) = (filter.labels(), filter.facet(Apart::None));
    let mut parameters = filter.parameters(&labels);
    parameters.extend([
        (&only.from as _, Type::TIMESTAMPTZ),
        (&until as _, Type::TIMESTAMPTZ),
        (&only.estimated as _, Type::BOOL),
        (&only.unpriced as _, Type::BOOL),
        (&facet as _, Type::TEXT),
        (&limit as _, Type::INT8),
    ]);
    let rows = reading.rows(&[MATCHING, WHICH, HOURS].concat(), &parameters).await?;
    Ok(Some((rows[0].get("since"), rows[0].get("until"))))
}
