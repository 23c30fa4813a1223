//! A panic of ours: the caller is told nothing of it, the log where it was, and the instance goes on.

use std::{
    net::Ipv4Addr,
    panic,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use gateway::{
    Background, Router,
    address::Peer,
    config::Environment,
    error::BoxError,
    host::{Door, panics},
    http::{Body, full},
};
use http::{Request, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt;

use crate::{
    support::{ADMIN_TOKEN, App, log_of},
    walk::hello,
};

const PLANTED: &str = "sk-ant-planted-Panic-5d\u{e9}1e";

/// A body that panics when it is read, with a message that holds a secret: one that was put together, and one that the
/// standard library makes of a text that is cut in the middle of a letter.
struct Panics(fn());

impl http_body::Body for Panics {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.0();
        Poll::Ready(None)
    }
}

/// Panics with the secret in their message are told as the programs do; all others as before.
fn listen() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        let planted = panic.payload().downcast_ref::<String>().is_some_and(|said| said.contains("planted-Panic"));
        if planted { panics::tell(panic) } else { before(panic) }
    }));
}

#[tokio::test]
async fn a_panic_shows_no_secret_and_the_instance_goes_on() {
    listen();
    let (app, key) = App::ready().await;
    let env = Environment::from([
        ("DATABASE_URL", app.database.url.clone()),
        ("ADMIN_TOKEN", ADMIN_TOKEN.to_owned()),
        ("ENCRYPTION_KEY", "b3BlbiBzZXNhbWUgb3BlbiBzZXNhbWUgMTIzNDU2Nzg=".to_owned()),
        ("ALLOW_INSECURE_UPSTREAMS", "1".to_owned()),
    ]);
    let door = Door::open(&env);
    let ask = |router: Router, path: &str, body: Body| {
        let request = Request::post(path)
            .header("authorization", format!("Bearer {}", if path.starts_with("/api/") { ADMIN_TOKEN } else { &key }));
        let request = request.header("anthropic-version", "2023-06-01").body(body).unwrap();
        let background = Background::new(|work| drop(tokio::spawn(work)));
        door.answer(router, background, Peer::Socket(Ipv4Addr::LOCALHOST.into()), request)
    };
    let cut: fn() = || assert!(!PLANTED.is_char_boundary(PLANTED.len() - 3) && PLANTED[..PLANTED.len() - 3].is_empty());
    for panics in [(|| panic!("a fault about {PLANTED}")) as fn(), cut] {
        for (router, path) in [(Router::PROXY, "/v1/messages"), (Router::KEYS, "/api/keys")] {
            let answer = ask(router, path, Panics(panics).boxed()).await;
            assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
            assert!(answer.headers()["x-request-id"].to_str().unwrap().starts_with("req_"));
            let said = String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().into()).unwrap();
            assert_eq!(said, r#"{"error":{"type":"internal","message":"internal error"}}"#);
        }
    }
    let told = log_of("a panic at=");
    assert!(told.len() >= 4 && told.iter().any(|line| line.contains("panics.rs:")), "{told:?}");
    assert!(!log_of("a panic was caught at the door").is_empty());
    assert_eq!(log_of("planted-Panic"), Vec::<String>::new());
    // Nothing was claimed, and the same instance serves.
    assert_eq!(app.ledger().await.len(), 0);
    let answer = ask(Router::PROXY, "/v1/messages", full(hello(false))).await;
    assert_eq!(answer.status(), StatusCode::OK);
    answer.into_body().collect().await.unwrap();
    assert_eq!(app.only_row().await["status"], "completed");
}
