//! What each account and key has used, as lists show it.

use std::collections::BTreeMap;

use jiff::{Timestamp, ToSpan, civil, tz::TimeZone};
use serde::Serialize;
use tokio_postgres::{Row, types::Type};

use super::{Filter, GroupBy, Store, requests::usd, stats};
use crate::error::Result;

/// What one account or key has used.
#[derive(Debug, Clone, Copy, Default)]
pub struct Used {
    /// Since the day began: a key's own day, else in UTC.
    pub today: Use,
    /// Since the month began, likewise.
    pub month: Use,
    /// When its last request came.
    pub last_used_at: Option<Timestamp>,
}

/// A brief of one span.
#[derive(Debug, Clone, Copy, Default, Serialize)]
#[expect(missing_docs, reason = "the names are the contract's")]
pub struct Use {
    pub requests: i64,
    pub errors: i64,
    pub tokens: i64,
    pub cost_usd: f64,
}

/// Whose use is asked for.
#[derive(Debug, Clone, Copy)]
pub enum Per {
    /// Each account's.
    Account,
    /// Each key's.
    Key,
}

impl Store {
    /// What every account or key has used by `now`.
    pub async fn usage(&self, per: Per, now: Timestamp) -> Result<BTreeMap<String, Used>> {
        self.usage_of(per, None, now).await
    }

    /// What one account or key has used by `now`.
    pub async fn usage_of_one(&self, per: Per, id: &str, now: Timestamp) -> Result<Used> {
        Ok(self.usage_of(per, Some(id), now).await?.remove(id).unwrap_or_default())
    }

    async fn usage_of(&self, per: Per, id: Option<&str>, now: Timestamp) -> Result<BTreeMap<String, Used>> {
        match per {
            Per::Account => self.usage_of_accounts(id, now).await,
            Per::Key => {
                let of = [(&now as _, Type::TIMESTAMPTZ), (&id as _, Type::TEXT)];
                let rows = self.rows(include_str!("key_usage.sql"), &of).await?;
                Ok(rows.iter().map(|row| (row.get("id"), used(row))).collect())
            }
        }
    }

    async fn usage_of_accounts(&self, id: Option<&str>, now: Timestamp) -> Result<BTreeMap<String, Used>> {
        let filter = Filter { account: id.map(str::to_owned), ..Filter::default() };
        let mut loan = self.for_reading().await?;
        let reading = stats::begin(&mut loan).await?;
        let rows = reading.rows(LAST_USED, &[(&id, Type::TEXT)]).await?;
        let mut used: BTreeMap<String, Used> = rows
            .iter()
            .map(|row| (row.get("id"), Used { last_used_at: row.get("last_used_at"), ..Used::default() }))
            .collect();
        let (day, month) = beginnings(now);
        // What began within the last moments by another instance's clock counts, too.
        let end = now + 1.hour();
        for (id, today) in stats::uses(&reading, &filter, (day, end), &GroupBy::Account).await? {
            used.entry(id).and_modify(|used| used.today = today);
        }
        for (id, month) in stats::uses(&reading, &filter, (month, end), &GroupBy::Account).await? {
            used.entry(id).and_modify(|used| used.month = month);
        }
        Ok(used)
    }
}

/// When each account was last used.
const LAST_USED: &str = "
    select h.id, (select max(l.started_at) from ledger l where l.account_id = h.id) as last_used_at
    from accounts h where $1::text is null or h.id = $1";

fn used(row: &Row) -> Used {
    let span = |name: &str| {
        let figure = |what: &str| row.get::<_, i64>(&*[name, what].concat());
        Use {
            requests: figure("_requests"),
            errors: figure("_errors"),
            tokens: figure("_tokens"),
            cost_usd: usd(figure("_cost")),
        }
    };
    Used { today: span("today"), month: span("month"), last_used_at: row.get("last_used_at") }
}

/// When the day and the month began, in UTC.
fn beginnings(now: Timestamp) -> (Timestamp, Timestamp) {
    let date = TimeZone::UTC.to_datetime(now).date();
    let at = |date: civil::Date| TimeZone::UTC.to_timestamp(date.to_datetime(civil::Time::midnight())).unwrap_or(now);
    (at(date), at(date.first_of_month()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_months_begin_at_midnight() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        for (now, day, month) in [
            ("2026-11-24T23:59:59.9Z", "2026-11-24T00:00:00Z", "2026-11-01T00:00:00Z"),
            ("2026-11-24T00:00:00Z", "2026-11-24T00:00:00Z", "2026-11-01T00:00:00Z"),
            ("2028-03-01T00:00:00Z", "2028-03-01T00:00:00Z", "2028-03-01T00:00:00Z"),
        ] {
            assert_eq!(beginnings(at(now)), (at(day), at(month)), "{now}");
        }
    }
}
