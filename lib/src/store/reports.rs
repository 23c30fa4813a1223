//! What upstreams report of their limits: how they stand, and how they stood.

use std::collections::BTreeMap;

use jiff::Timestamp;
use tokio_postgres::types::{Json, Type};

use super::Store;
use crate::{error::Result, id::AccountId, pool::Account, protocol::ReportedLimit};

/// The distance between two points that are kept, in seconds.
pub(crate) const POINT_SECONDS: i64 = 300;

/// How one limit of an account stood over time.
#[derive(Debug)]
pub struct LimitHistory {
    /// The upstream's name for it.
    pub name: String,
    /// The model family that it is of; `None`: of the whole account.
    pub family: Option<String>,
    /// By the beginning of each step in which something was reported.
    pub points: BTreeMap<Timestamp, LimitPoint>,
}

/// How a limit stood in one step.
#[derive(Debug, Clone, Copy)]
pub struct LimitPoint {
    /// The greatest share that was used in it; can exceed 1.
    pub used: f64,
    /// The latest time of renewal that was said with such a share.
    pub resets_at: Option<Timestamp>,
}

/// What an upstream says of an account beside its answer.
#[derive(Debug, Clone, Copy)]
pub struct Report<'a> {
    /// The limits, as they now are.
    pub limits: &'a [ReportedLimit],
    /// Those that were spent, and are renewed before their time.
    pub renewed: &'a [ReportedLimit],
    /// Whom it bills; `None`: it does not say.
    pub organization: Option<&'a str>,
    /// The model family that the answer was for; `None`: it speaks of all.
    pub family: Option<&'a str>,
}

impl Store {
    /// Keeps what an upstream reported of an account's limits, unless it is nothing, and whom it bills. What it once said of
    /// another model family holds until its reset. The long cooldowns of families that came from limits which were `renewed`
    /// before their time are over.
    pub async fn report(&self, id: &AccountId, report: &Report<'_>) -> Result<()> {
        let sql = "
            with freed as (
                delete from family_cooldowns
                where account_id = $1 and probe_at is not null and (
                    until = any($4) or family = any($5) or rtrim(family, '-0123456789') = any($5)
                )
            ),
            kept as (
                insert into reported_history as known (account_id, at, family, name, used, resets_at)
                select a.id, date_bin('5 minutes', now(), 'epoch'), told.family, told.name, max(told.used), max(told.resets_at)
                from accounts a, unnest($6::text[], $7::text[], $8::real[], $9::timestamptz[]) as told (family, name, used, resets_at)
                where a.id = $1
                group by a.id, told.family, told.name
                order by told.family, told.name
                on conflict (account_id, at, family, name) do update
                set used = excluded.used, resets_at = excluded.resets_at
                where excluded.used > known.used
            )
            update accounts
            set reported_at = now(), organization = coalesce($3, organization), reported_limits = case
                    when $2 = '[]'::jsonb then reported_limits
                    else $2 || (
                        select coalesce(jsonb_agg(old), '[]') from jsonb_array_elements(reported_limits) old
                        where (old->>'resets_at')::timestamptz > now()
                          and old->>'family' <> all (array[$10, rtrim($10, '-0123456789')]) and not exists (
                            select from jsonb_array_elements($2) new
                            where new->>'name' = old->>'name' and new->>'family' = old->>'family'
                        )
                    )
                end
            where id = $1";
        let Report { limits, renewed, organization, family } = *report;
        let families: Vec<&str> = renewed.iter().filter_map(|limit| limit.family.as_deref()).collect();
        // A limit that does not name its family ends when the cooldown ends that came from it.
        let resets = renewed.iter().filter(|limit| limit.family.is_none()).filter_map(|limit| limit.resets_at);
        let told: Vec<_> = limits.iter().filter_map(|limit| Some((limit, single(limit.used()?)))).collect();
        let of = [
            (&id.as_str() as _, Type::TEXT),
            (&Json(limits) as _, Type::JSONB),
            (&organization as _, Type::TEXT),
            (&resets.collect::<Vec<_>>() as _, Type::TIMESTAMPTZ_ARRAY),
            (&families as _, Type::TEXT_ARRAY),
            (
                &told.iter().map(|(limit, _)| limit.family.as_deref().unwrap_or("")).collect::<Vec<_>>() as _,
                Type::TEXT_ARRAY,
            ),
            (&told.iter().map(|(limit, _)| limit.name.as_str()).collect::<Vec<_>>() as _, Type::TEXT_ARRAY),
            (&told.iter().map(|(_, used)| *used).collect::<Vec<_>>() as _, Type::FLOAT4_ARRAY),
            (&told.iter().map(|(limit, _)| limit.resets_at).collect::<Vec<_>>() as _, Type::TIMESTAMPTZ_ARRAY),
            (&family as _, Type::TEXT),
        ];
        self.rows(sql, &of).await.map(drop)
    }

