//! Public links: they serve originals to everyone, from the service's own URL.

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::public_images::get_public_image;
use crate::http::AppState;
use crate::http::error::ApiError;
use crate::http::images::thumbnails::{SANDBOX, download_body};
use crate::http::openapi::error_responses::{FileMissing, NotFound, RangeNotSatisfiable};
use crate::http::request::conditional::IfNoneMatch;
use crate::http::request::extractors::{CallerOf, TurnKeyOf};
use crate::http::request::paging::{PageQuery, PageRequest};
use crate::http::request::parameters::{FromPath, PathParam, PathParams};
use crate::model::byte_range::ByteRange;
use crate::model::caller::Caller;
use crate::model::id::ImageId;
use crate::model::image::Visibility;
use crate::service::admission::fair_queue::TurnKey;
use crate::service::error::Error;
use crate::service::images::presigned_urls::{Disposition, content_disposition};
use crate::service::images::thumbnails::{Content, SendOptions};
use crate::service::sharing::public_links::{Original, RangeRequest};

/// Public links are made to be embedded in pages of other sites.
const RESOURCE_POLICY: (HeaderName, HeaderValue) =
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("cross-origin"));

/// The headers of a conditional or range request.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
pub struct OriginalHeaders {
    /// Entity tags of the versions that the client has, or `*`.
    #[param(rename = "If-None-Match", value_type = Option<String>)]
    pub if_none_match: IfNoneMatch,
    /// A single byte range, such as `bytes=0-1023`. Anything else is ignored.
    #[param(rename = "Range", value_type = Option<String>)]
    pub range: Option<ByteRange>,
    /// The entity tag of the version that the range belongs to. With any other tag, the response is the whole file.
    #[param(rename = "If-Range")]
    pub if_range: Option<String>,
}

impl OriginalHeaders {
    /// Reads the headers. A range applies only to `GET` (RFC 9110, 14.2), and is ignored unless it certainly belongs to the current
    /// version: `If-Range` can contain a date, but originals have no `Last-Modified`.
    pub fn of(method: &Method, headers: &HeaderMap) -> Self {
        let if_none_match = IfNoneMatch::of(headers);
        if method != Method::GET {
            return Self { if_none_match, range: None, if_range: None };
        }
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let if_range = headers.contains_key(header::IF_RANGE).then(|| {
            let tag = text(header::IF_RANGE).unwrap_or_default().trim();
            tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).unwrap_or_default().to_owned()
        });
        Self { if_none_match, range: text(header::RANGE).and_then(ByteRange::parse), if_range }
    }
}

/// Get an original
///
/// The public link of an image. No authentication; a private image is visible only to its owner. The bytes never change until the
/// image is deleted. The id can be followed by a slash or by an extension such as `.jpg`, and the link by any query parameters.
#[utoipa::path(get, path = "/i/{image_id}", tag = "links",
    params(("image_id" = Uuid, Path, description = "The image's id."), OriginalHeaders),
    responses(
        (status = 200, description = "The original.", content(("image/jpeg"), ("image/png"), ("image/gif"), ("image/webp")),
            headers(("ETag" = String, description = "Entity tag of the original."), ("Cache-Control" = String, description = "How long caches may keep the response."))),
        (status = 206, description = "The requested part of the original.", content(("image/jpeg"), ("image/png"), ("image/gif"), ("image/webp")),
            headers(("Content-Range" = String, description = "Byte range and total size."))),
        (status = 304, description = "Not modified."), NotFound, RangeNotSatisfiable, FileMissing))]
pub async fn get_original(
    State(app): State<AppState>,
    CallerOf(caller): CallerOf,
    TurnKeyOf(key): TurnKeyOf,
    PathParam(id): PathParam<String>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    match id.strip_suffix(".json") {
        Some(id) => get_public_image(&app, &caller, id).await,
        None => send(&app, &caller, &key, without_ending(&id), &method, &headers).await,
    }
}

/// Removes the extension. Forums and mail programs display a link as an image if it ends like a file name.
fn without_ending(id: &str) -> &str {
    id.split_once('.').map_or(id, |(id, _)| id)
}

