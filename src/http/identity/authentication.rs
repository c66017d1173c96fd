//! The middleware before every handler: the client's address, rate limits, and authentication.
//!
//! Every route of the API passes here, so none can omit it. Credentials are checked in one order: `Authorization`, `X-API-Key`,
//! then, behind a gateway, `X-User-Id`. Invalid credentials are a 401 on every route except those that issue tokens, which use
//! only the credentials in their bodies.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use super::gateway::AuthMode;
use crate::http::AppState;
use crate::http::error::ApiError;
use crate::http::request::extractors::Identity;
use crate::http::request::fields::{FieldErrors, header as one_header};
use crate::http::server::client_address::Peer;
use crate::http::server::middleware::CredentialIds;
use crate::model::caller::{AuthMethod, Caller, UserId};
use crate::service::error::{Error, Fields};
use crate::service::identity::authentication::{API_KEY_PREFIX, Credentials, proof_name};
use crate::service::identity::rate_limits::{Exceeded, RateClass, RateLimitStatus};

/// Paths that machines poll often: neither rate-limited nor authenticated.
pub const UNRESTRICTED_PATHS: [&str; 4] = ["/health", "/ready", "/metrics", "/limits"];

/// Authenticates the caller, and adds an [`Identity`] to the request's extensions.
pub async fn authenticate(State(app): State<AppState>, mut request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str).unwrap_or_default();
    let (gateway, peer) = (&app.config.gateway, Peer::of(&request));
    if let Err(error) = gateway.check_cross_site(peer, request.method(), request.uri(), request.headers()) {
        return ApiError::from(error).into_response();
    }
    if UNRESTRICTED_PATHS.contains(&path) {
        return next.run(request).await;
    }
    let class = rate_class(request.method(), path);
    let address = gateway.proxies.client(peer, request.headers());
    warn_of_unknown_proxy(&app, peer, address, request.headers());
    let mut standing = match app.service.rate_limiters.check_address(class, address) {
        Ok(standing) => standing,
        Err(exceeded) => return rate_limited(exceeded),
    };
    let trusted = gateway.trusts(peer);
    let sent = match class {
        // Their credentials are in the body. Stale ones in the headers must not prevent clients from getting new ones.
        RateClass::Login => Ok(Credentials::None),
        RateClass::Read | RateClass::Upload => credentials(request.headers(), trusted),
    };
    let caller = match sent {
        Ok(credentials) => match app.service.authenticate(credentials, Some(address)).await {
            Ok(caller) => {
                app.service.metrics.count_caller(class.name(), proof_name(&caller));
                Ok(caller)
            }
            Err(error) => return with_rate_limit_headers(ApiError::from(error).into_response(), standing),
        },
        Err(invalid_fields) => Err(invalid_fields),
    };
    let slot = request.extensions().get::<Arc<OnceLock<CredentialIds>>>();
    if let (Some(slot), Some(ids)) = (slot, caller.as_ref().ok().and_then(credential_ids)) {
        slot.get_or_init(|| ids);
    }
    if let Some(user) = caller.as_ref().ok().and_then(Caller::user) {
        match app.service.rate_limiters.check_caller(class, user.as_str()) {
            Ok(own) => standing = stricter(standing, own),
            Err(exceeded) => return rate_limited(exceeded),
        }
    }
    let caching = if caller.as_ref().is_ok_and(|caller| caller.user().is_some()) { PRIVATE } else { REVALIDATE };
    let (caller, invalid_fields) =
        caller.map_or_else(|invalid_fields| (Caller::Anonymous, invalid_fields), |caller| (caller, Fields::new()));
    let caller = if trusted && caller == Caller::Anonymous { Caller::Gateway } else { caller };
    request.extensions_mut().insert(Identity { caller, invalid_fields, address });
    let mut response = next.run(request).await;
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(caching);
    with_rate_limit_headers(response, standing)
}

/// Returns the ids of the account and the API key that authenticated the caller.
fn credential_ids(caller: &Caller) -> Option<CredentialIds> {
    let user = caller.authenticated_user()?;
    let key = match user.auth_method {
        AuthMethod::ApiKey(key, _) => Some(key),
        _ => None,
    };
    Some(CredentialIds { account: user.own_account()?.id, key })
}

/// The response may differ for the next caller.
const PRIVATE: HeaderValue = HeaderValue::from_static("private, no-store");
/// What is public now may become private.
const REVALIDATE: HeaderValue = HeaderValue::from_static("no-cache");

/// Logs each warning once. Behind an untrusted proxy, all clients appear with its address and share its limits.
fn warn_of_unknown_proxy(app: &AppState, peer: IpAddr, address: IpAddr, headers: &HeaderMap) {
    static WARNED: AtomicBool = AtomicBool::new(false);
    let forwarded = peer == address && headers.contains_key("x-forwarded-for") && app.config.gateway.proxies.is_empty();
    if forwarded && !WARNED.swap(true, Ordering::Relaxed) {
        tracing::warn!(%peer, "a request has X-Forwarded-For, but its peer is not in TRUSTED_PROXIES; add the peer if it is your proxy");
    }
    static IGNORED: AtomicBool = AtomicBool::new(false);
    let gateway = &app.config.gateway;
    let ignored = gateway.mode == AuthMode::Trusted && !gateway.trusts(peer) && headers.contains_key("x-user-id");
    if ignored && !IGNORED.swap(true, Ordering::Relaxed) {
        tracing::warn!(%peer, "ignored X-User-Id, because its peer is not in TRUSTED_PROXIES");
    }
}

/// Other paths that check passwords.
const LOGIN_PATHS: [&str; 3] = ["/app/session/start", "/s/{token}/password", "/s/{token}/enter"];

