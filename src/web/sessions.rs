//! The login of the pages. The refresh token stays in a cookie that scripts cannot read and that only these endpoints receive;
//! the access token stays in the memory of the page.
//!
//! The cookie has no `Path`: its default is the directory of the URL that set it (RFC 6265, 5.1.4), `…/app/session`, below any
//! prefix that a proxy strips. Browsers send a cookie to all ports of a host, so its name contains the port. Pages of other sites
//! cannot use it: it is `SameSite=Strict`, and requests of other sites are rejected in addition.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use serde::Serialize;

use crate::http::error::ApiError;
use crate::http::identity::gateway;
use crate::http::identity::tokens::{LoginRequest, NO_STORE};
use crate::http::request::extractors::Identity;
use crate::http::request::json_fields::JsonBody;
use crate::http::request::parameters::NoQuery;
use crate::http::{AppState, HttpConfig};
use crate::model::caller::User;
use crate::service::error::Error;
use crate::service::identity::authentication::Credentials;
use crate::service::identity::tokens::{ACCESS_TOKEN_LIFETIME, REFRESH_TOKEN_LIFETIME, TokenPair};

/// The start of the cookie's name.
const COOKIE: &str = "refresh_token";

/// What scripts learn about their session.
#[derive(Debug, Serialize)]
struct SessionView<'a> {
    access: String,
    /// In seconds.
    expires_in: i64,
    user_id: &'a str,
    email: &'a str,
    admin: bool,
}

pub async fn start_session(
    State(app): State<AppState>,
    _: NoQuery,
    identity: Identity,
    headers: HeaderMap,
    JsonBody(login): JsonBody<LoginRequest>,
) -> Result<Response, ApiError> {
    require_own_page(&headers)?;
    let (email, password) = login.credentials();
    let tokens = app.service.log_in(email, password, Some(identity.address)).await?;
    session_response(&app, &headers, tokens).await
}

/// Continues the session of the cookie, if there is one. Pages call this when they open, and before their access token expires.
pub async fn refresh_session(State(app): State<AppState>, _: NoQuery, headers: HeaderMap) -> Result<Response, ApiError> {
    require_own_page(&headers)?;
    // A page does not know whether the browser has a cookie. That it has none is not an error.
    let Some(refresh) = cookie(&headers) else { return Ok(([NO_STORE], StatusCode::NO_CONTENT).into_response()) };
    match app.service.refresh_tokens(refresh).await {
        Ok(tokens) => session_response(&app, &headers, tokens).await,
        Err(Error::BadCredentials(_)) => forget_cookie(&app.config, &headers),
        Err(error) => Err(error.into()),
    }
}

pub async fn end_session(State(app): State<AppState>, _: NoQuery, headers: HeaderMap) -> Result<Response, ApiError> {
    require_own_page(&headers)?;
    if let Some(refresh) = cookie(&headers) {
        app.service.log_out(refresh).await?;
    }
    forget_cookie(&app.config, &headers)
}

/// Rejects requests that a page of another site makes. Browsers send this header to https and loopback addresses; elsewhere, the
/// cookie's `SameSite` has to do.
fn require_own_page(headers: &HeaderMap) -> Result<(), Error> {
    match headers.get("sec-fetch-site").map(HeaderValue::as_bytes) {
        None | Some(b"same-origin" | b"none") => Ok(()),
        Some(_) => Err(Error::forbidden("Only the pages of this service can use this endpoint.")),
    }
}

/// Returns the name of the cookie: with the port, if the client named it.
fn cookie_name(headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).and_then(|value| value.to_str().ok()).and_then(|host| host.parse::<Authority>().ok());
    host.and_then(|host| host.port_u16()).map_or_else(|| COOKIE.to_owned(), |port| format!("{COOKIE}_{port}"))
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let name = cookie_name(headers);
    let fields = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = fields.flat_map(|field| field.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(known, value)| *known == name && !value.is_empty()).map(|(_, value)| value)
}

async fn session_response(app: &AppState, headers: &HeaderMap, tokens: TokenPair) -> Result<Response, ApiError> {
    let TokenPair { access, refresh } = tokens;
    let caller = app.service.authenticate(Credentials::Bearer(access.clone()), None).await?;
    let account = caller.authenticated_user().and_then(User::own_account).ok_or(Error::Unauthenticated)?;
    let session = SessionView {
        access,
        expires_in: ACCESS_TOKEN_LIFETIME.num_seconds(),
        user_id: account.user_id.as_str(),
        email: account.email.as_str(),
        admin: account.admin,
    };
    let set_cookie = set_cookie(&app.config, headers, &refresh, REFRESH_TOKEN_LIFETIME.num_seconds())?;
    Ok(([NO_STORE, set_cookie], Json(session)).into_response())
}

fn forget_cookie(config: &HttpConfig, headers: &HeaderMap) -> Result<Response, ApiError> {
    Ok(([NO_STORE, set_cookie(config, headers, "", 0)?], StatusCode::NO_CONTENT).into_response())
}

fn set_cookie(
    config: &HttpConfig,
    headers: &HeaderMap,
    value: &str,
    max_age_seconds: i64,
) -> Result<(HeaderName, HeaderValue), Error> {
    let name = cookie_name(headers);
    let secure = if accepts_secure_cookies(config, headers) { "; Secure" } else { "" };
    let cookie = format!("{name}={value}; Max-Age={max_age_seconds}; HttpOnly{secure}; SameSite=Strict");
    Ok((header::SET_COOKIE, HeaderValue::from_str(&cookie).map_err(Error::internal)?))
}

/// Returns whether the browser would keep a `Secure` cookie. It would discard one of a page without TLS on another machine. The page
/// names its address in `Origin`, as the browser sees it; otherwise PUBLIC_URL counts.
fn accepts_secure_cookies(config: &HttpConfig, headers: &HeaderMap) -> bool {
    let origin = headers.get(header::ORIGIN).and_then(|value| value.to_str().ok());
    let Some(uri) = origin.or(config.public_url.as_deref()).and_then(|url| url.parse::<Uri>().ok()) else { return true };
    let host = uri.authority().and_then(|authority| gateway::host_name(authority.as_str()));
    uri.scheme_str() != Some("http") || host.is_some_and(|host| gateway::is_local(&host))
}
