//! Tokens: log in, and go on.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::AppState;
use super::error::{
    ApiError, BadRequest, InternalServerError, PayloadTooLarge, RequestTimeout, ServiceUnavailable, UnsupportedMediaType,
    ValidationError,
};
use super::extract::{Address, Identity, Query};
use super::json_fields::{JsonFields, needed, text};
use crate::service::tokens::TokenPair;

/// What an account logs in with.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"email": "ann@example.org", "password": "correct horse battery"}))]
#[expect(dead_code, reason = "it describes what `log_in` reads")]
pub struct LoginRequest {
    email: String,
    password: String,
}

/// A refresh token that was not used before.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it describes what `refresh_tokens` reads")]
pub struct RefreshRequest {
    refresh: String,
}

/// What shows who asks, for a while.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TokenPair)]
pub struct Tokens {
    /// A JWT, for `Authorization: Bearer`; good for 15 minutes.
    pub access: String,
    /// For the next pair; good for 30 days, and once.
    pub refresh: String,
}

/// Log in
///
/// Attempts that fail are counted by account and by address; too many make both wait.
#[utoipa::path(post, path = "/token", tag = "accounts", request_body(content = LoginRequest, content_type = "application/json"),
    responses((status = 201, description = "Tokens of a new session.", body = Tokens), BadRequest, RequestTimeout, PayloadTooLarge, UnsupportedMediaType,
        ValidationError, InternalServerError, ServiceUnavailable))]
pub async fn log_in(
    State(app): State<AppState>,
    identity: Identity,
    Address(uri): Address,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    Query::of(&uri).finish()?;
    let mut fields = JsonFields::read(&headers, body).await?;
    let (email, password) = (fields.need("email", text), fields.need("password", text));
    fields.finish()?;
    let tokens = app.service.log_in(&needed(email)?, &needed(password)?, Some(identity.address)).await?;
    Ok(answer(tokens))
}

/// Get new tokens
///
/// For a refresh token, which is spent by that. One that comes a second time ends its session: somebody else has it.
#[utoipa::path(post, path = "/token/refresh", tag = "accounts", request_body(content = RefreshRequest, content_type = "application/json"),
    responses((status = 201, description = "The next tokens of the session.", body = Tokens), BadRequest, RequestTimeout, PayloadTooLarge, UnsupportedMediaType,
        ValidationError, InternalServerError, ServiceUnavailable))]
pub async fn refresh_tokens(
    State(app): State<AppState>,
    Address(uri): Address,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    Query::of(&uri).finish()?;
    let mut fields = JsonFields::read(&headers, body).await?;
    let refresh = fields.need("refresh", text);
    fields.finish()?;
    Ok(answer(app.service.refresh_tokens(&needed(refresh)?).await?))
}

/// What holds secrets is kept by no cache.
pub(super) const NO_STORE: (HeaderName, HeaderValue) = (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));

fn answer(tokens: TokenPair) -> Response {
    let TokenPair { access, refresh } = tokens;
    (StatusCode::CREATED, [NO_STORE], Json(Tokens { access, refresh })).into_response()
}
