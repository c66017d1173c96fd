//! Trust without credentials (`AUTH_MODE=trusted`): which peers can set `X-User-Id`, and the guard against web pages where every
//! local program can.
//!
//! On a loopback address, every local program is trusted, and a browser runs programs of strangers. A page can send a form to
//! `localhost`, and can make its own host name resolve to 127.0.0.1 (DNS rebinding). So the service rejects there requests that a
//! page of another site makes, by `Origin` and `Sec-Fetch-Site`, and requests for a host name that is not its own.

use std::net::IpAddr;

use http::{HeaderMap, Method, Uri, header};

use crate::http::server::client_address::TrustedProxies;
use crate::service::error::Error;

/// How callers are identified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthMode {
    /// A trusted gateway sets `X-User-Id`; accounts are optional.
    Trusted,
    /// Writes require credentials.
    Required,
}

/// What the service trusts without credentials, and from which peers.
#[derive(Debug, Clone)]
pub struct Gateway {
    pub mode: AuthMode,
    /// Whether the service listens only on a loopback address.
    pub on_loopback: bool,
    pub proxies: TrustedProxies,
    /// The host name that clients use, if it is known.
    pub public_host: Option<String>,
    /// Origins whose pages can use the API. `*` means any origin, but does not let pages act for users.
    pub origins: Vec<String>,
}

impl Gateway {
    /// Returns whether requests from this peer can set `X-User-Id`.
    pub fn trusts(&self, peer: IpAddr) -> bool {
        self.mode == AuthMode::Trusted && (self.on_loopback || self.proxies.trusts(peer.to_canonical()))
    }

    /// Rejects cross-site requests where they could act as any user.
    ///
    /// # Errors
    /// A page of another site made the request, or the request is for another host.
    pub fn check_cross_site(&self, peer: IpAddr, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Error> {
        // A proxy forwards host names that only it knows, and is responsible for its clients.
        if !self.on_loopback || self.mode == AuthMode::Required || self.proxies.trusts(peer.to_canonical()) {
            return Ok(());
        }
        let text = |name| headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
        let host = uri.authority().map(http::uri::Authority::as_str).or_else(|| text(header::HOST)).unwrap_or_default();
        if !self.is_own_host(host) {
            return Err(Error::forbidden(
                "The Host header must be localhost, an IP address or the host of PUBLIC_URL. The operator can set PUBLIC_URL to the \
                 URL that clients use, or TRUSTED_PROXIES to the address of the proxy that sent this request.",
            ));
        }
        if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
            return Ok(());
        }
        if headers.contains_key(header::ORIGIN) {
            return match text(header::ORIGIN) {
                Some(origin) if self.is_own_origin(origin, host) => Ok(()),
                _ => Err(Error::forbidden(
                    "The Origin header names another site, which can only read. To let its pages write, the operator can add the \
                     origin to CORS_ORIGINS (`*` allows only reading).",
                )),
            };
        }
        match text(header::HeaderName::from_static("sec-fetch-site")) {
            Some("cross-site") => Err(Error::forbidden(
                "The Sec-Fetch-Site header is cross-site, and there is no Origin header. Pages of other sites can write only with \
                 an Origin that is in CORS_ORIGINS.",
            )),
            _ => Ok(()),
        }
    }

    fn is_own_host(&self, authority: &str) -> bool {
        let Some(name) = host_name(authority) else { return false };
        is_local(&name) || name.parse::<IpAddr>().is_ok() || self.public_host.as_deref() == Some(&name)
    }

    fn is_own_origin(&self, origin: &str, host: &str) -> bool {
        if self.origins.iter().any(|known| known == origin) {
            return true;
        }
        let Some((_, authority)) = origin.split_once("://") else { return false };
        let name = host_name(authority);
        authority.eq_ignore_ascii_case(host) || name.is_some_and(|name| is_local(&name) || self.public_host == Some(name))
    }
}

/// Returns the host name in lower case, without the port, the brackets of IPv6 and the trailing dot.
pub fn host_name(authority: &str) -> Option<String> {
    let authority: http::uri::Authority = authority.parse().ok()?;
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    Some(name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase())
}

