//! The client's address: the peer's, or what trusted proxies say in `X-Forwarded-For`.
//!
//! Each proxy appends the address of its client. So the list is read from its end, and only as long as a trusted proxy wrote the
//! entry. Entries further left may be forged by the client.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::Request;
use http::HeaderMap;
use ipnet::{IpNet, Ipv4Net};

const FORWARDED_FOR: &str = "x-forwarded-for";
/// Maximum number of entries that are read; no chain of proxies is this long.
const MAX_ENTRIES: usize = 32;

/// The other end of a connection. The listener adds it to the extensions of each request.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

impl Peer {
    pub fn of(request: &Request) -> IpAddr {
        request.extensions().get::<Self>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0)
    }
}

/// The networks of trusted proxies.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Returns whether no proxy is trusted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks.into_iter().map(canonical).collect())
    }

    /// Returns the client's address: the last one, including the peer's, that is not a trusted proxy. If all are trusted proxies,
    /// the first one. An unreadable entry ends the list: the client is then the proxy that wrote it.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        let fields = headers.get_all(FORWARDED_FOR).iter().rev();
        let mut entries = fields.flat_map(|field| field.as_bytes().rsplit(|byte| *byte == b',')).take(MAX_ENTRIES);
        while self.trusts(client) {
            let Some(address) = entries.next().and_then(read_entry) else { break };
            client = address;
        }
        client
    }

    /// Returns whether the address belongs to a trusted proxy.
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// Parses an entry: an address, with or without a port.
fn read_entry(entry: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(entry).ok()?.trim();
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(IpAddr::V6);
    let address = text.parse().ok().or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip())).or_else(bracketed)?;
    Some(address.to_canonical())
}

/// Parses a network such as `10.0.0.0/8`, or a single address.
///
/// # Errors
/// The text is neither; the error says what is expected.
pub fn parse_network(text: &str) -> Result<IpNet, String> {
    let text = text.trim();
    let network = text.parse().ok().or_else(|| text.parse().ok().map(|address: IpAddr| address.into()));
    network.ok_or_else(|| format!("\"{text}\" is neither an address nor a network such as 10.0.0.0/8 or fd00::/8"))
}

/// Converts a network of IPv4-mapped IPv6 addresses to IPv4, because addresses are compared in that form.
fn canonical(network: IpNet) -> IpNet {
    let mapped = match (network.addr().to_canonical(), network.prefix_len().checked_sub(96), network) {
        (IpAddr::V4(address), Some(bits), IpNet::V6(_)) => Ipv4Net::new(address, bits).ok(),
        _ => None,
    };
    mapped.map_or(network, IpNet::V4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies() -> TrustedProxies {
        let networks = ["10.0.0.0/8", "192.0.2.1", "fd00::/8", "::ffff:172.16.0.0/108"];
        TrustedProxies::new(networks.into_iter().map(|text| parse_network(text).unwrap()).collect())
    }

    fn client(proxies: &TrustedProxies, peer: &str, fields: &[&[u8]]) -> String {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(FORWARDED_FOR, http::HeaderValue::from_bytes(field).unwrap());
        }
        proxies.client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn the_client_is_the_last_address_that_is_not_a_trusted_proxy() {
        for (peer, fields, expected) in [
            // No header, or not from a trusted proxy.
            ("10.0.0.1", vec![], "10.0.0.1"),
            ("203.0.113.9", vec!["198.51.100.1"], "203.0.113.9"),
            ("fe80::1", vec!["198.51.100.1"], "fe80::1"),
            ("::ffff:203.0.113.9", vec!["198.51.100.1"], "203.0.113.9"),
            // One proxy or several. Forged entries are left of the client's address.
            ("10.0.0.1", vec!["198.51.100.1"], "198.51.100.1"),
            ("::ffff:10.0.0.1", vec!["198.51.100.1"], "198.51.100.1"),
            ("172.16.0.1", vec!["198.51.100.1"], "198.51.100.1"),
            ("fd00::1", vec!["2001:db8::1"], "2001:db8::1"),
            ("10.0.0.1", vec!["1.1.1.1, 198.51.100.1, 10.0.0.2,192.0.2.1"], "198.51.100.1"),
            ("10.0.0.1", vec!["10.9.9.9, 198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", vec!["192.0.2.2"], "192.0.2.2"),
            // Several header fields form one list.
            ("10.0.0.1", vec!["1.1.1.1", "198.51.100.1", "10.0.0.2"], "198.51.100.1"),
            ("10.0.0.1", vec!["198.51.100.1, 10.0.0.3", "10.0.0.2"], "198.51.100.1"),
            // Forms of an entry.
            ("10.0.0.1", vec!["198.51.100.1:4711"], "198.51.100.1"),
            ("10.0.0.1", vec![" \t198.51.100.1 "], "198.51.100.1"),
            ("10.0.0.1", vec!["[2001:db8::1]:4711"], "2001:db8::1"),
            ("10.0.0.1", vec!["[2001:db8::1]"], "2001:db8::1"),
            ("10.0.0.1", vec!["::ffff:198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", vec!["198.51.100.1, ::ffff:10.0.0.2"], "198.51.100.1"),
            // An unreadable entry ends the list.
            ("10.0.0.1", vec!["unknown"], "10.0.0.1"),
            ("10.0.0.1", vec![""], "10.0.0.1"),
            ("10.0.0.1", vec!["198.51.100.1, unknown, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", vec!["198.51.100.1,, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", vec!["unknown, 198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", vec!["198.51.100.1", "10.0.0.256"], "10.0.0.1"),
            ("10.0.0.1", vec!["198.51.100.1;10.0.0.2"], "10.0.0.1"),
            // All are trusted.
            ("10.0.0.1", vec!["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ] {
            let bytes: Vec<_> = fields.iter().map(|field| field.as_bytes()).collect();
            assert_eq!(client(&proxies(), peer, &bytes), expected, "{peer} {fields:?}");
        }
    }

    #[test]
    fn without_trusted_proxies_the_client_is_the_peer() {
        assert_eq!(client(&TrustedProxies::default(), "10.0.0.1", &[b"198.51.100.1"]), "10.0.0.1");
    }

    #[test]
    fn invalid_bytes_and_long_lists_are_ignored() {
        assert_eq!(client(&proxies(), "10.0.0.1", &[b"198.51.100.1, \xff\xfe"]), "10.0.0.1");
        let chain = |hops: usize| format!("198.51.100.1{}", ", 10.0.0.2".repeat(hops));
        assert_eq!(client(&proxies(), "10.0.0.1", &[chain(MAX_ENTRIES - 1).as_bytes()]), "198.51.100.1");
        assert_eq!(client(&proxies(), "10.0.0.1", &[chain(MAX_ENTRIES).as_bytes()]), "10.0.0.2");
    }

    #[test]
    fn networks_and_addresses_are_parsed() {
        for (text, network) in [
            ("10.0.0.0/8", Some("10.0.0.0/8")),
            (" 192.0.2.1 ", Some("192.0.2.1/32")),
            ("2001:db8::1", Some("2001:db8::1/128")),
            ("fd00::/8", Some("fd00::/8")),
            ("10.0.0.0/33", None),
            ("proxy.example", None),
            ("", None),
        ] {
            assert_eq!(parse_network(text).ok().map(|network| network.to_string()).as_deref(), network, "{text}");
        }
    }
}