    /// How an account's limits stood in a span, by steps of so many seconds: a multiple of [`POINT_SECONDS`]. Those of the whole
    /// account come first.
    pub async fn limit_history(
        &self,
        id: &AccountId,
        (from, to): (Timestamp, Timestamp),
        step_seconds: i64,
    ) -> Result<Vec<LimitHistory>> {
        let sql = "
            select family, name, date_bin(make_interval(secs => $4), at, 'epoch') as step, max(used) as used, max(resets_at) as resets_at
            from reported_history
            where account_id = $1 and at >= date_bin('5 minutes', $2, 'epoch') and at < $3
            group by 1, 2, 3
            order by 1, 2, 3";
        #[expect(clippy::cast_precision_loss, reason = "a day has 86,400 seconds")]
        let step = step_seconds as f64;
        let of = [
            (&id.as_str() as _, Type::TEXT),
            (&from as _, Type::TIMESTAMPTZ),
            (&to as _, Type::TIMESTAMPTZ),
            (&step as _, Type::FLOAT8),
        ];
        let mut histories: Vec<LimitHistory> = Vec::new();
        for row in self.rows(sql, &of).await? {
            let family = Some(row.get::<_, String>("family")).filter(|family| !family.is_empty());
            let name: String = row.get("name");
            let point = LimitPoint { used: shortest(row.get("used")), resets_at: row.get("resets_at") };
            match histories.last_mut() {
                Some(last) if last.name == name && last.family == family => {
                    last.points.insert(row.get("step"), point);
                }
                _ => histories.push(LimitHistory { name, family, points: [(row.get("step"), point)].into() }),
            }
        }
        Ok(histories)
    }

    /// Forgets what was reported more than so many days ago.
    pub async fn forget_old_reports(&self, days: i32) -> Result<()> {
        let sql = "delete from reported_history where at < now() - make_interval(hours => 24 * $1)";
        self.rows(sql, &[(&days, Type::INT4)]).await.map(drop)
    }

    /// An account with a login of Google that serves right now, or has a model that sits out long, and whose quota nobody has
    /// asked for in the last five minutes; whoever gets it here is the one to ask.
    pub async fn due_quota(&self) -> Result<Option<Account>> {
        let sql = "
            update accounts set reported_at = now()
            where id = (
                select id from accounts a
                where provider = 'gemini' and credential_kind = 'oauth' and not paused and health <> 'needs_auth'
                  and coalesce(reported_at, created_at) < now() - interval '5 minutes'
                  and (
                      exists (select from leases l where l.account_id = a.id)
                      or exists (
                          select from family_cooldowns f
                          where f.account_id = a.id and f.until > now() and f.probe_at is not null
                      )
                  )
                order by reported_at nulls first
                limit 1
                for update skip locked
            )
            returning id";
        let rows = self.rows(sql, &[]).await?;
        match rows.first() {
            Some(row) => self.account(&AccountId::from(row.get::<_, String>("id"))).await.map(Some),
            None => Ok(None),
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a share needs no more than an f32 has")]
fn single(share: f64) -> f32 {
    share as f32
}

/// The number that a person would write for it: 0.31, not 0.3100000023.
fn shortest(share: f32) -> f64 {
    share.to_string().parse().unwrap_or(f64::from(share))
}
