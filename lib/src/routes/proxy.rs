//! Model calls: read who asks and what, then relay. Every answer is in the caller's own dialect.

use std::{sync::Arc, time::Instant};

use http::{HeaderValue, Method, header, request::Parts};

use super::{Visit, not_set_up, origin, reply};
use crate::{
    access::{ApiKey, NotAKey, PresentedKey},
    clock,
    error::{Error, Kind, Result},
    gateway::{Context, Gateway},
    http::{Request, Response, collect, full},
    id::RequestId,
    protocol::{Call, Demand, Form, Protocol, Provider, presented_keys},
    relay::{Arrival, Login, Place, Trace, relay},
};

/// Where clients warm their connection with a HEAD request, without a key; any answer will do.
const PROBED: [&str; 2] = ["/", "/api/hello"];

pub(super) async fn answer(gateway: &Result<Arc<Gateway>>, visit: Visit, request: Request) -> Response {
    let Visit { id, from, background } = visit;
    let uri = request.uri();
    if request.method() == Method::HEAD && PROBED.contains(&uri.path()) {
        return probed(&id);
    }
    let protocol = Protocol::of(uri.path(), uri.query(), request.headers());
    let form = form(protocol, &request);
    let refused = |error: &Error| {
        reply::log(&id, error);
        protocol.refusal(form, error, &id)
    };
    let gateway = match gateway {
        Ok(gateway) => Arc::clone(gateway),
        Err(error) => return refused(&not_set_up(error)),
    };
    let trace = Trace::begin(&gateway, &request);
    let cx = Context { gateway, background, from };
    proxy(&cx, protocol, (&id, trace.clone()), request).await.unwrap_or_else(|error| {
        let refusal = refused(&error);
        trace.refused(&cx, refusal.status(), &error);
        refusal
    })
}

async fn proxy(
    cx: &Context,
    protocol: Protocol,
    (id, trace): (&RequestId, Trace),
    request: Request,
) -> Result<Response> {
    let (began, at) = (Instant::now(), clock::now());
    let (head, body) = request.into_parts();
    let call = Call::read(protocol, &head.method, &head.uri, &cx.gateway.config.passthrough_paths)?;
    // Who asks is known before a byte of the body is read.
    let presented = presented_key(&head)?;
    let login = login(&head, call.provider, &presented)?;
    cx.key_that(&presented, |key| key.must_be_active(at).and_then(|()| key.must_come_from(cx.from))).await?;
    let body = collect(body, cx.gateway.config.max_body_bytes).await?;
    let demand = Demand::read(call, &head.headers, &body)?;
    if demand.model.as_deref().is_some_and(|model| model.chars().any(char::is_control)) {
        return Err(Error::invalid("model", "must not hold control characters"));
    }
    let allows = |key: &ApiKey| {
        if login == Login::Caller {
            key.may_pass_through()?;
        }
        demand.may_be_called_with(|model| key.may_call(demand.provider, model))
    };
    let (snapshot, key) = cx.key_that(&presented, allows).await?;
    let origin = match &demand.act {
        Some(_) => origin::origin(&cx.gateway.config, &head.headers),
        None => String::new(),
    };
    let arrival = Arrival {
        id: id.clone(),
        at,
        began,
        from: cx.from,
        method: head.method,
        uri: head.uri,
        headers: head.headers,
        body,
        snapshot,
        presented,
        session: demand.session.as_ref().map(|session| session.under(&key.id)),
        key,
        login,
        origin,
        trace,
        place: Place::default(),
        demand,
    };
    relay(cx, arrival).await
}

/// The gateway key, from whichever place the client puts it. Clients send several credentials at once.
fn presented_key(head: &Parts) -> Result<PresentedKey> {
    let presented = presented_keys(&head.headers, head.uri.query());
    let mut mistyped = false;
    for text in &presented {
        match PresentedKey::parse(text) {
            Ok(key) => return Ok(key),
            Err(NotAKey::Mistyped) => mistyped = true,
            Err(NotAKey::Foreign) => {}
        }
    }
    let message = match (presented.is_empty(), mistyped) {
        (true, _) => "no API key was sent; send a key of this gateway",
        (_, true) => "this API key has a typing error: a character is wrong or missing",
        _ => "this API key was not issued by this gateway",
    };
    Err(Error::new(Kind::Unauthenticated, message))
}

/// Whose login goes up. A key in `x-gateway-key` leaves the usual places to a login of the caller's own; where a key of ours
/// stands there too, the request is like any other with that key.
fn login(head: &Parts, provider: Provider, presented: &PresentedKey) -> Result<Login> {
    let apart = head.headers.get_all("x-gateway-key").iter();
    if !apart.filter_map(|value| value.to_str().ok()).any(|text| text.trim() == presented.reveal()) {
        return Ok(Login::Account);
    }
    let query = head.uri.query();
    if provider.finds_login(&head.headers, query, PresentedKey::is_meant_by) {
        return Ok(Login::Caller);
    }
    let mut usual = head.headers.clone();
    usual.remove("x-gateway-key");
    if presented_keys(&usual, query).iter().any(|text| PresentedKey::is_meant_by(text)) {
        return Ok(Login::Account);
    }
    let message = "x-gateway-key passes a login of your own through, and none was sent; to be served by this gateway's \
                   accounts, send the key in authorization, x-api-key or x-goog-api-key";
    Err(Error::new(Kind::Unauthenticated, message))
}

/// How the answer would have been laid out, for a refusal to be laid out the same.
fn form(protocol: Protocol, request: &Request) -> Form {
    let streams = request.uri().path().ends_with(":streamGenerateContent");
    let events = request.uri().query().is_some_and(|query| query.split('&').any(|pair| pair == "alt=sse"));
    match (protocol, streams, events) {
        (Protocol::Gemini, true, false) => Form::JsonArray,
        (Protocol::Gemini, true, true) => Form::Sse,
        _ => Form::Json,
    }
}

fn probed(id: &RequestId) -> Response {
    let mut response = Response::new(full(""));
    let headers = response.headers_mut();
    headers.insert("x-request-id", HeaderValue::from_str(id.as_str()).expect("an id is plain ASCII"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A refusal in the dialect of the path.
pub(super) fn refusal(request: &Request, error: &Error, id: &RequestId) -> Response {
    let uri = request.uri();
    let protocol = Protocol::of(uri.path(), uri.query(), request.headers());
    protocol.refusal(form(protocol, request), error, id)
}
