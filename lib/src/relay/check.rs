//! A health check: the cheapest call that needs a good credential, made with an account's own.

use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, Instant},
};

use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::{
    conceal, refresh,
    setback::{self, Failure},
    webhooks,
};
use crate::{
    clock,
    credential::Credential,
    error::{Error, Kind, Result},
    gateway::{Context, Unable},
    pool::{Account, Cooldown},
    protocol::{
        Answer, Api, Penalty, Provider, Verdict,
        code_assist::{Loaded, is_barred_by_policy, load_request, loaded},
        reason,
    },
    upstream::{Outgoing, address, code_assist},
};

const PATIENCE: Duration = Duration::from_secs(15);

/// What a check found.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) ok: bool,
    pub(crate) status: Option<u16>,
    pub(crate) message: String,
    pub(crate) took_ms: u64,
}

/// Lists the models with the account's credential, or asks Code Assist who the account is, and keeps what that teaches of its health. A login that has ended, or
/// is refused, is renewed first.
pub(crate) async fn check(cx: &Context, account: &Account) -> Result<Finding> {
    let began = Instant::now();
    let took_ms = || u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let unwell = |unable: Unable| Finding { ok: false, status: None, message: unable.reason, took_ms: took_ms() };
    let mut account = match refresh::ready(cx, account).await {
        Ok(account) => account,
        Err(unable) => return Ok(unwell(unable)),
    };
    let mut asked = ask(cx, &account).await?;
    if account.credential_kind == Credential::OAUTH && asked.status == Some(StatusCode::UNAUTHORIZED.as_u16()) {
        match refresh::renew(cx, &account).await {
            Ok(Some(renewed)) => {
                asked = ask(cx, &renewed).await?;
                account = Cow::Owned(renewed);
            }
            Ok(None) => {}
            Err(unable) => return Ok(unwell(unable)),
        }
    }
    let store = &cx.gateway.store;
    match &asked.penalty {
        None => store.note_good_check(&account.id).await?,
        Some(penalty) => {
            let failure = Failure { account: &account, family: "", penalty, reason: &asked.message, request: None };
            setback::keep(store, &failure, &Cooldown::default()).await?;
        }
    }
    // Who asked does not wait for the operator's receiver.
    let gateway = Arc::clone(&cx.gateway);
    cx.background.spawn(async move { webhooks::deliver(&gateway).await });
    let Asked { status, penalty, message } = asked;
    Ok(Finding { ok: penalty.is_none(), status, message, took_ms: took_ms() })
}

/// What one call came to.
struct Asked {
    status: Option<u16>,
    penalty: Option<Penalty>,
    message: String,
}

async fn ask(cx: &Context, account: &Account) -> Result<Asked> {
    let credential = cx.gateway.unseal(account).map_err(|why| {
        Error::new(Kind::Conflict, "the stored credential cannot be opened with this gateway's keys").with_source(why)
    })?;
    let told = match (account.api(), &credential) {
        (Api::CodeAssist, Credential::OAuth { project, .. }) => {
            let request = load_request(project.as_deref());
            code_assist::call(
                &cx.gateway.upstream,
                cx.gateway.base_url(account),
                &credential,
                "loadCodeAssist",
                &request,
            )
            .await?
        }
        _ => cx.gateway.upstream.ask(list_of_models(cx, account, &credential)?, PATIENCE).await,
    };
    let (status, headers, body) = match told {
        Ok(told) => told,
        Err(message) => return Ok(Asked { status: None, penalty: Some(Penalty::Unreachable), message }),
    };
    // An upstream may repeat what it was sent.
    let body = if status.is_success() { Cow::Borrowed(&body[..]) } else { conceal::without(&body, &credential) };
    let answer = Answer { status, headers: &headers, body: &body };
    let (penalty, message) = match (status.is_success(), account.provider.judge(&answer, clock::now())) {
        _ if account.api() == Api::CodeAssist && is_barred_by_policy(&body) => (None, None),
        (true, _) if account.api() == Api::CodeAssist => {
            let unusable = match loaded(&body, credential.project()) {
                Some(Loaded::Never(why)) => Some(why),
                _ => None,
            };
            (unusable.as_ref().map(|_| Penalty::NeedsAuth), unusable)
        }
        (false, Verdict::Failover(penalty)) => (Some(penalty), Some(reason(status, &body))),
        _ => (None, None),
    };
    let message = message.unwrap_or_else(|| format!("the upstream answered {status}"));
    Ok(Asked { status: Some(status.as_u16()), penalty, message })
}

fn list_of_models(cx: &Context, account: &Account, credential: &Credential) -> Result<Outgoing> {
    let mut headers = HeaderMap::new();
    let path = match account.provider {
        Provider::Anthropic => {
            headers.insert("anthropic-version", HeaderValue::from_static("2023-06-01"));
            "/v1/models?limit=1"
        }
        Provider::Gemini => "/v1beta/models?pageSize=1",
    };
    account.provider.authorize(&mut headers, credential)?;
    let url = address(cx.gateway.base_url(account), path)?;
    Ok(Outgoing { method: Method::GET, url, headers, body: bytes::Bytes::new() })
}
