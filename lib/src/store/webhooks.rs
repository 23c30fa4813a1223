//! The outbox of events: written where they become true (`0019_webhooks.sql`), taken by one instance at a time.

use jiff::Timestamp;
use serde_json::Value;
use tokio_postgres::types::{Json, Type};

use super::Store;
use crate::error::Result;

/// Something that an operator should know.
#[derive(Debug)]
pub struct Event {
    /// Its name, the same however often it is sent.
    pub id: String,
    /// What it is of: `account.needs_auth` and the like.
    pub kind: String,
    /// What there is to say.
    pub data: Value,
    /// When it became true.
    pub created_at: Timestamp,
    /// How often it was sent, this time included.
    pub attempts: i32,
}

/// How many events wait, and how many of them the receiver has refused before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outbox {
    /// All that have not arrived.
    pub waiting: i64,
    /// Those that were sent in vain.
    pub refused: i64,
}

impl Store {
    /// Looks for what no single row tells, when it is time to. Answers how many events were given up.
    pub async fn look_for_events(&self) -> Result<i64> {
        Ok(self.rows("select look_for_events()", &[]).await?[0].get(0))
    }

    /// The oldest event that is due. Whoever gets it here is the one to send it; should nothing come of that, it is due again
    /// after 15 seconds, then after twice as long each time, at most an hour.
    pub async fn due_event(&self) -> Result<Option<Event>> {
        let sql = "
            update webhook_events e
            set attempts = e.attempts + 1,
                due_at = clock_timestamp() + least(interval '1 hour', interval '15 seconds' * 2 ^ least(e.attempts, 12))
            from (
                select id from webhook_events where due_at <= clock_timestamp()
                order by created_at limit 1 for update skip locked
            ) due
            where e.id = due.id
            returning e.id, e.type, e.data, e.created_at, e.attempts";
        let rows = self.rows(sql, &[]).await?;
        Ok(rows.first().map(|row| Event {
            id: row.get("id"),
            kind: row.get("type"),
            data: row.get::<_, Json<Value>>("data").0,
            created_at: row.get("created_at"),
            attempts: row.get("attempts"),
        }))
    }

    /// The receiver has it.
    pub async fn event_arrived(&self, id: &str) -> Result<()> {
        self.rows("delete from webhook_events where id = $1", &[(&id, Type::TEXT)]).await.map(drop)
    }

    /// The receiver has not taken it.
    pub async fn event_refused(&self, id: &str, why: &str) -> Result<()> {
        let sql = "update webhook_events set last_error = $2 where id = $1";
        self.rows(sql, &[(&id, Type::TEXT), (&why, Type::TEXT)]).await.map(drop)
    }

    /// What waits for the receiver.
    pub async fn outbox(&self) -> Result<Outbox> {
        let rows = self.rows("select count(*), count(last_error) from webhook_events", &[]).await?;
        Ok(Outbox { waiting: rows[0].get(0), refused: rows[0].get(1) })
    }
}
