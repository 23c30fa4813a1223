//! `/api/accounts`: add, list, change, pause, check and remove accounts.

mod limits;

use http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};
use url::Url;

use super::{Fields, caller, credential, fields, no_such_path, reply, segments, stats::Query};
use crate::{
    access::Caller,
    clock,
    credential::Credential,
    error::Result,
    gateway::{Context, Gateway},
    http::{Request, Response},
    id::AccountId,
    pool::{Account, Health, State},
    protocol::Provider,
    relay::check,
    store::{Per, Used},
    upstream::must_be_public,
};

const LOWEST_PRIORITY: i32 = 1_000;
const HEAVIEST: i32 = 1_000_000;
const MOST_IN_FLIGHT: i32 = 1_000_000;
const MOST_MAPPED: usize = 200;

pub(super) async fn answer(cx: &Context, request: Request) -> Result<Response> {
    let caller = caller(cx, &request).await?;
    let method = request.method().clone();
    let uri = request.uri().clone();
    match (method, segments(&uri).as_slice()) {
        (Method::POST, ["api", "accounts"]) => add(cx, &caller, fields(request).await?).await,
        (Method::GET, ["api", "accounts"]) => list(cx, &caller, &Query::of(&uri)).await,
        (Method::POST, ["api", "accounts", "import"]) => import(cx, &caller, fields(request).await?).await,
        (Method::GET, ["api", "accounts", id]) => one(cx, &caller, &named(id)).await,
        (Method::PATCH, ["api", "accounts", id]) => change(cx, &caller, &named(id), fields(request).await?).await,
        (Method::DELETE, ["api", "accounts", id]) => remove(cx, &caller, &named(id)).await,
        (Method::GET, ["api", "accounts", id, "limits"]) => {
            limits::answer(cx, &caller, &named(id), &Query::of(&uri)).await
        }
        (Method::POST, ["api", "accounts", id, "check"]) => checked(cx, &caller, &named(id)).await,
        (Method::POST, ["api", "accounts", id, act @ ("pause" | "resume" | "reset")]) => {
            act_on(cx, &caller, &named(id), act).await
        }
        _ => Err(no_such_path()),
    }
}

async fn add(cx: &Context, caller: &Caller, mut body: Fields) -> Result<Response> {
    caller.may_manage()?;
    let provider = body.word("provider", Provider::parse, "`anthropic`, `gemini`")?;
    let provider = body.required("provider", provider)?;
    let given = credential::given(&mut body)?;
    let given = body.required("credential", given)?;
    create(cx, caller, body, (provider, given)).await
}

/// Adds an account from the contents of a CLI's own login file.
async fn import(cx: &Context, caller: &Caller, mut body: Fields) -> Result<Response> {
    caller.may_manage()?;
    let login = credential::login(&mut body)?;
    create(cx, caller, body, login).await
}

async fn create(
    cx: &Context,
    caller: &Caller,
    mut body: Fields,
    (provider, given): (Provider, Credential),
) -> Result<Response> {
    let now = clock::now();
    let name = body.name_text("name")?;
    let mut account = Account::new(AccountId::new(now), provider, body.required("name", name)?, now);
    apply(&cx.gateway, &mut account, &mut body, Some(given))?;
    body.finish()?;
    let account = cx.gateway.store.add_account(&account, caller.name()).await?;
    reply::json(StatusCode::CREATED, &view(&account, &Used::default(), now))
}

async fn list(cx: &Context, caller: &Caller, query: &Query) -> Result<Response> {
    caller.may_view()?;
    let limit = query.limit()?;
    let now = clock::now();
    let store = &cx.gateway.store;
    let (accounts, used) = tokio::try_join!(store.accounts(), store.usage(Per::Account, now))?;
    let provider = query.word("provider", Provider::parse)?;
    let state = query.word("state", State::parse)?;
    let pool = query.text("pool");
    let page: Vec<_> = accounts
        .iter()
        .rev()
        .filter(|account| provider.is_none_or(|provider| account.provider == provider))
        .filter(|account| state.is_none_or(|state| account.state(now) == state))
        .filter(|account| pool.as_ref().is_none_or(|pool| account.pool == *pool))
        .skip_while(|account| query.text("cursor").is_some_and(|cursor| account.id.as_str() >= cursor.as_str()))
        .take(usize::try_from(limit).unwrap_or(0))
        .collect();
    let next = query.next(&page, limit, |account| account.id.as_str().to_owned());
    let used = |account: &Account| used.get(account.id.as_str()).copied().unwrap_or_default();
    let data: Vec<_> = page.iter().map(|account| view(account, &used(account), now)).collect();
    reply::page(&data, next.as_deref())
}

