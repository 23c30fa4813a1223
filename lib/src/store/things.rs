//! What lives on accounts: which key made it, and where it is.

use jiff::Timestamp;
use tokio_postgres::{
    Row,
    types::{ToSql, Type},
};

use super::Store;
use crate::{
    error::Result,
    id::{AccountId, KeyId},
    protocol::{Made, Provider, Thing, ThingKind},
};

/// Whose things.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Holder<'a> {
    /// The key that made them.
    pub(crate) key: &'a KeyId,
    /// Whose API they are of.
    pub(crate) provider: Provider,
}

/// One thing, where it is.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) name: String,
    pub(crate) account: AccountId,
    pub(crate) created_at: Timestamp,
}

/// Things of one kind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shelf<'a> {
    pub(crate) holder: Holder<'a>,
    pub(crate) kind: ThingKind,
}

/// Where a page of a list begins; the order is newest first, and by name within one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cut {
    /// With the newest.
    Top,
    /// With what is older than this one.
    After(Timestamp, String),
    /// With what is newer than this one, and ends at it.
    Before(Timestamp, String),
}

impl Store {
    /// Keeps a thing as made by this key on this account. What another key has made there stays that key's, for as long as
    /// the provider remembers it.
    pub(crate) async fn keep_thing(&self, of: Holder<'_>, account: &AccountId, made: &Made) -> Result<()> {
        let sql = "
            insert into things (provider, account_id, name, kind, key_id, expires_at) values ($1, $2, $3, $4, $5, $6)
            on conflict (provider, name, account_id) do update set
                kind = excluded.kind, key_id = excluded.key_id, expires_at = excluded.expires_at,
                created_at = case when things.key_id = excluded.key_id then things.created_at else excluded.created_at end
            where things.key_id = excluded.key_id or things.expires_at <= now()";
        let name = made.thing.name.as_str();
        self.rows(
            sql,
            &[
                (&of.provider.as_str(), Type::TEXT),
                (&account.as_str(), Type::TEXT),
                (&name, Type::TEXT),
                (&made.thing.kind.as_str(), Type::TEXT),
                (&of.key.as_str(), Type::TEXT),
                (&made.expires_at, Type::TIMESTAMPTZ),
            ],
        )
        .await
        .map(drop)
    }

    /// Where each of these is, of those that this key made; one name may be on several accounts.
    pub(crate) async fn find_things(&self, of: Holder<'_>, things: &[&Thing]) -> Result<Vec<Kept>> {
        let names: Vec<&str> = things.iter().map(|thing| thing.name.as_str()).collect();
        let sql = "
            select name, account_id, created_at from things
            where provider = $1 and name = any($2) and key_id = $3 and (expires_at is null or expires_at > now())";
        let of = [
            (&of.provider.as_str() as &(dyn ToSql + Sync), Type::TEXT),
            (&names, Type::TEXT_ARRAY),
            (&of.key.as_str(), Type::TEXT),
        ];
        Ok(self.rows(sql, &of).await?.iter().map(kept).collect())
    }

    /// Where the newest file or cached content of this key is.
    pub(crate) async fn newest_home(&self, of: Holder<'_>) -> Result<Option<AccountId>> {
        let sql = "
            select account_id from things
            where key_id = $1 and provider = $2 and kind in ('cache', 'file') and (expires_at is null or expires_at > now())
            order by created_at desc limit 1";
        let of = [(&of.key.as_str() as &(dyn ToSql + Sync), Type::TEXT), (&of.provider.as_str(), Type::TEXT)];
        Ok(self.rows(sql, &of).await?.first().map(|row| AccountId::from(row.get::<_, String>("account_id"))))
    }

    /// A page of a key's things of one kind, newest first.
    pub(crate) async fn list_things(&self, of: &Shelf<'_>, from: &Cut, limit: i64) -> Result<Vec<Kept>> {
        let all = "
            select name, account_id, created_at from things
            where key_id = $1 and provider = $2 and kind = $3 and (expires_at is null or expires_at > now())";
        let (sql, edge) = match from {
            Cut::Top => (format!("{all} order by created_at desc, name desc limit $4"), None),
            Cut::After(at, name) => (
                format!("{all} and (created_at, name) < ($5, $6) order by created_at desc, name desc limit $4"),
                Some((at, name)),
            ),
            Cut::Before(at, name) => (
                format!("{all} and (created_at, name) > ($5, $6) order by created_at, name limit $4"),
                Some((at, name)),
            ),
        };
        let (key, provider, kind) = (of.holder.key.as_str(), of.holder.provider.as_str(), of.kind.as_str());
        let mut parameters: Vec<(&(dyn ToSql + Sync), Type)> =
            vec![(&key, Type::TEXT), (&provider, Type::TEXT), (&kind, Type::TEXT), (&limit, Type::INT8)];
        if let Some((at, name)) = &edge {
            parameters.extend([(at as &(dyn ToSql + Sync), Type::TIMESTAMPTZ), (name as _, Type::TEXT)]);
        }
        let mut page: Vec<Kept> = self.rows(&sql, &parameters).await?.iter().map(kept).collect();
        if matches!(from, Cut::Before(..)) {
            page.reverse();
        }
        Ok(page)
    }

    /// Forgets a thing that is gone.
    pub(crate) async fn forget_thing(&self, of: Holder<'_>, account: &AccountId, name: &str) -> Result<()> {
        let sql = "delete from things where provider = $1 and name = $2 and account_id = $3 and key_id = $4";
        self.rows(
            sql,
            &[
                (&of.provider.as_str(), Type::TEXT),
                (&name, Type::TEXT),
                (&account.as_str(), Type::TEXT),
                (&of.key.as_str(), Type::TEXT),
            ],
        )
        .await
        .map(drop)
    }

    /// Forgets what the providers have forgotten.
    pub(crate) async fn forget_expired_things(&self) -> Result<()> {
        self.rows("delete from things where expires_at <= now()", &[]).await.map(drop)
    }
}

fn kept(row: &Row) -> Kept {
    Kept {
        name: row.get("name"),
        account: AccountId::from(row.get::<_, String>("account_id")),
        created_at: row.get("created_at"),
    }
}
