//! The brief of each account or key, as their lists show it.

use jiff::Timestamp;

use super::{FACTS, Facts, Grain, GroupBy, WHICH};
use crate::{
    error::Result,
    store::{Filter, Transaction, Use, usd},
};

const BRIEF: &str = " as grp,
    sum(f.requests)::bigint as requests,
    coalesce(sum(f.requests) filter (where f.status in ('failed', 'refused', 'lost')), 0)::bigint as errors,
    (coalesce(sum(f.input_tokens), 0) + coalesce(sum(f.cache_read_tokens), 0) + coalesce(sum(f.cache_write_5m_tokens), 0)
        + coalesce(sum(f.cache_write_1h_tokens), 0) + coalesce(sum(f.output_tokens), 0)
        + coalesce(sum(f.tool_use_tokens), 0))::bigint as tokens,
    sum(f.cost_micros)::bigint as cost_micros ";

/// What each group has used in a span.
pub(in crate::store) async fn uses(
    reading: &Transaction<'_>,
    filter: &Filter,
    span: (Timestamp, Timestamp),
    group: &GroupBy,
) -> Result<Vec<(String, Use)>> {
    let facts = Facts::of(reading, filter, span, (Grain::Day, Some(group))).await?;
    let rows = facts.ask(reading, &["select ", group.sql(), BRIEF, FACTS, WHICH, " group by 1"], &[]).await?;
    let brief = |row: &tokio_postgres::Row| Use {
        requests: row.get("requests"),
        errors: row.get("errors"),
        tokens: row.get("tokens"),
        cost_usd: usd(row.get("cost_micros")),
    };
    Ok(rows.iter().map(|row| (row.get("grp"), brief(row))).collect())
}
