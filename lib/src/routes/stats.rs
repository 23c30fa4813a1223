//! `/api/stats`: what was used and what it cost; and `/api/health`.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{Method, StatusCode, Uri};
use jiff::{Timestamp, ToSpan};
use serde_json::json;
use url::form_urlencoded;

use super::{Fields, caller, fields, no_such_method, no_such_path, reply, segments};
use crate::{
    access::{Caller, Role},
    clock,
    error::{Error, Kind, Result},
    gateway::Context,
    http::{Request, Response},
    id::RequestId,
    ledger::{Row, is_price_column},
    protocol::Provider,
    store::{Cursor, Filter},
};

const DEFAULT_PAGE: i64 = 50;
const LARGEST_PAGE: i64 = 500;

pub(super) async fn answer(cx: &Context, request: Request) -> Result<Response> {
    let method = request.method().clone();
    let uri = request.uri().clone();
    let segments = segments(&uri);
    if segments == ["api", "health"] {
        return if method == Method::GET { health(cx).await } else { Err(no_such_method()) };
    }
    let caller = caller(cx, request.headers()).await?;
    let query = Query::of(&uri);
    match (method, segments.as_slice()) {
        (Method::GET, ["api", "stats", "summary"]) => summary(cx, &caller, &query).await,
        (Method::GET, ["api", "stats", "requests"]) => requests(cx, &caller, &query).await,
        (Method::GET, ["api", "stats", "requests", id]) => one_request(cx, &caller, id).await,
        (Method::GET, ["api", "stats", "prices"]) => prices(cx, &caller).await,
        (Method::PUT, ["api", "stats", "prices", provider, model]) => {
            set_price(cx, &caller, (provider, model), fields(request).await?).await
        }
        (Method::DELETE, ["api", "stats", "prices", provider, model]) => {
            caller.may_manage()?;
            cx.gateway.store.unset_price(price_of(provider)?, model, caller.name()).await?;
            Ok(reply::done())
        }
        (_, ["api", "stats", "summary" | "requests" | "prices"]) => Err(no_such_method()),
        (_, ["api", "stats", "requests", _] | ["api", "stats", "prices", _, _]) => Err(no_such_method()),
        _ => Err(no_such_path()),
    }
}

/// Says what is wrong to whoever asks, and nothing else.
async fn health(cx: &Context) -> Result<Response> {
    let (ping, redis) = tokio::join!(cx.gateway.store.ping(), redis(cx));
    let (status, word, database) = match ping {
        Ok(()) => (StatusCode::OK, "ok", "ok"),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "not answering"),
    };
    let version = env!("CARGO_PKG_VERSION");
    reply::json(status, &json!({ "status": word, "version": version, "database": database, "redis": redis }))
}

/// Nothing fails without it, so it changes nothing of the status.
async fn redis(cx: &Context) -> &'static str {
    match &cx.gateway.windows {
        None => "unset",
        Some(windows) if windows.answer().await => "ok",
        Some(_) => "down",
    }
}

async fn summary(cx: &Context, caller: &Caller, query: &Query) -> Result<Response> {
    let to = query.time("to")?.unwrap_or_else(clock::now);
    let from = query.time("from")?.unwrap_or(to - 24.hours());
    if from >= to {
        return Err(Error::invalid("from", "must be before `to`"));
    }
    let filter = query.filter(caller)?;
    let store = &cx.gateway.store;
    let (now, before) =
        tokio::try_join!(store.summary(&filter, from, to), store.summary(&filter, from - (to - from), from))?;
    let mut answer = serde_json::to_value(&now).map_err(Error::internal)?;
    answer["previous"] = json!(before);
    reply::ok(&answer)
}

async fn requests(cx: &Context, caller: &Caller, query: &Query) -> Result<Response> {
    let mut filter = query.filter(caller)?;
    filter.from = query.time("from")?;
    filter.to = query.time("to")?;
    filter.status = query.text("status");
    let limit = query.limit()?;
    let after = query.text("cursor").map(|cursor| read_cursor(&cursor)).transpose()?;
    let rows = cx.gateway.store.requests(&filter, after.as_ref(), limit).await?;
    let next = query.next(&rows, limit, |row| write_cursor(row.started_at, &row.id));
    reply::page(&rows, next.as_deref())
}

