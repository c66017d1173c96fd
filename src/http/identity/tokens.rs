//! Tokens: log in, and refresh the tokens of a session.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::AppState;
use crate::http::error::ApiError;
use crate::http::openapi::error_responses::{
    BadRequest, InternalServerError, PayloadTooLarge, RequestTimeout, ServiceUnavailable, UnsupportedMediaType, ValidationError,
};
use crate::http::request::extractors::{Identity, RequestUri};
use crate::http::request::fields::Query;
use crate::http::request::json_fields::{JsonFields, required, text};
use crate::service::identity::tokens::TokenPair;

/// The credentials of an account.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"email": "ann@example.org", "password": "correct horse battery"}))]
#[expect(dead_code, reason = "only the OpenAPI schema of what `log_in` reads")]
pub struct LoginRequest {
    /// The e-mail address of the account, case-insensitive.
    email: String,
    /// The password of the account.
    password: String,
}

/// A refresh token that has not been used yet.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only the OpenAPI schema of what `refresh_tokens` reads")]
pub struct RefreshRequest {
    /// The `refresh` token of the latest pair.
    refresh: String,
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
    responses((status = 201, description = "The tokens of a new session.", body = Tokens), BadRequest, RequestTimeout, PayloadTooLarge, UnsupportedMediaType,
        ValidationError, InternalServerError, ServiceUnavailable))]
pub async fn log_in(
    State(app): State<AppState>,
    identity: Identity,
    RequestUri(uri): RequestUri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    Query::of(&uri).finish()?;
    let mut fields = JsonFields::read(&headers, body).await?;
    let (email, password) = (fields.require("email", text), fields.require("password", text));
    fields.finish()?;
    let tokens = app.service.log_in(&required(email)?, &required(password)?, Some(identity.address)).await?;
    Ok(token_response(tokens))
}

/// Refresh tokens
///
/// Exchanges a refresh token for a new pair of tokens. Refresh tokens are single-use: reusing one ends the session, because the
/// token may be stolen.
#[utoipa::path(post, path = "/token/refresh", tag = "accounts", request_body(content = RefreshRequest, content_type = "application/json"),
    responses((status = 201, description = "The next tokens of the session.", body = Tokens), BadRequest, RequestTimeout, PayloadTooLarge, UnsupportedMediaType,
        ValidationError, InternalServerError, ServiceUnavailable))]
pub async fn refresh_tokens(
    State(app): State<AppState>,
    RequestUri(uri): RequestUri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    Query::of(&uri).finish()?;
    let mut fields = JsonFields::read(&headers, body).await?;
    let refresh = fields.require("refresh", text);
    fields.finish()?;
    Ok(token_response(app.service.refresh_tokens(&required(refresh)?).await?))
}

/// Responses with secrets must not be cached.
pub(in crate::http) const NO_STORE: (HeaderName, HeaderValue) = (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));

fn token_response(tokens: TokenPair) -> Response {
    let TokenPair { access, refresh } = tokens;
    (StatusCode::CREATED, [NO_STORE], Json(Tokens { access, refresh })).into_response()
}
