//! Spans on their way to a collector: OpenTelemetry's protocol over HTTP, in its JSON form.
//!
//! They are sent as settlements are: alone when there is little to do, together while a batch is under way. Nobody whose
//! request has been answered waits for it, and what a collector does not take in time is dropped, and counted.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header::CONTENT_TYPE};
use serde_json::{Value, json};
use url::Url;

use crate::{
    batch::Batch,
    config::{Sampler, Telemetry},
    error::{Error, Kind, Result},
    protocol::{Parent, TraceId},
    upstream::{Outgoing, Upstream},
};

/// A function's invocation stays open for so long at most; a collector that is well needs a hundredth of it.
const PATIENCE: Duration = Duration::from_secs(3);
/// Requests whose spans may wait at once.
const MOST_WAITING: usize = 1_024;

/// The spans of one request, in the protocol's JSON.
type OfRequest = Arc<Vec<Value>>;

/// The way to the collector.
pub(crate) struct Spans {
    sampler: Sampler,
    waiting: AtomicUsize,
    batch: Batch<OfRequest, ()>,
    losses: Arc<Losses>,
}

impl Spans {
    /// Nothing is connected yet.
    pub(super) fn new(config: &Telemetry) -> Self {
        let losses = Arc::<Losses>::default();
        let sender = Arc::new(Sender::new(config, Arc::clone(&losses)));
        let run = move |requests: Arc<[OfRequest]>| {
            let sender = Arc::clone(&sender);
            async move { sender.send(&requests).await.map(|()| vec![(); requests.len()]) }
        };
        Self { sampler: config.sampler, waiting: AtomicUsize::new(0), batch: Batch::new(1, run), losses }
    }

    /// Whether spans of this trace are kept. The same trace is kept by everybody who samples by its name.
    pub(crate) fn wants(&self, trace: TraceId, parent: Option<&Parent>) -> bool {
        let Sampler { follows_parent, ratio } = self.sampler;
        match parent.filter(|_| follows_parent) {
            Some(parent) => parent.sampled,
            None => {
                let [.., a, b, c, d, e, f, g, h] = trace.0;
                part(u64::from_be_bytes([a, b, c, d, e, f, g, h])) < ratio
            }
        }
    }

    /// Sends the spans of a request, and returns when they have arrived or are dropped.
    pub(crate) async fn send(&self, spans: Vec<Value>) {
        let count = spans.len();
        let ahead = self.waiting.fetch_add(1, Ordering::Relaxed);
        let sent = match ahead < MOST_WAITING {
            true => self.batch.submit(Arc::new(spans)).await,
            false => Err(Error::new(Kind::Unavailable, "the collector is too slow")),
        };
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        match sent {
            Ok(()) => self.losses.none(),
            Err(why) => self.losses.add(count, &why.message),
        }
    }
}

/// Where in [0, 1) a random number lies.
#[expect(clippy::cast_precision_loss, reason = "a part of 2^53 is exact enough")]
fn part(random: u64) -> f64 {
    (random >> 11) as f64 / (1_u64 << 53) as f64
}

/// What was dropped. The log says so when it begins and when it is over, however much it is.
#[derive(Default)]
struct Losses {
    now: AtomicBool,
    spans: AtomicU64,
}

impl Losses {
    fn add(&self, count: usize, why: &str) {
        self.spans.fetch_add(count as u64, Ordering::Relaxed);
        if !self.now.swap(true, Ordering::Relaxed) {
            tracing::warn!(why, "the collector takes no spans; they are dropped");
        }
    }

    fn none(&self) {
        if self.now.swap(false, Ordering::Relaxed) {
            let dropped = self.spans.swap(0, Ordering::Relaxed);
            tracing::info!(dropped, "the collector takes spans again");
        }
    }
}

/// Makes one message of many requests' spans, and sends it. The operator named the collector, which most often is a
/// neighbour: any address will do.
struct Sender {
    upstream: Upstream,
    url: Url,
    headers: HeaderMap,
    resource: Vec<Value>,
    losses: Arc<Losses>,
}

impl Sender {
    fn new(config: &Telemetry, losses: Arc<Losses>) -> Self {
        let mut headers = config.headers.clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let mut resource: Vec<_> =
            config.resource.iter().map(|(key, value)| attribute(key, value.as_str().into())).collect();
        resource.push(attribute("service.version", env!("CARGO_PKG_VERSION").into()));
        Self { upstream: Upstream::new(true), url: config.url.clone(), headers, resource, losses }
    }

