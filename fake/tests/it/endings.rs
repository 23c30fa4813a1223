//! How answers end when they do not end well, and what the fake remembers of it.

use std::io::ErrorKind;

use crate::client::{events, generate, message};
use fake_upstream::{Answer, Before, End, Fake, Lifelike, Script};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Sends a streaming message and reads to the end of the connection, whatever it is.
async fn read_raw(fake: &Fake) -> (String, Option<ErrorKind>) {
    let body = r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}"#;
    let head =
        format!("POST /v1/messages HTTP/1.1\r\nhost: f\r\nx-api-key: a\r\ncontent-length: {}\r\n\r\n", body.len());
    let mut stream = TcpStream::connect(fake.address()).await.unwrap();
    stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
    let end = loop {
        match stream.read(&mut buffer).await {
            Ok(0) => break None,
            Ok(count) => all.extend_from_slice(&buffer[..count]),
            Err(error) => break Some(error.kind()),
        }
    };
    (String::from_utf8(all).unwrap(), end)
}

#[tokio::test]
async fn a_cut_stream_ends_as_scripted_after_its_events() {
    for (end, error) in [(End::Reset, Some(ErrorKind::ConnectionReset)), (End::Close, None)] {
        let fake = Fake::start().await;
        fake.script(Script::once(Answer::cut(4, end)));
        let (text, got) = read_raw(&fake).await;
        assert_eq!(got, error, "{end:?}");
        assert_eq!(text.matches("event: ").count(), 4, "{end:?}");
        assert!(!text.ends_with("0\r\n\r\n"), "{end:?} must not look complete");
        fake.idle().await;
        let answered = fake.seen().pop().unwrap().answered;
        assert!(!answered.finished && !answered.hung_up, "{end:?}");
        assert_eq!(answered.figures.unwrap().output, 1, "only message_start was said");
    }
}

#[tokio::test]
async fn a_plain_answer_can_be_cut_in_the_middle() {
    let fake = Fake::start().await;
    let cut = Lifelike { cut_after_bytes: Some(10), ..Lifelike::default() };
    fake.script(Script::once(Answer { end: End::Close, ..Answer::lifelike(cut) }));
    let mut got = generate(&fake, "generateContent", "hi").await.unwrap();
    assert_eq!(got.all().await, (br#"{"candidat"#.to_vec(), false));
    fake.idle().await;
    assert_eq!(fake.seen().pop().unwrap().answered.figures, None);
}

#[tokio::test]
async fn a_cut_can_look_clean() {
    let fake = Fake::start().await;
    fake.script(Script::once(Answer::cut(3, End::Clean)));
    assert_eq!(events(&message(&fake, "a", "hi").await.unwrap().text().await).len(), 3);
}

#[tokio::test]
async fn a_reset_before_the_first_byte() {
    let fake = Fake::start().await;
    fake.script(Script::once(Answer::after(Before::Reset)));
    assert_eq!(read_raw(&fake).await, (String::new(), Some(ErrorKind::ConnectionReset)));
    fake.idle().await;
    let answered = fake.seen().pop().unwrap().answered;
    assert_eq!((answered.status, answered.finished, answered.hung_up), (None, false, false));
}

#[tokio::test]
async fn a_client_that_leaves_is_noticed() {
    let fake = Fake::start().await;
    fake.script(Script::once(Answer::cut(2, End::Hang)));
    let mut got = message(&fake, "a", "hi").await.unwrap();
    got.until("\n\n").await;
    drop(got);
    fake.idle().await;

    fake.script(Script::once(Answer::after(Before::Hang)));
    tokio::select! {
        _ = message(&fake, "a", "hi") => panic!("answered although it hangs"),
        () = fake.arrived(2) => {}
    }
    fake.idle().await;
    for (seen, status) in fake.seen().iter().zip([Some(200), None]) {
        assert_eq!((seen.answered.status, seen.answered.hung_up), (status, true));
    }
}

#[tokio::test]
async fn a_held_stream_shows_that_nothing_buffers() {
    let fake = Fake::start().await;
    fake.script(Script::once(Answer::held_after(3)));
    let mut got = message(&fake, "a", "hi").await.unwrap();
    let mut text = String::new();
    while events(&text).len() < 3 {
        text += &got.until("\n\n").await;
    }
    assert_eq!(fake.seen()[0].answered.figures.unwrap().output, 1);
    assert!(!fake.seen()[0].answered.finished);
    fake.release(1);
    text += &got.text().await;
    assert_eq!(events(&text).last().unwrap()["type"], "message_stop");
}

#[tokio::test]
async fn a_stopped_fake_refuses_connections() {
    let fake = Fake::start().await;
    let address = fake.address();
    fake.stop().await;
    assert_eq!(TcpStream::connect(address).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
}