async fn one_request(cx: &Context, caller: &Caller, id: &str) -> Result<Response> {
    let row = cx.gateway.store.request(id).await?;
    match caller {
        Caller::Holder(key) if key.role == Role::Member && row.key != key.id.as_str() => {
            Err(Error::new(Kind::NotFound, format!("there is no request {id}")))
        }
        _ => reply::ok(&row),
    }
}

/// The prices that take the place of built-in ones.
async fn prices(cx: &Context, caller: &Caller) -> Result<Response> {
    caller.may_view()?;
    reply::page(&cx.gateway.store.prices().await?, None)
}

async fn set_price(cx: &Context, caller: &Caller, (provider, model): (&str, &str), body: Fields) -> Result<Response> {
    caller.may_manage()?;
    let provider = price_of(provider)?;
    let price = body.into_value();
    if let Some(name) = price.as_object().and_then(|price| price.keys().find(|name| !is_price_column(name))) {
        return Err(Error::invalid(name.clone(), "there is no such field"));
    }
    let mut row = price.clone();
    row["provider"] = json!(provider);
    row["model"] = json!(model);
    serde_json::from_value::<Row>(row.clone()).map_err(|why| Error::invalid("body", why.to_string()))?;
    cx.gateway.store.set_price(provider, model, &price, caller.name()).await?;
    reply::ok(&row)
}

fn price_of(provider: &str) -> Result<Provider> {
    Provider::parse(provider).ok_or_else(|| Error::new(Kind::NotFound, format!("there is no provider {provider}")))
}

/// The parameters of a list.
pub(super) struct Query(BTreeMap<String, String>);

impl Query {
    pub(super) fn of(uri: &Uri) -> Self {
        let pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
        Self(pairs.into_owned().filter(|(_, value)| !value.is_empty() && !value.contains('\0')).collect())
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }

    /// How many entries a page has.
    pub(super) fn limit(&self) -> Result<i64> {
        match self.0.get("limit").map(|text| text.parse()) {
            None => Ok(DEFAULT_PAGE),
            Some(Ok(limit)) if (1..=LARGEST_PAGE).contains(&limit) => Ok(limit),
            Some(_) => Err(Error::invalid("limit", format!("must be a whole number from 1 to {LARGEST_PAGE}"))),
        }
    }

    /// Where the next page begins: nowhere, when this one is not full.
    pub(super) fn next<T>(&self, page: &[T], limit: i64, cursor: impl Fn(&T) -> String) -> Option<String> {
        let full = i64::try_from(page.len()).is_ok_and(|len| len == limit);
        page.last().filter(|_| full).map(cursor)
    }

    fn time(&self, name: &'static str) -> Result<Option<Timestamp>> {
        let parse = |text: &String| {
            text.parse().map_err(|_| Error::invalid(name, "must be an RFC 3339 time, such as 2027-01-31T00:00:00Z"))
        };
        self.0.get(name).map(parse).transpose()
    }

    /// Which rows the caller means. A member means its own, whatever it says.
    fn filter(&self, caller: &Caller) -> Result<Filter> {
        let own = match caller {
            Caller::Holder(key) if key.role == Role::Member => Some(key.id.as_str().to_owned()),
            _ => None,
        };
        let asked = self.text("key");
        if let (Some(own), Some(asked)) = (&own, &asked)
            && own != asked
        {
            return Err(Error::new(Kind::NotFound, format!("there is no key {asked}")));
        }
        Ok(Filter {
            provider: self.text("provider"),
            account: self.text("account"),
            key: own.or(asked),
            model: self.text("model"),
            pool: self.text("pool"),
            ..Filter::default()
        })
    }
}

fn write_cursor(at: Timestamp, id: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(format!("{at} {id}"))
}

fn read_cursor(cursor: &str) -> Result<Cursor> {
    let read = || {
        let text = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
        let (at, id) = text.split_once(' ')?;
        Some(Cursor { started_at: at.parse().ok()?, id: RequestId::from(id.to_owned()) })
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
        for nonsense in ["", "x", "%%%", &BASE64_URL_SAFE_NO_PAD.encode("yesterday req_1")] {
            assert!(read_cursor(nonsense).is_err(), "{nonsense}");
        }
    }

    #[test]
    fn a_page_that_is_not_full_is_the_last() {
        let query = Query::of(&Uri::from_static("/x?limit=2"));
        assert_eq!(query.next(&[1, 2], 2, ToString::to_string), Some("2".to_owned()));
        assert_eq!(query.next(&[1], 2, ToString::to_string), None);
        assert!(Query::of(&Uri::from_static("/x?limit=501")).limit().is_err());
    }
}
