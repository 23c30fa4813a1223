//! What each account and key has used, as lists show it.

use std::collections::BTreeMap;

use jiff::{Timestamp, civil, tz::TimeZone};
use serde::Serialize;
use tokio_postgres::{Row, types::Type};

use super::{Store, requests::usd};
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
        let (day, month) = beginnings(now);
        let rows = match per {
            Per::Account => {
                let of = [(&day as _, Type::TIMESTAMPTZ), (&month as _, Type::TIMESTAMPTZ), (&id as _, Type::TEXT)];
                self.rows(include_str!("usage.sql"), &of).await?
            }
            Per::Key => {
                let of = [(&now as _, Type::TIMESTAMPTZ), (&id as _, Type::TEXT)];
                self.rows(include_str!("key_usage.sql"), &of).await?
            }
        };
        Ok(rows.iter().map(|row| (row.get("id"), used(row))).collect())
    }
}

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
