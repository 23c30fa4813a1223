//! Tells the operator's receiver what happened, signed as Standard Webhooks has it.
//!
//! Each event is taken from the outbox by one instance and sent. One that the receiver does not take stays there, and is sent
//! again later, by whichever instance comes by. An instance that dies in between may have sent it already: the event then comes
//! twice, under one `webhook-id`.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header::CONTENT_TYPE};
use ring::hmac;
use serde_json::{Value, json};

use crate::{
    access::Limit,
    clock,
    config::Webhook,
    error::{Error, Result},
    gateway::Gateway,
    store::Event,
    upstream::Outgoing,
};

/// A receiver that has not answered by then has not taken it.
const PATIENCE: Duration = Duration::from_secs(5);
/// Events that one round sends.
const A_ROUND: usize = 20;

/// Looks for what no single change of state tells, and sends what is due.
pub(super) async fn keep_up(gateway: &Gateway) {
    if gateway.config.webhook.is_none() {
        return;
    }
    match gateway.store.look_for_events().await {
        Ok(0) => {}
        Ok(given_up) => tracing::error!(given_up, "the webhook's receiver takes nothing; events were given up"),
        Err(error) => tracing::debug!(%error, "events could not be looked for"),
    }
    deliver(gateway).await;
}

/// Sends what is due, oldest first, and stops at the first event that is not taken: a receiver that is away is asked once.
pub(super) async fn deliver(gateway: &Gateway) {
    let Some(webhook) = &gateway.config.webhook else { return };
    for _ in 0..A_ROUND {
        match one(gateway, webhook).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => return tracing::debug!(%error, "the outbox could not be read"),
        }
    }
}

/// False: nothing is due, or the receiver takes nothing.
async fn one(gateway: &Gateway, webhook: &Webhook) -> Result<bool> {
    let Some(event) = gateway.store.due_event().await? else { return Ok(false) };
    match gateway.upstream.ask(signed(webhook, &event)?, PATIENCE).await {
        Ok((status, ..)) if status.is_success() => gateway.store.event_arrived(&event.id).await.map(|()| true),
        told => {
            let why = told.map_or_else(|why| why, |(status, ..)| format!("the receiver answered {status}"));
            tracing::warn!(
                event = event.id,
                kind = event.kind,
                attempt = event.attempts,
                why,
                "a webhook was not taken"
            );
            gateway.store.event_refused(&event.id, &why).await.map(|()| false)
        }
    }
}

fn signed(webhook: &Webhook, event: &Event) -> Result<Outgoing> {
    let data = in_words(&event.kind, event.data.clone());
    let body = json!({ "type": event.kind, "timestamp": event.created_at, "data": data }).to_string();
    let sent_at = clock::now().as_second();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &webhook.key());
    let signature = hmac::sign(&key, format!("{}.{sent_at}.{body}", event.id).as_bytes());
    let text = |value: String| HeaderValue::try_from(value).map_err(Error::internal);
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert("webhook-id", text(event.id.clone())?);
    headers.insert("webhook-timestamp", sent_at.into());
    headers.insert("webhook-signature", text(format!("v1,{}", BASE64_STANDARD.encode(signature)))?);
    Ok(Outgoing { method: Method::POST, url: webhook.url.clone(), headers, body: Bytes::from(body) })
}

/// A key's limit by its name in the API, and amounts as that shows them.
fn in_words(kind: &str, mut data: Value) -> Value {
    if kind == "key.budget"
        && let Some(limit) = data["rule"].as_object().cloned()
        && let Ok(limit) = serde_json::from_value::<Limit>(limit.into())
    {
        let used = limit.shown(data["used"].as_i64().unwrap_or_default());
        data["limit"] = limit.name().into();
        data["value"] = limit.shown(limit.value);
        data["used"] = used;
        data.as_object_mut().map(|data| data.remove("rule"));
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;

    /// The example of the specification: <https://github.com/standard-webhooks/standard-webhooks>.
    #[test]
    fn a_signature_is_of_name_time_and_body() {
        let mut env = Environment::from([]);
        env.set("WEBHOOK_URL", "https://hooks.example.com/in");
        env.set("WEBHOOK_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let webhook = Webhook::read(&env).unwrap().unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &webhook.key());
        let signed = "msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{\"test\": 2432232314}";
        let expect = "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(BASE64_STANDARD.encode(hmac::sign(&key, signed.as_bytes())), expect);
    }

    #[test]
    fn a_budget_is_told_as_the_api_shows_limits() {
        let rule = json!({ "span": "day", "measure": "cost", "value": 2_500_000 });
        let data = json!({ "key_id": "key_1", "percent": 80, "rule": rule, "used": 2_100_000 });
        let told = in_words("key.budget", data);
        let expect =
            json!({ "key_id": "key_1", "percent": 80, "limit": "cost_per_day_usd", "value": 2.5, "used": 2.1 });
        assert_eq!(told.to_string(), expect.to_string());
    }
}