    async fn send(&self, requests: &[OfRequest]) -> Result<()> {
        let spans: Vec<&Value> = requests.iter().flat_map(|spans| spans.iter()).collect();
        let scope = json!({ "name": "llm-gateway", "version": env!("CARGO_PKG_VERSION") });
        let message = json!({ "resourceSpans": [{
            "resource": { "attributes": self.resource },
            "scopeSpans": [{ "scope": scope, "spans": spans }],
        }] });
        let outgoing = Outgoing {
            method: Method::POST,
            url: self.url.clone(),
            headers: self.headers.clone(),
            body: Bytes::from(message.to_string()),
        };
        let refused = |why: String| Error::new(Kind::Unavailable, why);
        let (status, _, body) = self.upstream.ask(outgoing, PATIENCE).await.map_err(refused)?;
        if !status.is_success() {
            return Err(refused(format!("it answers {status}")));
        }
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        let rejected = &answer["partialSuccess"]["rejectedSpans"];
        let rejected = rejected.as_str().and_then(|text| text.parse().ok()).or_else(|| rejected.as_u64()).unwrap_or(0);
        if rejected > 0 {
            self.losses.spans.fetch_add(rejected, Ordering::Relaxed);
            tracing::warn!(rejected, why = %answer["partialSuccess"]["errorMessage"], "the collector rejected spans");
        }
        Ok(())
    }
}

/// One attribute in the protocol's JSON, whose whole numbers are texts.
pub(crate) fn attribute(key: &str, value: Value) -> Value {
    let value = match value {
        Value::Bool(flag) => json!({ "boolValue": flag }),
        Value::Number(number) if number.is_f64() => json!({ "doubleValue": number }),
        Value::Number(number) => json!({ "intValue": number.to_string() }),
        Value::String(text) => json!({ "stringValue": text }),
        other => json!({ "stringValue": other.to_string() }),
    };
    json!({ "key": key, "value": value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Environment, protocol::SpanId};

    fn spans(sampler: &str, argument: &str) -> Spans {
        let mut env = Environment::from([]);
        for (name, value) in [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"),
            ("OTEL_TRACES_SAMPLER", sampler),
            ("OTEL_TRACES_SAMPLER_ARG", argument),
        ] {
            env.set(name, value);
        }
        Spans::new(&Telemetry::read(&env).unwrap().unwrap())
    }

    #[test]
    fn a_trace_is_kept_as_the_sampler_says() {
        let parent = |sampled| Parent { trace: TraceId([1; 16]), span: SpanId([1; 8]), sampled, state: None };
        let [low, high] = [0_u8, 0xff].map(|byte| TraceId([byte; 16]));
        for (sampler, argument, trace, sampled, expect) in [
            ("parentbased_always_on", "", high, None, true),
            ("parentbased_always_on", "", high, Some(false), false),
            ("parentbased_always_off", "", low, Some(true), true),
            ("always_on", "", high, Some(false), true),
            ("always_off", "", low, Some(true), false),
            ("traceidratio", "0.5", low, None, true),
            ("traceidratio", "0.5", high, Some(true), false),
            ("parentbased_traceidratio", "0.5", high, Some(true), true),
            ("traceidratio", "1", high, None, true),
            ("traceidratio", "0", low, None, false),
        ] {
            let parent = sampled.map(parent);
            let wants = spans(sampler, argument).wants(trace, parent.as_ref());
            assert_eq!(wants, expect, "{sampler} {argument} {sampled:?}");
        }
    }

    #[tokio::test]
    async fn what_nobody_takes_is_dropped_and_counted() {
        let spans = spans("always_on", "");
        spans.send(vec![json!({}), json!({})]).await;
        spans.waiting.store(MOST_WAITING, Ordering::Relaxed);
        spans.send(vec![json!({})]).await;
        assert_eq!(spans.losses.spans.load(Ordering::Relaxed), 3);
        assert_eq!(spans.waiting.load(Ordering::Relaxed), MOST_WAITING, "nothing is left behind");
        assert!(spans.losses.now.load(Ordering::Relaxed));
    }
}
