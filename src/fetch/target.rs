//! The rules for URLs that the service may fetch, as far as they concern the URL alone.

use std::net::IpAddr;

use percent_encoding::percent_decode_str;
use url::{Host, Url};

/// A URL that follows the rules. The host is normalised as the URL standard (<https://url.spec.whatwg.org>) specifies: lower
/// case, Punycode, and an IPv4 address in any notation (decimal, octal, hexadecimal, short) is recognised as an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target(Url);

/// Maximum length of a URL in characters.
pub const MAX_CHARS: usize = 2048;

/// Maximum length of a DNS name (RFC 1035, 2.3.4), without the trailing dot.
const MAX_HOST_BYTES: usize = 253;

impl Target {
    /// Parses a URL and checks it against the rules. Trims white space.
    ///
    /// # Errors
    /// The rule that `text` breaks, as a phrase that follows the field's name ("must …").
    pub fn parse(text: &str, ports: &[u16]) -> Result<Self, String> {
        // A list that is split at line feeds may leave a carriage return.
        let text = text.trim();
        if text.chars().count() > MAX_CHARS {
            return Err(format!("must have at most {MAX_CHARS} characters"));
        }
        // The parser would silently drop some of them, and PostgreSQL does not store U+0000.
        if text.chars().any(char::is_control) {
            return Err("must not contain control characters".to_owned());
        }
        Self::of(Url::parse(text).map_err(not_a_url)?, ports)
    }

    /// Resolves a relative reference, such as a `Location`, against this URL.
    ///
    /// # Errors
    /// The rule that the resulting URL breaks.
    pub fn join(&self, reference: &str, ports: &[u16]) -> Result<Self, String> {
        if reference.len() > MAX_CHARS {
            return Err(format!("must have at most {MAX_CHARS} characters"));
        }
        Self::of(self.0.join(reference).map_err(not_a_url)?, ports)
    }

