//! Things that live on an account: a call that names one goes where it is, and only for the key that made it; and what a
//! call makes is on record before its caller hears of it.

use std::{collections::HashSet, time::Duration};

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_LENGTH;
use jiff::Timestamp;
use tokio::time::{sleep, timeout};

use super::{Arrival, hold::Held, open::Open};
use crate::{
    clock,
    error::{Error, Kind, Result},
    gateway::Context,
    id::{AccountId, RequestId},
    pool::Account,
    protocol::{Act, Made, Provider, Thing, ThingKind, downloads, made, made_by_batch, results, upload_urls},
    store::{Holder, Kept},
};

/// The largest answer that is read as a description of a thing; a larger one passes through as it is.
const LARGEST_DESCRIPTION: usize = 64 << 20;
/// An upload that was begun can be gone on with for about a week.
const UPLOAD_LIFE: Duration = Duration::from_secs(7 * 86_400);
/// Tries to record a thing that has been made.
const KEEP_TRIES: u32 = 4;

/// Where the things of a request send it.
#[derive(Debug, Default)]
pub(crate) struct Place {
    /// The only account that can serve it.
    pub(super) only: Option<AccountId>,
    /// The account to try first, because what the key has made is there.
    pub(super) first: Option<AccountId>,
    /// The ledger row of the batch whose results are asked for.
    pub(super) batch: Option<(RequestId, Timestamp)>,
}

impl Place {
    /// Whether this account may serve.
    pub(super) fn admits(&self, account: &Account) -> bool {
        self.only.as_ref().is_none_or(|only| *only == account.id)
    }
}

impl Arrival {
    pub(super) fn holder(&self) -> Holder<'_> {
        Holder { key: &self.key.id, provider: self.demand.provider }
    }
}

/// Finds where a request must go. A thing that this key has not made is not there, whoever else has one of that name.
pub(super) async fn place(cx: &Context, arrival: &Arrival) -> Result<Place> {
    let demand = &arrival.demand;
    let named: Vec<&Thing> = demand.act.iter().filter_map(Act::thing).chain(&demand.names).collect();
    let store = &cx.gateway.store;
    if named.is_empty() {
        // Files stay together, so that one message can name several.
        let gathers = matches!(demand.act, Some(Act::Make(ThingKind::File | ThingKind::Cache)));
        let first = if gathers { store.newest_home(arrival.holder()).await? } else { None };
        return Ok(Place { first, ..Place::default() });
    }
    let kept = store.find_things(arrival.holder(), &named).await?;
    let homes = |thing: &Thing| kept.iter().filter(|it| it.name == thing.name).map(|it| &it.account).collect();
    let mut common: Option<HashSet<&AccountId>> = None;
    for thing in &named {
        let homes: HashSet<&AccountId> = homes(thing);
        if homes.is_empty() {
            return Err(no_such_thing(demand.provider, thing));
        }
        common = Some(match common {
            Some(common) => common.intersection(&homes).copied().collect(),
            None => homes,
        });
    }
    let Some(account) = common.into_iter().flatten().min_by_key(|account| account.as_str()) else {
        let names: Vec<_> = named.iter().map(|thing| thing.name.as_str()).collect();
        let message = format!("{} live on different accounts; make them again to use them together", names.join(", "));
        return Err(Error::new(Kind::InvalidRequest, message));
    };
    let batch = demand.act.as_ref().and_then(Act::thing).filter(|thing| thing.kind == ThingKind::Batch);
    let batch = batch.and_then(|batch| kept.iter().find(|it| it.name == batch.name && it.account == *account));
    Ok(Place { only: Some(account.clone()), first: None, batch: batch.map(row_of_batch) })
}

/// A batch has one row in the ledger, however often its results are fetched: it is known by the batch's own name and time.
fn row_of_batch(batch: &Kept) -> (RequestId, Timestamp) {
    (RequestId::from(format!("req_{}", batch.name.replace('/', "_"))), batch.created_at)
}

/// What the provider says of a thing that it does not know.
fn no_such_thing(provider: Provider, thing: &Thing) -> Error {
    let what = match thing.kind {
        ThingKind::Batch => "Batch",
        ThingKind::Cache => "CachedContent",
        ThingKind::Container => "Container",
        ThingKind::File => "File",
        ThingKind::Upload => return Error::new(Kind::NotFound, "Upload not found"),
    };
    let name: String = thing.name.chars().filter(|c| !c.is_control()).take(200).collect();
    Error::new(
        Kind::NotFound,
        match provider {
            Provider::Anthropic => format!("{what} not found: {name}"),
            Provider::Gemini => format!("{what} {name} is not found"),
        },
    )
}

