//! HTTP in, HTTP out: which router answers a path, and how a refusal reads.

mod accounts;
mod cors;
mod credential;
mod fields;
mod keys;
mod openapi;
mod origin;
mod proxy;
mod reply;
mod routing;
mod stats;

use std::{net::IpAddr, sync::Arc};

use http::{
    HeaderMap, Method, Uri,
    header::{ALLOW, CONTENT_ENCODING},
};

use percent_encoding::percent_decode_str;

use crate::{
    access::{Caller, PresentedKey},
    background::Background,
    clock,
    error::{Error, Kind, Result},
    gateway::{Context, Gateway},
    http::{Request, Response, collect},
    id::RequestId,
    protocol::presented_keys,
};

use fields::{Fields, TEXT_CHARS};

/// The largest body of a management call.
const MANAGEMENT_BODY: usize = 1 << 20;

/// A set of paths with one purpose; on Vercel, one function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Router {
    /// Model calls, relayed to a pooled account.
    Proxy,
    /// API keys.
    Keys,
    /// Accounts, and how requests are routed to them.
    Accounts,
    /// Statistics, and the gateway's own health.
    Stats,
}

/// What a host knows of a request besides the request.
pub(crate) struct Visit {
    /// What answer, log and ledger call it.
    pub(crate) id: RequestId,
    /// The caller's address; `None` where the platform does not say.
    pub(crate) from: Option<IpAddr>,
    /// Keeps work alive beyond the response.
    pub(crate) background: Background,
}

impl Router {
    /// The router that a path belongs to; `None`: it is a file of the dashboard, or nothing.
    pub fn of(path: &str) -> Option<Self> {
        let mut segments = path.split('/').skip(1);
        match (segments.next()?, segments.next()) {
            ("api", Some("keys")) => Some(Self::Keys),
            ("api", Some("accounts" | "routing")) => Some(Self::Accounts),
            ("api", Some("hello")) => Some(Self::Proxy),
            ("api", _) => Some(Self::Stats),
            (first, _) if first.starts_with("v1") => Some(Self::Proxy),
            ("upload", _) => Some(Self::Proxy),
            _ => None,
        }
    }

    /// Answers a request. Without a gateway the answer says what to set.
    pub(crate) async fn answer(self, gateway: &Result<Arc<Gateway>>, visit: Visit, mut request: Request) -> Response {
        if self == Self::Proxy {
            let leave = gateway.as_ref().ok().and_then(|gateway| cors::leave(&gateway.config.cors_origins, &request));
            return match leave {
                None => proxy::answer(gateway, visit, request).await,
                Some(leave) if cors::asks_first(&request) => leave.given(&request),
                Some(leave) => leave.on(proxy::answer(gateway, visit, request).await),
            };
        }
        let Visit { id, from, background } = visit;
        // HEAD is told what GET would be, without the body.
        let wants_head = request.method() == Method::HEAD;
        if wants_head {
            *request.method_mut() = Method::GET;
        }
        let uri = request.uri().clone();
        let answered = match gateway {
            Ok(gateway) => {
                let cx = Context { gateway: Arc::clone(gateway), background, from };
                match self {
                    Self::Keys => keys::answer(&cx, request).await,
                    Self::Accounts if segments(request.uri()).get(1) == Some(&"routing") => {
                        routing::answer(&cx, request).await
                    }
                    Self::Accounts => accounts::answer(&cx, request).await,
                    Self::Stats | Self::Proxy => stats::answer(&cx, request).await,
                }
            }
            Err(error) => Err(not_set_up(error)),
        };
        let response = answered.unwrap_or_else(|error| {
            reply::log(&id, &error);
            let mut refusal = reply::refusal(&error);
            if let Some(methods) = openapi::allowed(&uri).filter(|_| error.kind == Kind::MethodNotAllowed) {
                refusal.headers_mut().insert(ALLOW, methods);
            }
            refusal
        });
        let response = reply::finish(response, &id);
        if wants_head { reply::head_of(response) } else { response }
    }

