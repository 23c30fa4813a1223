//! What monitoring counts: everything since the ledger began, which only ever grows.

use jiff::Timestamp;

use super::{FACTS, Facts, Grain, Measures, WHICH, begin, measures::SUMS};
use crate::{
    error::Result,
    store::{Filter, Store},
};

/// All requests of one provider and pool that ended in one way.
#[derive(Debug)]
pub struct Counted {
    /// The provider.
    pub provider: String,
    /// The key's pool.
    pub pool: String,
    /// How they ended.
    pub status: String,
    /// What they add up to.
    pub measures: Measures,
}

/// All requests that one account served last.
#[derive(Debug)]
pub struct CountedAccount {
    /// The account.
    pub account: String,
    /// How they ended.
    pub status: String,
    /// How many there were.
    pub requests: i64,
}

impl Store {
    /// Everything there ever was, up to a time.
    pub async fn counted(&self, to: Timestamp) -> Result<(Vec<Counted>, Vec<CountedAccount>)> {
        let mut loan = self.for_reading().await?;
        let reading = begin(&mut loan).await?;
        let filter = Filter::default();
        let began = reading.rows("select least(min(at), (select min(started_at) from ledger)) from rollups where facet = 'all' and step = 'hour'", &[]).await?;
        let began: Option<Timestamp> = began[0].get(0);
        let span = (began.unwrap_or(to), to);
        let facts = Facts::of(&reading, &filter, span, (Grain::Day, None)).await?;
        let sql =
            ["select f.provider, f.pool, f.status, ", SUMS, " ", FACTS, WHICH, " group by 1, 2, 3 order by 1, 2, 3"];
        let rows = facts.ask(&reading, &sql, &[]).await?;
        let counted = rows.iter().map(|row| Counted {
            provider: row.get("provider"),
            pool: row.get("pool"),
            status: row.get("status"),
            measures: Measures::read(row),
        });
        let counted = counted.collect();
        let facts = Facts::of(&reading, &filter, span, (Grain::Day, Some(&super::GroupBy::Account))).await?;
        let sql = [
            "select f.account_id, f.status, sum(f.requests)::bigint as requests ",
            FACTS,
            WHICH,
            " group by 1, 2 order by 1, 2",
        ];
        let rows = facts.ask(&reading, &sql, &[]).await?;
        let accounts = rows.iter().map(|row| CountedAccount {
            account: row.get("account_id"),
            status: row.get("status"),
            requests: row.get("requests"),
        });
        Ok((counted, accounts.collect()))
    }
}
