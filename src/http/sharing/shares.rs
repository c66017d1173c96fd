//! Shares: owners create, list, change and delete them. What visitors request is in `shared_images.rs`.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::http::AppState;
use crate::http::error::ApiError;
use crate::http::identity::accounts::time;
use crate::http::openapi::error_responses::{LimitReached, NotFound};
use crate::http::request::authorization::User;
use crate::http::request::declared::{RequestFields, request_fields};
use crate::http::request::extractors::RequestUri;
use crate::http::request::fields::Query;
use crate::http::request::json_fields::{JsonBody, JsonFields, or_null, small_integer, text};
use crate::http::request::paging::{PageQuery, PageRequest, take_page};
use crate::http::request::parameters::{FromPath, NoQuery, PathParam};
use crate::model::collection::CollectionName;
use crate::model::id::ImageId;
use crate::model::share::{Share, ShareId, ShareTarget, ShareTerms};
use crate::service::error::Error;
use crate::service::identity::passwords::Password;
use crate::service::sharing::shares::{NewShareTarget, ShareChange};

/// The lifetime of a share in seconds: a minute to ten years.
const MIN_LIFETIME: u32 = 60;
const MAX_LIFETIME: u32 = 315_360_000;

/// The most images that visitors may be allowed to add.
const MAX_GUEST_IMAGES: u32 = 1000;

request_fields! {
    /// What to share, and on which terms. Exactly one of `image_id` and `collection` is required.
    #[derive(Debug, ToSchema)]
    #[schema(as = CreateShareRequest, example = json!({"collection": "summer-2026", "expires_in": 604_800, "max_guest_images": 50}))]
    pub struct NewShareBody from JsonFields {
        /// The id of your image to share.
        #[schema(nullable = false, value_type = Option<String>, format = Uuid)]
        image_id: Option<ImageId> = take(|value| read_image_id(&text(value)?)),
        /// The name of your collection to share.
        #[schema(nullable = false, value_type = Option<String>, min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9_-]+$")]
        collection: Option<CollectionName> = take(|value| CollectionName::parse(&text(value)?)),
        /// Lifetime in seconds; null means that the share does not expire.
        #[schema(nullable, minimum = 60, maximum = 315_360_000)]
        expires_in: Option<u32> = take(or_null(small_integer(MIN_LIFETIME, MAX_LIFETIME))) or None,
        /// The password that visitors must enter; null means that the link is enough.
        #[schema(nullable, value_type = Option<String>, format = Password, min_length = 6, max_length = 128)]
        password: Option<Password> = take(or_null(read_password)) or None,
        /// How many images visitors can add to the collection in total; null means that they cannot add any.
        #[schema(nullable, minimum = 1, maximum = 1000)]
        max_guest_images: Option<u32> = take(or_null(small_integer(1, MAX_GUEST_IMAGES))) or None,
    }
}

request_fields! {
    /// The terms of a share to change. Fields that are absent stay unchanged.
    #[derive(Debug, ToSchema)]
    #[schema(as = UpdateShareRequest, example = json!({"expires_in": null, "password": "between us"}))]
    pub struct ShareChangeBody from JsonFields {
        /// Lifetime in seconds, from now; null means that the share does not expire.
        #[schema(nullable, value_type = Option<u32>, minimum = 60, maximum = 315_360_000)]
        expires_in: Option<Option<u32>> = take(or_null(small_integer(MIN_LIFETIME, MAX_LIFETIME))),
        /// The password that visitors must enter; null removes it. Visitors must enter a new password.
        #[schema(nullable, value_type = Option<String>, format = Password, min_length = 6, max_length = 128)]
        password: Option<Option<Password>> = take(or_null(read_password)),
        /// How many images visitors can add in total, including those that they have added; null means that they cannot add any.
        #[schema(nullable, value_type = Option<u32>, minimum = 1, maximum = 1000)]
        max_guest_images: Option<Option<u32>> = take(or_null(small_integer(1, MAX_GUEST_IMAGES))),
    }
}

