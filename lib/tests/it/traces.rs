//! Traces: what the caller's tracing says is passed on as it is, and a collector is told of each request.

use fake_upstream::{Answer, Script};
use serde_json::{Value, json};

use crate::{
    support::{App, Receiver, eventually, log_of},
    walk::hello,
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// A gateway with two accounts and a key, whose collector is `collector`.
async fn traced(collector: &Receiver, more: &[(&str, &str)]) -> (App, String) {
    let url = collector.url();
    let variables = [&[("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str())], more].concat();
    let app = App::start_with(&variables).await;
    app.account("anthropic", "sk-ant-one", json!({ "name": "first", "priority": 0 })).await;
    app.account("anthropic", "sk-ant-two", json!({ "name": "second", "priority": 1 })).await;
    let key = app.key(json!({})).await;
    (app, key)
}

/// Every span that the collector was told of.
fn spans(collector: &Receiver) -> Vec<Value> {
    let mut spans = Vec::new();
    for heard in collector.heard() {
        let message = heard.json();
        for resource in message["resourceSpans"].as_array().unwrap() {
            for scope in resource["scopeSpans"].as_array().unwrap() {
                spans.extend(scope["spans"].as_array().unwrap().iter().cloned());
            }
        }
    }
    spans
}

/// A span's attributes, each of the one type that it has, as `name=value`.
fn told(span: &Value, name: &str) -> Option<Value> {
    let attribute = span["attributes"].as_array().unwrap().iter().find(|one| one["key"] == name)?;
    let value = attribute["value"].as_object().unwrap();
    assert_eq!(value.len(), 1, "{attribute}");
    Some(value.values().next().unwrap().clone())
}

fn is_hex(value: &Value, digits: usize) -> bool {
    let text = value.as_str().unwrap();
    text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn nanos(value: &Value) -> u64 {
    value.as_str().expect("64-bit numbers are texts").parse().unwrap()
}

/// W3C Trace Context goes up as the client sent it, malformed or not; without one none is made up. The log names the trace.
#[tokio::test]
async fn a_callers_trace_goes_up_unchanged_and_none_is_made_up() {
    let collector = Receiver::start().await;
    let (app, key) = traced(&collector, &[]).await;
    let state = "vendor=opaque,other=1";
    for (traceparent, tracestate) in [(Some(TRACEPARENT), Some(state)), (Some("nonsense"), None), (None, None)] {
        let mut call = app.instance.messages(&key, hello(false));
        for (name, value) in [("traceparent", traceparent), ("tracestate", tracestate)] {
            call = value.into_iter().fold(call, |call, value| call.header(name, value));
        }
        let answer = call.send().await.unwrap();
        let request = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
        answer.text().await.unwrap();
        let seen = app.fake.seen().pop().unwrap();
        let up = |name: &str| seen.header_values(name).first().copied();
        assert_eq!((up("traceparent"), up("tracestate")), (traceparent, tracestate));
        if traceparent == Some(TRACEPARENT) {
            let line = eventually("the line of the request", || async {
                log_of(&request).into_iter().find(|line| line.contains("request settled"))
            })
            .await;
            assert!(line.contains(&format!("trace={TRACE}")), "{line}");
        }
    }
}

/// One server span for the request, in the caller's trace, with a client span for each attempt, by OpenTelemetry's conventions for models.
#[tokio::test]
async fn a_request_is_one_span_and_each_attempt_one_within() {
    let collector = Receiver::start().await;
    let more = [
        ("OTEL_SERVICE_NAME", "pool of the team"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-collector-key=abc"),
    ];
    let (app, key) = traced(&collector, &more).await;
    app.fake.script(Script::once(Answer::rate_limited(30)).of("sk-ant-one"));
    let call = app.instance.messages(&key, hello(true)).header("traceparent", TRACEPARENT);
    let answer = call.header("tracestate", "vendor=1").send().await.unwrap();
    let id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
    answer.text().await.unwrap();
    let heard = collector.hears(1).await.remove(0);
    assert_eq!((&*heard.path, heard.header("content-type")), ("/v1/traces", "application/json"));
    assert_eq!(heard.header("x-collector-key"), "abc");
    let resource = heard.json()["resourceSpans"][0]["resource"].clone();
    for (name, value) in [("service.name", "pool of the team"), ("deployment.environment.name", "test")] {
        assert_eq!(told(&resource, name), Some(json!(value)));
    }
    let spans = spans(&collector);
    let [server, limited, served] = spans.as_slice() else { panic!("{spans:#?}") };
    assert!(spans.iter().all(|span| span["traceId"] == TRACE && is_hex(&span["spanId"], 16)), "{spans:#?}");
    assert_eq!((&server["parentSpanId"], &server["traceState"]), (&json!("00f067aa0ba902b7"), &json!("vendor=1")));
    assert!([limited, served].iter().all(|span| span["parentSpanId"] == server["spanId"]), "{spans:#?}");
    assert_eq!([server, limited, served].map(|span| span["kind"].as_u64().unwrap()), [2, 3, 3]);
    assert_eq!(server["name"], "chat claude-sonnet-5-5", "{server:#}");
    let row = app.only_row().await;
    for (name, value) in [
        ("gen_ai.operation.name", json!("chat")),
        ("gen_ai.provider.name", json!("anthropic")),
        ("gen_ai.request.model", row["model"].clone()),
        ("gen_ai.response.model", row["served_model"].clone()),
        ("gen_ai.usage.output_tokens", json!(row["output_tokens"].to_string())),
        ("http.response.status_code", json!("200")),
        ("http.request.method", json!("POST")),
        ("url.path", json!("/v1/messages")),
        ("llm_gateway.request.id", json!(id)),
        ("llm_gateway.account.name", json!("second")),
        ("llm_gateway.attempts", json!("2")),
        ("llm_gateway.cost_micros", json!(row["cost_micros"].to_string())),
    ] {
        assert_eq!(told(server, name), Some(value), "{name}: {server:#}");
    }
    // What caches gave is part of the input.
    let input: i64 = ["input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens"]
        .map(|column| row[column].as_i64().unwrap_or(0))
        .iter()
        .sum();
    assert_eq!(told(server, "gen_ai.usage.input_tokens"), Some(json!(input.to_string())));
    assert_eq!(told(server, "error.type"), None);
    for (span, name, verdict, error) in
        [(limited, "first", "rate_limited", Some(json!("rate_limited"))), (served, "second", "delivered", None)]
    {
        assert_eq!(told(span, "llm_gateway.account.name"), Some(json!(name)));
        assert_eq!(told(span, "llm_gateway.verdict"), Some(json!(verdict)));
        assert_eq!(told(span, "error.type"), error);
    }
    assert_eq!((&limited["status"]["code"], &served["status"]), (&json!(2), &Value::Null));
    for span in &spans {
        assert!(nanos(&span["startTimeUnixNano"]) <= nanos(&span["endTimeUnixNano"]), "{span:#}");
        assert!(nanos(&server["startTimeUnixNano"]) <= nanos(&span["startTimeUnixNano"]), "{span:#}");
    }
    // No secret is in what leaves.
    assert!(!heard.body.contains(&key) && !heard.body.contains("sk-ant-"), "{}", heard.body);
}

/// A request without a trace gets one of its own; one that is refused has its span too; what a sampler leaves out has none.
#[tokio::test]
async fn refusals_have_their_span_and_samplers_are_obeyed() {
    let collector = Receiver::start().await;
    let (app, key) = traced(&collector, &[]).await;
    app.instance.messages("gw_nonsense", hello(false)).send().await.unwrap();
    collector.hears(1).await;
    let [refused] = &spans(&collector)[..] else { panic!("{:#?}", spans(&collector)) };
    assert!(is_hex(&refused["traceId"], 32) && refused["parentSpanId"].is_null(), "{refused:#}");
    assert_eq!(told(refused, "http.response.status_code"), Some(json!("401")));
    assert_eq!(refused["status"], Value::Null, "the caller's mistake is no fault of this server");
    // The caller does not keep its trace: neither do we. The next one is: when that is there, the other would have been.
    let unsampled = TRACEPARENT.replace("-01", "-00");
    for traceparent in [unsampled.as_str(), TRACEPARENT] {
        let call = app.instance.messages(&key, hello(false)).header("traceparent", traceparent);
        call.send().await.unwrap().text().await.unwrap();
        app.ledger().await;
    }
    collector.hears(2).await;
    let roots: Vec<_> = spans(&collector).into_iter().filter(|span| span["kind"] == 2).collect();
    assert_eq!(roots.len(), 2, "{roots:#?}");
}

/// A collector that takes a request and never answers delays nobody; the log says once that spans are dropped, and once that
/// they no longer are.
#[tokio::test]
async fn a_collector_that_hangs_delays_nobody() {
    let collector = Receiver::start().await;
    let (mut app, key) = traced(&collector, &[]).await;
    collector.is_silent(true);
    for _ in 0..3 {
        let answer = app.instance.messages(&key, hello(false)).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.text().await.unwrap();
    }
    // Each row is there although the first span has not left.
    assert_eq!(app.ledger().await.len(), 3);
    collector.hears(1).await;
    eventually("what hangs is dropped", || async {
        (!log_of("the collector takes no spans; they are dropped").is_empty()).then_some(())
    })
    .await;
    collector.is_silent(false);
    app.instance.messages(&key, hello(false)).send().await.unwrap().text().await.unwrap();
    app.instance.drain().await;
    assert!(!log_of("the collector takes spans again").is_empty());
}

/// On a function host an invocation ends only when its spans have left: what a process that drains has not waited for is lost.
#[tokio::test]
async fn spans_have_left_before_the_host_lets_go() {
    let collector = Receiver::start().await;
    let (mut app, key) = traced(&collector, &[]).await;
    app.instance.messages(&key, hello(false)).send().await.unwrap().text().await.unwrap();
    app.instance.drain().await;
    assert_eq!(spans(&collector).len(), 2);
}
