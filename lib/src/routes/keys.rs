//! `/api/keys`: issue, list, change, rotate and revoke API keys.

mod form;

use std::time::Duration;

use http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Fields, caller, fields, no_such_path, reply, segments, stats::Query};
use crate::{
    access::{ApiKey, Caller, PresentedKey, Standing},
    clock,
    error::{Error, Kind, Result},
    gateway::Context,
    http::{Request, Response},
    id::KeyId,
    store::{Per, Stands, Used},
};

use form::apply;

/// How long a replaced secret works, in seconds, where nobody says.
const GRACE: i32 = 3_600;
/// Thirty days.
const LONGEST_GRACE: i32 = 2_592_000;

pub(super) async fn answer(cx: &Context, request: Request) -> Result<Response> {
    let caller = caller(cx, &request).await?;
    let method = request.method().clone();
    let uri = request.uri().clone();
    match (method, segments(&uri).as_slice()) {
        (Method::POST, ["api", "keys"]) => issue(cx, &caller, fields(request).await?).await,
        (Method::GET, ["api", "keys"]) => list(cx, &caller, &Query::of(&uri)).await,
        (Method::GET, ["api", "keys", "me"]) => me(cx, &caller).await,
        (Method::GET, ["api", "keys", id]) => one(cx, &caller, &named(id)).await,
        (Method::PATCH, ["api", "keys", id]) => change(cx, &caller, &named(id), fields(request).await?).await,
        (Method::DELETE, ["api", "keys", id]) => revoke(cx, &caller, &named(id)).await,
        (Method::POST, ["api", "keys", "me", "rotate"]) => succeed(cx, &caller, fields(request).await?).await,
        (Method::POST, ["api", "keys", id, "rotate"]) => rotate(cx, &caller, &named(id), fields(request).await?).await,
        _ => Err(no_such_path()),
    }
}

async fn issue(cx: &Context, caller: &Caller, mut body: Fields) -> Result<Response> {
    caller.may_manage()?;
    let now = clock::now();
    let secret = PresentedKey::generate();
    let name = body.name_text("name")?;
    let name = body.required("name", name)?;
    let mut key = ApiKey::new(KeyId::new(now), secret.prefix(), name, now);
    apply(&mut key, &mut body, now)?;
    body.finish()?;
    let key = cx.gateway.store.issue_key(&key, &secret.hash(), caller.name()).await?;
    let mut shown = view(&key, &Used::default(), &Stands::of_nothing(&key), now);
    shown["key"] = json!(secret.reveal());
    reply::json(StatusCode::CREATED, &shown)
}

async fn list(cx: &Context, caller: &Caller, query: &Query) -> Result<Response> {
    caller.may_view()?;
    let limit = query.limit()?;
    let before = query.text("cursor").map(KeyId::from);
    let store = &cx.gateway.store;
    let now = clock::now();
    let (keys, used) = tokio::try_join!(store.keys(before.as_ref(), limit), store.usage(Per::Key, now))?;
    let next = query.next(&keys, limit, |key| key.id.as_str().to_owned());
    let standing = cx.gateway.standing(&keys.iter().collect::<Vec<_>>()).await?;
    let used = |key: &ApiKey| used.get(key.id.as_str()).copied().unwrap_or_default();
    let stands = |key: &ApiKey| standing.get(key.id.as_str()).cloned().unwrap_or_default();
    let data: Vec<_> = keys.iter().map(|key| view(key, &used(key), &stands(key), now)).collect();
    reply::page(&data, next.as_deref())
}

async fn one(cx: &Context, caller: &Caller, id: &KeyId) -> Result<Response> {
    caller.may_view()?;
    shown(cx, cx.gateway.store.key(id).await?).await
}

async fn me(cx: &Context, caller: &Caller) -> Result<Response> {
    match caller {
        Caller::Holder(key) => shown(cx, (**key).clone()).await,
        Caller::Operator => Err(Error::new(Kind::NotFound, "the admin token is not an API key")),
    }
}

async fn shown(cx: &Context, key: ApiKey) -> Result<Response> {
    reply::ok(&whole(cx, &key).await?)
}

/// A key with what it has used.
async fn whole(cx: &Context, key: &ApiKey) -> Result<Value> {
    let (now, id, of) = (clock::now(), key.id.as_str(), [key]);
    let used = cx.gateway.store.usage_of_one(Per::Key, id, now);
    let (used, mut standing) = tokio::try_join!(used, cx.gateway.standing(&of))?;
    Ok(view(key, &used, &standing.remove(id).unwrap_or_default(), now))
}