async fn send(
    app: &AppState,
    caller: &Caller,
    key: &TurnKey,
    id: &str,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let OriginalHeaders { if_none_match, range, if_range } = OriginalHeaders::of(method, headers);
    let sending =
        SendOptions { is_known: &|etag| if_none_match.matches(etag), with_body: *method != Method::HEAD, requested_by: key };
    let part = RangeRequest { range, if_range };
    let original = app.service.original(caller, ImageId::from_path(id)?, &part, &sending).await?;
    let caching = match original.image.visibility {
        Visibility::Public => format!("public, max-age={}, immutable", app.config.link_max_age_seconds),
        Visibility::Private => "private, no-cache".to_owned(),
    };
    let mut response = file_response(original, &caching)?;
    response.headers_mut().insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    Ok(response)
}

/// Get an original by a link with a file name
///
/// The same as without the name. The service ignores the name; it lets links end like file names.
#[utoipa::path(get, path = "/i/{image_id}/{name}", tag = "links",
    params(("image_id" = Uuid, Path, description = "The image's id."), ("name" = String, Path, description = "Any file name."), OriginalHeaders),
    responses(
        (status = 200, description = "The original.", content(("image/jpeg"), ("image/png"), ("image/gif"), ("image/webp"))),
        (status = 206, description = "The requested part of the original.", content(("image/jpeg"), ("image/png"), ("image/gif"), ("image/webp"))),
        (status = 304, description = "Not modified."), NotFound, RangeNotSatisfiable, FileMissing))]
pub async fn get_named_original(
    State(app): State<AppState>,
    CallerOf(caller): CallerOf,
    TurnKeyOf(key): TurnKeyOf,
    PathParams(id, _): PathParams<String, String>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    send(&app, &caller, &key, &id, &method, &headers).await
}

/// A page of public links, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct PublicLinkPage {
    /// The links on this page.
    #[schema(example = json!(["http://localhost:8000/i/019350a4-7f2c-7d3e-9b1a-2f6d8c4e0a17"]))]
    pub uploaded: Vec<String>,
    /// The `page_token` of the next page; null on the last page.
    pub next_page_token: Option<String>,
    /// Whether there is another page.
    pub has_more: bool,
}

/// List public links
///
/// The public links of all public images that were imported from URLs, newest first.
#[utoipa::path(get, path = "/links", tag = "links", params(PageQuery),
    responses((status = 200, description = "A page of links.", body = PublicLinkPage)))]
pub async fn list_public_links(
    State(app): State<AppState>,
    CallerOf(caller): CallerOf,
    request: PageRequest,
) -> Result<Response, ApiError> {
    let page = app.service.list_links(&caller, request.limit, request.token.as_deref()).await?;
    request.respond(&app, page, |uploaded, next_page_token, has_more| {
        let uploaded = uploaded.iter().map(|id| app.config.public_link(*id)).collect();
        PublicLinkPage { uploaded, next_page_token, has_more }
    })
}

/// Returns the response with the file. `caching` is the value of `Cache-Control`.
pub fn file_response(original: Original, caching: &str) -> Result<Response, ApiError> {
    let text = |text: String| HeaderValue::from_str(&text).map_err(Error::internal);
    let mut headers = HeaderMap::new();
    headers.insert(header::ETAG, text(format!("\"{}\"", original.etag))?);
    headers.insert(header::CACHE_CONTROL, text(caching.to_owned())?);
    headers.insert(header::CONTENT_SECURITY_POLICY, SANDBOX);
    headers.insert(RESOURCE_POLICY.0, RESOURCE_POLICY.1);
    let (length, body) = match original.content {
        Content::Unchanged => return Ok((StatusCode::NOT_MODIFIED, headers).into_response()),
        Content::Length(length) => (length, Body::empty()),
        Content::Body(download) => (download.length(), download_body(download)),
    };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(original.image.format.content_type()));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(header::CONTENT_DISPOSITION, text(content_disposition(&original.image, Disposition::Inline))?);
    let status = match &original.part {
        None => StatusCode::OK,
        Some(part) => {
            let range = format!("bytes {}-{}/{}", part.start(), part.end(), original.image.file_size);
            headers.insert(header::CONTENT_RANGE, text(range)?);
            StatusCode::PARTIAL_CONTENT
        }
    };
    Ok((status, headers, body).into_response())
}
