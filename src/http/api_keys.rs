//! API keys: for programs that come in without a password.

use std::collections::BTreeSet;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::AppState;
use super::accounts::time;
use super::error::{
    ApiError, BadRequest, Conflict, InternalServerError, NotFound, PayloadTooLarge, RequestTimeout, ServiceUnavailable,
    UnsupportedMediaType, ValidationError,
};
use super::extract::{Address, CallerOf, Query, Segment};
use super::json_fields::{JsonFields, or_null, text};
use super::tokens::NO_STORE;
use crate::model::account::{ApiKey, KeyId, Scope};
use crate::service::api_keys::KeyChange;
use crate::service::error::Error;

/// What a key is for. A field that is absent is empty in a new key, and stays as it is in another.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ApiKeySettings, example = json!({"description": "the shop's uploader", "scopes": ["upload"]}))]
#[expect(dead_code, reason = "it describes what `read_fields` reads")]
pub struct ApiKeyBody {
    /// Where the key is used.
    #[schema(nullable = false, max_length = 200, pattern = "^[^\\u0000]*$")]
    description: Option<String>,
    /// What it is good for: `read` what its account may see; `upload`, which is also to import, change, delete, restore and share
    /// its account's images; `admin`, what administrators do. Null is everything.
    #[schema(value_type = Option<Vec<super::words::ApiKeyScopeWord>>, max_items = 3)]
    scopes: Option<Vec<String>>,
}

/// An API key, but for the key itself.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ApiKey)]
pub struct ApiKeyView {
    #[schema(format = Uuid)]
    pub id: String,
    pub description: String,
    /// Null is everything.
    #[schema(value_type = Option<Vec<super::words::ApiKeyScopeWord>>)]
    pub scopes: Option<Vec<&'static str>>,
    #[schema(format = DateTime)]
    pub created_at: String,
    /// To the minute; null for one that was never used.
    #[schema(format = DateTime)]
    pub last_used_at: Option<String>,
}

/// A key that was made just now.
#[derive(Debug, Serialize, ToSchema)]
pub struct CreatedApiKey {
    #[serde(flatten)]
    pub api_key: ApiKeyView,
    /// The key itself, for `Authorization: Basic` as the password of any user. It is told this once.
    pub key: String,
}

/// Keys of an account.
#[derive(Debug, Serialize, ToSchema)]
pub struct ApiKeyList {
    /// Newest first.
    pub api_keys: Vec<ApiKeyView>,
}

/// List your API keys
#[utoipa::path(get, path = "/api-keys", tag = "accounts",
    responses((status = 200, description = "The keys.", body = ApiKeyList), ValidationError, InternalServerError, ServiceUnavailable))]
pub async fn list_api_keys(
    State(app): State<AppState>,
    CallerOf(caller): CallerOf,
    Address(uri): Address,
) -> Result<Json<ApiKeyList>, ApiError> {
    Query::of(&uri).finish()?;
    let api_keys = app.service.list_keys(&caller).await?.iter().map(ApiKeyView::new).collect();
    Ok(Json(ApiKeyList { api_keys }))
}

/// Make an API key
///
/// The key itself is in this answer and never again. Not by a key with scopes.
#[utoipa::path(post, path = "/api-keys", tag = "accounts", request_body(content = ApiKeyBody, content_type = "application/json"),
    responses((status = 201, description = "It is made.", body = CreatedApiKey), BadRequest, RequestTimeout, Conflict, PayloadTooLarge, UnsupportedMediaType,
        ValidationError, InternalServerError, ServiceUnavailable))]
pub async fn create_api_key(
    State(app): State<AppState>,
    CallerOf(caller): CallerOf,
    Address(uri): Address,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    Query::of(&uri).finish()?;
    app.service.require_whole_account(&caller)?;
    let change = read_fields(JsonFields::read(&headers, body).await?)?;
    let (description, scopes) = (change.description.unwrap_or_default(), change.scopes.flatten());
    let (api_key, key) = app.service.create_key(&caller, description, scopes).await?;
    Ok((StatusCode::CREATED, [NO_STORE], Json(CreatedApiKey { api_key: ApiKeyView::new(&api_key), key })).into_response())
}

/// Look up an API key
#[utoipa::path(get, path = "/api-keys/{id}", tag = "accounts", params(("id" = Uuid, Path, description = "The key's id.")),
    responses((status = 200, description = "The key.", body = ApiKeyView), NotFound, ValidationError, InternalServerError, ServiceUnavailable))]
pub async fn get_api_key(
    State(app): State<AppState>,
    CallerOf(caller): CallerOf,
    Segment(id): Segment,
    Address(uri): Address,
) -> Result<Json<ApiKeyView>, ApiError> {
    Query::of(&uri).finish()?;
    app.service.require_account(&caller)?;
    Ok(Json(ApiKeyView::new(&app.service.find_key(&caller, key_id(&id)?).await?)))
}

/// Change an API key
///
/// Its description or its scopes. Not by a key with scopes.
#[utoipa::path(put, path = "/api-keys/{id}", tag = "accounts", params(("id" = Uuid, Path, description = "The key's id.")),
    request_body(content = ApiKeyBody, content_type = "application/json"),
    responses((status = 200, description = "The key as it is now.", body = ApiKeyView), BadRequest, NotFound, RequestTimeout, PayloadTooLarge,
        UnsupportedMediaType, ValidationError, InternalServerError, ServiceUnavailable))]
pub async fn update_api_key(
    State(app): State<AppState>,
    CallerOf(caller): CallerOf,
    Segment(id): Segment,
    Address(uri): Address,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<ApiKeyView>, ApiError> {
    Query::of(&uri).finish()?;
    app.service.require_whole_account(&caller)?;
    let id = key_id(&id)?;
    let change = read_fields(JsonFields::read(&headers, body).await?)?;
    Ok(Json(ApiKeyView::new(&app.service.change_key(&caller, id, change).await?)))
}

/// Delete an API key
///
/// It is no longer accepted from then on. Not by a key with scopes.
#[utoipa::path(delete, path = "/api-keys/{id}", tag = "accounts", params(("id" = Uuid, Path, description = "The key's id.")),
    responses((status = 204, description = "It is deleted."), NotFound, ValidationError, InternalServerError, ServiceUnavailable))]
pub async fn delete_api_key(
    State(app): State<AppState>,
    CallerOf(caller): CallerOf,
    Segment(id): Segment,
    Address(uri): Address,
) -> Result<StatusCode, ApiError> {
    Query::of(&uri).finish()?;
    app.service.require_whole_account(&caller)?;
    app.service.delete_key(&caller, key_id(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What is not an id names no key.
fn key_id(text: &str) -> Result<KeyId, Error> {
    KeyId::parse(text).ok_or_else(|| Error::NotFound { what: "such API key".to_owned() })
}

fn read_fields(mut fields: JsonFields) -> Result<KeyChange, Error> {
    let change = KeyChange {
        description: fields.take("description", read_description),
        scopes: fields.take("scopes", or_null(read_scopes)),
    };
    fields.finish()?;
    Ok(change)
}

fn read_description(value: Value) -> Result<String, String> {
    let text = text(value)?;
    if text.chars().count() > ApiKey::MAX_DESCRIPTION_CHARS {
        return Err(format!("must have at most {} characters", ApiKey::MAX_DESCRIPTION_CHARS));
    }
    if text.contains('\0') { Err("must not have U+0000".to_owned()) } else { Ok(text) }
}

fn read_scopes(value: Value) -> Result<BTreeSet<Scope>, String> {
    let rule = || "must be a list of read, upload and admin, or null".to_owned();
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
        }
    }
}