/// Returns whether the name always resolves to this machine (RFC 6761, 6.3).
pub fn is_local(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn on_loopback() -> Gateway {
        let (proxies, origins) = (TrustedProxies::default(), vec!["https://app.example.org".to_owned()]);
        let public_host = Some("images.example.org".to_owned());
        Gateway { mode: AuthMode::Trusted, on_loopback: true, proxies, public_host, origins }
    }

    fn check(gateway: &Gateway, method: Method, headers: &[(&'static str, &str)]) -> bool {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        gateway.check_cross_site(HERE, &method, &Uri::from_static("/images"), &headers).is_ok()
    }

    #[test]
    fn on_a_loopback_address_only_own_host_names_are_accepted() {
        let gateway = on_loopback();
        for own in [
            "localhost",
            "LOCALHOST:8000",
            "a.localhost:8000",
            "127.0.0.1:8000",
            "[::1]:8000",
            "192.168.1.7",
            "localhost.:80",
            "images.example.org",
            "Images.Example.org:443",
        ] {
            assert!(check(&gateway, Method::GET, &[("host", own)]), "{own}");
        }
        for foreign in ["rebound.example", "localhost.example", "notlocalhost", "images.example.org.evil.example", "", "a b"] {
            assert!(!check(&gateway, Method::GET, &[("host", foreign)]), "{foreign}");
        }
        let absolute = Uri::from_static("http://rebound.example/images");
        let headers = HeaderMap::from_iter([(header::HOST, "localhost".parse().unwrap())]);
        assert!(gateway.check_cross_site(HERE, &Method::GET, &absolute, &headers).is_err());
    }

    #[test]
    fn on_a_loopback_address_pages_of_other_sites_cannot_write() {
        let gateway = on_loopback();
        let post = |more: &[(&'static str, &str)]| check(&gateway, Method::POST, &[&[("host", "localhost:8000")], more].concat());
        assert!(post(&[]) && post(&[("sec-fetch-site", "same-origin")]) && post(&[("sec-fetch-site", "none")]));
        for own in [
            "http://localhost:8000",
            "http://localhost:3000",
            "http://127.0.0.1:5173",
            "http://[::1]:1",
            "https://app.example.org",
            "https://images.example.org",
        ] {
            assert!(post(&[("origin", own), ("sec-fetch-site", "cross-site")]), "{own}");
        }
        for foreign in ["https://evil.example", "null", "http://192.168.1.9", "http://app.example.org", "file://", "\u{fc}"] {
            assert!(!post(&[("origin", foreign)]), "{foreign}");
        }
        assert!(!post(&[("sec-fetch-site", "cross-site")]));
        assert!(
            check(&gateway, Method::GET, &[("host", "localhost"), ("origin", "https://evil.example")]),
            "the page cannot read the response"
        );
        for method in [Method::PUT, Method::PATCH, Method::DELETE] {
            assert!(!check(&gateway, method, &[("host", "localhost"), ("origin", "https://evil.example")]));
        }
        let any = Gateway { origins: vec!["*".to_owned()], ..on_loopback() };
        assert!(!check(&any, Method::POST, &[("host", "localhost"), ("origin", "https://anything.example")]));
    }

    #[test]
    fn only_trusted_peers_can_set_the_user() {
        let network = |text: &str| TrustedProxies::new(vec![crate::http::server::client_address::parse_network(text).unwrap()]);
        let inner = Gateway { on_loopback: false, proxies: network("10.0.0.0/8"), ..on_loopback() };
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(inner.trusts(address("10.1.2.3")) && inner.trusts(address("::ffff:10.1.2.3")));
        assert!(!inner.trusts(address("192.168.1.1")) && !inner.trusts(HERE));
        assert!(on_loopback().trusts(HERE));
        let required = Gateway { mode: AuthMode::Required, ..on_loopback() };
        assert!(!required.trusts(HERE));
        // A page has no credentials to send, and a proxy guards its own clients.
        let foreign = [("host", "rebound.example"), ("origin", "https://evil.example")];
        assert!(check(&required, Method::POST, &foreign) && check(&inner, Method::POST, &foreign));
        assert!(check(&Gateway { proxies: network("127.0.0.1"), ..on_loopback() }, Method::POST, &foreign));
    }
}