    fn of(mut url: Url, ports: &[u16]) -> Result<Self, String> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err("must begin with http:// or https://".to_owned());
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err("must name a host".to_owned());
        }
        if url.host_str().is_some_and(|host| host.trim_end_matches('.').len() > MAX_HOST_BYTES) {
            return Err(format!("must name a host of at most {MAX_HOST_BYTES} bytes"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("must not contain a user name or a password".to_owned());
        }
        if !url.port_or_known_default().is_some_and(|port| ports.contains(&port)) {
            let ports = ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
            return Err(format!("must use one of these ports: {ports}"));
        }
        // Fragments are for the client only and are not sent.
        url.set_fragment(None);
        Ok(Self(url))
    }

    /// Returns the normalised URL.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Returns the normalised host; IPv6 addresses are in brackets.
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    /// Returns the address if the host is an IP address.
    pub fn address(&self) -> Option<IpAddr> {
        match self.0.host()? {
            Host::Ipv4(address) => Some(IpAddr::V4(address)),
            Host::Ipv6(address) => Some(IpAddr::V6(address)),
            Host::Domain(_) => None,
        }
    }

    pub fn port(&self) -> u16 {
        self.0.port_or_known_default().unwrap_or_default()
    }

    pub fn is_secure(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Returns the value of the `Host` header.
    pub(super) fn authority(&self) -> String {
        match self.0.port() {
            Some(port) => format!("{}:{port}", self.host()),
            None => self.host().to_owned(),
        }
    }

    /// Returns the target of the request line.
    pub(super) fn path_and_query(&self) -> String {
        match self.0.query() {
            Some(query) => format!("{}?{query}", self.0.path()),
            None => self.0.path().to_owned(),
        }
    }

    /// Returns the last segment of the path, percent-decoded; empty if there is none.
    pub fn file_name(&self) -> String {
        let last = self.0.path_segments().and_then(Iterator::last).unwrap_or_default();
        percent_decode_str(last).decode_utf8_lossy().into_owned()
    }
}

fn not_a_url(error: url::ParseError) -> String {
    format!("is not a URL: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Target, String> {
        Target::parse(text, &[80, 443])
    }

    #[test]
    fn only_http_to_allowed_ports_is_accepted() {
        for good in [
            "http://example.org",
            "https://example.org/a.jpg?b=c",
            "HTTP://EXAMPLE.ORG:80/",
            "https://example.org:443/x",
            "http://bücher.example/ü",
            " http://example.org/a.jpg\r\n",
        ] {
            assert!(parse(good).is_ok(), "{good}");
        }
        let long = format!("http://example.org/{}", "a".repeat(MAX_CHARS));
        for bad in [
            "",
            "example.org/a.jpg",
            "/a.jpg",
            "//example.org/a",
            "ftp://example.org/a",
            "file:///etc/passwd",
            "data:image/png;base64,",
            "gopher://example.org:80/",
            "javascript:alert(1)",
            "http://",
            "http:///",
            "https://?",
            "http://user@example.org/",
            "http://user:secret@example.org/",
            "http://:secret@example.org/",
            "http://example.org:8080/",
            "https://example.org:22/",
            "http://example.org:0/",
            "http://example.org:99999/",
            "http://[fe80::1%25eth0]/",
            "http://[::1",
            "http://1.2.3.4.5/",
            "http://256.1.1.1/",
            "http://exa mple.org/",
            "http://example.org:80:80/",
            &long,
            "http://example.org/a\u{0}.jpg",
            "http://exam\tple.org/",
            "http://example.org/a\nb",
            &format!("http://{}.example/", "a".repeat(250)),
            &format!("http://{}/", "漢".repeat(300)),
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(Target::parse("http://example.org:8080/", &[80, 8080]).is_ok());
    }

    #[test]
    fn addresses_are_recognised_in_every_notation() {
        for spelling in [
            "http://127.0.0.1/",
            "http://2130706433/",
            "http://0x7f000001/",
            "http://0x7f.1/",
            "http://0177.0.0.1/",
            "http://127.1/",
            "http://0177.0.0x1/",
            "http://127.0.0.1./",
            "http://%31%32%37.0.0.1/",
            "http://①②⑦.0.0.1/",
            "http://127。0。0。1/",
        ] {
            let target = parse(spelling).unwrap_or_else(|rule| panic!("{spelling}: {rule}"));
            assert_eq!(target.address(), Some("127.0.0.1".parse().unwrap()), "{spelling}");
        }
        for (spelling, address) in [
            ("http://[::1]/", "::1"),
            ("http://[0:0:0:0:0:0:0:1]/", "::1"),
            ("http://[::ffff:127.0.0.1]/", "::ffff:127.0.0.1"),
            ("http://[::FFFF:7F00:1]/", "::ffff:127.0.0.1"),
        ] {
            assert_eq!(parse(spelling).unwrap().address(), Some(address.parse().unwrap()), "{spelling}");
        }
        assert_eq!(parse("http://localhost/").unwrap().address(), None);
    }

    #[test]
    fn references_follow_the_same_rules() {
        let from = parse("https://example.org/a/b.jpg?c#d").unwrap();
        let join = |reference| from.join(reference, &[80, 443]);
        assert_eq!(join("../e").unwrap().as_str(), "https://example.org/e");
        assert_eq!(join("//other.example/e").unwrap().as_str(), "https://other.example/e");
        assert_eq!(join("http://127.1/").unwrap().address(), Some("127.0.0.1".parse().unwrap()));
        for bad in ["ftp://example.org/", "http://u:p@example.org/", "http://example.org:81/", "https://", "file:///etc/passwd"] {
            assert!(join(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn parts_are_formatted_for_requests() {
        let target = parse("https://EXAMPLE.org:443/a/Sea%20%C3%BC.jpg?x=1#y").unwrap();
        assert_eq!((target.authority().as_str(), target.path_and_query().as_str()), ("example.org", "/a/Sea%20%C3%BC.jpg?x=1"));
        assert_eq!((target.file_name().as_str(), target.port(), target.is_secure()), ("Sea ü.jpg", 443, true));
        assert_eq!(Target::parse("http://[::1]:8080", &[8080]).unwrap().authority(), "[::1]:8080");
        assert_eq!(parse("http://example.org").unwrap().file_name(), "");
    }
}
