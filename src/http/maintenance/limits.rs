//! The configured limits, for clients that check a file before they upload it, and their copy in the OpenAPI document.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::{OpenApi, RefOr, Schema};

use crate::http::AppState;
use crate::http::error::ApiError;
use crate::http::images::thumbnails::SIDE_RANGE;
use crate::http::openapi::error_responses::ValidationError;
use crate::http::request::extractors::RequestUri;
use crate::http::request::fields::Query;
use crate::imaging;
use crate::model::image::{Format, ThumbnailSize};
use crate::model::plural::counted;
use crate::model::tag::Tag;
use crate::model::text::{Description, Title};
use crate::service::images::drafts::{DEFAULT_MAX_OPEN, DEFAULT_MAX_OPEN_BYTES};
use crate::service::jobs::import_queue::DEFAULT_MAX_PENDING;
use crate::service::jobs::imports::ImportRequest;
use crate::service::{self, DEFAULT_MAX_FILE_BYTES, DEFAULT_MIN_FILE_BYTES};

/// The limits of this service, as its operator has configured them. All bounds are inclusive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Limits {
    /// Minimum size of a file in bytes.
    pub min_file_size: u64,
    /// Maximum size of a file in bytes.
    pub max_file_size: u64,
    /// Minimum width and height of an image in pixels.
    pub min_image_side: u32,
    /// Maximum width and height of an image in pixels.
    pub max_image_side: u32,
    /// Maximum number of pixels of an image (width × height).
    pub max_image_pixels: u64,
    /// What happens to an image that exceeds these limits.
    #[schema(value_type = crate::http::openapi::enums::OversizeSchema)]
    pub oversize: &'static str,
    /// Maximum number of pixels of an animation (frames × width × height).
    pub max_animation_pixels: u64,
    /// The media types of the accepted file formats.
    pub content_types: Vec<&'static str>,
    /// Whether originals keep their location metadata. If false, it is removed before they are stored.
    pub keep_location: bool,
    /// Whether uploaders can keep the location metadata of an original with `keep_location=true`.
    pub allow_keep_location: bool,
    /// Maximum length of a title in characters.
    pub max_title_length: usize,
    /// Maximum length of a description in characters.
    pub max_description_length: usize,
    /// Maximum number of tags of an image.
    pub max_tags: usize,
    /// Maximum length of a tag in characters.
    pub max_tag_length: usize,
    /// Maximum number of URLs of an import job.
    pub max_import_urls: usize,
    /// Maximum number of URLs of a user that wait to be imported.
    pub max_pending_imports: u32,
    /// Maximum number of open uploads of a user.
    pub max_open_uploads: u32,
    /// Maximum total size of the open uploads of a user in bytes.
    pub max_open_upload_bytes: u64,
    /// The sizes that `GET /images/{image_id}/thumbnails/{size}` offers.
    pub thumbnail_sizes: Vec<String>,
    /// Minimum width and height of a resized image in pixels.
    pub min_thumbnail_side: u32,
    /// Maximum width and height of a resized image in pixels.
    pub max_thumbnail_side: u32,
}

impl Limits {
    pub fn of(limits: &service::Limits) -> Self {
        let max_pending_imports = limits.imports.max_pending;
        Self {
            max_pending_imports,
            max_open_uploads: limits.drafts.max_open,
            max_open_upload_bytes: limits.drafts.max_open_bytes,
            ..Self::new(&limits.imaging, limits.min_file_bytes, limits.max_file_bytes, limits.allow_keep_location)
        }
    }

