//! Which addresses may be dialled: the internet's, unless the operator allows more.
//!
//! A name is looked up when it is dialled, and only what is public of the answer is given to the connection: so it does not
//! matter what the name meant when somebody checked it, or what it will mean a moment later.

use std::net::{IpAddr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use crate::address::is_public;

/// Names that never lead to the internet.
const LOCAL_NAMES: [&str; 3] = ["localhost", "local", "internal"];

const NOT_PUBLIC: &str = "must not lead to a private address (ALLOW_INSECURE_UPSTREAMS=1 lifts this)";
const NOT_SECURE: &str = "must begin with https:// (ALLOW_INSECURE_UPSTREAMS=1 lifts this)";

/// Refuses an address that needs the operator's leave. A name that is not local by itself is looked at when it is dialled.
pub(crate) fn must_be_public(url: &Url) -> Result<(), &'static str> {
    if url.scheme() != "https" {
        return Err(NOT_SECURE);
    }
    let public = match url.host() {
        None => return Err("must name a host"),
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            !LOCAL_NAMES.contains(&name.rsplit('.').next().unwrap_or(name))
        }
        Some(Host::Ipv4(ip)) => is_public(ip.into()),
        Some(Host::Ipv6(ip)) => is_public(ip.into()),
    };
    if public { Ok(()) } else { Err(NOT_PUBLIC) }
}

/// Looks names up, and knows no address that is not public.
pub(super) struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(Box::new(public_of(found)?.into_iter()) as Addrs)
        })
    }
}

fn public_of(found: impl Iterator<Item = SocketAddr>) -> Result<Vec<SocketAddr>, &'static str> {
    let public: Vec<_> = found.filter(|address| is_public(IpAddr::to_canonical(&address.ip()))).collect();
    if public.is_empty() {
        Err("the host has no public address (ALLOW_INSECURE_UPSTREAMS=1 lifts this)")
    } else {
        Ok(public)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// B4: whatever a name leads to, only what is public is dialled.
    #[test]
    fn of_what_a_name_means_only_the_public_part_is_dialled() {
        let dialled = |found: &[&str]| {
            let found = found.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 0));
            public_of(found).map(|kept| kept.iter().map(|address| address.ip().to_string()).collect::<Vec<_>>())
        };
        assert_eq!(dialled(&["8.8.8.8", "2606:4700::1111"]).unwrap(), ["8.8.8.8", "2606:4700::1111"]);
        assert_eq!(dialled(&["127.0.0.1", "8.8.8.8", "fd00::1", "::ffff:10.0.0.1"]).unwrap(), ["8.8.8.8"]);
        for private in ["127.0.0.1", "169.254.169.254", "100.64.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "0.0.0.0"] {
            assert!(dialled(&[private]).is_err(), "{private}");
        }
        assert!(dialled(&[]).is_err());
    }
}
