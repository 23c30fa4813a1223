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

use futures_util::future::BoxFuture;
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

/// A set of paths with one purpose; on Vercel, one function. It is known by how it answers, so that a function's program
/// holds the code of its own router and of no other.
#[derive(Debug, Clone, Copy)]
pub struct Router {
    name: &'static str,
    answer: Answers,
    refuse: fn(&Request, &Error, &RequestId) -> Response,
}

/// How a router answers.
type Answers = for<'a> fn(&'a Result<Arc<Gateway>>, Visit, Request) -> BoxFuture<'a, Response>;

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
    /// Model calls, relayed to a pooled account.
    pub const PROXY: Self = Self {
        name: "proxy",
        answer: |gateway, visit, request| Box::pin(relayed(gateway, visit, request)),
        refuse: proxy::refusal,
    };
    /// API keys.
    pub const KEYS: Self = Self {
        name: "keys",
        answer: |gateway, visit, request| {
            Box::pin(managed(gateway, visit, request, |cx, request| Box::pin(keys::answer(cx, request))))
        },
        refuse: managed_refusal,
    };
    /// Accounts, and how requests are routed to them.
    pub const ACCOUNTS: Self = Self {
        name: "accounts",
        answer: |gateway, visit, request| {
            Box::pin(managed(gateway, visit, request, |cx, request| match segments(request.uri()).get(1) {
                Some(&"routing") => Box::pin(routing::answer(cx, request)),
                _ => Box::pin(accounts::answer(cx, request)),
            }))
        },
        refuse: managed_refusal,
    };
    /// Statistics, and the gateway's own health.
    pub const STATS: Self = Self {
        name: "stats",
        answer: |gateway, visit, request| {
            Box::pin(managed(gateway, visit, request, |cx, request| Box::pin(stats::answer(cx, request))))
        },
        refuse: managed_refusal,
    };

    /// The router that a path belongs to; `None`: it is a file of the dashboard, or nothing.
    pub fn of(path: &str) -> Option<Self> {
        let mut segments = path.split('/').skip(1);
        match (segments.next()?, segments.next()) {
            ("api", Some("keys")) => Some(Self::KEYS),
            ("api", Some("accounts" | "routing")) => Some(Self::ACCOUNTS),
            ("api", Some("hello")) => Some(Self::PROXY),
            ("api", _) => Some(Self::STATS),
            (first, _) if first.starts_with("v1") => Some(Self::PROXY),
            ("upload", _) => Some(Self::PROXY),
            _ => None,
        }
    }

    /// The word for it, and for its function.
    pub(crate) fn name(self) -> &'static str {
        self.name
    }

    /// Whether its answers are the upstreams'.
    pub(crate) fn relays(self) -> bool {
        self.name == Self::PROXY.name
    }

    /// Answers a request. Without a gateway the answer says what to set.
    pub(crate) fn answer<'a>(
        self,
        gateway: &'a Result<Arc<Gateway>>,
        visit: Visit,
        request: Request,
    ) -> BoxFuture<'a, Response> {
        (self.answer)(gateway, visit, request)
    }

    /// Refuses a request of which nothing else has been looked at.
    pub(crate) fn refuse(self, request: &Request, error: &Error) -> Response {
        let id = RequestId::new(clock::now());
        reply::log(&id, error);
        (self.refuse)(request, error, &id)
    }
}

/// A model call, perhaps a page's.
async fn relayed(gateway: &Result<Arc<Gateway>>, visit: Visit, request: Request) -> Response {
    let leave = gateway.as_ref().ok().and_then(|gateway| cors::leave(&gateway.config.cors_origins, &request));
    if let Some(leave) = leave.as_ref().filter(|_| cors::asks_first(&request)) {
        return leave.given(&request);
    }
    let response = proxy::answer(gateway, visit, request).await;
    match leave {
        None => response,
        Some(leave) => leave.on(response),
    }
}

/// A management call.
async fn managed(
    gateway: &Result<Arc<Gateway>>,
    visit: Visit,
    mut request: Request,
    answer: for<'a> fn(&'a Context, Request) -> BoxFuture<'a, Result<Response>>,
) -> Response {
    let (id, uri) = (visit.id.clone(), request.uri().clone());
    // HEAD is told what GET would be, without the body.
    let wants_head = request.method() == Method::HEAD;
    if wants_head {
        *request.method_mut() = Method::GET;
    }
    let answered = match visit.context(gateway) {
        Ok(cx) => answer(&cx, request).await,
        Err(error) => Err(error),
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

fn managed_refusal(_: &Request, error: &Error, id: &RequestId) -> Response {
    reply::finish(reply::refusal(error), id)
}

impl Visit {
    fn context(self, gateway: &Result<Arc<Gateway>>) -> Result<Context> {
        let gateway = gateway.as_ref().map_err(not_set_up)?;
        Ok(Context { gateway: Arc::clone(gateway), background: self.background, from: self.from })
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
            ("/v1/messages", Some("proxy")),
            ("/v1beta/models/gemini-2.5-pro:generateContent", Some("proxy")),
            ("/v1internal:loadCodeAssist", Some("proxy")),
            ("/api/hello", Some("proxy")),
            ("/api/keys", Some("keys")),
            ("/api/keys/key_1", Some("keys")),
            ("/api/accounts/acc_1/check", Some("accounts")),
            ("/api/routing/default/gemini", Some("accounts")),
            ("/api/stats/summary", Some("stats")),
            ("/api/health", Some("stats")),
            ("/api/nonsense", Some("stats")),
            ("/", None),
            ("/css/app.css", None),
            ("*", None),
        ] {
            assert_eq!(Router::of(path).map(Router::name), expect, "{path}");
        }
    }
}
