//! Collections: owners create and fill them; everyone can read public ones at `/c/{name}`.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::public_images::PublicImage;
use crate::http::AppState;
use crate::http::error::ApiError;
use crate::http::identity::accounts::time;
use crate::http::images::json_cache::ImageJson;
use crate::http::images::page_view::ImagePageView;
use crate::http::images::views::ImageView;
use crate::http::images::{image_response, read_visibility};
use crate::http::openapi::error_responses::{AlreadyExists, LimitReached, NotFound};
use crate::http::request::authorization::User;
use crate::http::request::declared::request_fields;
use crate::http::request::extractors::{CallerOf, RequestUri};
use crate::http::request::fields::Query;
use crate::http::request::json;
use crate::http::request::json_fields::{JsonBody, JsonFields, or_null, text};
use crate::http::request::link_header::with_next;
use crate::http::request::paging::{PageQuery, PageRequest, take_shared_page};
use crate::http::request::parameters::{FromPath, NoQuery, PathParam, PathParams};
use crate::model::collection::{Collection, CollectionName};
use crate::model::id::ImageId;
use crate::model::image::Visibility;
use crate::service::error::Error;
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

request_fields! {
    /// Where to move an image of a collection.
    #[derive(Debug, ToSchema)]
    #[schema(as = MoveCollectionImageRequest, example = json!({"after": null}))]
    pub struct MoveBody from JsonFields {
        /// The image of the collection that will be directly before the moved one. Null moves it to the beginning.
        #[schema(value_type = Option<Uuid>, nullable, required)]
        after: Option<ImageId> = require(or_null(read_image_id)),
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
    /// The images on this page, in the order of the collection: as added, unless moved.
    #[schema(value_type = Vec<ImageView>)]
    pub images: Vec<ImageJson>,
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
    /// The public images on this page, in the order of the collection: as added, unless moved.
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
    responses((status = 200, description = "A page of collections.", body = CollectionPageView)))]
pub async fn list_collections(
    State(app): State<AppState>,
    CallerOf(caller): CallerOf,
    request: PageRequest,
) -> Result<Response, ApiError> {
    let page = app.service.list_collections(&caller, request.limit, request.token.as_deref()).await?;
    request.respond(&app, page, |collections, next_page_token, has_more| {
        let collections = collections.iter().map(|(collection, count)| CollectionView::new(collection, *count)).collect();
        CollectionPageView { collections, next_page_token, has_more }
    })
}

/// Create a collection
///
/// Limit: 10,000 per user.
#[utoipa::path(post, path = "/collections", tag = "collections",
    request_body(content = NewCollectionBody, content_type = "application/json"),
    responses((status = 201, description = "Created.", body = CollectionView), AlreadyExists))]
pub async fn create_collection(
    State(app): State<AppState>,
    _: NoQuery,
    User(caller): User,
    JsonBody(body): JsonBody<NewCollectionBody>,
) -> Result<Response, ApiError> {
    let NewCollectionBody { name, visibility } = body;
    let collection = app.service.create_collection(&caller, name, visibility).await?;
    Ok((StatusCode::CREATED, Json(CollectionView::new(&collection, 0))).into_response())
}

/// Get a collection
///
/// Includes a page of its images, in the order of the collection: as added, unless moved. The owner
/// only; others use `GET /c/{name}`.
#[utoipa::path(get, path = "/collections/{name}", tag = "collections", params(("name" = String, Path, description = "The collection's name."), PageQuery),
    responses((status = 200, description = "The collection with a page of its images.", body = CollectionImagesView), NotFound))]
pub async fn get_collection(
    State(app): State<AppState>,
    request: PageRequest,
    User(caller): User,
    PathParam(name): PathParam<CollectionName>,
) -> Result<Response, ApiError> {
    let (collection, mut page) = app.service.find_collection(&caller, &name, request.limit, request.token.as_deref()).await?;
    let page = ImagePageView::new(&mut page, &app.image_json)?;
    let size_bytes = 256 + page.size_bytes();
    let view = CollectionImagesView {
        collection: CollectionView::new(&collection, page.total_count),
        images: page.images,
        has_more: page.has_more,
        next_page_token: page.next_page_token,
    };
    let response = json::response(&view, size_bytes)?;
    Ok(with_next(&app, &request.uri, view.next_page_token, response)?)
}

/// List a collection's images
///
/// In the order of the collection: as added, unless moved. The owner only.
#[utoipa::path(get, path = "/collections/{name}/images", tag = "collections", params(("name" = String, Path, description = "The collection's name."), PageQuery),
    responses((status = 200, description = "A page of images.", body = ImagePageView), NotFound))]
pub async fn list_collection_images(
    State(app): State<AppState>,
    request: PageRequest,
    User(caller): User,
    PathParam(name): PathParam<CollectionName>,
) -> Result<Response, ApiError> {
    let (_, mut page) = app.service.find_collection(&caller, &name, request.limit, request.token.as_deref()).await?;
    let view = ImagePageView::new(&mut page, &app.image_json)?;
    Ok(with_next(&app, &request.uri, view.next_page_token, json::response(&view, view.size_bytes())?)?)
}

/// Update a collection
///
/// Changes who can see it. The owner only.
#[utoipa::path(patch, path = "/collections/{name}", tag = "collections", params(("name" = String, Path, description = "The collection's name.")),
    request_body(content = CollectionChangeBody, content_type = "application/json"),
    responses((status = 200, description = "The updated collection.", body = CollectionView), NotFound))]
