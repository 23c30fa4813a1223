//! Time and the bytes in between, with a clock that only the test moves.

use std::{sync::Arc, time::Instant as Moment};

use bytes::Bytes;
use futures_util::{StreamExt, stream::unfold};
use http::{HeaderMap, Method, StatusCode};
use http_body_util::BodyExt;
use tokio::{
    sync::mpsc,
    time::{Duration, Instant, advance, timeout},
};

use super::Flow;
use crate::{
    access::{ApiKey, PresentedKey},
    background::Background,
    clock,
    config::{Config, Environment},
    gateway::{Context, Gateway, Snapshot},
    id::{KeyId, RequestId},
    protocol::{Call, Demand, PING, Protocol, meter},
    relay::{Arrival, Login, Place, hold, open::Open, silence::PING_EVERY},
};

const IDLE: Duration = Duration::from_secs(300);
/// What the host gives a request.
const LIMIT: Duration = Duration::from_secs(900);
const START: &str =
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":3}}}\n\n";
const STOP: &str = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

/// A stream whose upstream is the test: what it sends into the channel, the flow gets.
struct Stage {
    upstream: mpsc::UnboundedSender<Result<Bytes, std::io::Error>>,
    flow: Flow,
}

impl Stage {
    /// A message whose first event has come.
    async fn message() -> Self {
        Self::of("/v1/messages", r#"{"model":"claude-sonnet-5-5","stream":true,"messages":[]}"#, START).await
    }

    async fn gemini() -> Self {
        let first = "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}]}}]}\r\n\r\n";
        Self::of("/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse", r#"{"contents":[]}"#, first).await
    }

    async fn of(path: &str, body: &'static str, first: &'static str) -> Self {
        let (upstream, told) = mpsc::unbounded_channel();
        upstream.send(Ok(Bytes::from_static(first.as_bytes()))).unwrap();
        let chunks = unfold(told, |mut told| async move { Some((told.recv().await?, told)) });
        let response = http::Response::new(reqwest::Body::wrap_stream(chunks.boxed()));
        let arrival = arrival(path, body);
        let (held, _) =
            hold::hold(reqwest::Response::from(response), arrival.demand.api, &arrival.demand).await.unwrap();
        let open = open(&arrival);
        let demand = &arrival.demand;
        let meter = meter(demand.provider, demand.operation, demand.form, None, demand.input_estimate);
        open.answering(StatusCode::OK, &HeaderMap::new(), meter);
        let mut stage = Self { upstream, flow: Flow::new(IDLE, demand, true, held, open) };
        assert_eq!(stage.next().await.as_deref(), Some(first));
        stage
    }

    fn says(&self, text: &str) {
        self.upstream.send(Ok(Bytes::from(text.to_owned()))).unwrap();
    }

    /// What the caller gets next; `None` at a clean end.
    async fn next(&mut self) -> Option<String> {
        let frame = self.flow.frame().await?.expect("not broken off");
        Some(String::from_utf8(frame.into_data().unwrap().into()).unwrap())
    }

    /// Nothing comes while this time goes by.
    async fn is_silent_for(&mut self, time: Duration) {
        let came = timeout(time, self.flow.frame()).await;
        assert!(came.is_err(), "{came:?}");
    }
}

fn arrival(path: &str, body: &'static str) -> Arrival {
    let (uri, body): (http::Uri, _) = (path.parse().unwrap(), Bytes::from_static(body.as_bytes()));
    let headers = HeaderMap::new();
    let protocol = Protocol::of(uri.path(), uri.query(), &headers);
    let call = Call::read(protocol, &Method::POST, &uri, &[]).unwrap();
    Arrival {
        id: RequestId::from("req_1".to_owned()),
        at: clock::now(),
        began: Moment::now(),
        from: None,
        method: Method::POST,
        demand: Demand::read(call, &headers, &body).unwrap(),
        uri,
        headers,
        body,
        snapshot: Arc::new(Snapshot::of_nothing()),
        presented: PresentedKey::generate(),
        key: Arc::new(key()),
        login: Login::Account,
        session: None,
        origin: String::new(),
        trace: super::super::Trace::default(),
        place: Place::default(),
    }
}

fn key() -> ApiKey {
    ApiKey::new(KeyId::from("key_1".to_owned()), "", String::new(), clock::now())
}

/// Open, but never claimed: its settlement is handed to nobody.
fn open(arrival: &Arrival) -> Open {
    let env = Environment::from([
        ("DATABASE_URL", "postgres://localhost/nowhere".to_owned()),
        ("ADMIN_TOKEN", "0123456789abcdef0123456789abcdef".to_owned()),
        ("ENCRYPTION_KEY", "b3BlbiBzZXNhbWUgb3BlbiBzZXNhbWUgMTIzNDU2Nzg=".to_owned()),
    ]);
    let gateway = Gateway::new(Config::read(&env).unwrap()).unwrap();
    let background = Background::new(drop).until(Instant::now() + LIMIT);
    let cx = Context { gateway: Arc::new(gateway), background, from: None };
    Open::new(&cx, arrival)
}

/// As the HTTP client does it: the next chunk is only there when the one before was taken and the client has had a turn.
#[tokio::test(start_paused = true)]
async fn events_that_have_arrived_together_leave_together() {
    let mut stage = Stage::message().await;
    let (client, mut chunks) = mpsc::channel(1);
    tokio::spawn(async move {
        for text in ["data: 1\n\n", "data: 2\n\n", "data: 3\n\n", ": half"] {
            client.send(Ok(Bytes::from(text))).await.unwrap();
        }
    });
    let upstream = stage.upstream.clone();
    tokio::spawn(async move {
        while let Some(chunk) = chunks.recv().await {
            upstream.send(chunk).unwrap();
        }
    });
    let before = Instant::now();
    assert_eq!(stage.next().await.as_deref(), Some("data: 1\n\ndata: 2\n\ndata: 3\n\n: half"));
    assert_eq!(Instant::now(), before, "nothing was waited for");
}

#[tokio::test(start_paused = true)]
async fn an_event_alone_is_not_held_back() {
    let mut stage = Stage::message().await;
    for text in ["data: 1\n\n", "data: 2\n", "\n"] {
        advance(Duration::from_secs(1)).await;
        stage.says(text);
        let before = Instant::now();
        assert_eq!(stage.next().await.as_deref(), Some(text));
        assert_eq!(Instant::now(), before, "nothing was waited for");
    }
}

/// What came before a fault is passed on before the fault is told of.
#[tokio::test(start_paused = true)]
async fn what_has_arrived_goes_before_the_fault_that_came_with_it() {
    let mut stage = Stage::message().await;
    stage.says("data: 1\n\n");
    stage.says("data: 2\n\n");
    stage.upstream.send(Err(std::io::ErrorKind::ConnectionReset.into())).unwrap();
    assert_eq!(stage.next().await.as_deref(), Some("data: 1\n\ndata: 2\n\n"));
    assert!(stage.next().await.unwrap().contains("event: error"));
    assert_eq!(stage.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_burst_leaves_in_pieces_of_a_bounded_size() {
    let mut stage = Stage::message().await;
    let event = format!("data: {}\n\n", "x".repeat(3_000));
    for _ in 0..20 {
        stage.says(&event);
    }
    let mut got = String::new();
    while got.len() < 20 * event.len() {
        let piece = stage.next().await.unwrap();
        assert!(piece.len() <= (16 << 10) + event.len(), "{}", piece.len());
        got += &piece;
    }
    assert_eq!(got, event.repeat(20));
}

#[tokio::test(start_paused = true)]
async fn a_silent_message_is_pinged_again_and_again() {
    let mut stage = Stage::message().await;
    for _ in 0..3 {
        stage.is_silent_for(PING_EVERY - Duration::from_millis(10)).await;
        assert_eq!(stage.next().await.unwrap().as_bytes(), PING);
    }
}

#[tokio::test(start_paused = true)]
async fn a_word_of_the_upstream_puts_the_ping_off() {
    let mut stage = Stage::message().await;
    stage.is_silent_for(PING_EVERY - Duration::from_secs(1)).await;
    stage.says(": comment\n\n");
    assert_eq!(stage.next().await.unwrap(), ": comment\n\n");
    stage.is_silent_for(PING_EVERY - Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn no_ping_stands_inside_an_event() {
    let mut stage = Stage::message().await;
    stage.says("event: content_block_delta\ndata: {\"type\":\"content_");
    stage.next().await;
    stage.is_silent_for(PING_EVERY * 3).await;
    stage.says("block_delta\"}\n");
    stage.next().await;
    stage.is_silent_for(PING_EVERY * 2).await;
    stage.says("\n");
    stage.next().await;
    advance(PING_EVERY).await;
    assert_eq!(stage.next().await.unwrap().as_bytes(), PING);
}

/// Peers D14: a stream that falls silent at any byte is pinged between events only, never after the last, and is else the
/// same to the byte.
#[tokio::test(start_paused = true)]
async fn a_silence_at_any_byte_changes_no_byte() {
    let rest = ["event: ping\ndata: {\"type\":\"ping\"}\n\n", "event: a\ndata: {\"b\":\"\\n\\n\"}\n\n", STOP].concat();
    for cut in 0..=rest.len() {
        let mut stage = Stage::message().await;
        let (before, after) = rest.split_at(cut);
        let mut got = String::new();
        for part in [before, after].into_iter().filter(|part| !part.is_empty()) {
            stage.says(part);
            got += &stage.next().await.unwrap();
            if got == before && (before.ends_with("\n\n") && !after.is_empty()) {
                advance(PING_EVERY).await;
                assert_eq!(stage.next().await.unwrap().as_bytes(), PING, "after {before:?}");
            } else {
                stage.is_silent_for(PING_EVERY * 2).await;
            }
        }
        assert_eq!(got, rest);
        drop(stage.upstream);
        assert!(stage.flow.frame().await.is_none(), "a clean end");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_follows_the_last_event() {
    let mut stage = Stage::message().await;
    stage.says(STOP);
    assert_eq!(stage.next().await.as_deref(), Some(STOP));
    stage.is_silent_for(PING_EVERY * 4).await;
    stage.upstream.send(Err(std::io::ErrorKind::ConnectionReset.into())).unwrap();
    assert_eq!(stage.next().await, None, "a connection lost after the end is no fault");
}

#[tokio::test(start_paused = true)]
async fn nothing_follows_an_error_of_the_upstream() {
    let mut stage = Stage::message().await;
    let error = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n";
    stage.says(error);
    assert_eq!(stage.next().await.as_deref(), Some(error));
    stage.is_silent_for(PING_EVERY * 4).await;
    drop(stage.upstream);
    assert!(stage.flow.frame().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_gemini_stream_has_no_pings_and_breaks_when_it_is_idle() {
    let mut stage = Stage::gemini().await;
    stage.is_silent_for(IDLE - Duration::from_millis(10)).await;
    stage.flow.frame().await.unwrap().expect_err("never a clean end");
}

#[tokio::test(start_paused = true)]
async fn an_idle_message_ends_with_an_error_event() {
    let mut stage = Stage::message().await;
    let mut words = Vec::new();
    while let Some(word) = stage.next().await {
        words.push(word);
    }
    let last = words.pop().unwrap();
    assert!(last.starts_with("event: error\ndata: {") && last.contains("fell silent"), "{last}");
    assert!(stage.flow.open.costs_its_account());
    assert_eq!(words.len() as u64, (IDLE.as_secs() - 1) / PING_EVERY.as_secs(), "pings until then");
}

/// The host's limit comes near while the upstream still speaks.
#[tokio::test(start_paused = true)]
async fn an_answer_ends_as_a_failure_before_its_host_ends_it() {
    for half in ["", "event: content_block_delta\ndata: {\"type\""] {
        let mut stage = Stage::message().await;
        stage.says(half);
        advance(LIMIT - Duration::from_secs(1)).await;
        stage.says("event: ping\ndata: {\"type\": \"ping\"}\n\n");
        while !stage.next().await.unwrap().contains("ping\"}") {}
        advance(Duration::from_secs(1)).await;
        stage.says("event: ping\ndata: {\"type\": \"ping\"}\n\n");
        let last = stage.next().await.unwrap();
        assert!(last.contains("event: error\n") && last.contains("this gateway's host"), "{last}");
        assert_eq!(stage.next().await, None);
        assert!(!stage.flow.open.costs_its_account(), "the host's limit is no fault of the upstream");
    }
    let mut stage = Stage::gemini().await;
    advance(LIMIT).await;
    assert!(stage.flow.frame().await.unwrap().is_err(), "never a clean end");
}
