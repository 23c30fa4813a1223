//! A request that comes with its caller's own login: one attempt at the provider's own address, with nothing of ours in it.
//!
//! What holds of the key holds, and the row is written as for every other. No account pays for what happens, and what the
//! upstream says, limits included, is the caller's own.

use std::time::Instant;

use bytes::Bytes;
use http::Method;

use super::{Arrival, attempt, body, claim, no_answer, open::Open};
use crate::{
    access::PresentedKey,
    error::Result,
    gateway::Context,
    http::Response,
    upstream::{Outgoing, address},
};

pub(super) async fn relay(cx: &Context, mut arrival: Arrival, open: Open) -> Result<Response> {
    let outgoing = outgoing(cx, &arrival)?;
    let account = claim::passage(cx, &mut arrival, &open).await?;
    let began = Instant::now();
    match attempt::send(cx, &arrival, arrival.demand.api, outgoing, &open).await {
        Ok((held, _)) => {
            open.attempted(&account, "delivered", Some(&held), began.elapsed());
            // An upstream that fails is no fault of the caller's; it is told so unchanged all the same.
            let failed = held.status.is_server_error();
            let answer = if failed { body::failure } else { body::answer };
            Ok(answer(&arrival, &account, held, open))
        }
        Err(unanswered) => {
            tracing::warn!(request = %arrival.id, reason = unanswered.reason, "a caller's own upstream gave no answer");
            attempt::unreached(&account, &unanswered, &open, began);
            open.failed(unanswered.reason);
            Err(no_answer())
        }
    }
}

/// The request as it came, but for the key of ours that it came with.
fn outgoing(cx: &Context, arrival: &Arrival) -> Result<Outgoing> {
    let (provider, path) = (arrival.demand.provider, arrival.uri.path());
    let query = arrival.uri.query().and_then(|query| provider.own_query(query, PresentedKey::is_meant_by));
    let query = query.map_or_else(String::new, |query| format!("?{query}"));
    Ok(Outgoing {
        method: arrival.method.clone(),
        url: address(cx.gateway.own_upstream(arrival.demand.api), &[path, &query].concat())?,
        headers: provider.to_own_upstream(&arrival.headers, PresentedKey::is_meant_by),
        body: if arrival.method == Method::GET { Bytes::new() } else { arrival.body.clone() },
    })
}