pub async fn update_collection(
    State(app): State<AppState>,
    _: NoQuery,
    User(caller): User,
    PathParam(name): PathParam<CollectionName>,
    JsonBody(body): JsonBody<CollectionChangeBody>,
) -> Result<Json<CollectionView>, ApiError> {
    let CollectionChangeBody { visibility } = body;
    let (collection, count) = app.service.change_collection(&caller, &name, visibility).await?;
    Ok(Json(CollectionView::new(&collection, count)))
}

/// Delete a collection
///
/// The images stay. The name is available again immediately. The owner only.
#[utoipa::path(delete, path = "/collections/{name}", tag = "collections", params(("name" = String, Path, description = "The collection's name.")),
    responses((status = 204, description = "Deleted."), NotFound))]
pub async fn delete_collection(
    State(app): State<AppState>,
    _: NoQuery,
    User(caller): User,
    PathParam(name): PathParam<CollectionName>,
) -> Result<StatusCode, ApiError> {
    app.service.delete_collection(&caller, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Get an image of a collection
///
/// Returns 404 if the image is not in the collection. The owner only.
#[utoipa::path(get, path = "/collections/{name}/images/{image_id}", tag = "collections",
    params(("name" = String, Path, description = "The collection's name."), ("image_id" = Uuid, Path, description = "The image's id.")),
    responses((status = 200, description = "The image.", body = ImageView), NotFound))]
pub async fn get_collection_image(
    State(app): State<AppState>,
    _: NoQuery,
    User(caller): User,
    PathParams(name, id): PathParams<CollectionName, ImageId>,
) -> Result<Response, ApiError> {
    let (image, links) = app.service.find_in_collection(&caller, &name, id).await?;
    image_response(&image, Some(&links))
}

/// Add an image to a collection
///
/// Appends the image. An image that is already in the collection keeps its position. The owner of the collection only, and only
/// images that are public or the caller's own. Limit: an image can be in 1,000 collections of other users.
#[utoipa::path(put, path = "/collections/{name}/images/{image_id}", tag = "collections",
    params(("name" = String, Path, description = "The collection's name."), ("image_id" = Uuid, Path, description = "The image's id.")),
    responses((status = 200, description = "The image, now in the collection.", body = ImageView), NotFound, LimitReached))]
pub async fn add_collection_image(
    State(app): State<AppState>,
    _: NoQuery,
    User(caller): User,
    PathParams(name, id): PathParams<CollectionName, ImageId>,
) -> Result<Response, ApiError> {
    let (image, links) = app.service.add_to_collection(&caller, &name, id).await?;
    image_response(&image, Some(&links))
}

/// Move an image of a collection
///
/// Changes the order of the collection: moves the image directly behind another one, or to the beginning. Returns 404 if the image is
/// not in the collection. The owner of the collection only.
#[utoipa::path(patch, path = "/collections/{name}/images/{image_id}", tag = "collections",
    params(("name" = String, Path, description = "The collection's name."), ("image_id" = Uuid, Path, description = "The image's id.")),
    request_body(content = MoveBody, content_type = "application/json"),
    responses((status = 200, description = "The moved image.", body = ImageView), NotFound, LimitReached))]
pub async fn move_collection_image(
    State(app): State<AppState>,
    _: NoQuery,
    User(caller): User,
    PathParams(name, id): PathParams<CollectionName, ImageId>,
    JsonBody(body): JsonBody<MoveBody>,
) -> Result<Response, ApiError> {
    let MoveBody { after } = body;
    let (image, links) = app.service.move_in_collection(&caller, &name, id, after).await?;
    image_response(&image, Some(&links))
}

/// Remove an image from a collection
///
/// The owner of the collection only.
#[utoipa::path(delete, path = "/collections/{name}/images/{image_id}", tag = "collections",
    params(("name" = String, Path, description = "The collection's name."), ("image_id" = Uuid, Path, description = "The image's id.")),
    responses((status = 204, description = "Removed from the collection."), NotFound))]
pub async fn remove_collection_image(
    State(app): State<AppState>,
    _: NoQuery,
    User(caller): User,
    PathParams(name, id): PathParams<CollectionName, ImageId>,
) -> Result<StatusCode, ApiError> {
    app.service.remove_from_collection(&caller, &name, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Get a public collection
///
/// No authentication. Lists the public images of the collection in its order: as added, unless moved. A private collection is
/// visible only to its owner.
#[utoipa::path(get, path = "/c/{name}", tag = "collections", params(("name" = String, Path, description = "The collection's name."), PageQuery),
    responses((status = 200, description = "The collection.", body = PublicCollection), NotFound))]
pub async fn get_public_collection(
    State(app): State<AppState>,
    CallerOf(caller): CallerOf,
    PathParam(name): PathParam<CollectionName>,
    RequestUri(uri): RequestUri,
) -> Result<Response, ApiError> {
    let (limit, token) = take_shared_page(Query::of(&uri))?;
    let (collection, page) = app.service.show_collection(&caller, &name, limit, token.as_deref()).await?;
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

impl FromPath for CollectionName {
    fn from_path(segment: &str) -> Result<Self, Error> {
        Self::parse(segment).map_err(|_| Error::no_such_collection())
    }
}

fn read_image_id(value: Value) -> Result<ImageId, String> {
    ImageId::parse(&text(value)?).ok_or_else(|| "must be the id of an image".to_owned())
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
