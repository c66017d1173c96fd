//! Tokens: log in, and refresh the tokens of a session.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::AppState;
use crate::http::error::ApiError;
use crate::http::request::declared::request_fields;
use crate::http::request::extractors::Identity;
use crate::http::request::json_fields::{JsonBody, JsonFields, text};
use crate::http::request::parameters::NoQuery;
use crate::service::identity::tokens::TokenPair;

request_fields! {
    /// The credentials of an account.
    #[derive(Debug, ToSchema)]
    #[schema(example = json!({"email": "ann@example.org", "password": "correct horse battery"}))]
    pub struct LoginRequest from JsonFields {
        /// The e-mail address of the account, case-insensitive.
        email: String = require(text),
        /// The password of the account.
        password: String = require(text),
    }
}

impl LoginRequest {
    /// Returns the e-mail address and the password.
    pub fn credentials(&self) -> (&str, &str) {
        (&self.email, &self.password)
    }
}

request_fields! {
    /// A refresh token that has not been used yet.
    #[derive(Debug, ToSchema)]
    pub struct RefreshRequest from JsonFields {
        /// The `refresh` token of the latest pair.
        refresh: String = require(text),
    }
}

/// An access token and the refresh token for the next pair.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TokenPair)]
pub struct Tokens {
    /// A JWT for `Authorization: Bearer`, valid for 15 minutes.
    pub access: String,
    /// The refresh token, to exchange for the next pair with `POST /token/refresh`. Single-use, valid for 30 days.
    pub refresh: String,
}

/// Log in
///
/// After too many failed attempts from an address, further attempts are delayed (429).
#[utoipa::path(post, path = "/token", tag = "accounts", request_body(content = LoginRequest, content_type = "application/json"),
    responses((status = 201, description = "The tokens of a new session.", body = Tokens)))]
pub async fn log_in(
    State(app): State<AppState>,
    _: NoQuery,
    identity: Identity,
    JsonBody(body): JsonBody<LoginRequest>,
) -> Result<Response, ApiError> {
    let (email, password) = body.credentials();
    let tokens = app.service.log_in(email, password, Some(identity.address)).await?;
    Ok(token_response(tokens))
}

/// Refresh tokens
///
/// Exchanges a refresh token for a new pair of tokens. Refresh tokens are single-use: reusing one ends the session, because the
/// token may have been stolen.
#[utoipa::path(post, path = "/token/refresh", tag = "accounts", request_body(content = RefreshRequest, content_type = "application/json"),
    responses((status = 201, description = "The next tokens of the session.", body = Tokens)))]
pub async fn refresh_tokens(
    State(app): State<AppState>,
    _: NoQuery,
    JsonBody(body): JsonBody<RefreshRequest>,
) -> Result<Response, ApiError> {
    let RefreshRequest { refresh } = body;
    Ok(token_response(app.service.refresh_tokens(&refresh).await?))
}

/// Responses with secrets must not be cached.
pub const NO_STORE: (HeaderName, HeaderValue) = (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));

fn token_response(tokens: TokenPair) -> Response {
    let TokenPair { access, refresh } = tokens;
    (StatusCode::CREATED, [NO_STORE], Json(Tokens { access, refresh })).into_response()
}
