//! Collections: owners create and fill them; everyone can read public ones at `/c/{name}`.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::public_images::PublicImage;
use crate::http::AppState;
use crate::http::error::ApiError;
use crate::http::identity::accounts::time;
use crate::http::images::views::{ImagePageView, ImageView};
use crate::http::images::{image_response, read_visibility, require_caller_then_id};
use crate::http::openapi::error_responses::{
    AlreadyExists, BadRequest, InternalServerError, InvalidPageToken, LimitReached, NotFound, PayloadTooLarge, RequestTimeout,
    ServiceUnavailable, UnsupportedMediaType, ValidationError,
};
use crate::http::request::declared::request_fields;
use crate::http::request::extractors::{CallerOf, PathSegment, RequestUri};
use crate::http::request::fields::Query;
use crate::http::request::json;
use crate::http::request::json_fields::{JsonFields, text};
use crate::http::request::link_header::with_next;
use crate::http::request::paging::{PageQuery, take_page, take_shared_page};
use crate::model::collection::{Collection, CollectionName};
use crate::model::image::Visibility;
use crate::service::error::Error;
use crate::service::images::listing::ImagePage;
use crate::service::sharing::collection_items::CollectedImages;

request_fields! {
    /// The collection to create.
    #[derive(Debug, ToSchema)]
    #[schema(as = CreateCollectionRequest, example = json!({"name": "summer-2026"}))]
    pub struct NewCollectionBody from JsonFields {
        /// Unique among the collections of all users.
        #[schema(value_type = String, min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9_-]+$")]
        name: CollectionName = require(|value| CollectionName::parse(&text(value)?)),
        /// Who can see the collection. Defaults to `public`.
        #[schema(value_type = crate::http::openapi::enums::VisibilitySchema, required = false)]
        visibility: Visibility = take(|value| read_visibility(&value)) or Visibility::default(),
    }
}

request_fields! {
    /// The fields of a collection to change.
    #[derive(Debug, ToSchema)]
    #[schema(as = UpdateCollectionRequest, example = json!({"visibility": "private"}))]
    pub struct CollectionChangeBody from JsonFields {
        /// Who can see the collection.
        #[schema(value_type = crate::http::openapi::enums::VisibilitySchema)]
        visibility: Visibility = require(|value| read_visibility(&value)),
    }
}

/// A collection, without its images.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Collection)]
pub struct CollectionView {
    /// The name, unique among the collections of all users.
    #[schema(example = "summer-2026")]
    pub name: String,
    /// The user id of the owner.
    pub user_id: String,
    /// Who can see the collection.
    #[schema(value_type = crate::http::openapi::enums::VisibilitySchema)]
    pub visibility: &'static str,
    /// When the collection was created.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// When the collection itself was last changed.
    #[schema(format = DateTime)]
    pub updated_at: String,
    /// Exact number of images in the collection that its owner can see.
    pub image_count: u64,
}

/// A collection with a page of its images.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CollectionWithImages)]
pub struct CollectionImagesView<'a> {
    #[serde(flatten)]
    pub collection: CollectionView,
    /// The images on this page, in the order in which they were added.
    pub images: Vec<ImageView<'a>>,
    /// The `page_token` of the next page; null on the last page.
    pub next_page_token: Option<&'a str>,
    /// Whether there is another page.
    pub has_more: bool,
}

/// A page of collections, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CollectionPage)]
pub struct CollectionPageView {
    /// The collections on this page.
    pub collections: Vec<CollectionView>,
    /// The `page_token` of the next page; null on the last page.
    pub next_page_token: Option<String>,
    /// Whether there is another page.
    pub has_more: bool,
}

