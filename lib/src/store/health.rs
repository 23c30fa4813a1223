//! What traffic teaches of an account's health, kept.

use tokio_postgres::types::Type;

use super::{Store, columns::integer};
use crate::{
    error::Result,
    id::{AccountId, RequestId},
    pool::{FamilyCooldown, Health},
};

impl Store {
    /// Puts an account that is of the health `before` into another, because of an error. False: it is of another by now.
    pub async fn change_health(&self, id: &AccountId, before: &Health, after: &Health, error: &str) -> Result<bool> {
        let sql = "
            update accounts
            set health = $2, health_reason = $3, health_until = $4, probe_at = $5, failures = $6, breaks = $12,
                last_error = $7, tester = null
            where id = $1 and health = $8 and failures = $9 and breaks = $13
              and health_until is not distinct from $10 and probe_at is not distinct from $11
            returning id";
        let of = [
            (&id.as_str() as _, Type::TEXT),
            (&after.last.as_str() as _, Type::TEXT),
            (&after.reason as _, Type::TEXT),
            (&after.until as _, Type::TIMESTAMPTZ),
            (&after.probe_at as _, Type::TIMESTAMPTZ),
            (&integer(after.failures) as _, Type::INT4),
            (&error as _, Type::TEXT),
            (&before.last.as_str() as _, Type::TEXT),
            (&integer(before.failures) as _, Type::INT4),
            (&before.until as _, Type::TIMESTAMPTZ),
            (&before.probe_at as _, Type::TIMESTAMPTZ),
            (&integer(after.breaks) as _, Type::INT4),
            (&integer(before.breaks) as _, Type::INT4),
        ];
        Ok(!self.rows(sql, &of).await?.is_empty())
    }

    /// One model family of an account, of which `before` is known, sits out. False: something else is known by now.
    pub async fn cool_family(
        &self,
        (id, family): (&AccountId, &str),
        before: Option<&FamilyCooldown>,
        after: &FamilyCooldown,
        error: &str,
    ) -> Result<bool> {
        let sql = "
            insert into family_cooldowns as known (account_id, family, until, probe_at, failures, reason)
            select id, $2, $3, $4, $5, $6 from accounts where id = $1
            on conflict (account_id, family) do update
            set until = excluded.until, probe_at = excluded.probe_at, failures = excluded.failures,
                reason = excluded.reason, tester = null
            where known.until = $7 and known.failures = $8
            returning account_id";
        let of = [
            (&id.as_str() as _, Type::TEXT),
            (&family as _, Type::TEXT),
            (&after.until as _, Type::TIMESTAMPTZ),
            (&after.probe_at as _, Type::TIMESTAMPTZ),
            (&integer(after.failures) as _, Type::INT4),
            (&error as _, Type::TEXT),
            (&before.map(|before| before.until) as _, Type::TIMESTAMPTZ),
            (&before.map(|before| integer(before.failures)) as _, Type::INT4),
        ];
        Ok(!self.rows(sql, &of).await?.is_empty())
    }

    /// An account that had failed has served this request, of this model family: nothing is wrong with either now. What is
    /// out is freed only by the request that tests it: another began before. And where answers broke off, only by a whole one.
    pub async fn recover(&self, id: &AccountId, family: &str, request: &RequestId) -> Result<()> {
        let sql = "
            with freed as (
                delete from family_cooldowns
                where account_id = $1 and family = $3 and (until <= now() or tester = $2)
            )
            update accounts
            set health = 'ready', health_reason = null, health_until = null, probe_at = null, failures = 0, tester = null
            where id = $1 and (health = 'ready' or health_until <= now() or (tester = $2 and health <> 'needs_auth' and breaks = 0))";
        let of = [(&id.as_str() as _, Type::TEXT), (&request.as_str() as _, Type::TEXT), (&family as _, Type::TEXT)];
        self.rows(sql, &of).await.map(drop)
    }

    /// An account of which answers broke off has given this request a whole one: that is over.
    pub async fn mend(&self, id: &AccountId, request: &RequestId) -> Result<()> {
        let sql = "
            update accounts
            set health = 'ready', health_reason = null, health_until = null, probe_at = null, failures = 0, breaks = 0,
                tester = null
            where id = $1 and breaks > 0
              and (health = 'ready' or health_until <= now() or (tester = $2 and health <> 'needs_auth'))";
        self.rows(sql, &[(&id.as_str(), Type::TEXT), (&request.as_str(), Type::TEXT)]).await.map(drop)
    }

    /// A check went well, which proves that the upstream is there and the credential good; of limits, credit and whole answers
    /// it proves nothing.
    pub async fn note_good_check(&self, id: &AccountId) -> Result<()> {
        let sql = "
            with cured as (
                select id, health = 'needs_auth' or (health = 'cooling' and health_until is null and breaks = 0) as yes
                from accounts where id = $1 for update
            )
            update accounts a
            set last_checked_at = now(),
                health = case when yes then 'ready' else health end,
                health_reason = case when yes then null else health_reason end,
                probe_at = case when yes then null else probe_at end,
                failures = case when yes then 0 else failures end
            from cured where a.id = cured.id";
        self.rows(sql, &[(&id.as_str(), Type::TEXT)]).await.map(drop)
    }
}
