//! The last minute: cheap enough to be asked for every two seconds.

use jiff::Timestamp;
use tokio_postgres::types::Type;

use super::begin;
use crate::{
    error::Result,
    store::{Filter, Store},
};

/// What happened in the last sixty seconds.
#[derive(Debug, Clone, Copy)]
pub struct Live {
    /// When these sixty seconds ended: the database's time.
    pub at: Timestamp,
    /// Requests that came in them.
    pub begun: i64,
    /// Requests that ended in them, of those that lasted less than five minutes.
    pub ended: i64,
    /// Those of them that failed, were refused or lost.
    pub errors: i64,
    /// Tokens of those; `None`: none of them ever said.
    pub tokens: Option<i64>,
    /// What they cost, in millionths of a dollar.
    pub cost_micros: i64,
    /// Requests under way now.
    pub in_flight: i64,
}

impl Store {
    /// What happened in the last sixty seconds, for all or for one key.
    pub async fn live(&self, filter: &Filter) -> Result<Live> {
        let mut loan = self.for_reading().await?;
        let reading = begin(&mut loan).await?;
        // Five minutes back, the longest request that counts began; an index finds it there.
        let sql = "
            with recent as materialized (
                select started_at, status, cost_micros, started_at + duration_ms * interval '1 millisecond' as ended_at,
                    input_tokens + coalesce(cache_read_tokens, 0) + coalesce(cache_write_5m_tokens, 0)
                    + coalesce(cache_write_1h_tokens, 0) + coalesce(output_tokens, 0) + coalesce(tool_use_tokens, 0) as tokens
                from ledger
                where started_at >= now() - interval '6 minutes' and ($1::text is null or key_id = $1)
            ),
            under_way as (
                select count(*) as all, count(*) filter (where claimed_at >= now() - interval '1 minute') as begun
                from leases where expires_at > now() and ($1::text is null or key_id = $1)
            )
            select
                now() as at,
                (select begun from under_way)
                    + count(*) filter (where started_at >= now() - interval '1 minute') as begun,
                count(*) filter (where ended_at >= now() - interval '1 minute') as ended,
                count(*) filter (
                    where ended_at >= now() - interval '1 minute' and status in ('failed', 'refused', 'lost')
                ) as errors,
                (sum(tokens) filter (where ended_at >= now() - interval '1 minute'))::bigint as tokens,
                coalesce(sum(cost_micros) filter (where ended_at >= now() - interval '1 minute'), 0)::bigint as cost_micros,
                (select u.all from under_way u) as in_flight
            from recent";
        let rows = reading.rows(sql, &[(&filter.key, Type::TEXT)]).await?;
        let row = &rows[0];
        Ok(Live {
            at: row.get("at"),
            begun: row.get("begun"),
            ended: row.get("ended"),
            errors: row.get("errors"),
            tokens: row.get("tokens"),
            cost_micros: row.get("cost_micros"),
            in_flight: row.get("in_flight"),
        })
    }
}
