//! Links that expire: made, listed and taken back by owners; opened by anybody who has one.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::AppState;
use super::accounts::time;
use super::conditional::IfNoneMatch;
use super::error::{
    ApiError, BadRequest, Conflict, InternalServerError, NotFound, PayloadTooLarge, RequestTimeout, ServiceUnavailable,
    UnsupportedMediaType, ValidationError,
};
use super::extract::{Address, CallerOf, Query, Segment};
use super::images::require_caller_then_id;
use super::json_fields::{JsonFields, integer, needed, or_null};
use super::links::answer;
use super::tokens::NO_STORE;
use crate::model::account::ExpiringLink;
use crate::service::thumbnails::Sending;

/// How long a link is good.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CreateExpiringLinkRequest, example = json!({"expires_in": 3600}))]
#[expect(dead_code, reason = "it describes what `create_expiring_link` reads")]
pub struct NewLinkBody {
    /// Seconds.
    #[schema(minimum = 300, maximum = 30000)]
    expires_in: u32,
    /// How often it can be opened; null is as often as one likes.
    #[schema(nullable, minimum = 1, maximum = 1_000_000)]
    max_views: Option<u32>,
}

/// A link that was made just now.
#[derive(Debug, Serialize, ToSchema)]
pub struct CreatedExpiringLink {
    #[schema(format = Uuid)]
    pub id: String,
    /// The link itself. It is told this once.
    #[schema(example = "http://localhost:8000/view/3q2-7wAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")]
    pub link: String,
    #[schema(format = DateTime)]
    pub expires_at: String,
    pub max_views: Option<u32>,
}

/// A link that was made before.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ExpiringLink)]
pub struct LinkView {
    #[schema(format = Uuid)]
    pub id: String,
    #[schema(format = DateTime)]
    pub created_at: String,
    #[schema(format = DateTime)]
    pub expires_at: String,
    pub max_views: Option<u32>,
    /// How often it was opened.
    pub views: u32,
    /// Whether its time is over, or it was opened as often as it can be.
    pub expired: bool,
}

/// Links of an image.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExpiringLinkList {
    /// Newest first; expired ones for a week.
    pub links: Vec<LinkView>,
}

/// Make a link that expires
///
/// To the original, for anybody who has the link, also where the image is private. The owner only, by plan. A link ends with its
/// time, with its views, with its image, and when it is taken back.
#[utoipa::path(post, path = "/images/{image_id}/links", tag = "links", params(("image_id" = Uuid, Path, description = "The image.")),
    request_body(content = NewLinkBody, content_type = "application/json"),
    responses((status = 201, description = "The link.", body = CreatedExpiringLink), BadRequest, NotFound, RequestTimeout, Conflict, PayloadTooLarge,
        UnsupportedMediaType, ValidationError, InternalServerError, ServiceUnavailable))]
pub async fn create_expiring_link(
    State(app): State<AppState>,
    CallerOf(caller): CallerOf,
    Segment(id): Segment,
    Address(uri): Address,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    Query::of(&uri).finish()?;
    let id = require_caller_then_id(&caller, &id)?;
    let mut fields = JsonFields::read(&headers, body).await?;
    let expires_in = fields.need("expires_in", integer(300, 30_000));
    let max_views = fields.take("max_views", or_null(integer(1, 1_000_000))).flatten();
    fields.finish()?;
    let number = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    let (expires_in, max_views) = (number(needed(expires_in)?), max_views.map(number));
    let (link, token) = app.service.create_link(&caller, id, expires_in, max_views).await?;
    let created = CreatedExpiringLink {
        id: link.id.to_string(),
        link: format!("{}/view/{token}", app.config.link_base),
        expires_at: time(link.expires_at),
        max_views: link.max_views,
    };
    Ok((StatusCode::CREATED, [NO_STORE], Json(created)).into_response())
}

/// List an image's links that expire
///
/// The owner only. What opens them is not kept, so it is not told again.
#[utoipa::path(get, path = "/images/{image_id}/links", tag = "links", params(("image_id" = Uuid, Path, description = "The image.")),
    responses((status = 200, description = "The links.", body = ExpiringLinkList), NotFound, ValidationError, InternalServerError, ServiceUnavailable))]
pub async fn list_expiring_links(
    State(app): State<AppState>,
    CallerOf(caller): CallerOf,
    Segment(id): Segment,
    Address(uri): Address,
) -> Result<Json<ExpiringLinkList>, ApiError> {
    Query::of(&uri).finish()?;
    let id = require_caller_then_id(&caller, &id)?;
    let now = app.service.clock().now();
    let view = |link: &ExpiringLink| LinkView {
        id: link.id.to_string(),
        created_at: time(link.id.created_at()),
        expires_at: time(link.expires_at),
        max_views: link.max_views,
        views: link.views,
        expired: link.is_expired(now),
    };
    let links = app.service.list_expiring_links(&caller, id).await?.iter().map(view).collect();
    Ok(Json(ExpiringLinkList { links }))
}

/// Take a link back
///
/// The owner only. It opens nothing from then on.
#[utoipa::path(delete, path = "/images/{image_id}/links/{token}", tag = "links",
    params(("image_id" = Uuid, Path, description = "The image."), ("token" = String, Path, description = "What follows `/view/` in the link, or the link's id.")),
    responses((status = 204, description = "It is taken back."), NotFound, ValidationError, InternalServerError, ServiceUnavailable))]
pub async fn delete_expiring_link(
    State(app): State<AppState>,
    CallerOf(caller): CallerOf,
    path: Result<Path<(String, String)>, axum::extract::rejection::PathRejection>,
    Address(uri): Address,
) -> Result<StatusCode, ApiError> {
    let Path((id, token)) = path.map_err(|_| ApiError::no_such_route())?;
    Query::of(&uri).finish()?;
    let id = require_caller_then_id(&caller, &id)?;
    app.service.delete_link(&caller, id, &token).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Open a link that expires
///
/// To anybody who has it. 403 when it has expired; 404 when it never was, was taken back, or its image is deleted.
#[utoipa::path(get, path = "/view/{token}", tag = "links", params(("token" = String, Path, description = "As it stands in the link.")),
    responses(
        (status = 200, description = "The file.", content(("image/jpeg"), ("image/png"), ("image/gif"), ("image/webp"))),
        (status = 304, description = "The client has it; this is no view."),
        NotFound, ValidationError, InternalServerError, ServiceUnavailable))]
pub async fn open_expiring_link(
    State(app): State<AppState>,
    CallerOf(_): CallerOf,
    Segment(token): Segment,
    Address(uri): Address,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    Query::of(&uri).finish()?;
    let known = IfNoneMatch::of(&headers);
    let sending = Sending { is_known: &|etag| known.matches(etag), with_body: method != Method::HEAD };
    answer(app.service.open_link(&token, &sending).await?, "no-store")
}
