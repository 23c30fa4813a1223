//! Lists of a key's own things. Which there are, and in what order, the database knows; what each is by now, the account
//! that holds it is asked.

use std::{collections::HashMap, sync::Arc, time::Instant};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use http::{
    HeaderValue, Method, StatusCode,
    header::{ACCEPT_ENCODING, CONTENT_TYPE},
};
use serde_json::value::RawValue;
use tokio::time::timeout;

use super::{Arrival, claim, open::Open, refresh, sign, unclaimed};
use crate::{
    error::{Error, Kind, Result},
    gateway::Context,
    http::{Response, full},
    pool::Account,
    protocol::{Page, PageFrom, Thing, ThingKind, downloads, page, to_upstream},
    store::{Cut, Kept, Shelf},
    upstream::{Outgoing, address, cause},
};

/// Descriptions asked of one account at once.
const AT_ONCE: usize = 8;

type Item = (String, Box<RawValue>);

/// Answers a list. An account that sits out makes the whole list wait: a part of it would look like all there is.
pub(super) async fn list(cx: &Context, mut arrival: Arrival, kind: ThingKind) -> Result<Response> {
    let open = Open::new(cx, &arrival);
    let wanted = Page::read(arrival.demand.provider, arrival.uri.query())?;
    let mut from = cut(cx, &arrival, kind, &wanted).await?;
    let mut last = None;
    loop {
        let shelf = Shelf { holder: arrival.holder(), kind };
        let mut kept = cx.gateway.store.list_things(&shelf, &from, wanted.limit + 1).await?;
        let backwards = matches!(from, Cut::Before(..));
        let more = kept.len() as i64 > wanted.limit;
        if more {
            kept.remove(if backwards { 0 } else { kept.len() - 1 });
        }
        let described = describe(cx, &mut arrival, &open, kind, &kept).await;
        let (items, account) = described.inspect_err(|error| open.failed(error.message.clone()))?;
        last = account.or(last);
        let end = kept.last().map(|it| (it.created_at, it.name.clone())).filter(|_| more || backwards);
        match end {
            // All of these turned out to be gone: a page without anything would read as the last.
            Some((at, name)) if items.is_empty() && !backwards => from = Cut::After(at, name),
            end => {
                if last.is_none() {
                    unclaimed(cx, &mut arrival).await?;
                }
                return Ok(answer(
                    &arrival,
                    &open,
                    last.as_deref(),
                    page(arrival.demand.provider, kind, &items, end.as_ref()),
                ));
            }
        }
    }
}

/// Where in the order a page begins.
async fn cut(cx: &Context, arrival: &Arrival, kind: ThingKind, wanted: &Page) -> Result<Cut> {
    let (name, before) = match &wanted.from {
        PageFrom::Top => return Ok(Cut::Top),
        PageFrom::Mark(at, name) => return Ok(Cut::After(*at, name.clone())),
        PageFrom::After(name) => (name, false),
        PageFrom::Before(name) => (name, true),
    };
    let thing = Thing::new(kind, name);
    let found = cx.gateway.store.find_things(arrival.holder(), &[&thing]).await?.into_iter().next();
    let Kept { name, created_at, .. } = found
        .ok_or_else(|| Error::invalid(if before { "before_id" } else { "after_id" }, "names nothing in this list"))?;
    Ok(if before { Cut::Before(created_at, name) } else { Cut::After(created_at, name) })
}

/// The descriptions of these things, in their order, from one account after the other; without those that are gone.
async fn describe(
    cx: &Context,
    arrival: &mut Arrival,
    open: &Open,
    kind: ThingKind,
    kept: &[Kept],
) -> Result<(Vec<Item>, Option<Arc<Account>>)> {
    let mut described: HashMap<&str, Option<Box<RawValue>>> = HashMap::new();
    let mut served = None;
    while let Some(next) = kept.iter().find(|it| !described.contains_key(it.name.as_str())) {
        arrival.place.only = Some(next.account.clone());
        let account = claim::next_account(cx, arrival, open, &[]).await?;
        let began = Instant::now();
        let ready = refresh::ready(cx, &account).await;
        let ready = ready.map_err(|unable| Error::new(Kind::Unavailable, unable.reason))?;
        let (arrived, ready) = (&*arrival, &*ready);
        let mut asks = Vec::new();
        for it in kept.iter().filter(|it| it.account == next.account) {
            asks.push(one(cx, arrived, ready, Thing::new(kind, it.name.as_str())));
        }
        let asked: Result<Vec<_>> = stream::iter(asks).buffered(AT_ONCE).try_collect().await;
        let verdict = if asked.is_ok() { "delivered" } else { "failed" };
        open.attempted(&account.id, verdict, None, began.elapsed());
        let asked = asked?;
        let there = kept.iter().filter(|it| it.account == next.account);
        described.extend(there.map(|it| it.name.as_str()).zip(asked));
        served = Some(account);
    }
    let items = kept.iter().filter_map(|it| Some((it.name.clone(), described.remove(it.name.as_str())??))).collect();
    Ok((items, served))
}

/// One description; `None` when the thing is gone, and then it is forgotten.
async fn one(cx: &Context, arrival: &Arrival, account: &Account, thing: Thing) -> Result<Option<Box<RawValue>>> {
    let failed = |why: String| {
        Error::new(Kind::Unavailable, "an account did not describe what it holds; try again shortly")
            .with_source(why)
            .with_retry_after(super::TRY_AGAIN)
    };
    let patience = &arrival.policy().patience;
    let outgoing = outgoing(cx, arrival, account, &thing)?;
    let answered = timeout(patience.first_byte(), async {
        let response = cx.gateway.upstream.send(outgoing, patience.connect()).await.map_err(|error| cause(&error))?;
        let status = response.status();
        Ok((status, response.bytes().await.map_err(|error| cause(&error.without_url()))?))
    });
    let (status, body) = answered.await.unwrap_or_else(|_| Err("no answer in time".to_owned())).map_err(failed)?;
    if status == StatusCode::NOT_FOUND {
        cx.gateway.store.forget_thing(arrival.holder(), &account.id, &thing.name).await?;
        return Ok(None);
    }
    if !status.is_success() {
        return Err(failed(format!("status {status}")));
    }
    let own = downloads(&body, &arrival.origin);
    let description = serde_json::from_slice(&own).map_err(|error| failed(error.to_string()))?;
    Ok(Some(description))
}

fn outgoing(cx: &Context, arrival: &Arrival, account: &Account, thing: &Thing) -> Result<Outgoing> {
    let credential = cx.gateway.unseal(account).map_err(Error::internal)?;
    let mut headers = to_upstream(&arrival.headers);
    headers.remove(ACCEPT_ENCODING);
    account.provider.authorize(&mut headers, &credential)?;
    let url = address(cx.gateway.base_url(account), &thing.path(arrival.uri.path()))?;
    Ok(Outgoing { method: Method::GET, url, headers, body: Bytes::new() })
}

fn answer(arrival: &Arrival, open: &Open, account: Option<&Account>, page: String) -> Response {
    open.answered(StatusCode::OK.as_u16());
    open.completed();
    let mut response = Response::new(full(page));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    sign(response.headers_mut(), arrival, account.map(|account| &account.id), open);
    response
}