/// A collection for its public page.
#[derive(Debug, Serialize, ToSchema)]
pub struct PublicCollection<'a> {
    /// Always `collection`.
    #[serde(rename = "type")]
    #[schema(example = "collection")]
    pub kind: &'static str,
    /// The name of the collection.
    #[schema(example = "summer-2026")]
    pub name: &'a str,
    /// The public images on this page, in the order in which they were added.
    pub images: Vec<PublicImage<'a>>,
    /// The `page_token` of the next page; null on the last page.
    pub next_page_token: Option<&'a str>,
    /// Whether there is another page.
    pub has_more: bool,
}

/// List your collections
///
/// Newest first.
#[utoipa::path(get, path = "/collections", tag = "collections", params(PageQuery),
    responses((status = 200, description = "A page of collections.", body = CollectionPageView), InvalidPageToken, ValidationError, InternalServerError, ServiceUnavailable))]
pub async fn list_collections(
    State(app): State<AppState>,
    CallerOf(caller): CallerOf,
    RequestUri(uri): RequestUri,
) -> Result<Response, ApiError> {
    let (limit, token) = take_page(Query::of(&uri))?;
    let page = app.service.list_collections(&caller, limit, token.as_deref()).await?;
    let collections = page.items.iter().map(|(collection, count)| CollectionView::new(collection, *count)).collect();
    let next = page.next.clone();
    let view = CollectionPageView { collections, has_more: page.next.is_some(), next_page_token: page.next };
    Ok(with_next(&app, &uri, next.as_deref(), Json(view))?)
}

/// Create a collection
///
/// Limit: 10,000 per user.
#[utoipa::path(post, path = "/collections", tag = "collections",
    request_body(content = NewCollectionBody, content_type = "application/json"),
    responses((status = 201, description = "Created.", body = CollectionView), BadRequest, RequestTimeout, AlreadyExists, PayloadTooLarge, UnsupportedMediaType,
        ValidationError, InternalServerError, ServiceUnavailable))]
pub async fn create_collection(
    State(app): State<AppState>,
    CallerOf(caller): CallerOf,
    RequestUri(uri): RequestUri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    Query::of(&uri).finish()?;
    caller.user().ok_or(Error::Unauthenticated)?;
    let NewCollectionBody { name, visibility } = JsonFields::parse(&headers, body).await?;
    let collection = app.service.create_collection(&caller, name, visibility).await?;
    Ok((StatusCode::CREATED, Json(CollectionView::new(&collection, 0))).into_response())
}

/// Get a collection
///
/// Includes a page of its images, in the order in which they were added. The owner only; others use `GET /c/{name}`.
#[utoipa::path(get, path = "/collections/{name}", tag = "collections", params(("name" = String, Path, description = "The collection's name."), PageQuery),
    responses((status = 200, description = "The collection with a page of its images.", body = CollectionImagesView), InvalidPageToken, NotFound, ValidationError, InternalServerError, ServiceUnavailable))]
pub async fn get_collection(
    State(app): State<AppState>,
    CallerOf(caller): CallerOf,
    PathSegment(name): PathSegment,
    RequestUri(uri): RequestUri,
) -> Result<Response, ApiError> {
    let (collection, page) = find(&app, &caller, &name, &uri).await?;
    let view = CollectionImagesView {
        collection: CollectionView::new(&collection, page.total),
        images: page.images.iter().map(|(image, links)| ImageView::new(image, Some(links))).collect(),
        has_more: page.next.is_some(),
        next_page_token: page.next.as_deref(),
    };
    let response = json::response(&view, 512 + view.images.len() * ImageView::SIZE_BYTES)?;
    Ok(with_next(&app, &uri, view.next_page_token, response)?)
}

/// List a collection's images
///
/// In the order in which they were added. The owner only.
#[utoipa::path(get, path = "/collections/{name}/images", tag = "collections", params(("name" = String, Path, description = "The collection's name."), PageQuery),
    responses((status = 200, description = "A page of images.", body = ImagePageView), InvalidPageToken, NotFound, ValidationError, InternalServerError, ServiceUnavailable))]