async fn change(cx: &Context, caller: &Caller, id: &KeyId, mut body: Fields) -> Result<Response> {
    caller.may_manage()?;
    let now = clock::now();
    let changed = cx.gateway.store.change_key(id, caller.name(), "key.update", |key| {
        if key.revoked_at.is_some() {
            return Err(Error::new(Kind::Conflict, "a revoked key cannot be changed"));
        }
        if let Some(name) = body.name_text("name")? {
            key.name = name;
        }
        apply(key, &mut body, now)?;
        body.finish()
    });
    let key = changed.await?;
    shown(cx, key).await
}

async fn revoke(cx: &Context, caller: &Caller, id: &KeyId) -> Result<Response> {
    caller.may_manage()?;
    let now = clock::now();
    let revoked = cx.gateway.store.change_key(id, caller.name(), "key.revoke", |key| {
        key.revoked_at.get_or_insert(now);
        Ok(())
    });
    revoked.await?;
    Ok(reply::done())
}

/// Gives a key a new secret; the old one works for the grace that is named, an hour unless said otherwise.
async fn rotate(cx: &Context, caller: &Caller, id: &KeyId, mut body: Fields) -> Result<Response> {
    caller.may_manage()?;
    let grace = body.integer("grace_seconds", 0..=LONGEST_GRACE)?.unwrap_or(GRACE);
    body.finish()?;
    let ends = clock::now() + Duration::from_secs(grace.unsigned_abs().into());
    let secret = PresentedKey::generate();
    let rotated = cx.gateway.store.rotate_key(id, caller.name(), &secret, |key| match key.revoked_at {
        Some(_) => Err(Error::new(Kind::Conflict, "a revoked key cannot be rotated")),
        None => Ok(ends),
    });
    let key = rotated.await?;
    with_secret(cx, &key, &secret, ends).await
}

/// Lets a key's own holder fetch its successor, once it is due.
async fn succeed(cx: &Context, caller: &Caller, body: Fields) -> Result<Response> {
    body.finish()?;
    let Caller::Holder(held) = caller else {
        return Err(Error::new(Kind::NotFound, "the admin token is not an API key"));
    };
    let ends = held.may_rotate_itself(clock::now())?;
    let secret = PresentedKey::generate();
    let rotated = cx.gateway.store.rotate_key(&held.id, caller.name(), &secret, |key| {
        // Of two who ask at once, one is late.
        if key.rotated_at == held.rotated_at {
            Ok(ends)
        } else {
            Err(Error::new(Kind::Conflict, "this API key has been replaced already"))
        }
    });
    let key = rotated.await?;
    with_secret(cx, &key, &secret, ends).await
}

/// A key with its new secret, this once.
async fn with_secret(cx: &Context, key: &ApiKey, secret: &PresentedKey, old_ends: Timestamp) -> Result<Response> {
    let mut shown = whole(cx, key).await?;
    shown["key"] = json!(secret.reveal());
    shown["old_secret_ends_at"] = json!(old_ends);
    reply::ok(&shown)
}

/// A key as it is shown.
fn view(key: &ApiKey, used: &Used, stands: &Stands, now: Timestamp) -> Value {
    let mut view = key.settings();
    view["id"] = json!(key.id);
    view["state"] = json!(key.state(now));
    view["created_at"] = json!(key.created_at);
    view["updated_at"] = json!(key.updated_at);
    view["usage_today"] = json!(used.today);
    view["usage_month"] = json!(used.month);
    view["last_used_at"] = json!(used.last_used_at);
    view["rotation_due_at"] = json!(key.rotation().map(|rotation| rotation.due_at));
    let at_once = key.max_in_flight.map(|most| {
        let most = i64::from(most);
        json!({
            "limit": "max_in_flight", "value": most, "used": stands.in_flight,
            "left": (most - stands.in_flight).max(0), "resets_at": null,
        })
    });
    view["standing"] = at_once.into_iter().chain(stands.limits.iter().map(Standing::view)).collect();
    let warnings: Vec<_> = stands.limits.iter().filter_map(Standing::warning).collect();
    view["budget_warning"] = json!((!warnings.is_empty()).then(|| warnings.join(". ")));
    if key.secret_ends_at.is_some() {
        view["secret_ends_at"] = json!(key.secret_ends_at);
    }
    view
}

fn named(id: &str) -> KeyId {
    KeyId::from(id.to_owned())
}
