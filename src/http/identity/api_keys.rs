//! API keys, with which programs authenticate without a password.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::accounts::time;
use super::tokens::NO_STORE;
use crate::http::AppState;
use crate::http::error::ApiError;
use crate::http::openapi::error_responses::{LimitReached, NotFound};
use crate::http::request::authorization::{AccountHolder, UnrestrictedAccountHolder};
use crate::http::request::declared::request_fields;
use crate::http::request::extractors::CallerOf;
use crate::http::request::json_fields::{JsonBody, JsonFields, integer, or_null, text};
use crate::http::request::parameters::{FromPath, NoQuery, PathParam};
use crate::model::account::{ApiKey, KeyId, Scope};
use crate::service::error::Error;
use crate::service::identity::api_keys::{KeyChange, NewKey};

request_fields! {
    /// The description, scopes and expiry of an API key. In a new key, omitted fields are empty; in an existing key they keep their
    /// value.
    #[derive(Debug, ToSchema)]
    #[schema(as = ApiKeySettings, example = json!({"description": "the shop's uploader", "scopes": ["upload"]}))]
    pub struct ApiKeyBody from JsonFields {
        /// A note on where the key is used. U+0000 is not allowed.
        #[schema(nullable = false, max_length = 200)]
        description: Option<String> = take(read_description),
        /// The scopes of the key; null permits everything that its account can do.
        #[schema(value_type = Option<Vec<crate::http::openapi::enums::ApiKeyScopeSchema>>, max_items = 4)]
        scopes: Option<Option<BTreeSet<Scope>>> = take(or_null(read_scopes)),
        /// Seconds from now until the key expires; null means never.
        #[schema(value_type = Option<u64>, minimum = 60, maximum = 315_360_000, example = 7_776_000)]
        expires_in: Option<Option<Duration>> = take(or_null(read_lifetime)),
    }
}

/// An API key, without its secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ApiKey)]
pub struct ApiKeyView {
    /// The key's id, a UUIDv7.
    #[schema(format = Uuid)]
    pub id: String,
    /// A note on where the key is used.
    pub description: String,
    /// The scopes of the key; null permits everything that its account can do.
    #[schema(value_type = Option<Vec<crate::http::openapi::enums::ApiKeyScopeSchema>>)]
    pub scopes: Option<Vec<&'static str>>,
    /// When the key was created.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// When the key was last used, to the minute; null if never.
    #[schema(format = DateTime)]
    pub last_used_at: Option<String>,
    /// When the key expires; null means never.
    #[schema(format = DateTime)]
    pub expires_at: Option<String>,
}

/// A new API key.
#[derive(Debug, Serialize, ToSchema)]
pub struct CreatedApiKey {
    #[serde(flatten)]
    pub api_key: ApiKeyView,
    /// The secret. Send it as a bearer token, in `X-API-Key`, or as the password in basic authentication. It is shown only once.
    pub key: String,
}

/// The API keys of an account.
#[derive(Debug, Serialize, ToSchema)]
pub struct ApiKeyList {
    /// The keys, newest first.
    pub api_keys: Vec<ApiKeyView>,
}

/// List your API keys
///
/// Newest first, without the secrets.
#[utoipa::path(get, path = "/api-keys", tag = "accounts",
    responses((status = 200, description = "Your API keys.", body = ApiKeyList)))]
pub async fn list_api_keys(
    State(app): State<AppState>,
    _: NoQuery,
    CallerOf(caller): CallerOf,
) -> Result<Json<ApiKeyList>, ApiError> {
    let api_keys = app.service.list_keys(&caller).await?.iter().map(ApiKeyView::new).collect();
    Ok(Json(ApiKeyList { api_keys }))
}

/// Create an API key
///
/// Only this response contains the secret. A key with scopes cannot create keys.
#[utoipa::path(post, path = "/api-keys", tag = "accounts", request_body(content = ApiKeyBody, content_type = "application/json"),
    responses((status = 201, description = "Created.", body = CreatedApiKey), LimitReached))]
