//! What all requests of a span add up to.

use jiff::Timestamp;

use super::{FACTS, Facts, Grain, GroupBy, Measures, WHICH, begin, measures::SUMS};
use crate::{
    error::Result,
    store::{Filter, Store, Transaction},
};

/// What the requests of a span add up to, model by model: a price is a model's.
#[derive(Debug)]
pub struct Totals {
    /// Provider and model asked for, with their sums.
    pub by_model: Vec<(String, Option<String>, Measures)>,
}

impl Totals {
    /// All of it.
    pub fn sum(&self) -> Measures {
        let mut sum = Measures::default();
        for (_, _, measures) in &self.by_model {
            sum.add(measures);
        }
        sum
    }
}

impl Store {
    /// What the requests of each of the spans add up to, and how many are under way now.
    pub async fn totals(&self, filter: &Filter, spans: &[(Timestamp, Timestamp)]) -> Result<(Vec<Totals>, i64)> {
        let mut loan = self.for_reading().await?;
        let reading = begin(&mut loan).await?;
        let mut totals = Vec::new();
        for span in spans {
            let facts = Facts::of(&reading, filter, *span, (Grain::Day, Some(&GroupBy::Model))).await?;
            let sql = ["select f.provider, f.model, ", SUMS, " ", FACTS, WHICH, " group by f.provider, f.model"];
            let rows = facts.ask(&reading, &sql, &[]).await?;
            let by_model = rows.iter().map(|row| (row.get("provider"), row.get("model"), Measures::read(row)));
            totals.push(Totals { by_model: by_model.collect() });
        }
        Ok((totals, in_flight(&reading, filter).await?))
    }
}

/// Requests under way, as far as the filter can tell before they have ended.
async fn in_flight(reading: &Transaction<'_>, filter: &Filter) -> Result<i64> {
    let sql = "
        select count(*) from leases l
        where l.expires_at > now()
          and ($1::text is null or l.draft->>'provider' = $1)
          and ($2::text is null or l.account_id = $2)
          and ($3::text is null or l.key_id = $3)
          and ($4::text is null or l.draft->>'model' = $4)
          and ($5::text is null or starts_with(l.draft->>'model', $5))
          and ($6::text is null or l.draft->>'pool' = $6)
          and ($8::jsonb is null or l.key_id in (select k.id from api_keys k where k.labels @> $8))";
    Ok(reading.rows(sql, &filter.parameters(&filter.labels())).await?[0].get(0))
}
