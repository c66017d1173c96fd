//! What visitors of a share request: its images, their files, and adding images. All of it is below `/s/{token}`, so that a proxy
//! can expose only shares.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::public_links::{OriginalHeaders, file_response};
use crate::http::AppState;
use crate::http::error::ApiError;
use crate::http::identity::accounts::time;
use crate::http::identity::tokens::NO_STORE;
use crate::http::images::thumbnails::{accepted_format, image_response, read_size_name};
use crate::http::images::uploads::count_refusal;
use crate::http::images::uploads::form::{GuestUploadForm, upload_to_share};
use crate::http::images::views::{SizeView, Text};
use crate::http::openapi::error_responses::{
    FileMissing, IdempotencyConflict, InvalidUpload, NotFound, RangeNotSatisfiable, UnknownThumbnailSize, UnsupportedImage,
};
use crate::http::request::conditional::IfNoneMatch;
use crate::http::request::cookies::{self, Cookie};
use crate::http::request::declared::request_fields;
use crate::http::request::extractors::{CallerOf, Identity, RequestUri, TurnKeyOf};
use crate::http::request::fields::Query;
use crate::http::request::json;
use crate::http::request::json_fields::{JsonBody, JsonFields, text};
use crate::http::request::link_header::with_next;
use crate::http::request::paging::{PageQuery, take_shared_page};
use crate::http::request::parameters::{FromPath, NoQuery, PathFields, PathParam, PathParams};
use crate::model::id::ImageId;
use crate::model::image::{Image, Thumbnail, ThumbnailSize};
use crate::model::share::{Share, ShareTarget};
use crate::model::text::{Description, Title};
use crate::service::Service;
use crate::service::error::Error;
use crate::service::images::thumbnails::SendOptions;
use crate::service::images::tiles::LargeSize;
use crate::service::images::upload_request::UploadMethod;
use crate::service::sharing::public_links::RangeRequest;
use crate::service::sharing::share_access::{OpenShare, SharePass};
use crate::service::sharing::shared_images::SharedSize;

/// The cookie with the proof that the visitor has entered the password. Browsers send it only below `/s/{token}`.
const COOKIE: &str = "share_pass";

/// The response may be kept for a few minutes, but not after the share ends, and not where others could find it.
const CACHE_CONTROL: HeaderValue = HeaderValue::from_static("private, max-age=600");
/// The visitor must enter the password again after a while.
const REVALIDATE: HeaderValue = HeaderValue::from_static("private, no-cache");

/// A share for its visitors.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SharedImages)]
pub struct SharedView<'a> {
    /// `image` or `collection`.
    #[serde(rename = "type")]
    #[schema(example = "collection")]
    pub kind: &'static str,
    /// The name of the collection; null for an image.
    #[schema(example = "summer-2026")]
    pub name: Option<&'a str>,
    /// When the share expires; null means never.
    #[schema(format = DateTime)]
    pub expires_at: Option<String>,
    /// How many more images visitors can add.
    pub guest_images_left: u32,
    /// The images on this page, in the order of the collection.
    pub images: Vec<SharedImage<'a>>,
    /// Exact number of images of the share.
    pub total_count: u64,
    /// The `page_token` of the next page; null on the last page.
    pub next_page_token: Option<&'a str>,
    /// Whether there is another page.
    pub has_more: bool,
}

/// An image of a share.
#[derive(Debug, Serialize, ToSchema)]
pub struct SharedImage<'a> {
    /// The image's id.
    #[schema(value_type = String, format = Uuid)]
    pub image_id: Text<ImageId>,
    /// The title; null if there is none.
    pub title: Option<&'a str>,
    /// The description; null if there is none.
    pub description: Option<&'a str>,
    /// The name of the uploaded file.
    pub file_name: &'a str,
    /// The dimensions of the original.
    pub size: SizeView,
    /// The URL of the original; null if the owner's plan does not include originals.
    pub url: Option<String>,
    /// Resized versions, smallest first.
    pub thumbs: Vec<SharedThumbnail>,
}

