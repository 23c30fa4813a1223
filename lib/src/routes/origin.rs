//! The gateway's own address, for the addresses in its answers.
//!
//! A `Host` header is the client's word, and a name in it could be anybody's: none is ever repeated. What the operator or
//! the platform says goes first; without it a `Host` that is an address of a machine, or this one, is what the client has
//! connected to, for names of that kind cannot be made to lead elsewhere. Else addresses are paths, which clients take from
//! where they have asked.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::{HeaderMap, header::HOST};

use crate::config::Config;

/// Scheme and host, without a slash at the end; empty where nobody vouches for any.
pub(super) fn origin(config: &Config, headers: &HeaderMap) -> String {
    if let Some(url) = &config.public_url {
        return url.clone();
    }
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).filter(|host| is_plain(host));
    host.map_or_else(String::new, |host| format!("http://{host}"))
}

/// Whether a host is an IP address or `localhost`, with or without a port.
fn is_plain(host: &str) -> bool {
    let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let address = host.parse::<SocketAddr>().is_ok()
        || host.parse::<std::net::Ipv4Addr>().map(IpAddr::from).is_ok()
        || bracketed.is_some_and(|inner| inner.parse::<Ipv6Addr>().is_ok());
    let (name, port) = host.split_once(':').unwrap_or((host, "80"));
    address || (name.eq_ignore_ascii_case("localhost") && port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_is_repeated() {
        for host in ["127.0.0.1:13010", "192.168.1.5", "[::1]:80", "[::1]", "localhost", "LOCALHOST:13010"] {
            assert!(is_plain(host), "{host}");
        }
        for host in
            ["evil", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil", "localhost:80@evil", "", "::1"]
        {
            assert!(!is_plain(host), "{host}");
        }
    }
}
