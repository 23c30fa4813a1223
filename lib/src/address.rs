//! Addresses: networks by their prefix, which of them are the internet's, and whose address a request came from.

use std::{fmt, net::IpAddr, str::FromStr};

use http::HeaderMap;
use serde::{Serialize, Serializer};

/// A range of addresses of one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    base: IpAddr,
    prefix: u8,
}

/// A text that is no network: it says why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotANetwork;

/// Who is at the other end of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// Whoever opened a socket to us: a client, or a proxy in front of us.
    Socket(IpAddr),
    /// Vercel, which names the client itself and lets no client do so.
    Platform,
}

impl Network {
    /// Whether the address lies in it. An IPv4 address means the same however it is written.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.base, address.to_canonical()) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                let differing = u32::from(base) ^ u32::from(address);
                differing.checked_shr(u32::from(32 - self.prefix)).is_none_or(|bits| bits == 0)
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                let differing = u128::from(base) ^ u128::from(address);
                differing.checked_shr(u32::from(128 - self.prefix)).is_none_or(|bits| bits == 0)
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = NotANetwork;

    /// `10.0.0.0/8`, `fd00::/8`, or one address. Bits beyond the prefix must be zero: they would be a slip of the hand.
    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let base: IpAddr = address.parse().map_err(|_| NotANetwork)?;
        let most = if base.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => most,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().map_err(|_| NotANetwork)?
            }
            Some(_) => return Err(NotANetwork),
        };
        // A network of IPv4 addresses is written as one.
        if prefix > most || base != base.to_canonical() {
            return Err(NotANetwork);
        }
        let host_bits = match base {
            IpAddr::V4(base) => u128::from(u32::from(base)).checked_shl(96 + u32::from(prefix)),
            IpAddr::V6(base) => u128::from(base).checked_shl(u32::from(prefix)),
        };
        if host_bits.unwrap_or(0) == 0 { Ok(Self { base, prefix }) } else { Err(NotANetwork) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for NotANetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("must be networks such as 10.0.0.0/8 or fd00::/8, with no bit set beyond the prefix")
    }
}

/// Every range that is not the internet's, or leads to such a one: IANA's registries of special addresses, and the old
/// ranges that are still routed somewhere. What wraps an IPv4 address is here whole: the address inside is not ours to check.
const SPECIAL: &[&str] = &[
    "0.0.0.0/8",         // this network
    "10.0.0.0/8",        // private
    "100.64.0.0/10",     // shared by carriers
    "127.0.0.0/8",       // loopback
    "168.63.129.16",     // Azure's own services, public by its number only
    "169.254.0.0/16",    // link-local, the metadata of clouds among it
    "172.16.0.0/12",     // private
    "192.0.0.0/24",      // protocol assignments
    "192.0.2.0/24",      // documentation
    "192.31.196.0/24",   // AS112
    "192.52.193.0/24",   // AMT
    "192.88.99.0/24",    // 6to4 relays
    "192.168.0.0/16",    // private
    "192.175.48.0/24",   // AS112
    "198.18.0.0/15",     // benchmarks
    "198.51.100.0/24",   // documentation
    "203.0.113.0/24",    // documentation
    "224.0.0.0/3",       // multicast, reserved, broadcast
    "::/3",              // all outside 2000::/3: loopback, IPv4-compatible, NAT64, discarded …
    "4000::/2",          // … segment routing …
    "8000::/1",          // … unique local, link-local, site-local, multicast
    "2001::/23",         // Teredo, benchmarks, ORCHID and other assignments
    "2001:db8::/32",     // documentation
    "2002::/16",         // 6to4
    "2620:4f:8000::/48", // AS112
    "3fff::/20",         // documentation
];

/// Whether an address is one host's on the internet, and nothing nearer.
pub fn is_public(address: IpAddr) -> bool {
    !SPECIAL.iter().any(|range| range.parse::<Network>().is_ok_and(|network| network.contains(address)))
}

/// The address that a request came from; `None` where the platform does not say. `trusted` are one's own proxies: the
/// right-most address that none of them has is the client's, for everything left of it is the client's own word.
pub fn client(peer: Peer, headers: &HeaderMap, trusted: &[Network]) -> Option<IpAddr> {
    let peer = match peer {
        Peer::Socket(peer) => peer.to_canonical(),
        Peer::Platform => {
            let named = headers.get("x-real-ip").and_then(|value| value.to_str().ok());
            return named.and_then(|text| text.trim().parse::<IpAddr>().ok()).map(|address| address.to_canonical());
        }
    };
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    let lines: Vec<_> = headers.get_all("x-forwarded-for").iter().map(|value| value.to_str().unwrap_or("?")).collect();
    let mut client = peer;
    for hop in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
        if !is_trusted(client) {
            break;
        }
        // A trusted proxy that does not name whom it heard is the last one that is known.
        let Some(address) = hop_address(hop.trim()) else { break };
        client = address;
    }
    Some(client)
}

