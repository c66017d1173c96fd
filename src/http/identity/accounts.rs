//! Accounts: administrators create and change them, users read their own.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::plans::PlanView;
use crate::http::AppState;
use crate::http::error::ApiError;
use crate::http::images::views::Time;
use crate::http::openapi::error_responses::{AlreadyExists, Conflict, NotFound};
use crate::http::request::authorization::{Admin, LoggedInAccountHolder};
use crate::http::request::declared::request_fields;
use crate::http::request::extractors::{CallerOf, Identity};
use crate::http::request::fields;
use crate::http::request::fields::Query;
use crate::http::request::json_fields::{JsonBody, JsonFields, boolean, or_null, text};
use crate::http::request::paging::{PageQuery, PageRequest};
use crate::http::request::parameters::{FromPath, NoQuery, PathParam, QueryParams};
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

request_fields! {
    /// What is deleted with an account.
    #[derive(Debug, IntoParams)]
    #[into_params(parameter_in = Query)]
    pub struct DeleteAccountQuery from Query {
        /// Whether to keep the images and collections of the account's user. They then belong to the next account with the same user
        /// id. Without it, an account whose user has images, in the trash or not, cannot be deleted. Defaults to false.
        #[param(value_type = Option<bool>)]
        keep_images: bool = take(fields::boolean) or false,
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
    responses((status = 200, description = "A page of accounts.", body = AccountPage)))]
pub async fn list_accounts(
    State(app): State<AppState>,
    CallerOf(caller): CallerOf,
    request: PageRequest,
) -> Result<Response, ApiError> {
    let page = app.service.list_accounts(&caller, request.limit, request.token.as_deref()).await?;
    request.respond(&app, page, |accounts, next_page_token, has_more| {
        let accounts = accounts.iter().map(AccountView::new).collect();
        AccountPage { accounts, next_page_token, has_more }
    })
}

/// Create an account
///
/// Administrators only.
#[utoipa::path(post, path = "/accounts", tag = "accounts", request_body(content = NewAccountBody, content_type = "application/json"),
    responses((status = 201, description = "Created.", body = AccountView), AlreadyExists))]
pub async fn create_account(
    State(app): State<AppState>,
    _: NoQuery,
    Admin(caller): Admin,
    JsonBody(body): JsonBody<NewAccountBody>,
) -> Result<Response, ApiError> {
    let NewAccountBody { email, password, user_id, plan, admin } = body;
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
    responses((status = 200, description = "The account.", body = AccountStateView)))]
pub async fn get_my_account(
    State(app): State<AppState>,
    _: NoQuery,
    CallerOf(caller): CallerOf,
) -> Result<Json<AccountStateView>, ApiError> {
    Ok(Json(AccountStateView::new(&app.service.my_account(&caller).await?)))
}

/// Change your password
///
/// Ends all sessions of the account. API keys stay valid, and cannot be used for this operation.
#[utoipa::path(put, path = "/accounts/me/password", tag = "accounts",
    request_body(content = ChangePasswordRequest, content_type = "application/json"),
    responses((status = 204, description = "Changed.")))]
pub async fn change_my_password(
    State(app): State<AppState>,
    _: NoQuery,
    identity: Identity,
    LoggedInAccountHolder(caller): LoggedInAccountHolder,
    JsonBody(body): JsonBody<ChangePasswordRequest>,
) -> Result<StatusCode, ApiError> {
    let ChangePasswordRequest { current_password, new_password } = body;
    app.service.change_my_password(&caller, &current_password, &new_password, Some(identity.address)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Get an account
///
/// Administrators only.
#[utoipa::path(get, path = "/accounts/{id}", tag = "accounts", params(("id" = Uuid, Path, description = "The account's id.")),
    responses((status = 200, description = "The account.", body = AccountStateView), NotFound))]
pub async fn get_account(
    State(app): State<AppState>,
    _: NoQuery,
    Admin(caller): Admin,
    PathParam(id): PathParam<AccountId>,
) -> Result<Json<AccountStateView>, ApiError> {
    Ok(Json(AccountStateView::new(&app.service.find_account(&caller, id).await?)))
}

/// Update an account
///
/// Administrators only. A new plan takes effect immediately.
#[utoipa::path(patch, path = "/accounts/{id}", tag = "accounts", params(("id" = Uuid, Path, description = "The account's id.")),
    request_body(content = AccountChangeBody, content_type = "application/json"),
    responses((status = 200, description = "The updated account.", body = AccountStateView), NotFound, Conflict))]
pub async fn update_account(
    State(app): State<AppState>,
    _: NoQuery,
    Admin(caller): Admin,
    PathParam(id): PathParam<AccountId>,
    JsonBody(body): JsonBody<AccountChangeBody>,
) -> Result<Json<AccountStateView>, ApiError> {
    let AccountChangeBody { plan, disabled, admin } = body;
    let change = AccountChange { plan, disabled, admin };
    Ok(Json(AccountStateView::new(&app.service.change_account(&caller, id, change).await?)))
}

/// Delete an account
///
/// Administrators only. The account must be disabled. Its sessions and API keys are deleted, and so are its collections unless
/// `keep_images` is true. Its user is locked out until another account is created with the same user id.
#[utoipa::path(delete, path = "/accounts/{id}", tag = "accounts",
    params(("id" = Uuid, Path, description = "The account's id."), DeleteAccountQuery),
    responses((status = 204, description = "Deleted."), NotFound, Conflict))]
pub async fn delete_account(
    State(app): State<AppState>,
    QueryParams(query): QueryParams<DeleteAccountQuery>,
    Admin(caller): Admin,
    PathParam(id): PathParam<AccountId>,
) -> Result<StatusCode, ApiError> {
    app.service.delete_account(&caller, id, query.keep_images).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl FromPath for AccountId {
    fn from_path(segment: &str) -> Result<Self, Error> {
        Self::parse(segment).ok_or_else(|| Error::NotFound { what: "such account".to_owned() })
    }
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
            images_left: features.and_then(|features| left(features.max_images, images + state.reserved.count)),
            bytes_left: features.and_then(|features| left(features.max_bytes, bytes + state.reserved.bytes)),
        };
        Self { account: AccountView::new(&state.account), features: state.plan.as_ref().map(PlanView::new), usage }
    }
}

/// Formats a timestamp as [`Time`] does.
pub(in crate::http) fn time(time: DateTime<Utc>) -> String {
    Time(time).to_string()
}