fn read_image_id(text: &str) -> Result<ImageId, String> {
    ImageId::parse(text).ok_or_else(|| "must be a UUID".to_owned())
}

fn read_password(value: Value) -> Result<Password, String> {
    Password::parse_for_share(&text(value)?)
}

request_fields! {
    /// Which shares to list.
    #[derive(Debug, IntoParams)]
    #[into_params(parameter_in = Query)]
    pub struct ShareQuery from Query {
        /// Only shares of this image.
        #[param(value_type = Option<String>, format = Uuid)]
        image_id: Option<ImageId> = take(read_image_id),
        /// Only shares of this collection, which must be your own. Not together with `image_id`.
        #[param(value_type = Option<String>, min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9_-]+$")]
        collection: Option<CollectionName> = take(CollectionName::parse),
    }
}

/// A share of an image or a collection.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Share)]
pub struct ShareView {
    /// The id of the share, a UUIDv7.
    #[schema(format = Uuid)]
    pub id: String,
    /// The link for visitors.
    #[schema(example = "http://localhost:8000/s/3q2-7wAAAAAAAAAAAAAAAA")]
    pub url: String,
    /// The id of the shared image; null if a collection is shared.
    #[schema(format = Uuid)]
    pub image_id: Option<String>,
    /// The name of the shared collection; null if an image is shared.
    #[schema(example = "summer-2026")]
    pub collection: Option<String>,
    /// When the share was created.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// When the share expires; null means never.
    #[schema(format = DateTime)]
    pub expires_at: Option<String>,
    /// Whether the share has expired.
    pub expired: bool,
    /// Whether visitors must enter a password.
    pub has_password: bool,
    /// How many images visitors can add in total; null means that they cannot add any.
    pub max_guest_images: Option<u32>,
    /// How many images visitors have added.
    pub guest_images: u32,
}

/// A page of shares, newest first. Expired shares are listed for a week.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SharePage)]
pub struct SharePageView {
    /// The shares on this page.
    pub shares: Vec<ShareView>,
    /// The `page_token` of the next page; null on the last page.
    pub next_page_token: Option<String>,
    /// Whether there is another page.
    pub has_more: bool,
}

/// List your shares
///
/// Newest first: all, or those of an image or a collection.
#[utoipa::path(get, path = "/shares", tag = "shares", params(PageQuery, ShareQuery),
    responses((status = 200, description = "A page of shares.", body = SharePageView), NotFound))]
pub async fn list_shares(
    State(app): State<AppState>,
    User(caller): User,
    RequestUri(uri): RequestUri,
) -> Result<Response, ApiError> {
    let mut query = Query::of(&uri);
    let target = match ShareQuery::take(&mut query) {
        Some(ShareQuery { image_id: Some(_), collection: Some(_) }) => {
            query.errors.add("collection", "must be absent if image_id is given");
            None
        }
        Some(ShareQuery { image_id: Some(id), .. }) => Some(NewShareTarget::Image(id)),
        Some(ShareQuery { collection, .. }) => collection.map(NewShareTarget::Collection),
        None => None,
    };
    let (limit, token) = take_page(query)?;
    let page = app.service.list_shares(&caller, target.as_ref(), limit, token.as_deref()).await?;
    let request = PageRequest { limit, token, uri };
    request.respond(&app, page, |shares, next_page_token, has_more| {
        let shares = shares.iter().map(|share| ShareView::new(&app, share)).collect();
        SharePageView { shares, next_page_token, has_more }
    })
}

/// Share an image or a collection
///
/// Creates a link that anyone can open: a page in a browser, and JSON for programs. It also shows private images. The owner only,
/// if the plan includes share links. The share stops working when it expires or is deleted, or the image or collection is deleted.
/// Limit: 100 shares per image or collection.
#[utoipa::path(post, path = "/shares", tag = "shares",
    request_body(content = NewShareBody, content_type = "application/json"),
    responses((status = 201, description = "Created.", body = ShareView), NotFound, LimitReached))]
