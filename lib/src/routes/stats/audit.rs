//! `GET /api/stats/audit`: every change of an account, key, route or price, newest first; for admins.
//!
//! Answers `{data: [{id, at, actor, actor_name, action, subject, before, after}], next_cursor}`. Filters: `actor`, `action` (one that ends
//! with `*` is a prefix: `key.*`), `subject`, `from`, `to`.

use super::query::Query;
use crate::{
    access::Caller,
    error::{Error, Result},
    gateway::Context,
    http::Response,
    routes::reply,
    store::ChangeFilter,
};

pub(super) async fn answer(cx: &Context, caller: &Caller, query: &Query) -> Result<Response> {
    caller.may_manage()?;
    let action = query.text("action");
    let prefix = action.as_deref().and_then(|action| action.strip_suffix('*'));
    let filter = ChangeFilter {
        actor: query.text("actor"),
        action_prefix: prefix.map(str::to_owned),
        action: action.clone().filter(|_| prefix.is_none()),
        subject: query.text("subject"),
        from: query.time("from")?,
        to: query.time("to")?,
    };
    let limit = query.limit()?;
    let before = query.text("cursor").map(|cursor| cursor.parse()).transpose();
    let before = before.map_err(|_| Error::invalid("cursor", "is not a cursor of this list"))?;
    let changes = cx.gateway.store.changes(&filter, before, limit).await?;
    let next = query.next(&changes, limit, |change| change.id.to_string());
    reply::page(&changes, next.as_deref())
}