async fn one(cx: &Context, caller: &Caller, id: &AccountId) -> Result<Response> {
    caller.may_view()?;
    shown(cx, cx.gateway.store.account(id).await?).await
}

async fn shown(cx: &Context, account: Account) -> Result<Response> {
    let now = clock::now();
    let used = cx.gateway.store.usage_of_one(Per::Account, account.id.as_str(), now).await?;
    reply::ok(&view(&account, &used, now))
}

async fn change(cx: &Context, caller: &Caller, id: &AccountId, mut body: Fields) -> Result<Response> {
    caller.may_manage()?;
    let changed = cx.gateway.store.change_account(id, caller.name(), "account.update", |account| {
        if let Some(name) = body.name_text("name")? {
            account.name = name;
        }
        let given = credential::given(&mut body)?;
        if given.is_some() {
            // Whatever was wrong was wrong with the old credential.
            heal(account);
        }
        apply(&cx.gateway, account, &mut body, given)?;
        body.finish()
    });
    let account = changed.await?;
    shown(cx, account).await
}

async fn act_on(cx: &Context, caller: &Caller, id: &AccountId, act: &str) -> Result<Response> {
    caller.may_manage()?;
    let action = ["account.", act].concat();
    let changed = cx.gateway.store.change_account(id, caller.name(), &action, |account| {
        match act {
            "pause" => account.paused = true,
            "resume" => account.paused = false,
            _ => heal(account),
        }
        Ok(())
    });
    let account = changed.await?;
    shown(cx, account).await
}

async fn remove(cx: &Context, caller: &Caller, id: &AccountId) -> Result<Response> {
    caller.may_manage()?;
    cx.gateway.store.remove_account(id, caller.name()).await?;
    Ok(reply::done())
}

async fn checked(cx: &Context, caller: &Caller, id: &AccountId) -> Result<Response> {
    caller.may_manage()?;
    let account = cx.gateway.store.account(id).await?;
    let finding = check(cx, &account).await?;
    let account = cx.gateway.store.account(id).await?;
    let now = clock::now();
    let used = cx.gateway.store.usage_of_one(Per::Account, id.as_str(), now).await?;
    reply::ok(&json!({
        "ok": finding.ok,
        "status": finding.status,
        "message": finding.message,
        "took_ms": finding.took_ms,
        "account": view(&account, &used, now),
    }))
}

fn heal(account: &mut Account) {
    account.health = Health::ready();
    account.cooling_families.clear();
}

/// Takes every field that can be given at the beginning and later, with the credential that was among them.
fn apply(gateway: &Gateway, account: &mut Account, body: &mut Fields, given: Option<Credential>) -> Result<()> {
    if let Some(pool) = body.name_text("pool")? {
        account.pool = pool;
    }
    if let Some(base_url) = body.nullable_text("base_url")? {
        if let Some(url) = &base_url {
            check_base_url(url, gateway.config.allow_insecure_upstreams).map_err(|why| body.wrong("base_url", why))?;
        }
        account.base_url = base_url;
    }
    if let Some(priority) = body.integer("priority", 0..=LOWEST_PRIORITY)? {
        account.priority = priority;
    }
    if let Some(weight) = body.integer("weight", 1..=HEAVIEST)? {
        account.weight = weight;
    }
    if let Some(cap) = body.nullable_integer("max_in_flight", 1..=MOST_IN_FLIGHT)? {
        account.max_in_flight = cap;
    }
    if let Some(limit) = body.nullable_integer("requests_per_minute", 1..=i32::MAX)? {
        account.requests_per_minute = limit;
    }
    if let Some(limit) = body.nullable_integer("tokens_per_minute", 1..=i32::MAX)? {
        account.tokens_per_minute = limit;
    }
    if let Some(may) = body.flag("use_paid_overage")? {
        account.use_paid_overage = may;
    }
    if let Some(models) = body.globs("models")? {
        account.models = models;
    }
    if let Some(map) = body.text_map("model_map", MOST_MAPPED)? {
        account.model_map = map;
    }
    if let Some(note) = body.text("note")? {
        account.note = note;
    }
    account.entitled = credential::entitled(body, account, given.as_ref())?;
    if let Some(given) = given {
        account.sealed = gateway.seal(&account.id, &given);
        account.credential_kind = given.kind().to_owned();
        account.credential_hint = given.hint();
        account.credential_expires_at = given.expires_at();
    }
    Ok(())
}