/// An address as proxies write it, perhaps with a port.
fn hop_address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.split(']').next());
    let with_port = || text.parse::<std::net::SocketAddr>().map(|address| address.ip());
    let address = bare.unwrap_or(text).parse().or_else(|_| with_port());
    address.ok().map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_holds_its_own_and_no_other() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.255.255", "11.0.0.0"),
            ("10.1.2.3", "10.1.2.3", "10.1.2.4"),
            ("0.0.0.0/0", "255.255.255.255", "::2"),
            ("10.0.0.0/8", "::ffff:10.1.1.1", "::ffff:11.1.1.1"),
            ("fd00::/8", "fdff::1", "fe00::1"),
            ("::/0", "ffff::", "1.2.3.4"),
            ("2001:db8::1/128", "2001:db8::1", "2001:db8::2"),
            ("192.0.2.128/25", "192.0.2.128", "192.0.2.127"),
        ] {
            let parsed: Network = network.parse().unwrap();
            assert!(parsed.contains(ip(inside)), "{network} {inside}");
            assert!(!parsed.contains(ip(outside)), "{network} {outside}");
        }
    }

    #[test]
    fn slips_of_the_hand_are_no_networks() {
        for text in [
            "",
            "10.0.0.1/8",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "fd00::1/8",
            "x",
            "10/8",
            "::ffff:10.0.0.0/104",
            "10.0.0.0/8/8",
            " 10.0.0.0/8",
        ] {
            assert_eq!(text.parse::<Network>(), Err(NotANetwork), "{text}");
        }
    }

    /// B4: one table of ranges, in both families.
    #[test]
    fn only_the_internet_is_public() {
        for range in SPECIAL {
            assert!(range.parse::<Network>().is_ok(), "{range}");
        }
        for (address, public) in [
            ("8.8.8.8", true),
            ("1.1.1.1", true),
            ("100.63.255.255", true),
            ("100.128.0.0", true),
            ("172.32.0.1", true),
            ("160.79.104.10", true),
            ("2606:4700::1111", true),
            ("2001:4860:4860::8888", true),
            ("2a00:1450::1", true),
            ("2001:200::1", true),
            ("::ffff:8.8.8.8", true),
            ("0.0.0.0", false),
            ("10.0.0.1", false),
            ("127.0.0.1", false),
            ("127.255.255.255", false),
            ("100.64.0.1", false),
            ("169.254.169.254", false),
            ("172.31.0.1", false),
            ("192.168.1.1", false),
            ("192.0.0.192", false),
            ("198.19.0.1", false),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("::", false),
            ("::1", false),
            ("::7f00:1", false),
            ("::ffff:127.0.0.1", false),
            ("::ffff:10.0.0.1", false),
            ("::ffff:0:127.0.0.1", false),
            ("64:ff9b::7f00:1", false),
            ("64:ff9b:1::a00:1", false),
            ("2002:7f00:1::", false),
            ("2001:0:7f00:1::", false),
            ("fc00::1", false),
            ("fd12::1", false),
            ("fe80::1", false),
            ("fec0::1", false),
            ("ff02::1", false),
            ("2001:db8::1", false),
            ("100::1", false),
        ] {
            assert_eq!(is_public(ip(address)), public, "{address}");
        }
    }

    #[track_caller]
    fn check(peer: &str, forwarded: &[&str], trusted: &[&str], expect: &str) {
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append("x-forwarded-for", line.parse().unwrap());
        }
        headers.insert("x-real-ip", "6.6.6.6".parse().unwrap());
        let trusted: Vec<Network> = trusted.iter().map(|network| network.parse().unwrap()).collect();
        assert_eq!(client(Peer::Socket(ip(peer)), &headers, &trusted), Some(ip(expect)), "{peer} {forwarded:?}");
    }

    /// A11: what a client says of its own address counts for nothing.
    #[test]
    fn only_ones_own_proxies_are_believed() {
        check("9.9.9.9", &["1.1.1.1"], &[], "9.9.9.9");
        check("::ffff:9.9.9.9", &[], &[], "9.9.9.9");
        check("9.9.9.9", &["1.1.1.1"], &["10.0.0.0/8"], "9.9.9.9");
        check("10.0.0.1", &["1.1.1.1"], &["10.0.0.0/8"], "1.1.1.1");
        check("10.0.0.1", &["6.6.6.6, 1.1.1.1"], &["10.0.0.0/8"], "1.1.1.1");
        check("10.0.0.1", &["6.6.6.6, 1.1.1.1, 10.0.0.2"], &["10.0.0.0/8"], "1.1.1.1");
        check("10.0.0.1", &["6.6.6.6", "1.1.1.1", "10.0.0.2"], &["10.0.0.0/8"], "1.1.1.1");
        check("10.0.0.1", &["10.0.0.3,10.0.0.2"], &["10.0.0.0/8"], "10.0.0.3");
        check("10.0.0.1", &["6.6.6.6, unknown, 10.0.0.2"], &["10.0.0.0/8"], "10.0.0.2");
        check("10.0.0.1", &["6.6.6.6, "], &["10.0.0.0/8"], "10.0.0.1");
        check("10.0.0.1", &["1.1.1.1:443"], &["10.0.0.0/8"], "1.1.1.1");
        check("10.0.0.1", &["[2a00::1]:443"], &["10.0.0.0/8"], "2a00::1");
        check("fd00::1", &["2a00::1"], &["fd00::/8"], "2a00::1");
    }

    #[test]
    fn on_vercel_the_platform_names_the_client() {
        let named = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-forwarded-for", "6.6.6.6".parse().unwrap());
            headers.insert("x-real-ip", value.parse().unwrap());
            client(Peer::Platform, &headers, &[])
        };
        assert_eq!(named("1.2.3.4"), Some(ip("1.2.3.4")));
        assert_eq!(named("::ffff:1.2.3.4"), Some(ip("1.2.3.4")));
        assert_eq!(named("nonsense"), None);
        assert_eq!(client(Peer::Platform, &HeaderMap::new(), &[]), None);
    }
}
