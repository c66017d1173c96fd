//! The login of the pages. The refresh token stays in a cookie that scripts cannot read and that only these endpoints receive;
//! the access token stays in the memory of the page.
//!
//! Pages of other sites cannot use the cookie: it is `SameSite=Strict`, and requests of other sites are rejected in addition.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::http::error::ApiError;
use crate::http::identity::tokens::{LoginRequest, NO_STORE};
use crate::http::request::cookies::{self, Cookie};
use crate::http::request::extractors::{CallerOf, Identity};
use crate::http::request::json_fields::JsonBody;
use crate::http::request::parameters::NoQuery;
use crate::http::{AppState, HttpConfig};
use crate::model::caller::User;
use crate::service::error::Error;
use crate::service::identity::authentication::Credentials;
use crate::service::identity::tokens::{ACCESS_TOKEN_LIFETIME, REFRESH_TOKEN_LIFETIME, TokenPair};

/// The start of the cookie's name.
const COOKIE: &str = "refresh_token";

/// As [`COOKIE`], for the pass with which the gallery is requested.
pub const PASS_COOKIE: &str = "page_pass";

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
    let Some(refresh) = cookies::find(&headers, COOKIE) else { return Ok(([NO_STORE], StatusCode::NO_CONTENT).into_response()) };
    match app.service.refresh_tokens(refresh).await {
        Ok(tokens) => session_response(&app, &headers, tokens).await,
        Err(Error::BadCredentials(_)) => forget_cookie(&app.config, &headers, COOKIE),
        Err(error) => Err(error.into()),
    }
}

pub async fn end_session(State(app): State<AppState>, _: NoQuery, headers: HeaderMap) -> Result<Response, ApiError> {
    require_own_page(&headers)?;
    if let Some(refresh) = cookies::find(&headers, COOKIE) {
        app.service.log_out(refresh).await?;
    }
    forget_cookie(&app.config, &headers, COOKIE)
}

/// Sets the cookie with which the gallery has its first pictures when it is opened the next time. The URL of this endpoint is
/// directly below `/app/`, so browsers send the cookie to all pages of `/app/`.
pub async fn issue_page_pass(
    State(app): State<AppState>,
    _: NoQuery,
    CallerOf(caller): CallerOf,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let pass = app.service.page_pass(&caller).await?;
    let set_cookie = set_cookie(&app.config, &headers, PASS_COOKIE, &pass, REFRESH_TOKEN_LIFETIME.num_seconds())?;
    Ok(([NO_STORE, set_cookie], StatusCode::NO_CONTENT).into_response())
}

/// Removes the cookie, which is of no use after the end of the session.
pub async fn forget_page_pass(State(app): State<AppState>, _: NoQuery, headers: HeaderMap) -> Result<Response, ApiError> {
    forget_cookie(&app.config, &headers, PASS_COOKIE)
}

/// Rejects requests that a page of another site makes. Browsers send this header to https and loopback addresses; elsewhere, the
/// cookie's `SameSite` has to do.
fn require_own_page(headers: &HeaderMap) -> Result<(), Error> {
    match headers.get("sec-fetch-site").map(HeaderValue::as_bytes) {
        None | Some(b"same-origin" | b"none") => Ok(()),
        Some(_) => Err(Error::forbidden("Only the pages of this service can use this endpoint.")),
    }
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
    let set_cookie = set_cookie(&app.config, headers, COOKIE, &refresh, REFRESH_TOKEN_LIFETIME.num_seconds())?;
    Ok(([NO_STORE, set_cookie], Json(session)).into_response())
}

fn forget_cookie(config: &HttpConfig, headers: &HeaderMap, name: &str) -> Result<Response, ApiError> {
    Ok(([NO_STORE, set_cookie(config, headers, name, "", 0)?], StatusCode::NO_CONTENT).into_response())
}

fn set_cookie(
    config: &HttpConfig,
    headers: &HeaderMap,
    name: &str,
    value: &str,
    max_age_seconds: i64,
) -> Result<(HeaderName, HeaderValue), Error> {
    let cookie = Cookie { name, value, max_age_seconds, same_site: "Strict" };
    Ok((header::SET_COOKIE, cookie.to_header(config, headers)?))
}
