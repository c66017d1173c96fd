//! Cookies of the web pages.
//!
//! A cookie has no `Path`: its default is the directory of the URL that set it (RFC 6265, 5.1.4), below any prefix that a proxy
//! strips. Browsers send a cookie to all ports of a host, so its name ends with the port.

use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Uri, header};

use crate::http::HttpConfig;
use crate::http::identity::gateway;
use crate::service::error::Error;

/// A cookie that scripts cannot read.
#[derive(Debug, Clone, Copy)]
pub struct Cookie<'a> {
    /// Without the port.
    pub name: &'a str,
    pub value: &'a str,
    /// 0 removes the cookie.
    pub max_age_seconds: i64,
    /// `Strict` or `Lax`.
    pub same_site: &'a str,
}

impl Cookie<'_> {
    /// Returns the value of `Set-Cookie`, for the response to a request with these headers.
    ///
    /// # Errors
    /// The value has characters that a header cannot have.
    pub fn to_header(self, config: &HttpConfig, headers: &HeaderMap) -> Result<HeaderValue, Error> {
        let Self { name, value, max_age_seconds, same_site } = self;
        let name = full_name(headers, name);
        let secure = if accepts_secure_cookies(config, headers) { "; Secure" } else { "" };
        let cookie = format!("{name}={value}; Max-Age={max_age_seconds}; HttpOnly{secure}; SameSite={same_site}");
        HeaderValue::from_str(&cookie).map_err(Error::internal)
    }
}

/// Returns the value of a cookie, if the request has it.
pub fn find<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let name = full_name(headers, name);
    let fields = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = fields.flat_map(|field| field.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(known, value)| *known == name && !value.is_empty()).map(|(_, value)| value)
}

/// Adds the port, if the client named it.
fn full_name(headers: &HeaderMap, name: &str) -> String {
    let host = headers.get(header::HOST).and_then(|value| value.to_str().ok()).and_then(|host| host.parse::<Authority>().ok());
    host.and_then(|host| host.port_u16()).map_or_else(|| name.to_owned(), |port| format!("{name}_{port}"))
}

/// Returns whether the browser would keep a `Secure` cookie. It would discard one of a page without TLS on another machine. The page
/// names its address in `Origin`, as the browser sees it; otherwise PUBLIC_URL counts.
fn accepts_secure_cookies(config: &HttpConfig, headers: &HeaderMap) -> bool {
    let origin = headers.get(header::ORIGIN).and_then(|value| value.to_str().ok());
    let Some(uri) = origin.or(config.public_url.as_deref()).and_then(|url| url.parse::<Uri>().ok()) else { return true };
    let host = uri.authority().and_then(|authority| gateway::host_name(authority.as_str()));
    uri.scheme_str() != Some("http") || host.is_some_and(|host| gateway::is_local(&host))
}
