//! `/api/keys`: issue, list, change and revoke API keys.

use std::{collections::BTreeMap, time::Duration};

use http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Fields, caller, fields, no_such_method, no_such_path, reply, segments, stats::Query};
use crate::{
    access::{ApiKey, Caller, PresentedKey, Role},
    clock,
    error::{Error, Kind, Result},
    gateway::Context,
    http::{Request, Response},
    id::KeyId,
    protocol::Provider,
    store::{Per, Used},
};

const MOST_IN_FLIGHT: i32 = 1_000_000;

pub(super) async fn answer(cx: &Context, request: Request) -> Result<Response> {
    let caller = caller(cx, request.headers()).await?;
    let method = request.method().clone();
    let uri = request.uri().clone();
    match (method, segments(&uri).as_slice()) {
        (Method::POST, ["api", "keys"]) => issue(cx, &caller, fields(request).await?).await,
        (Method::GET, ["api", "keys"]) => list(cx, &caller, &Query::of(&uri)).await,
        (Method::GET, ["api", "keys", "me"]) => me(cx, &caller).await,
        (Method::GET, ["api", "keys", id]) => one(cx, &caller, &named(id)).await,
        (Method::PATCH, ["api", "keys", id]) => change(cx, &caller, &named(id), fields(request).await?).await,
        (Method::DELETE, ["api", "keys", id]) => revoke(cx, &caller, &named(id)).await,
        (_, ["api", "keys"] | ["api", "keys", _]) => Err(no_such_method()),
        _ => Err(no_such_path()),
    }
}

async fn issue(cx: &Context, caller: &Caller, mut body: Fields) -> Result<Response> {
    caller.may_manage()?;
    let now = clock::now();
    let secret = PresentedKey::generate();
    let name = body.name_text("name")?;
    let mut key = ApiKey {
        id: KeyId::new(now),
        prefix: secret.prefix().to_owned(),
        name: body.required("name", name)?,
        role: Role::Member,
        pool: "default".to_owned(),
        providers: Vec::new(),
        models: Vec::new(),
        allow_passthrough: false,
        max_in_flight: None,
        labels: BTreeMap::new(),
        note: String::new(),
        expires_at: None,
        revoked_at: None,
        created_at: now,
        updated_at: now,
    };
    apply(&mut key, &mut body, now)?;
    body.finish()?;
    let key = cx.gateway.store.issue_key(&key, &secret.hash(), caller.name()).await?;
    let mut shown = view(&key, &Used::default(), now);
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
    let used = |key: &ApiKey| used.get(key.id.as_str()).copied().unwrap_or_default();
    let data: Vec<_> = keys.iter().map(|key| view(key, &used(key), now)).collect();
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
    let now = clock::now();
    let used = cx.gateway.store.usage_of_one(Per::Key, key.id.as_str(), now).await?;
    reply::ok(&view(&key, &used, now))
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

/// Takes every field that can be given at the beginning and later.
fn apply(key: &mut ApiKey, body: &mut Fields, now: Timestamp) -> Result<()> {
    if let Some(role) = body.word("role", Role::parse, "`admin`, `member`, `viewer`")? {
        key.role = role;
    }
    if let Some(pool) = body.name_text("pool")? {
        key.pool = pool;
    }
    if let Some(words) = body.texts("providers")? {
        let parsed: Option<_> = words.iter().map(|word| Provider::parse(word)).collect();
        key.providers = parsed.ok_or_else(|| body.wrong("providers", "must hold only `anthropic` and `gemini`"))?;
    }
    if let Some(models) = body.globs("models")? {
        key.models = models;
    }
    if let Some(may) = body.flag("allow_passthrough")? {
        key.allow_passthrough = may;
    }
    if let Some(labels) = body.text_map("labels", 8)? {
        key.labels = labels;
    }
    if let Some(note) = body.text("note")? {
        key.note = note;
    }
    if let Some(mut limits) = body.object("limits")? {
        if let Some(cap) = limits.nullable_integer("max_in_flight", 1..=MOST_IN_FLIGHT)? {
            key.max_in_flight = cap;
        }
        limits.finish()?;
    }
    let at = body.nullable_time("expires_at")?;
    let after = body.integer("expires_in_seconds", 1..=i32::MAX)?;
    match (at, after) {
        (Some(_), Some(_)) => Err(body.wrong("expires_at", "give `expires_at` or `expires_in_seconds`, not both")),
        (Some(Some(at)), None) if at <= now => Err(body.wrong("expires_at", "must be in the future")),
        (Some(at), None) => {
            key.expires_at = at;
            Ok(())
        }
        (None, Some(seconds)) => {
            key.expires_at = Some(now + Duration::from_secs(seconds.unsigned_abs().into()));
            Ok(())
        }
        (None, None) => Ok(()),
    }
}

/// A key as it is shown.
fn view(key: &ApiKey, used: &Used, now: Timestamp) -> Value {
    let mut view = key.settings();
    view["id"] = json!(key.id);
    view["state"] = json!(key.state(now));
    view["created_at"] = json!(key.created_at);
    view["updated_at"] = json!(key.updated_at);
    view["usage_today"] = json!(used.today);
    view["usage_month"] = json!(used.month);
    view["last_used_at"] = json!(used.last_used_at);
    view
}

fn named(id: &str) -> KeyId {
    KeyId::from(id.to_owned())
}