pub async fn create_api_key(
    State(app): State<AppState>,
    _: NoQuery,
    UnrestrictedAccountHolder(caller): UnrestrictedAccountHolder,
    JsonBody(body): JsonBody<ApiKeyBody>,
) -> Result<Response, ApiError> {
    let ApiKeyBody { description, scopes, expires_in } = body;
    let new = NewKey { description: description.unwrap_or_default(), scopes: scopes.flatten(), lifetime: expires_in.flatten() };
    let (api_key, key) = app.service.create_key(&caller, new).await?;
    Ok((StatusCode::CREATED, [NO_STORE], Json(CreatedApiKey { api_key: ApiKeyView::new(&api_key), key })).into_response())
}

/// Get an API key
///
/// Returns the key without its secret.
#[utoipa::path(get, path = "/api-keys/{id}", tag = "accounts", params(("id" = Uuid, Path, description = "The key's id.")),
    responses((status = 200, description = "The key.", body = ApiKeyView), NotFound))]
pub async fn get_api_key(
    State(app): State<AppState>,
    _: NoQuery,
    AccountHolder(caller): AccountHolder,
    PathParam(id): PathParam<KeyId>,
) -> Result<Json<ApiKeyView>, ApiError> {
    Ok(Json(ApiKeyView::new(&app.service.find_key(&caller, id).await?)))
}

/// Update an API key
///
/// Changes the description, scopes or expiry. A key with scopes cannot update keys.
#[utoipa::path(put, path = "/api-keys/{id}", tag = "accounts", params(("id" = Uuid, Path, description = "The key's id.")),
    request_body(content = ApiKeyBody, content_type = "application/json"),
    responses((status = 200, description = "The updated key.", body = ApiKeyView), NotFound))]
pub async fn update_api_key(
    State(app): State<AppState>,
    _: NoQuery,
    UnrestrictedAccountHolder(caller): UnrestrictedAccountHolder,
    PathParam(id): PathParam<KeyId>,
    JsonBody(body): JsonBody<ApiKeyBody>,
) -> Result<Json<ApiKeyView>, ApiError> {
    let ApiKeyBody { description, scopes, expires_in } = body;
    let change = KeyChange { description, scopes, lifetime: expires_in };
    Ok(Json(ApiKeyView::new(&app.service.change_key(&caller, id, change).await?)))
}

/// Delete an API key
///
/// From then on, the key is rejected. A key with scopes cannot delete keys.
#[utoipa::path(delete, path = "/api-keys/{id}", tag = "accounts", params(("id" = Uuid, Path, description = "The key's id.")),
    responses((status = 204, description = "Deleted."), NotFound))]
pub async fn delete_api_key(
    State(app): State<AppState>,
    _: NoQuery,
    UnrestrictedAccountHolder(caller): UnrestrictedAccountHolder,
    PathParam(id): PathParam<KeyId>,
) -> Result<StatusCode, ApiError> {
    app.service.delete_key(&caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl FromPath for KeyId {
    fn from_path(segment: &str) -> Result<Self, Error> {
        Self::parse(segment).ok_or_else(|| Error::NotFound { what: "such API key".to_owned() })
    }
}

fn read_description(value: Value) -> Result<String, String> {
    let text = text(value)?;
    if text.chars().count() > ApiKey::MAX_DESCRIPTION_CHARS {
        return Err(format!("must have at most {} characters", ApiKey::MAX_DESCRIPTION_CHARS));
    }
    if text.contains('\0') { Err("must not contain U+0000".to_owned()) } else { Ok(text) }
}

/// The maximum is ten years.
fn read_lifetime(value: Value) -> Result<Duration, String> {
    integer(60, 315_360_000)(value).map(Duration::from_secs)
}

fn read_scopes(value: Value) -> Result<BTreeSet<Scope>, String> {
    let rule = || "must be a list of read, upload, adopt and admin, or null".to_owned();
    let Value::Array(values) = value else { return Err(rule()) };
    let scope = |value: Value| value.as_str().and_then(|name| Scope::parse(name).ok()).ok_or_else(rule);
    if values.len() > Scope::ALL.len() { Err(rule()) } else { values.into_iter().map(scope).collect() }
}

impl ApiKeyView {
    fn new(key: &ApiKey) -> Self {
        Self {
            id: key.id.to_string(),
            description: key.description.clone(),
            scopes: key.scopes.as_ref().map(|scopes| scopes.iter().map(|scope| scope.name()).collect()),
            created_at: time(key.id.created_at()),
            last_used_at: key.last_used_at.map(time),
            expires_at: key.expires_at.map(time),
        }
    }
}