pub async fn create_share(
    State(app): State<AppState>,
    _: NoQuery,
    User(caller): User,
    JsonBody(body): JsonBody<NewShareBody>,
) -> Result<Response, ApiError> {
    let NewShareBody { image_id, collection, expires_in, password, max_guest_images } = body;
    let target = match (image_id, collection) {
        (Some(id), None) => NewShareTarget::Image(id),
        (None, Some(name)) => NewShareTarget::Collection(name),
        (None, None) => return Err(Error::invalid("image_id", "is required unless collection is given").into()),
        (Some(_), Some(_)) => return Err(Error::invalid("collection", "must be absent if image_id is given").into()),
    };
    let terms =
        ShareChange { expires_in_seconds: Some(expires_in), password: Some(password), max_guest_images: Some(max_guest_images) };
    let share = app.service.create_share(&caller, &target, terms).await?;
    Ok((StatusCode::CREATED, Json(ShareView::new(&app, &share))).into_response())
}

/// Get a share
///
/// The owner only.
#[utoipa::path(get, path = "/shares/{id}", tag = "shares", params(("id" = Uuid, Path, description = "The share's id.")),
    responses((status = 200, description = "The share.", body = ShareView), NotFound))]
pub async fn get_share(
    State(app): State<AppState>,
    _: NoQuery,
    User(caller): User,
    PathParam(id): PathParam<ShareId>,
) -> Result<Json<ShareView>, ApiError> {
    let share = app.service.find_share(&caller, id).await?;
    Ok(Json(ShareView::new(&app, &share)))
}

/// Update a share
///
/// Changes its expiry, its password, or how many images visitors can add. The link stays the same. The owner only.
#[utoipa::path(patch, path = "/shares/{id}", tag = "shares", params(("id" = Uuid, Path, description = "The share's id.")),
    request_body(content = ShareChangeBody, content_type = "application/json"),
    responses((status = 200, description = "The updated share.", body = ShareView), NotFound))]
pub async fn update_share(
    State(app): State<AppState>,
    _: NoQuery,
    User(caller): User,
    PathParam(id): PathParam<ShareId>,
    JsonBody(body): JsonBody<ShareChangeBody>,
) -> Result<Json<ShareView>, ApiError> {
    let ShareChangeBody { expires_in, password, max_guest_images } = body;
    let change = ShareChange { expires_in_seconds: expires_in, password, max_guest_images };
    let share = app.service.change_share(&caller, id, change).await?;
    Ok(Json(ShareView::new(&app, &share)))
}

/// Delete a share
///
/// The link stops working immediately. Images that visitors have added stay. The owner only.
#[utoipa::path(delete, path = "/shares/{id}", tag = "shares", params(("id" = Uuid, Path, description = "The share's id.")),
    responses((status = 204, description = "Deleted."), NotFound))]
pub async fn delete_share(
    State(app): State<AppState>,
    _: NoQuery,
    User(caller): User,
    PathParam(id): PathParam<ShareId>,
) -> Result<StatusCode, ApiError> {
    app.service.delete_share(&caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl FromPath for ShareId {
    fn from_path(segment: &str) -> Result<Self, Error> {
        Self::parse(segment).ok_or_else(Error::no_such_share)
    }
}

impl ShareView {
    fn new(app: &AppState, share: &Share) -> Self {
        let (image_id, collection) = match &share.target {
            ShareTarget::Image(id) => (Some(id.to_string()), None),
            ShareTarget::Collection(_, name) => (None, Some(name.to_string())),
        };
        let ShareTerms { expires_at, password_hash, max_guest_images } = &share.terms;
        Self {
            id: share.id.to_string(),
            url: app.config.share_link(&share.token),
            image_id,
            collection,
            created_at: time(share.id.created_at()),
            expires_at: expires_at.map(time),
            expired: share.is_expired(app.service.clock().now()),
            has_password: password_hash.is_some(),
            max_guest_images: *max_guest_images,
            guest_images: share.guest_images,
        }
    }
}
