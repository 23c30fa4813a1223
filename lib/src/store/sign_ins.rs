//! Failed sign-ins of each address, counted for all instances together.

use std::time::Duration;

use tokio_postgres::types::Type;

use super::Store;
use crate::error::Result;

impl Store {
    /// Counts a failed sign-in. Answers how many there were in the present window, which this one may have begun, and how
    /// long the window lasts yet.
    pub(crate) async fn count_failed_sign_in(&self, origin: &str, window: Duration) -> Result<(i32, Duration)> {
        // What is over is swept up by the way: the table is as small as the last hour's crowd.
        let sql = "
            with swept as (
                delete from failed_sign_ins where until < now() - interval '1 hour' and origin <> $1
            )
            insert into failed_sign_ins as f (origin, failures, until) values ($1, 1, now() + make_interval(secs => $2))
            on conflict (origin) do update set
                failures = case when f.until <= now() then 1 else f.failures + 1 end,
                until = case when f.until <= now() then excluded.until else f.until end
            returning failures, extract(epoch from until - now())::float8 as rest";
        let rows = self.rows(sql, &[(&origin, Type::TEXT), (&window.as_secs_f64(), Type::FLOAT8)]).await?;
        let rest = Duration::try_from_secs_f64(rows[0].get("rest")).unwrap_or_default();
        Ok((rows[0].get("failures"), rest))
    }
}
