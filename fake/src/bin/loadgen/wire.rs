//! A client's connection, with just enough of HTTP/1.1 to read an answer as it arrives.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::expected::Reading;

/// The most that one read takes.
const READ: usize = 64 << 10;
/// An answer's head is no longer than this.
const LONGEST_HEAD: usize = 64 << 10;

/// A connection that is kept for one request after the other.
pub(crate) struct Wire {
    stream: TcpStream,
    /// What was read and not yet used is `buffer[at..]`.
    buffer: Vec<u8>,
    at: usize,
}

/// How the end of a body is told.
enum Framing {
    Length(usize),
    Chunked,
}

impl Wire {
    pub(crate) async fn connect(address: SocketAddr) -> Result<Self, String> {
        let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        Ok(Self { stream, buffer: Vec::with_capacity(READ), at: 0 })
    }

    /// Sends a request and hands the answer's body to `reading` as it comes. After a fault the connection is of no use.
    pub(crate) async fn ask(&mut self, request: &[u8], reading: &mut Reading<'_>) -> Result<(), String> {
        self.stream.write_all(request).await.map_err(|error| error.to_string())?;
        match self.head().await? {
            Framing::Length(length) => self.body(length, reading).await?,
            Framing::Chunked => loop {
                let line = self.line().await?;
                let size = line.split(|&byte| byte == b';').next().unwrap_or_default();
                let size = std::str::from_utf8(size).ok().and_then(|hex| usize::from_str_radix(hex.trim(), 16).ok());
                let size = size.ok_or("a chunk has no size")?;
                self.body(size, reading).await?;
                if !self.line().await?.is_empty() {
                    return Err("a chunk is longer than it says".to_owned());
                }
                if size == 0 {
                    break;
                }
            },
        }
        reading.finish()
    }

    async fn head(&mut self) -> Result<Framing, String> {
        let end = self.until(b"\r\n\r\n").await?;
        let head = String::from_utf8_lossy(&self.buffer[self.at..end]).to_ascii_lowercase();
        self.at = end + 4;
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
        if status != "200" {
            return Err(format!("status {status}"));
        }
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            match (name, value.trim()) {
                ("content-length", length) => return length.parse().map(Framing::Length).map_err(|e| e.to_string()),
                ("transfer-encoding", "chunked") => return Ok(Framing::Chunked),
                _ => {}
            }
        }
        Err("an answer does not say how long it is".to_owned())
    }

    async fn body(&mut self, mut length: usize, reading: &mut Reading<'_>) -> Result<(), String> {
        while length > 0 {
            if self.at == self.buffer.len() {
                self.fill().await?;
            }
            let piece = &self.buffer[self.at..self.buffer.len().min(self.at + length)];
            reading.see(piece)?;
            length -= piece.len();
            self.at += piece.len();
        }
        Ok(())
    }

    async fn line(&mut self) -> Result<Vec<u8>, String> {
        let end = self.until(b"\r\n").await?;
        let line = self.buffer[self.at..end].to_vec();
        self.at = end + 2;
        Ok(line)
    }

    /// Where the next of these marks begins in the buffer.
    async fn until(&mut self, mark: &[u8]) -> Result<usize, String> {
        loop {
            let fresh = &self.buffer[self.at..];
            if let Some(found) = fresh.windows(mark.len()).position(|window| window == mark) {
                return Ok(self.at + found);
            }
            if fresh.len() > LONGEST_HEAD {
                return Err("an answer's head does not end".to_owned());
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> Result<(), String> {
        self.buffer.drain(..self.at);
        self.at = 0;
        self.buffer.reserve(READ);
        match self.stream.read_buf(&mut self.buffer).await {
            Ok(0) => Err("the connection was closed early".to_owned()),
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }
}