    fn new(imaging: &imaging::Limits, min_file_size: u64, max_file_size: u64, allow_keep_location: bool) -> Self {
        let named = ThumbnailSize::STANDARD.map(|size| size.public_name().into_owned());
        Self {
            min_file_size,
            max_file_size,
            min_image_side: imaging.min_side,
            max_image_side: imaging.max_side,
            max_image_pixels: imaging.max_pixels,
            oversize: if imaging.shrink { "shrink" } else { "reject" },
            max_animation_pixels: imaging.max_frame_pixels,
            content_types: Format::ALL.map(Format::content_type).to_vec(),
            keep_location: imaging.keep_location,
            allow_keep_location,
            max_title_length: Title::MAX_CHARS,
            max_description_length: Description::MAX_CHARS,
            max_tags: Tag::MAX_PER_IMAGE,
            max_tag_length: Tag::MAX_CHARS,
            max_import_urls: ImportRequest::MAX_URLS,
            max_pending_imports: DEFAULT_MAX_PENDING,
            max_open_uploads: DEFAULT_MAX_OPEN,
            max_open_upload_bytes: DEFAULT_MAX_OPEN_BYTES,
            thumbnail_sizes: named.into_iter().chain(imaging.thumbnail_heights.iter().map(u32::to_string)).collect(),
            min_thumbnail_side: *SIDE_RANGE.start(),
            max_thumbnail_side: *SIDE_RANGE.end(),
        }
    }

    /// Returns the description of the form's `file`.
    fn file_description(&self) -> String {
        let Self { min_file_size, max_file_size, min_image_side: min, max_image_side: max, max_image_pixels: pixels, .. } = self;
        let larger = if self.oversize == "shrink" { " A larger still image is scaled down, unless it is a GIF." } else { "" };
        format!(
            "A JPEG, PNG, GIF or WebP file of {} to {}, with {min}×{min} to {max}×{max} pixels and at most {pixels} pixels in total.{larger}",
            bytes(*min_file_size),
            bytes(*max_file_size),
        )
    }
}

impl Default for Limits {
    /// The limits with default settings.
    fn default() -> Self {
        Self::new(&imaging::Limits::default(), DEFAULT_MIN_FILE_BYTES, DEFAULT_MAX_FILE_BYTES, false)
    }
}

/// Formats a size as `10 MiB (10485760 bytes)`, or only in bytes if no unit divides it.
fn bytes(number: u64) -> String {
    let unit = [("GiB", 30), ("MiB", 20), ("KiB", 10)].into_iter().find(|(_, shift)| number.is_multiple_of(1 << shift));
    match unit {
        Some((name, shift)) if number > 0 => format!("{} {name} ({number} bytes)", number >> shift),
        _ => counted(number, "byte"),
    }
}

/// Settings change only with a restart. A client that relies on an old limit gets an error that names the new one.
const CACHE_CONTROL: HeaderValue = HeaderValue::from_static("public, max-age=60");

/// Get the limits
///
/// The limits of this service, as its operator has configured them, so that clients can check a file before they upload it. No
/// authentication.
#[utoipa::path(get, path = "/limits", tag = "service", responses(
    (status = 200, description = "The limits.", body = Limits, headers(("Cache-Control" = String, description = "How long caches may keep the response."))),
    ValidationError))]
pub async fn get_limits(State(app): State<AppState>, RequestUri(uri): RequestUri) -> Result<Response, ApiError> {
    Query::of(&uri).finish()?;
    Ok(([(header::CACHE_CONTROL, CACHE_CONTROL)], Json(Limits::of(app.service.limits()))).into_response())
}

/// Writes the limits into the document: the description of the form's `file`, the range of an upload's `file_size`, and the example of
/// `GET /limits`.
pub fn describe(mut document: OpenApi, limits: &Limits) -> OpenApi {
    let Some(components) = &mut document.components else { return document };
    if let Some(RefOr::T(Schema::Object(form))) = components.schemas.get_mut("UploadForm")
        && let Some(RefOr::T(Schema::Object(file))) = form.properties.get_mut("file")
    {
        file.description = Some(limits.file_description());
    }
    if let Some(RefOr::T(Schema::Object(upload))) = components.schemas.get_mut("CreateUploadRequest")
        && let Some(RefOr::T(Schema::Object(size))) = upload.properties.get_mut("file_size")
    {
        size.minimum = Some(limits.min_file_size.into());
        size.maximum = Some(limits.max_file_size.into());
    }
    if let Some(RefOr::T(Schema::Object(schema))) = components.schemas.get_mut("Limits") {
        schema.examples = serde_json::to_value(limits).into_iter().collect();
    }
    document
}
