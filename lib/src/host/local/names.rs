//! By which names the local server is asked for.
//!
//! A page of another site may give its own name our address (DNS rebinding) and then read what it likes as if we were that
//! site. Its name is in `Host`, and is not one of ours. A bare address cannot be had that way.

use std::net::{IpAddr, Ipv6Addr};

use http::{HeaderMap, Version, header::HOST};

use super::files;
use crate::{
    error::{Error, Kind},
    http::{Request, Response},
    routes::Router,
};

/// Whether a request was sent to us by a name of ours. `allowed` are those besides `localhost`.
pub(super) fn is_own(request: &Request, allowed: &[String]) -> bool {
    let named_in_target = request.uri().authority().is_none_or(|authority| is_name_of_ours(authority.host(), allowed));
    named_in_target && host_is_own(request.version(), request.headers(), allowed)
}

fn host_is_own(version: Version, headers: &HeaderMap, allowed: &[String]) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        // No browser leaves it out; simple probes do.
        (None, _) => version == Version::HTTP_10,
        (Some(host), None) => host.to_str().is_ok_and(|host| is_name_of_ours(without_port(host), allowed)),
        (Some(_), Some(_)) => false,
    }
}

fn is_name_of_ours(name: &str, allowed: &[String]) -> bool {
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let is_address =
        bare.map_or(name.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv4()), |ip| ip.parse::<Ipv6Addr>().is_ok());
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    is_address || name == "localhost" || name.ends_with(".localhost") || allowed.contains(&name)
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    }
}

/// What such a request is told; the name it used is not repeated.
pub(super) fn refusal(request: &Request) -> Response {
    const WHY: &str =
        "this gateway does not go by that name; if it should, set PUBLIC_URL or list the name in ALLOWED_HOSTS";
    match Router::of(request.uri().path()) {
        Some(router) => router.refuse(request, &Error::new(Kind::PermissionDenied, WHY)),
        None => files::refusal(WHY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_ours_are_told_from_others() {
        let allowed = ["gateway.example.com".to_owned()];
        for (host, own) in [
            ("localhost", true),
            ("LOCALHOST:13010", true),
            ("localhost.:13010", true),
            ("app.localhost", true),
            ("127.0.0.1:13010", true),
            ("192.168.1.7", true),
            ("[::1]:13010", true),
            ("[::1]", true),
            ("Gateway.Example.com:80", true),
            ("evil.example", false),
            ("evil.example:13010", false),
            ("localhost.evil.example", false),
            ("evil-localhost", false),
            ("127.0.0.1.evil.example", false),
            ("127.1", false),
            ("x@localhost", false),
            ("localhost/?", false),
            ("localhost#", false),
            ("[::1", false),
            ("::1", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, host.parse().unwrap());
            assert_eq!(host_is_own(Version::HTTP_11, &headers, &allowed), own, "{host}");
            headers.append(HOST, "localhost".parse().unwrap());
            assert!(!host_is_own(Version::HTTP_11, &headers, &allowed), "{host} and another");
        }
        assert!(!host_is_own(Version::HTTP_11, &HeaderMap::new(), &allowed));
        assert!(host_is_own(Version::HTTP_10, &HeaderMap::new(), &allowed));
    }
}