pub async fn list_collection_images(
    State(app): State<AppState>,
    CallerOf(caller): CallerOf,
    PathSegment(name): PathSegment,
    RequestUri(uri): RequestUri,
) -> Result<Response, ApiError> {
    let (_, page) = find(&app, &caller, &name, &uri).await?;
    let view = ImagePageView::new(&page);
    Ok(with_next(&app, &uri, view.next_page_token, json::response(&view, view.size_bytes())?)?)
}

async fn find(
    app: &AppState,
    caller: &crate::model::caller::Caller,
    name: &str,
    uri: &http::Uri,
) -> Result<(Collection, ImagePage), ApiError> {
    let (limit, token) = take_page(Query::of(uri))?;
    caller.user().ok_or(Error::Unauthenticated)?;
    Ok(app.service.find_collection(caller, &collection_name(name)?, limit, token.as_deref()).await?)
}

/// Update a collection
///
/// Changes who can see it. The owner only.
#[utoipa::path(patch, path = "/collections/{name}", tag = "collections", params(("name" = String, Path, description = "The collection's name.")),
    request_body(content = CollectionChangeBody, content_type = "application/json"),
    responses((status = 200, description = "The updated collection.", body = CollectionView), BadRequest, NotFound, RequestTimeout, PayloadTooLarge,
        UnsupportedMediaType, ValidationError, InternalServerError, ServiceUnavailable))]
pub async fn update_collection(
    State(app): State<AppState>,
    CallerOf(caller): CallerOf,
    PathSegment(name): PathSegment,
    RequestUri(uri): RequestUri,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<CollectionView>, ApiError> {
    Query::of(&uri).finish()?;
    caller.user().ok_or(Error::Unauthenticated)?;
    let name = collection_name(&name)?;
    let CollectionChangeBody { visibility } = JsonFields::parse(&headers, body).await?;
    let (collection, count) = app.service.change_collection(&caller, &name, visibility).await?;
    Ok(Json(CollectionView::new(&collection, count)))
}

/// Delete a collection
///
/// The images stay. The name is available again immediately. The owner only.
#[utoipa::path(delete, path = "/collections/{name}", tag = "collections", params(("name" = String, Path, description = "The collection's name.")),
    responses((status = 204, description = "Deleted."), NotFound, ValidationError, InternalServerError, ServiceUnavailable))]
pub async fn delete_collection(
    State(app): State<AppState>,
    CallerOf(caller): CallerOf,
    PathSegment(name): PathSegment,
    RequestUri(uri): RequestUri,
) -> Result<StatusCode, ApiError> {
    Query::of(&uri).finish()?;
    caller.user().ok_or(Error::Unauthenticated)?;
    app.service.delete_collection(&caller, &collection_name(&name)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

type TwoSegments = Result<Path<(String, String)>, axum::extract::rejection::PathRejection>;

/// Get an image of a collection
///
/// Returns 404 if the image is not in the collection. The owner only.
#[utoipa::path(get, path = "/collections/{name}/images/{image_id}", tag = "collections",
    params(("name" = String, Path, description = "The collection's name."), ("image_id" = Uuid, Path, description = "The image's id.")),
    responses((status = 200, description = "The image.", body = ImageView), NotFound, ValidationError, InternalServerError, ServiceUnavailable))]
pub async fn get_collection_image(
    State(app): State<AppState>,
    CallerOf(caller): CallerOf,
    path: TwoSegments,
    RequestUri(uri): RequestUri,
) -> Result<Response, ApiError> {
    let Path((name, id)) = path.map_err(|_| ApiError::no_such_route())?;
    Query::of(&uri).finish()?;
    let id = require_caller_then_id(&caller, &id)?;
    let (image, links) = app.service.find_in_collection(&caller, &collection_name(&name)?, id).await?;
    image_response(&image, Some(&links))
}

