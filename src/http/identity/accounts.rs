//! Accounts: administrators create and change them, users read their own.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::plans::PlanView;
use crate::http::AppState;
use crate::http::error::ApiError;
use crate::http::images::views::Time;
use crate::http::openapi::error_responses::{
    AlreadyExists, BadRequest, Conflict, InternalServerError, InvalidPageToken, NotFound, PayloadTooLarge, RequestTimeout,
    ServiceUnavailable, UnsupportedMediaType, ValidationError,
};
use crate::http::request::declared::request_fields;
use crate::http::request::extractors::{CallerOf, Identity, PathSegment, RequestUri};
use crate::http::request::fields;
use crate::http::request::fields::Query;
use crate::http::request::json_fields::{JsonFields, boolean, or_null, text};
use crate::http::request::link_header::with_next;
use crate::http::request::paging::{PageQuery, take_page};
use crate::model::account::{Account, AccountId, Email};
use crate::model::caller::UserId;
use crate::model::plan::{PlanName, Usage};
use crate::service::error::Error;
use crate::service::identity::accounts::{AccountChange, AccountState};
use crate::service::identity::passwords::Password;
use crate::service::identity::registration::NewAccount;

request_fields! {
    /// The account to create.
    #[derive(Debug, ToSchema)]
    #[schema(as = CreateAccountRequest, example = json!({"email": "ann@example.org", "password": "correct horse battery", "plan": "Premium"}))]
    pub struct NewAccountBody from JsonFields {
        /// The e-mail address to log in with. Case-insensitive, and unique among all accounts.
        #[schema(value_type = String, format = "email", min_length = 3, max_length = 254)]
        email: Email = require(|value| Email::parse(&text(value)?)),
        /// 12 to 128 characters without control characters. It must not begin with `isk_`, as API keys do.
        #[schema(value_type = String, min_length = 12, max_length = 128)]
        password: Password = require(|value| Password::parse(&text(value)?)),
        /// The user id that owns the account's images: the one that a gateway already uses for the same person. Defaults to the
        /// account's id.
        #[schema(value_type = Option<String>, nullable, min_length = 1, max_length = 255, pattern = "^[A-Za-z0-9._@:|+~=-]+$")]
        user_id: Option<UserId> = take(or_null(|value| UserId::parse(&text(value)?))) or None,
        /// The name of the plan. Defaults to `Basic`; null means all features, without quotas.
        #[schema(value_type = Option<String>, nullable, min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9_-]+$")]
        plan: Option<PlanName> = take(or_null(read_plan)) or PlanName::parse(DEFAULT_PLAN).ok(),
        /// Whether the account is an administrator. Defaults to false; API keys cannot set it.
        #[schema(value_type = Option<bool>, nullable = false)]
        admin: bool = take(boolean) or false,
    }
}

request_fields! {
    /// The fields of an account to change. Omitted fields keep their value.
    #[derive(Debug, ToSchema)]
    #[schema(as = UpdateAccountRequest, example = json!({"plan": "Enterprise"}))]
    pub struct AccountChangeBody from JsonFields {
        /// The name of the plan; null means all features, without quotas.
        #[schema(value_type = Option<String>, nullable, min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9_-]+$")]
        plan: Option<Option<PlanName>> = take(or_null(read_plan)),
        /// Disabling an account ends its sessions and rejects its API keys. Its public images stay visible.
        #[schema(nullable = false)]
        disabled: Option<bool> = take(boolean),
        /// Whether the account is an administrator. API keys cannot set it to true.
        #[schema(nullable = false)]
        admin: Option<bool> = take(boolean),
    }
}

request_fields! {
    /// The current and the new password.
    #[derive(Debug, ToSchema)]
    pub struct ChangePasswordRequest from JsonFields {
        /// The current password.
        current_password: String = require(text),
        /// 12 to 128 characters without control characters. It must not begin with `isk_`, as API keys do.
        #[schema(value_type = String, min_length = 12, max_length = 128)]
        new_password: Password = require(|value| Password::parse(&text(value)?)),
    }
}

/// An account.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Account)]
pub struct AccountView {
    /// The account's id, a UUIDv7.
    #[schema(format = Uuid)]
    pub id: String,
    /// The e-mail address, in lower case.
    #[schema(example = "ann@example.org")]
    pub email: String,
    /// The user id that owns the account's images.
    pub user_id: String,
    /// The name of the plan; null means all features, without quotas.
    #[schema(example = "Premium")]
    pub plan: Option<String>,
    /// Whether the account is an administrator.
    pub admin: bool,
    /// Whether the account is disabled.
    pub disabled: bool,
    /// When the account was created.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// When the account was last changed.
    #[schema(format = DateTime)]
    pub updated_at: String,
}