/// A resized version of an image of a share.
#[derive(Debug, Serialize, ToSchema)]
pub struct SharedThumbnail {
    /// The dimensions of the version.
    pub size: SizeView,
    /// The URL of the version.
    pub url: String,
}

request_fields! {
    /// The password of a share.
    #[derive(Debug, ToSchema)]
    #[schema(as = EnterShareRequest, example = json!({"password": "between us"}))]
    pub struct EnterShareBody from JsonFields {
        /// The password.
        password: String = require(text),
    }
}

/// Get a share
///
/// No authentication. Browsers get a page. 403 if the share has expired, or has a password that was not sent to
/// `POST /s/{token}/password` yet.
#[utoipa::path(get, path = "/s/{token}", tag = "shares", params(("token" = String, Path, description = "The part of the link after `/s/`."), PageQuery),
    responses((status = 200, description = "The share with a page of its images.", body = SharedView), NotFound))]
pub async fn get_shared(
    State(app): State<AppState>,
    CallerOf(_): CallerOf,
    PathParam(token): PathParam<String>,
    RequestUri(uri): RequestUri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let (limit, page_token) = take_shared_page(Query::of(&uri))?;
    let share = open(&app, &token, &headers).await?;
    let page = app.service.list_shared_images(&share, limit, page_token.as_deref()).await?;
    let (kind, name) = match &share.share.target {
        ShareTarget::Image(_) => ("image", None),
        ShareTarget::Collection(_, name) => ("collection", Some(name.as_str())),
    };
    let view = SharedView {
        kind,
        name,
        expires_at: share.share.terms.expires_at.map(time),
        guest_images_left: share.share.guest_images_left(),
        images: page.images.iter().map(|image| SharedImage::new(&app, &share.share, image)).collect(),
        total_count: page.total,
        has_more: page.next.is_some(),
        next_page_token: page.next.as_deref(),
    };
    let mut response = json::response(&view, 512 + view.images.len() * SharedImage::SIZE_BYTES)?;
    response.headers_mut().insert(header::CACHE_CONTROL, REVALIDATE);
    Ok(with_next(&app, &uri, view.next_page_token, response)?)
}

/// Enter the password of a share
///
/// No authentication. The response sets a cookie, which proves to the other operations below `/s/{token}` that the password was
/// entered. It is valid for 24 hours, or until the share expires or its password changes. 403 if the password is wrong; 429 after
/// too many attempts.
#[utoipa::path(post, path = "/s/{token}/password", tag = "shares", params(("token" = String, Path, description = "The part of the link after `/s/`.")),
    request_body(content = EnterShareBody, content_type = "application/json"),
    responses((status = 204, description = "The password is correct, or the share has none.",
        headers(("Set-Cookie" = String, description = "The proof, for requests below `/s/{token}`. Absent if the share has no password."))), NotFound))]
pub async fn enter_share(
    State(app): State<AppState>,
    _: NoQuery,
    identity: Identity,
    PathParam(token): PathParam<String>,
    headers: HeaderMap,
    JsonBody(EnterShareBody { password }): JsonBody<EnterShareBody>,
) -> Result<Response, ApiError> {
    let pass = app.service.enter_share(&token, &password, identity.address).await?;
    let mut response = (StatusCode::NO_CONTENT, [NO_STORE]).into_response();
    if let Some(pass) = pass {
        response.headers_mut().insert(header::SET_COOKIE, set_pass(&app, &headers, &pass)?);
    }
    Ok(response)
}

/// Returns the cookie with the proof, for the response to a request whose path is directly below `/s/{token}/`.
pub fn set_pass(app: &AppState, headers: &HeaderMap, pass: &SharePass) -> Result<HeaderValue, Error> {
    let max_age_seconds = (pass.expires_at - app.service.clock().now()).num_seconds().max(1);
    // With `Strict`, visitors who follow a link to the page would have to enter the password again.
    Cookie { name: COOKIE, value: &pass.text, max_age_seconds, same_site: "Lax" }.to_header(&app.config, headers)
}