fn rate_class(method: &Method, path: &str) -> RateClass {
    match *method {
        _ if path.starts_with("/token") || LOGIN_PATHS.contains(&path) => RateClass::Login,
        Method::GET | Method::HEAD | Method::OPTIONS => RateClass::Read,
        // This request only signs URLs and stores nothing.
        Method::POST if path == "/images/{image_id}/urls" => RateClass::Read,
        // Pages do this when they are opened, and pages are read.
        _ if path.starts_with("/app/session/") || path == "/app/pass" => RateClass::Read,
        _ => RateClass::Upload,
    }
}

/// Reads the credentials of a request. `trusted`: the peer can set `X-User-Id`.
///
/// # Errors
/// The rule that `X-User-Id` breaks.
fn credentials(headers: &HeaderMap, trusted: bool) -> Result<Credentials, Fields> {
    if headers.contains_key(header::AUTHORIZATION) {
        return Ok(authorization(headers).unwrap_or(Credentials::Unreadable));
    }
    // Gateways use this header for keys of their own. Behind a trusted gateway, such keys are ignored.
    let is_ours = |key: &&HeaderValue| !trusted || key.as_bytes().trim_ascii_start().starts_with(API_KEY_PREFIX.as_bytes());
    let mut keys = headers.get_all(X_API_KEY).iter().filter(is_ours);
    if let Some(key) = keys.next() {
        let text = key.to_str().ok().filter(|_| keys.next().is_none());
        return Ok(text.map_or(Credentials::Unreadable, |text| Credentials::ApiKey(text.trim().to_owned())));
    }
    if !trusted {
        return Ok(Credentials::None);
    }
    let (name, mut errors) = ("X-User-Id", FieldErrors::default());
    let user = one_header(headers, name, &mut errors).and_then(|value| {
        let text = std::str::from_utf8(value).map_err(|_| "must be ASCII".to_owned());
        errors.check(name, text.and_then(UserId::parse))
    });
    match errors.finish() {
        Err(Error::Invalid(invalid_fields)) => Err(invalid_fields),
        _ => Ok(user.map_or(Credentials::None, Credentials::Gateway)),
    }
}

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Reads bearer and basic credentials (RFC 6750, RFC 7617).
fn authorization(headers: &HeaderMap) -> Option<Credentials> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, rest) = value.to_str().ok()?.trim().split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Credentials::Bearer(rest.to_owned()));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let bytes = STANDARD.decode(rest).ok()?;
    // Python's requests and aiohttp send Latin-1 (RFC 7617, B.3), in which each byte is a character.
    let text = String::from_utf8(bytes).unwrap_or_else(|error| error.as_bytes().iter().copied().map(char::from).collect());
    let (user, password) = text.split_once(':')?;
    Some(Credentials::Basic { user: user.to_owned(), password: password.to_owned() })
}

/// Returns the rate limit that is closer to being used up.
fn stricter(one: Option<RateLimitStatus>, other: Option<RateLimitStatus>) -> Option<RateLimitStatus> {
    match (one, other) {
        (Some(one), Some(other)) => Some(if other.remaining <= one.remaining { other } else { one }),
        (one, other) => one.or(other),
    }
}

fn rate_limited(exceeded: Exceeded) -> Response {
    with_rate_limit_headers(ApiError::from(Error::too_many_requests(exceeded.retry_after)).into_response(), Some(exceeded.status))
}

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Adds the headers of draft-ietf-httpapi-ratelimit-headers: the requests allowed per minute, and how many of them are left.
fn with_rate_limit_headers(mut response: Response, standing: Option<RateLimitStatus>) -> Response {
    let Some(RateLimitStatus { class, limit, remaining, reset_seconds }) = standing else { return response };
    let name = class.name();
    let fields = [
        (RATE_LIMIT_POLICY, format!("\"{name}\";q={limit};w=60")),
        (RATE_LIMIT, format!("\"{name}\";r={remaining};t={reset_seconds}")),
    ];
    for (field, value) in fields {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(field, value);
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(authorization: &[&str]) -> Option<Credentials> {
        let mut headers = HeaderMap::new();
        for value in authorization {
            headers.append(header::AUTHORIZATION, value.parse().unwrap());
        }
        super::authorization(&headers)
    }

    #[test]
    fn authorization_is_one_bearer_token_or_one_user_and_password() {
        assert!(matches!(read(&["Bearer  abc "]), Some(Credentials::Bearer(token)) if token == "abc"));
        assert!(matches!(read(&["bEARER abc"]), Some(Credentials::Bearer(_))));
        let basic = |text: &str| read(&[&format!("Basic {}", STANDARD.encode(text))]);
        assert!(matches!(basic("a:b:c"), Some(Credentials::Basic { user, password }) if user == "a" && password == "b:c"));
        assert!(matches!(basic(":"), Some(Credentials::Basic { user, password }) if user.is_empty() && password.is_empty()));
        assert!(basic("no colon").is_none());
        let latin1 = STANDARD.encode(b"ann:Gr\xfc\xdfe");
        assert!(matches!(read(&[&format!("Basic {latin1}")]), Some(Credentials::Basic { password, .. }) if password == "Grüße"));
        assert!(matches!(basic("ann:Grüße"), Some(Credentials::Basic { password, .. }) if password == "Grüße"));
        for header in [&["Basic !"][..], &["Bearer"], &["Digest abc"], &[""], &["Bearer a", "Bearer a"], &["Basic //8="]] {
            // The last one is two letters in Latin-1, without a colon.
            assert!(read(header).is_none(), "{header:?}");
        }
    }
}