/// An account with the features of its plan and its usage.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AccountWithUsage)]
pub struct AccountStateView {
    #[serde(flatten)]
    pub account: AccountView,
    /// The features of the plan; null means all features, without quotas.
    pub features: Option<PlanView>,
    /// The usage of the account.
    pub usage: UsageView,
}

/// The usage of an account. Deleted images count separately, against a quota of the same size.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AccountUsage)]
pub struct UsageView {
    /// Number of images.
    pub images: u64,
    /// Size of all originals, in bytes.
    pub bytes: u64,
    /// Size of all stored resized images, in bytes. They count towards the quota for bytes and are removed to make space for
    /// originals.
    pub variant_bytes: u64,
    /// Number of images left in the quota; null without a quota.
    pub images_left: Option<u64>,
    /// Bytes left in the quota for originals; null without a quota. Resized images do not reduce it.
    pub bytes_left: Option<u64>,
    /// Number of images in the trash: deleted but not purged yet.
    pub trash_images: u64,
    /// Size of the originals in the trash, in bytes.
    pub trash_bytes: u64,
}

/// A page of accounts, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct AccountPage {
    /// The accounts on this page.
    pub accounts: Vec<AccountView>,
    /// The `page_token` of the next page; null on the last page.
    pub next_page_token: Option<String>,
    /// Whether there is another page.
    pub has_more: bool,
}

/// List accounts
///
/// Administrators only.
#[utoipa::path(get, path = "/accounts", tag = "accounts", params(PageQuery),
    responses((status = 200, description = "A page of accounts.", body = AccountPage), InvalidPageToken, ValidationError, InternalServerError, ServiceUnavailable))]
pub async fn list_accounts(
    State(app): State<AppState>,
    CallerOf(caller): CallerOf,
    RequestUri(uri): RequestUri,
) -> Result<Response, ApiError> {
    let (limit, token) = take_page(Query::of(&uri))?;
    let page = app.service.list_accounts(&caller, limit, token.as_deref()).await?;
    let accounts = page.items.iter().map(AccountView::new).collect();
    let next = page.next.clone();
    let view = AccountPage { accounts, has_more: page.next.is_some(), next_page_token: page.next };
    Ok(with_next(&app, &uri, next.as_deref(), Json(view))?)
}

/// Create an account
///
/// Administrators only.
#[utoipa::path(post, path = "/accounts", tag = "accounts", request_body(content = NewAccountBody, content_type = "application/json"),
    responses((status = 201, description = "Created.", body = AccountView), BadRequest, RequestTimeout, AlreadyExists, PayloadTooLarge, UnsupportedMediaType,
        ValidationError, InternalServerError, ServiceUnavailable))]
pub async fn create_account(
    State(app): State<AppState>,
    CallerOf(caller): CallerOf,
    RequestUri(uri): RequestUri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    Query::of(&uri).finish()?;
    app.service.require_admin(&caller)?;
    let NewAccountBody { email, password, user_id, plan, admin } = JsonFields::parse(&headers, body).await?;
    let new = NewAccount { email, password, user_id, plan, admin };
    let account = app.service.create_account(&caller, new).await?;
    Ok((StatusCode::CREATED, Json(AccountView::new(&account))).into_response())
}

/// The smallest of the built-in plans.
const DEFAULT_PLAN: &str = "Basic";

fn read_plan(value: Value) -> Result<PlanName, String> {
    PlanName::parse(&text(value)?)
}

/// Get your account
///
/// Includes the features of the plan and the usage.
#[utoipa::path(get, path = "/accounts/me", tag = "accounts",
    responses((status = 200, description = "The account.", body = AccountStateView), ValidationError, InternalServerError, ServiceUnavailable))]
pub async fn get_my_account(
    State(app): State<AppState>,
    CallerOf(caller): CallerOf,
    RequestUri(uri): RequestUri,
) -> Result<Json<AccountStateView>, ApiError> {
    Query::of(&uri).finish()?;
    Ok(Json(AccountStateView::new(&app.service.my_account(&caller).await?)))
}

/// Change your password
///
/// Ends all sessions of the account. API keys stay valid, and cannot be used for this operation.
#[utoipa::path(put, path = "/accounts/me/password", tag = "accounts",
    request_body(content = ChangePasswordRequest, content_type = "application/json"),
    responses((status = 204, description = "Changed."), BadRequest, RequestTimeout, PayloadTooLarge, UnsupportedMediaType, ValidationError,
        InternalServerError, ServiceUnavailable))]