/// Opens the share of a request.
pub async fn open(app: &AppState, token: &str, headers: &HeaderMap) -> Result<OpenShare, Error> {
    app.service.open_share(token, cookies::find(headers, COOKIE)).await
}

/// Add an image to a share
///
/// No authentication. Visitors can add images if the share permits it. The image belongs to the owner of the collection, has its
/// visibility, and is appended to it. It is checked like every upload, and counts towards the owner's quota.
#[utoipa::path(post, path = "/s/{token}/images", tag = "shares",
    params(("token" = String, Path, description = "The part of the link after `/s/`."),
        ("Idempotency-Key" = Option<String>, Header, description = "A unique key that makes it safe to repeat the request.", min_length = 1, max_length = 255, pattern = "^[!-~]+$")),
    request_body(content = GuestUploadForm, content_type = "multipart/form-data"),
    responses((status = 201, description = "Added.", body = SharedImage), InvalidUpload, NotFound, IdempotencyConflict, UnsupportedImage))]
pub async fn add_shared_image(
    State(app): State<AppState>,
    _: NoQuery,
    identity: Identity,
    PathParam(token): PathParam<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let share = open(&app, &token, &parts.headers).await?;
    let uploaded = upload_to_share(&app, &identity, &share, &parts.headers, body).await;
    let uploaded = uploaded.inspect_err(|error| count_refusal(&app, UploadMethod::Share, error.failure()))?;
    let view = SharedImage::new(&app, &share.share, &uploaded.image);
    Ok((StatusCode::CREATED, json::response(&view, SharedImage::SIZE_BYTES)?).into_response())
}

/// Get the original of an image of a share
///
/// No authentication.
#[utoipa::path(get, path = "/s/{token}/images/{image_id}", tag = "shares",
    params(("token" = String, Path, description = "The part of the link after `/s/`."), ("image_id" = Uuid, Path, description = "The image's id."), OriginalHeaders),
    responses(
        (status = 200, description = "The original.", content(("image/jpeg"), ("image/png"), ("image/gif"), ("image/webp"))),
        (status = 206, description = "The requested part of the original.", content(("image/jpeg"), ("image/png"), ("image/gif"), ("image/webp"))),
        (status = 304, description = "Not modified."), NotFound, RangeNotSatisfiable, FileMissing))]
pub async fn get_shared_original(
    State(app): State<AppState>,
    TurnKeyOf(key): TurnKeyOf,
    PathParams(token, id): PathParams<String, ImageId>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let OriginalHeaders { if_none_match, range, if_range } = OriginalHeaders::of(&method, &headers);
    let sending =
        SendOptions { is_known: &|etag| if_none_match.matches(etag), with_body: method != Method::HEAD, requested_by: &key };
    let share = open(&app, &token, &headers).await?;
    let original = app.service.send_shared_original(&share, id, &RangeRequest { range, if_range }, &sending).await?;
    let mut response = file_response(original, "")?;
    response.headers_mut().insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    response.headers_mut().insert(header::CACHE_CONTROL, caching(&share.share));
    Ok(response)
}

/// The path of a resized version of an image of a share.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct SharedThumbnailPath {
    /// The part of the link after `/s/`.
    token: String,
    /// The image's id.
    #[param(format = Uuid)]
    image_id: String,
    /// `small` (within 128×128 pixels), `medium` (within 512×512), one of the heights that the operator configured, `large` (within
    /// 1280×1280) or `largest` (within 2000×2000).
    #[param(pattern = "^(small|medium|large|largest|[1-9][0-9]{1,3})$", example = "small")]
    size: String,
}

/// Get a resized version of an image of a share
///
/// No authentication. `large` and `largest` are created on the first request; their format depends on the `Accept` header.
#[utoipa::path(get, path = "/s/{token}/images/{image_id}/thumbnails/{size}", tag = "shares",
    params(SharedThumbnailPath, IfNoneMatch),
    responses(
        (status = 200, description = "The resized version.", content(("image/jpeg"), ("image/png"), ("image/webp"))),
        (status = 304, description = "Not modified."),
        UnknownThumbnailSize, NotFound, FileMissing))]