    /// Refuses a request of which nothing else has been looked at.
    pub(crate) fn refuse(self, request: &Request, error: &Error) -> Response {
        let id = RequestId::new(clock::now());
        reply::log(&id, error);
        match self {
            Self::Proxy => proxy::refusal(request, error, &id),
            Self::Keys | Self::Accounts | Self::Stats => reply::finish(reply::refusal(error), &id),
        }
    }
}

/// The same refusal for every request, until the operator has set what is missing.
fn not_set_up(error: &Error) -> Error {
    Error::new(error.kind, error.message.clone())
}

/// The path's parts: `/api/keys/key_1` is `["api", "keys", "key_1"]`.
fn segments(uri: &Uri) -> Vec<&str> {
    uri.path().trim_start_matches('/').split('/').collect()
}

/// Who calls the management API, by a path, a method and parameters that it has.
async fn caller(cx: &Context, request: &Request) -> Result<Caller> {
    let caller = holder(cx, request.headers()).await?;
    openapi::must_list(request.method(), request.uri())?;
    Ok(caller)
}

/// Whose token it is. Asked of the database each time, so a revoked key is out at once.
async fn holder(cx: &Context, headers: &HeaderMap) -> Result<Caller> {
    let presented_keys = presented_keys(headers, None);
    if presented_keys.is_empty() {
        let how = "send the admin token or an API key as `Authorization: Bearer …`";
        return Err(Error::new(Kind::Unauthenticated, how));
    }
    for presented in presented_keys {
        if reply::same_secret(cx.gateway.config.admin_token.expose(), &presented) {
            return Ok(Caller::Operator);
        }
        let key = match PresentedKey::parse(&presented) {
            Ok(key) => cx.gateway.store.key_by_hash(&key.hash()).await?,
            Err(_) => None,
        };
        if let Some(key) = key {
            key.must_be_active(clock::now())?;
            key.must_come_from(cx.from)?;
            return Ok(Caller::Holder(Box::new(key)));
        }
    }
    Err(cx.failed_sign_in(Error::new(Kind::Unauthenticated, "this token is not valid")).await)
}

/// The body of a management call.
async fn fields(request: Request) -> Result<Fields> {
    if request.headers().get_all(CONTENT_ENCODING).iter().any(|encoding| encoding != "identity") {
        return Err(Error::invalid("content-encoding", "is not supported"));
    }
    Fields::read(&collect(request.into_body(), MANAGEMENT_BODY).await?)
}

fn no_such_path() -> Error {
    Error::new(Kind::NotFound, "there is nothing at this path")
}

/// A name within a path, its percent-encoding undone.
fn name_in_path(segment: &str) -> Result<String> {
    let name = percent_decode_str(segment).decode_utf8().map_err(|_| no_such_path())?;
    if name.trim().is_empty() || name.contains('\0') || name.chars().count() > TEXT_CHARS {
        Err(no_such_path())
    } else {
        Ok(name.into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_has_one_router() {
        for (path, expect) in [
            ("/v1/messages", Some(Router::Proxy)),
            ("/v1beta/models/gemini-2.5-pro:generateContent", Some(Router::Proxy)),
            ("/v1internal:loadCodeAssist", Some(Router::Proxy)),
            ("/api/hello", Some(Router::Proxy)),
            ("/api/keys", Some(Router::Keys)),
            ("/api/keys/key_1", Some(Router::Keys)),
            ("/api/accounts/acc_1/check", Some(Router::Accounts)),
            ("/api/routing/default/gemini", Some(Router::Accounts)),
            ("/api/stats/summary", Some(Router::Stats)),
            ("/api/health", Some(Router::Stats)),
            ("/api/nonsense", Some(Router::Stats)),
            ("/", None),
            ("/css/app.css", None),
            ("*", None),
        ] {
            assert_eq!(Router::of(path), expect, "{path}");
        }
    }
}
