//! `GET /api/stats/requests` and `/requests/{id}`: the ledger, row by row, newest first.
//!
//! A row is `{id, started_at, key, key_name, account, account_name, pool, provider, operation, model, served_model, stream,
//! session, client, affinity, crossed, status, http_status, error, attempts: [{account, verdict, status, took_ms, tokens,
//! cost_usd, estimated, unpriced}], tokens, cost_usd, estimated, unpriced, first_token_ms, duration_ms, upstream_request_id}`.
//! `crossed`, of a conversation that moved: whether to an account of another organization; `null` where it did not move, or
//! nobody knows. Besides the filters of every statistic: `session`, and `mark`, `estimated` or `unpriced`. Without `from` and
//! `to` the whole ledger is meant.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;

use super::query::Query;
use crate::{
    access::{Caller, Role},
    error::{Error, Kind, Result},
    gateway::Context,
    http::Response,
    id::RequestId,
    routes::reply,
    store::{Cursor, Filter, Only},
};

pub(super) async fn page(cx: &Context, caller: &Caller, query: &Query) -> Result<Response> {
    let (filter, only) = which(query, caller)?;
    let limit = query.limit()?;
    let after = query.text("cursor").map(|cursor| read_cursor(&cursor)).transpose()?;
    let rows = cx.gateway.store.requests(&filter, &only, after.as_ref(), limit).await?;
    let next = query.next(&rows, limit, |row| write_cursor(row.started_at, &row.id));
    reply::page(&rows, next.as_deref())
}

pub(super) async fn one(cx: &Context, caller: &Caller, id: &str) -> Result<Response> {
    let row = cx.gateway.store.request(id).await?;
    match caller {
        Caller::Holder(key) if key.role == Role::Member && row.key != key.id.as_str() => {
            Err(Error::new(Kind::NotFound, format!("there is no request {id}")))
        }
        _ => reply::ok(&row),
    }
}

/// Which rows of the ledger are meant.
pub(super) fn which(query: &Query, caller: &Caller) -> Result<(Filter, Only)> {
    let filter = query.filter(caller)?;
    let mark = query.text("mark");
    if mark.as_deref().is_some_and(|mark| !["estimated", "unpriced"].contains(&mark)) {
        return Err(Error::invalid("mark", "must be `estimated` or `unpriced`"));
    }
    let only = Only {
        from: query.time("from")?,
        to: query.time("to")?,
        session: query.text("session"),
        estimated: mark.as_deref() == Some("estimated"),
        unpriced: mark.as_deref() == Some("unpriced"),
    };
    Ok((filter, only))
}

fn write_cursor(at: Timestamp, id: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(format!("{at} {id}"))
}

fn read_cursor(cursor: &str) -> Result<Cursor> {
    let read = || {
        let text = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
        let (at, id) = text.split_once(' ')?;
        let at = at.parse().ok().filter(|at: &Timestamp| *at >= Timestamp::UNIX_EPOCH && at.as_second() < 1 << 38)?;
        Some(Cursor { started_at: at, id: RequestId::from(id.to_owned()) }).filter(|_| !id.contains('\0'))
    };
    read().ok_or_else(|| Error::invalid("cursor", "is not a cursor of this list"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_nothing_else_does() {
        let at: Timestamp = "2026-11-24T20:30:00.123456Z".parse().unwrap();
        let cursor = read_cursor(&write_cursor(at, "req_1")).unwrap();
        assert_eq!((cursor.started_at, cursor.id.as_str()), (at, "req_1"));
        let old = BASE64_URL_SAFE_NO_PAD.encode("-009999-01-02T01:59:59Z req_1");
        for nonsense in ["", "x", "%%%", &BASE64_URL_SAFE_NO_PAD.encode("yesterday req_1"), &old] {
            assert!(read_cursor(nonsense).is_err(), "{nonsense}");
        }
    }
}