pub async fn get_shared_thumbnail(
    State(app): State<AppState>,
    TurnKeyOf(key): TurnKeyOf,
    PathFields(path): PathFields<SharedThumbnailPath>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let share = open(&app, &path.token, &headers).await?;
    let size = read_size(&app, &path.size)?;
    let id = ImageId::from_path(&path.image_id)?;
    let known = IfNoneMatch::of(&headers);
    let sending = SendOptions { is_known: &|etag| known.matches(etag), with_body: method != Method::HEAD, requested_by: &key };
    let format = accepted_format(&headers);
    let mut response = image_response(app.service.send_shared_size(&share, &key, id, (size, format), &sending).await?)?;
    response.headers_mut().insert(header::CACHE_CONTROL, caching(&share.share));
    if matches!(size, SharedSize::Large(_)) {
        response.headers_mut().append(header::VARY, HeaderValue::from_static("accept"));
    }
    Ok(response)
}

fn read_size(app: &AppState, name: &str) -> Result<SharedSize, Error> {
    match LargeSize::ALL.into_iter().find(|size| size.name() == name) {
        Some(size) => Ok(SharedSize::Large(size)),
        None => read_size_name(&app.service, name, &LargeSize::ALL.map(LargeSize::name)).map(SharedSize::Thumbnail),
    }
}

fn caching(share: &Share) -> HeaderValue {
    let may_end = share.terms.password_hash.is_some() || share.terms.expires_at.is_some();
    if may_end { REVALIDATE } else { CACHE_CONTROL }
}

/// The resized versions of an image, each with its dimensions and its path below `/s/{token}/`, smallest first.
#[derive(Debug)]
pub struct SharedSizes {
    /// Created at upload.
    pub stored: Vec<(SizeView, String)>,
    /// Created when they are first requested.
    pub large: Vec<(SizeView, String)>,
}

impl SharedSizes {
    pub fn of(service: &Service, image: &Image) -> Self {
        let path = |name: &str| format!("images/{}/thumbnails/{name}", image.id);
        // The operator may have removed sizes since the upload.
        let offered: Vec<ThumbnailSize> = service.thumbnail_sizes().map(|(_, size)| size).collect();
        let is_included =
            |thumbnail: &&Thumbnail| offered.contains(&thumbnail.size) && image.plan_includes_thumbnail(thumbnail.size);
        let view =
            |thumbnail: &Thumbnail| (SizeView::of((thumbnail.width, thumbnail.height)), path(&thumbnail.size.public_name()));
        let mut stored: Vec<_> = image.thumbnails.iter().filter(is_included).map(view).collect();
        stored.sort_by_key(|(size, _)| size.width);
        stored.dedup_by_key(|(size, _)| size.width);
        let large = LargeSize::of(image).into_iter().map(|size| (SizeView::of(size.pixels(image)), path(size.name())));
        Self { stored, large: large.collect() }
    }
}

impl<'a> SharedImage<'a> {
    /// Approximate size of an image as JSON.
    const SIZE_BYTES: usize = 1536;

    fn new(app: &AppState, share: &Share, image: &'a Image) -> Self {
        let base = app.config.share_link(&share.token);
        let SharedSizes { stored, large } = SharedSizes::of(&app.service, image);
        let thumbnail = |(size, path)| SharedThumbnail { size, url: format!("{base}/{path}") };
        Self {
            image_id: Text(image.id),
            title: image.title.as_ref().map(Title::as_str),
            description: image.description.as_ref().map(Description::as_str),
            file_name: image.file_name.as_str(),
            size: SizeView::of((image.width, image.height)),
            url: image.plan_includes_original().then(|| format!("{base}/images/{}", image.id)),
            thumbs: stored.into_iter().chain(large).map(thumbnail).collect(),
        }
    }
}