/// Records what an answer says was made or is gone, and turns its addresses back to the gateway. Afterwards the caller may
/// have it.
pub(super) async fn note(
    cx: &Context,
    arrival: &Arrival,
    account: &Account,
    held: &mut Held,
    open: &Open,
) -> Result<()> {
    let Some(act) = &arrival.demand.act else { return Ok(()) };
    let gone = held.status == http::StatusCode::NOT_FOUND;
    match act {
        Act::Remove(thing) if held.status.is_success() || gone => {
            cx.gateway.store.forget_thing(arrival.holder(), &account.id, &thing.name).await
        }
        Act::Make(_) | Act::Describe(_) if held.status.is_success() => {
            described(cx, arrival, account, held, open).await
        }
        _ => Ok(()),
    }
}

async fn described(cx: &Context, arrival: &Arrival, account: &Account, held: &mut Held, open: &Open) -> Result<()> {
    let Some(act) = &arrival.demand.act else { return Ok(()) };
    if arrival.demand.provider == Provider::Gemini && held.headers.contains_key("x-goog-upload-url") {
        let Some(upload) = upload_urls(&mut held.headers, cx.gateway.base_url(account), &arrival.origin) else {
            return Err(Error::new(Kind::Unavailable, "the upstream wants uploads at an address that is not its own"));
        };
        let expires_at = clock::now().checked_add(UPLOAD_LIFE).ok();
        keep(cx, arrival, account, &Made { thing: upload, expires_at }).await?;
    }
    let Some(body) = whole(arrival, held).await? else { return Ok(()) };
    let is_final = held.headers.get("x-goog-upload-status").is_some_and(|status| status == "final");
    let is_upload = act.thing().is_some_and(|thing| thing.kind == ThingKind::Upload);
    let makes = match act {
        // The start of an upload has no body.
        Act::Make(_) if body.is_empty() => None,
        Act::Make(kind) => Some(*kind),
        Act::Describe(thing) if is_upload && is_final => {
            cx.gateway.store.forget_thing(arrival.holder(), &account.id, &thing.name).await?;
            Some(ThingKind::File)
        }
        // A changed one may live longer.
        Act::Describe(thing) if arrival.method == http::Method::PATCH => Some(thing.kind),
        _ => None,
    };
    if let Some(kind) = makes {
        let Some(made) = made(kind, &body) else {
            return Err(Error::new(Kind::Unavailable, "the upstream made something and did not say what"));
        };
        keep(cx, arrival, account, &made).await?;
    }
    if let (Act::Describe(_), Some(_), Provider::Gemini) = (act, &arrival.place.batch, arrival.demand.provider) {
        if let Some(file) = made_by_batch(&body) {
            keep(cx, arrival, account, &file).await?;
        }
        if let Some((usage, model)) = results(&body) {
            open.batch_used(usage, model);
        }
    }
    let own = downloads(&body, &arrival.origin);
    if held.headers.contains_key(CONTENT_LENGTH) {
        held.headers.insert(CONTENT_LENGTH, own.len().into());
    }
    // An empty piece would never be sent.
    held.chunks.extend(Some(own).filter(|own| !own.is_empty()));
    Ok(())
}

/// The whole body of an answer, which is no longer in `held`; `None` when it is too large to look at.
async fn whole(arrival: &Arrival, held: &mut Held) -> Result<Option<Bytes>> {
    let idle = arrival.policy().patience.idle();
    let broken = |why: String| Error::new(Kind::Unavailable, "the upstream broke off its answer").with_source(why);
    let mut size: usize = held.chunks.iter().map(Bytes::len).sum();
    while let Some(rest) = &mut held.rest {
        match timeout(idle, rest.chunk()).await {
            Ok(Some(Ok(chunk))) => {
                size += chunk.len();
                held.chunks.push_back(chunk);
            }
            Ok(None) => held.rest = None,
            Ok(Some(Err(reason))) => return Err(broken(reason)),
            Err(_) => return Err(broken("it fell silent".to_owned())),
        }
        if size > LARGEST_DESCRIPTION {
            return Ok(None);
        }
    }
    let mut body = BytesMut::with_capacity(size);
    held.chunks.drain(..).for_each(|chunk| body.extend_from_slice(&chunk));
    Ok(Some(body.freeze()))
}

/// Records a thing. It has been made, so this is not given up at once; but a caller never hears of what is not on record.
async fn keep(cx: &Context, arrival: &Arrival, account: &Account, made: &Made) -> Result<()> {
    let mut tries = 1;
    loop {
        match cx.gateway.store.keep_thing(arrival.holder(), &account.id, made).await {
            Ok(()) => return Ok(()),
            Err(error) if tries == KEEP_TRIES => {
                tracing::error!(account = %account.id, kind = made.thing.kind.as_str(), name = made.thing.name, %error,
                    "a thing was made upstream and could not be recorded");
                return Err(error);
            }
            Err(_) => sleep(Duration::from_millis(100 << tries)).await,
        }
        tries += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_thing_is_named_without_what_a_terminal_would_obey() {
        let thing = Thing::new(ThingKind::File, "file_\u{1b}[2J");
        assert_eq!(no_such_thing(Provider::Anthropic, &thing).message, "File not found: file_[2J");
    }
}
