//! Finds the hours in which a page of the ledger is, by the rollups: what is rare is found without reading all that lies between.

use jiff::{Timestamp, ToSpan};
use tokio_postgres::types::{Json, Type};

use super::{Cursor, Filter, Only};
use crate::{error::Result, store::Transaction};

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
    let key = filter.key.is_some() || !filter.labels.is_empty();
    let facet = match (key, filter.account.is_some()) {
        (true, true) => "both",
        (true, false) => "key",
        (false, true) => "account",
        (false, false) => "all",
    };
    let labels = (!filter.labels.is_empty()).then_some(Json(&filter.labels));
    let rows = reading
        .rows(
            include_str!("sieve.sql"),
            &[
                (&only.from, Type::TIMESTAMPTZ),
                (&until, Type::TIMESTAMPTZ),
                (&filter.provider, Type::TEXT),
                (&filter.account, Type::TEXT),
                (&filter.key, Type::TEXT),
                (&filter.model, Type::TEXT),
                (&filter.model_prefix, Type::TEXT),
                (&filter.pool, Type::TEXT),
                (&filter.status, Type::TEXT),
                (&labels, Type::JSONB),
                (&only.estimated, Type::BOOL),
                (&only.unpriced, Type::BOOL),
                (&facet, Type::TEXT),
                (&limit, Type::INT8),
            ],
        )
        .await?;
    Ok(Some((rows[0].get("since"), rows[0].get("until"))))
}
