//! A client without manners: bytes on a socket, and whatever comes back.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// One connection.
pub(crate) struct Raw {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Raw {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.expect("a connection"), read: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.expect("a listening server");
    }

    /// A POST of this body.
    pub(crate) async fn post(&mut self, target: &str, headers: &str, body: &str) {
        let head = format!("POST {target} HTTP/1.1\r\nhost: g\r\n{headers}content-length: {}\r\n\r\n", body.len());
        self.send(head + body).await;
    }

    /// The same, for a server that may not read it to its end.
    pub(crate) async fn try_post(&mut self, target: &str, headers: &str, body: &str) {
        let head = format!("POST {target} HTTP/1.1\r\nhost: g\r\n{headers}content-length: {}\r\n\r\n", body.len());
        let _cut_off = self.stream.write_all((head + body).as_bytes()).await;
    }

    /// Says that nothing more will come.
    pub(crate) async fn end(&mut self) {
        let _ended_already = self.stream.shutdown().await;
    }

    /// Everything up to and with this text; panics when the connection ends before.
    pub(crate) async fn until(&mut self, text: &str) -> String {
        loop {
            if let Some(at) = self.read.windows(text.len()).position(|window| window == text.as_bytes()) {
                let rest = self.read.split_off(at + text.len());
                return String::from_utf8_lossy(&std::mem::replace(&mut self.read, rest)).into_owned();
            }
            assert!(self.more().await, "the connection ended before {text:?}: {:?}", self.seen());
        }
    }

    /// The status and the head of an answer, names in small letters.
    pub(crate) async fn head(&mut self) -> (u16, String) {
        let head = self.until("\r\n\r\n").await.to_ascii_lowercase();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status line");
        (status, head)
    }

    /// Everything up to the connection's end.
    pub(crate) async fn rest(&mut self) -> String {
        while self.more().await {}
        self.seen()
    }

    /// The same, and whether a reset has ended it.
    pub(crate) async fn rest_and_reset(&mut self) -> (String, bool) {
        let reset = loop {
            let reading = self.stream.read_buf(&mut self.read);
            match tokio::time::timeout(super::PATIENCE, reading).await.expect("an answer in time") {
                Ok(0) => break false,
                Ok(_) => {}
                Err(error) => break error.kind() == std::io::ErrorKind::ConnectionReset,
            }
        };
        (self.seen(), reset)
    }

    /// The same, for a connection that ends late by the runtime's clock.
    pub(crate) async fn ends_within(&mut self, time: std::time::Duration) -> String {
        let reading = self.stream.read_to_end(&mut self.read);
        let _clean_or_not = tokio::time::timeout(time, reading).await.expect("the connection ends");
        self.seen()
    }

    fn seen(&self) -> String {
        String::from_utf8_lossy(&self.read).into_owned()
    }

    /// False at the connection's end, be it clean or not.
    async fn more(&mut self) -> bool {
        let reading = self.stream.read_buf(&mut self.read);
        let read = tokio::time::timeout(super::PATIENCE, reading).await.expect("an answer in time");
        read.is_ok_and(|count| count > 0)
    }
}