pub async fn change_my_password(
    State(app): State<AppState>,
    identity: Identity,
    CallerOf(caller): CallerOf,
    RequestUri(uri): RequestUri,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, ApiError> {
    Query::of(&uri).finish()?;
    app.service.require_interactive_account(&caller)?;
    let ChangePasswordRequest { current_password, new_password } = JsonFields::parse(&headers, body).await?;
    app.service.change_my_password(&caller, &current_password, &new_password, Some(identity.address)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Get an account
///
/// Administrators only.
#[utoipa::path(get, path = "/accounts/{id}", tag = "accounts", params(("id" = Uuid, Path, description = "The account's id.")),
    responses((status = 200, description = "The account.", body = AccountStateView), NotFound, ValidationError, InternalServerError, ServiceUnavailable))]
pub async fn get_account(
    State(app): State<AppState>,
    CallerOf(caller): CallerOf,
    PathSegment(id): PathSegment,
    RequestUri(uri): RequestUri,
) -> Result<Json<AccountStateView>, ApiError> {
    Query::of(&uri).finish()?;
    app.service.require_admin(&caller)?;
    Ok(Json(AccountStateView::new(&app.service.find_account(&caller, account_id(&id)?).await?)))
}

/// Update an account
///
/// Administrators only. A new plan takes effect immediately.
#[utoipa::path(patch, path = "/accounts/{id}", tag = "accounts", params(("id" = Uuid, Path, description = "The account's id.")),
    request_body(content = AccountChangeBody, content_type = "application/json"),
    responses((status = 200, description = "The updated account.", body = AccountStateView), BadRequest, NotFound, RequestTimeout, Conflict, PayloadTooLarge,
        UnsupportedMediaType, ValidationError, InternalServerError, ServiceUnavailable))]
pub async fn update_account(
    State(app): State<AppState>,
    CallerOf(caller): CallerOf,
    PathSegment(id): PathSegment,
    RequestUri(uri): RequestUri,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<AccountStateView>, ApiError> {
    Query::of(&uri).finish()?;
    app.service.require_admin(&caller)?;
    let id = account_id(&id)?;
    let AccountChangeBody { plan, disabled, admin } = JsonFields::parse(&headers, body).await?;
    let change = AccountChange { plan, disabled, admin };
    Ok(Json(AccountStateView::new(&app.service.change_account(&caller, id, change).await?)))
}

/// Delete an account
///
/// Administrators only. The account must be disabled. Its sessions and API keys are deleted, and so are its collections unless
/// `keep_images` is true. Its user is locked out until another account is created with the same user id.
#[utoipa::path(delete, path = "/accounts/{id}", tag = "accounts",
    params(("id" = Uuid, Path, description = "The account's id."),
        ("keep_images" = Option<bool>, Query, description = "Whether to keep the images and collections of the account's user. They then belong to the next \
            account with the same user id. Without it, an account whose user has images, in the trash or not, cannot be deleted. Defaults to false.")),
    responses((status = 204, description = "Deleted."), NotFound, Conflict, ValidationError, InternalServerError, ServiceUnavailable))]
pub async fn delete_account(
    State(app): State<AppState>,
    CallerOf(caller): CallerOf,
    PathSegment(id): PathSegment,
    RequestUri(uri): RequestUri,
) -> Result<StatusCode, ApiError> {
    let mut query = Query::of(&uri);
    let keep_images = query.take("keep_images", fields::boolean).unwrap_or(false);
    query.finish()?;
    app.service.require_admin(&caller)?;
    app.service.delete_account(&caller, account_id(&id)?, keep_images).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Parses an account id in a path. An invalid id is a 404.
fn account_id(text: &str) -> Result<AccountId, Error> {
    AccountId::parse(text).ok_or_else(|| Error::NotFound { what: "such account".to_owned() })
}

impl AccountView {
    fn new(account: &Account) -> Self {
        Self {
            id: account.id.to_string(),
            email: account.email.to_string(),
            user_id: account.user_id.to_string(),
            plan: account.plan.as_ref().map(PlanName::to_string),
            admin: account.admin,
            disabled: account.disabled_at.is_some(),
            created_at: time(account.id.created_at()),
            updated_at: time(account.updated_at),
        }
    }
}

impl AccountStateView {
    fn new(state: &AccountState) -> Self {
        let Usage { images, bytes, variant_bytes } = state.usage;
        let features = state.plan.as_ref().map(|plan| &plan.features);
        let left = |max: Option<u64>, used: u64| max.map(|max| max.saturating_sub(used));
        let usage = UsageView {
            trash_images: state.trash.images,
            trash_bytes: state.trash.bytes,
            images,
            bytes,
            variant_bytes,
            images_left: features.and_then(|features| left(features.max_images, images)),
            bytes_left: features.and_then(|features| left(features.max_bytes, bytes)),
        };
        Self { account: AccountView::new(&state.account), features: state.plan.as_ref().map(PlanView::new), usage }
    }
}

/// Formats a timestamp as [`Time`] does.
pub(in crate::http) fn time(time: DateTime<Utc>) -> String {
    Time(time).to_string()
}
