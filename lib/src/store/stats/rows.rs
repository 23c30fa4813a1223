//! What requests add up to for each account, key or model: a table, sorted in the database and paged.

use jiff::Timestamp;
use tokio_postgres::types::Type;

use super::{FACTS, Facts, Grain, GroupBy, Measures, WHICH, begin, measures::SUMS};
use crate::{
    error::Result,
    store::{Filter, Store},
};

/// One account, key or model, with what its requests add up to.
#[derive(Debug)]
pub struct GroupRow {
    /// Its id; `None` where requests name none, such as a call that has no model.
    pub group: Option<String>,
    /// What a person calls it; `None` for a model, and for what was deleted.
    pub name: Option<String>,
    /// The provider, for a model.
    pub provider: Option<String>,
    /// What they add up to.
    pub measures: Measures,
}

/// What a table is sorted by, the greatest first; what nobody knows comes last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// Requests.
    Requests,
    /// Requests that failed, were refused or lost.
    Errors,
    /// Tokens of all kinds.
    Tokens,
    /// Cost.
    Cost,
    /// The part that succeeded.
    SuccessRate,
    /// The part of the prompts that came from caches.
    CacheHitRatio,
    /// How long whole answers took, on average.
    Latency,
    /// When first tokens came, on average.
    FirstToken,
}

impl Sort {
    /// Reads the word of the API.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "requests" => Self::Requests,
            "errors" => Self::Errors,
            "tokens" => Self::Tokens,
            "cost" => Self::Cost,
            "success_rate" => Self::SuccessRate,
            "cache_hit_ratio" => Self::CacheHitRatio,
            "latency" => Self::Latency,
            "first_token" => Self::FirstToken,
            _ => return None,
        })
    }

    fn sql(self) -> &'static str {
        match self {
            Self::Requests => "g.requests",
            Self::Errors => "g.requests - coalesce(g.completed, 0) - coalesce(g.cancelled, 0)",
            Self::Tokens => {
                "coalesce(g.input_tokens, 0) + coalesce(g.cache_read_tokens, 0) + coalesce(g.cache_write_5m_tokens, 0)
                 + coalesce(g.cache_write_1h_tokens, 0) + coalesce(g.output_tokens, 0) + coalesce(g.tool_use_tokens, 0)"
            }
            Self::Cost => "g.cost_micros",
            Self::SuccessRate => "coalesce(g.completed, 0)::double precision / g.requests",
            Self::CacheHitRatio => {
                "g.cache_read_tokens::double precision / nullif(coalesce(g.input_tokens, 0) + g.cache_read_tokens
                 + coalesce(g.cache_write_5m_tokens, 0) + coalesce(g.cache_write_1h_tokens, 0), 0)"
            }
            Self::Latency => "g.latency_ms::double precision / nullif(g.answers, 0)",
            Self::FirstToken => "g.first_token_ms::double precision / nullif(g.first_tokens, 0)",
        }
    }
}

impl Store {
    /// A page of the groups of a span: `limit` of them after the first `skip`.
    pub async fn group_rows(
        &self,
        filter: &Filter,
        span: (Timestamp, Timestamp),
        group: &GroupBy,
        (sort, skip, limit): (Sort, i64, i64),
    ) -> Result<Vec<GroupRow>> {
        let mut loan = self.for_reading().await?;
        let reading = begin(&mut loan).await?;
        let facts = Facts::of(&reading, filter, span, (Grain::Day, Some(group))).await?;
        // A model is a provider's: the same name of two providers is two rows.
        let provider = if *group == GroupBy::Model { "f.provider" } else { "null::text" };
        let sql = [
            "select g.*, ",
            group.name_sql(),
            " as name from (select ",
            group.sql(),
            " as grp, ",
            provider,
            " as provider, ",
            SUMS,
            " ",
            FACTS,
            WHICH,
            " group by 1, 2) g order by ",
            sort.sql(),
            " desc nulls last, g.grp, g.provider limit $16 offset $17",
        ];
        let rows = facts.ask(&reading, &sql, &[(&limit, Type::INT8), (&skip, Type::INT8)]).await?;
        Ok(rows
            .iter()
            .map(|row| GroupRow {
                group: row.get("grp"),
                name: row.get("name"),
                provider: row.get("provider"),
                measures: Measures::read(row),
            })
            .collect())
    }
}
