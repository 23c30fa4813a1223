//! The committed answer: which headers go back, and what the caller is told of waiting.

use http::{
    HeaderMap, HeaderValue,
    header::{CONTENT_ENCODING, CONTENT_LENGTH, RETRY_AFTER},
};
use http_body_util::BodyExt;

use super::{Arrival, Login, flow::Flow, hold::Held, open::Open, sign, watch::Watch};
use crate::{
    http::Response,
    id::AccountId,
    protocol::{Form, meter, to_caller, to_owner},
};

/// A client waits out a shorter `retry-after` by itself.
const PATIENT_CLIENT: u64 = 60;

/// The committed answer. From here on the account is not changed any more.
pub(super) fn answer(arrival: &Arrival, account: &AccountId, held: Held, open: Open) -> Response {
    watched(arrival, account, None, held, open)
}

/// The same, and what the answer tells that it has made is recorded.
pub(super) fn watched(
    arrival: &Arrival,
    account: &AccountId,
    watch: Option<Watch>,
    held: Held,
    open: Open,
) -> Response {
    if !held.status.is_success() {
        return refused(Fault::Callers, arrival, account, (held, open));
    }
    let coding = held.headers.get(CONTENT_ENCODING).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let demand = &arrival.demand;
    let meter = meter(demand.provider, demand.operation, demand.form, coding.as_deref(), demand.input_estimate);
    open.answering(held.status, &held.headers, meter);
    let mut headers = shown(arrival, &held.headers);
    if demand.form == Form::Sse {
        // A ping or an error event of ours may come in between.
        headers.remove(CONTENT_LENGTH);
    }
    sign(&mut headers, arrival, Some(account), &open);
    let status = held.status;
    let mut flow = Flow::new(arrival.policy().patience.idle(), demand, coding.is_none(), held, open);
    flow.watch(watch);
    respond(status, headers, flow)
}

/// The answer of the last account that is left, when all have failed.
pub(super) fn failure(arrival: &Arrival, account: &AccountId, held: Held, open: Open) -> Response {
    refused(Fault::Upstreams, arrival, account, (held, open))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    Callers,
    Upstreams,
}

/// An upstream's error, byte for byte. How long a client should wait is said in the way that makes it wait, or stop.
fn refused(fault: Fault, arrival: &Arrival, account: &AccountId, (held, open): (Held, Open)) -> Response {
    let reason = held.reason();
    open.answered(held.status.as_u16());
    match fault {
        Fault::Callers => open.refused(reason),
        Fault::Upstreams => open.failed(reason),
    }
    let mut headers = shown(arrival, &held.headers);
    sign(&mut headers, arrival, Some(account), &open);
    let wait = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let may_advise = fault == Fault::Upstreams && arrival.login == Login::Account;
    if may_advise && wait.is_some_and(|seconds| seconds >= PATIENT_CLIENT) {
        headers.insert("x-should-retry", HeaderValue::from_static("false"));
    }
    let status = held.status;
    respond(status, headers, Flow::plain(arrival.policy().patience.idle(), held, open))
}

/// What of the upstream's headers the caller may see.
fn shown(arrival: &Arrival, headers: &HeaderMap) -> HeaderMap {
    match arrival.login {
        Login::Account => to_caller(headers),
        Login::Caller => to_owner(headers),
    }
}

fn respond(status: http::StatusCode, headers: HeaderMap, body: Flow) -> Response {
    let mut response = Response::new(body.boxed());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}
