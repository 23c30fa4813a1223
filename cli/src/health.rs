//! `llm-gateway health`: asks this machine's server whether all is well, for a container that holds no other program.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

use gateway::{
    Error, Kind, Result,
    config::{Environment, Local},
};

/// Longer than the server takes to find its database away.
const PATIENCE: Duration = Duration::from_secs(5);
/// More than an answer of `/api/health` holds.
const LARGEST_ANSWER: u64 = 64 << 10;

/// Succeeds where `/api/health` answers 200; else the error says what it answered.
pub(crate) fn health(env: &Environment) -> Result<()> {
    let local = Local::read(env)?;
    // A server that listens everywhere listens here too.
    let host = if local.host.is_unspecified() { IpAddr::from(Ipv4Addr::LOCALHOST) } else { local.host };
    let address = SocketAddr::new(host, local.port);
    let answer = ask(address).map_err(|source| {
        Error::new(Kind::Unavailable, format!("no server answers at {address}")).with_source(source)
    })?;
    match answer.split_once("\r\n\r\n") {
        Some((head, _)) if head.starts_with("HTTP/1.1 200 ") => Ok(()),
        Some((_, body)) => Err(Error::new(Kind::Unavailable, body.to_owned())),
        None => Err(Error::new(Kind::Unavailable, format!("what answers at {address} is no HTTP server"))),
    }
}

fn ask(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /api/health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(LARGEST_ANSWER).read_to_string(&mut answer)?;
    Ok(answer)
}