/// Add an image to a collection
///
/// Appends the image. An image that is already in the collection keeps its position. The owner of the collection only, and only
/// images that are public or the caller's own. Limit: an image can be in 1,000 collections of other users.
#[utoipa::path(put, path = "/collections/{name}/images/{image_id}", tag = "collections",
    params(("name" = String, Path, description = "The collection's name."), ("image_id" = Uuid, Path, description = "The image's id.")),
    responses((status = 200, description = "The image, now in the collection.", body = ImageView), NotFound, LimitReached, ValidationError, InternalServerError,
        ServiceUnavailable))]
pub async fn add_collection_image(
    State(app): State<AppState>,
    CallerOf(caller): CallerOf,
    path: TwoSegments,
    RequestUri(uri): RequestUri,
) -> Result<Response, ApiError> {
    let Path((name, id)) = path.map_err(|_| ApiError::no_such_route())?;
    Query::of(&uri).finish()?;
    let id = require_caller_then_id(&caller, &id)?;
    let (image, links) = app.service.add_to_collection(&caller, &collection_name(&name)?, id).await?;
    image_response(&image, Some(&links))
}

/// Remove an image from a collection
///
/// The owner of the collection only.
#[utoipa::path(delete, path = "/collections/{name}/images/{image_id}", tag = "collections",
    params(("name" = String, Path, description = "The collection's name."), ("image_id" = Uuid, Path, description = "The image's id.")),
    responses((status = 204, description = "Removed from the collection."), NotFound, ValidationError, InternalServerError, ServiceUnavailable))]
pub async fn remove_collection_image(
    State(app): State<AppState>,
    CallerOf(caller): CallerOf,
    path: TwoSegments,
    RequestUri(uri): RequestUri,
) -> Result<StatusCode, ApiError> {
    let Path((name, id)) = path.map_err(|_| ApiError::no_such_route())?;
    Query::of(&uri).finish()?;
    let id = require_caller_then_id(&caller, &id)?;
    app.service.remove_from_collection(&caller, &collection_name(&name)?, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Get a public collection
///
/// No authentication. Lists the public images of the collection in the order in which they were added. A private collection is
/// visible only to its owner.
#[utoipa::path(get, path = "/c/{name}", tag = "collections", params(("name" = String, Path, description = "The collection's name."), PageQuery),
    responses((status = 200, description = "The collection.", body = PublicCollection), InvalidPageToken, NotFound, ValidationError, InternalServerError, ServiceUnavailable))]
pub async fn get_public_collection(
    State(app): State<AppState>,
    CallerOf(caller): CallerOf,
    PathSegment(name): PathSegment,
    RequestUri(uri): RequestUri,
) -> Result<Response, ApiError> {
    let (limit, token) = take_shared_page(Query::of(&uri))?;
    let (collection, page) = app.service.show_collection(&caller, &collection_name(&name)?, limit, token.as_deref()).await?;
    let CollectedImages { images, next } = &page;
    let view = PublicCollection {
        kind: "collection",
        name: collection.name.as_str(),
        images: images.iter().map(|image| PublicImage::new(&app, image)).collect(),
        has_more: next.is_some(),
        next_page_token: next.as_deref(),
    };
    let response = json::response(&view, 256 + view.images.len() * PublicImage::SIZE_BYTES)?;
    Ok(with_next(&app, &uri, view.next_page_token, response)?)
}

/// Parses a collection name in a path. An invalid name is a 404.
fn collection_name(text: &str) -> Result<CollectionName, Error> {
    CollectionName::parse(text).map_err(|_| Error::no_such_collection())
}

impl CollectionView {
    fn new(collection: &Collection, image_count: u64) -> Self {
        Self {
            name: collection.name.to_string(),
            user_id: collection.user_id.to_string(),
            visibility: collection.visibility.name(),
            created_at: time(collection.id.created_at()),
            updated_at: time(collection.updated_at),
            image_count,
        }
    }
}