/// A base URL leads to a public host over TLS, and says nothing besides.
fn check_base_url(text: &str, insecure: bool) -> Result<(), &'static str> {
    let url = Url::parse(text).map_err(|_| "must be a URL, such as https://api.example.com")?;
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err("must not hold a user, a query or a fragment");
    }
    match url.scheme() {
        "https" if insecure => Ok(()),
        "http" if insecure && url.has_host() => Ok(()),
        _ => must_be_public(&url),
    }
}

/// An account as it is shown.
fn view(account: &Account, used: &Used, now: Timestamp) -> Value {
    let cooling = account.cooling_families.iter().filter(|(_, it)| it.holds(now));
    let cooling: Vec<_> = cooling.map(|(family, it)| json!({ "family": family, "until": it.until })).collect();
    let state = account.state(now);
    let unwell = state == account.health.last;
    let mut view = account.settings();
    view["id"] = json!(account.id);
    view["state"] = json!(state.as_str());
    view["state_reason"] = json!(account.health.in_words(now).filter(|_| unwell));
    view["state_until"] = json!(account.health.changes_at().filter(|at| unwell && *at > now));
    view["failures_in_a_row"] = json!(account.health.failures);
    view["next_test_at"] = json!(account.health.probe_at.filter(|at| unwell && *at > now));
    view["cooling_families"] = json!(cooling);
    view["in_flight"] = json!(account.in_flight);
    view["organization"] = json!(account.organization);
    view["reported_limits"] = json!(account.reported_limits);
    view["last_error"] = json!(account.last_error);
    view["last_checked_at"] = json!(account.last_checked_at);
    view["created_at"] = json!(account.created_at);
    view["updated_at"] = json!(account.updated_at);
    view["usage_today"] = json!(used.today);
    view["last_used_at"] = json!(used.last_used_at);
    view
}

fn named(id: &str) -> AccountId {
    AccountId::from(id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_is_public_and_plain() {
        for (url, insecure, good) in [
            ("https://api.anthropic.com", false, true),
            ("https://llm.example.com/prefix/", false, true),
            ("https://8.8.8.8", false, true),
            ("http://api.anthropic.com", false, false),
            ("http://127.0.0.1:1234", true, true),
            ("https://127.0.0.1", false, false),
            ("https://0x7f.1", false, false),
            ("https://10.0.0.1", false, false),
            ("https://100.64.0.1", false, false),
            ("https://169.254.169.254", false, false),
            ("https://0.0.0.0", false, false),
            ("https://[::1]", false, false),
            ("https://[::ffff:10.0.0.1]", false, false),
            ("https://[fd00::1]", false, false),
            ("https://[2002:a00:1::]", false, false),
            ("https://[2606:4700::1111]", false, true),
            ("https://localhost", false, false),
            ("https://db.internal", false, false),
            ("https://user:pw@api.example.com", true, false),
            ("https://api.example.com/?key=x", true, false),
            ("https://api.example.com/#x", true, false),
            ("file:///etc/passwd", true, false),
            ("not a url", true, false),
        ] {
            assert_eq!(check_base_url(url, insecure).is_ok(), good, "{url}");
        }
    }
}
