//! Lists of images: with filters, by user, and by tag.

use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, Utc};
use http::Uri;
use serde::Deserialize;
use utoipa::IntoParams;

use super::page_view::ImagePageView;
use crate::http::AppState;
use crate::http::error::ApiError;
use crate::http::openapi::error_responses::NotFound;
use crate::http::request::declared::{RequestFields, request_fields};
use crate::http::request::extractors::{CallerOf, RequestUri, TurnKeyOf};
use crate::http::request::fields::{Query, range_end, range_start};
use crate::http::request::json;
use crate::http::request::json_fields::required;
use crate::http::request::link_header::with_next;
use crate::http::request::paging::{PageQuery, take_page};
use crate::http::request::parameters::{PathFields, PathParam};
use crate::model::caller::{Caller, UserId};
use crate::model::collection::CollectionName;
use crate::model::filter::ImageFilter;
use crate::model::tag::Tag;
use crate::service::admission::fair_queue::TurnKey;
use crate::service::error::Error;
use crate::service::images::listing::ImagePage;

request_fields! {
    /// Filters for images; all conditions must match.
    #[derive(Debug, IntoParams)]
    #[into_params(parameter_in = Query)]
    pub struct FilterQuery from Query {
        /// Only images of this user.
        #[param(value_type = Option<String>, min_length = 1, max_length = 255, pattern = "^[A-Za-z0-9._@:|+~=-]+$")]
        user_id: Option<UserId> = take(UserId::parse),
        /// Only images that have all of these tags (AND), ignoring case. One to ten tags, separated by commas: `sea,sunset`.
        #[param(style = Form, explode = false, value_type = Option<Vec<String>>, min_items = 1, max_items = 10)]
        tags: Vec<Tag> = take_list(read_tags_filter) or Vec::new(),
        /// Only images in this collection, which must be public or the caller's own.
        #[param(value_type = Option<String>, min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9_-]+$")]
        collection: Option<CollectionName> = take(CollectionName::parse),
        /// Only images created at or after this moment: a date-time with its offset, or a date, which means its first moment in UTC:
        /// `2026-01-31`.
        #[param(value_type = Option<String>)]
        start_date: Option<DateTime<Utc>> = take(range_start),
        /// Only images created at or before this moment: a date-time with its offset, such as `2026-02-28T23:59:59Z`, or a date,
        /// which means its last moment in UTC.
        #[param(value_type = Option<String>)]
        end_date: Option<DateTime<Utc>> = take(range_end),
    }
}

/// List images
///
/// Newest first; all filters must match. Paging neither repeats nor skips an image, even if others are uploaded or deleted
/// meanwhile.
#[utoipa::path(get, path = "/images", tag = "images", params(PageQuery, FilterQuery),
    responses((status = 200, description = "A page of images.", body = ImagePageView), NotFound))]
pub async fn list_images(
    State(app): State<AppState>,
    CallerOf(caller): CallerOf,
    TurnKeyOf(key): TurnKeyOf,
    RequestUri(uri): RequestUri,
) -> Result<Response, ApiError> {
    let ListRequest { filter, collection, limit, token } = ListRequest::of(&uri)?;
    let mut page = app.service.list_images(&caller, &key, filter, collection.as_ref(), limit, token.as_deref()).await?;
    respond_with(&app, &uri, &mut page)
}

/// A request for a page of a list of images.
#[derive(Debug, Clone)]
pub struct ListRequest {
    pub filter: ImageFilter,
    pub collection: Option<CollectionName>,
    pub limit: u32,
    pub token: Option<String>,
}

impl ListRequest {
    /// # Errors
    /// A parameter is invalid or unknown.
    pub fn of(uri: &Uri) -> Result<Self, Error> {
        let mut query = Query::of(uri);
        // None of the parameters is required.
        let parameters = FilterQuery::take(&mut query);
        let FilterQuery { user_id, tags, collection, start_date, end_date } = required(parameters)?;
        let filter = ImageFilter { user_id, tags, start: start_date, end: end_date, collection: None };
        let (limit, token) = take_page(query)?;
        Ok(Self { filter, collection, limit, token })
    }
}

/// List a user's images
///
/// The same as `GET /images` with `user_id`.
#[utoipa::path(get, path = "/users/{user_id}/images", tag = "images",
    params(("user_id" = String, Path, description = "The user id of the owner.", min_length = 1, max_length = 255, pattern = "^[A-Za-z0-9._@:|+~=-]+$"), PageQuery),
    responses((status = 200, description = "A page of images.", body = ImagePageView)))]
pub async fn list_user_images(
    State(app): State<AppState>,
    CallerOf(caller): CallerOf,
    TurnKeyOf(key): TurnKeyOf,
    PathParam(user_id): PathParam<String>,
    RequestUri(uri): RequestUri,
) -> Result<Response, ApiError> {
    let mut query = Query::of(&uri);
    let user_id = query.errors.check("user_id", UserId::parse(&user_id));
    page_response(&app, &uri, (&caller, &key), query, ImageFilter { user_id, ..ImageFilter::default() }).await
}

/// A tag.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct TagPath {
    /// A tag, ignoring case: up to 50 letters, digits, spaces, hyphens and underscores.
    #[param(min_length = 1, max_length = 50, example = "sunset")]
    tag: String,
}

/// List a tag's images
///
/// The same as `GET /images` with one tag.
#[utoipa::path(get, path = "/tags/{tag}/images", tag = "images",
    params(TagPath, PageQuery),
    responses((status = 200, description = "A page of images.", body = ImagePageView)))]
pub async fn list_tag_images(
    State(app): State<AppState>,
    CallerOf(caller): CallerOf,
    TurnKeyOf(key): TurnKeyOf,
    PathFields(TagPath { tag }): PathFields<TagPath>,
    RequestUri(uri): RequestUri,
) -> Result<Response, ApiError> {
    let mut query = Query::of(&uri);
    let tags = query.errors.check("tag", Tag::parse(&tag)).into_iter().collect();
    page_response(&app, &uri, (&caller, &key), query, ImageFilter { tags, ..ImageFilter::default() }).await
}

async fn page_response(
    app: &AppState,
    uri: &Uri,
    (caller, key): (&Caller, &TurnKey),
    query: Query,
    filter: ImageFilter,
) -> Result<Response, ApiError> {
    let (limit, token) = take_page(query)?;
    respond_with(app, uri, &mut app.service.list_images(caller, key, filter, None, limit, token.as_deref()).await?)
}

fn respond_with(app: &AppState, uri: &Uri, page: &mut ImagePage<'_>) -> Result<Response, ApiError> {
    let view = ImagePageView::new(page, &app.image_json)?;
    Ok(with_next(app, uri, view.next_page_token, json::response(&view, view.size_bytes())?)?)
}

fn read_tags_filter(text: &str) -> Result<Vec<Tag>, String> {
    let tags = Tag::parse_list(text)?;
    if tags.is_empty() { Err("must contain at least one tag".to_owned()) } else { Ok(tags) }
}
