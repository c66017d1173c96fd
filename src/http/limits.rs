//! The limits that the operator has set, for clients that check a file before they send it; and the OpenAPI document's
//! copy of them.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::{OpenApi, RefOr, Schema};

use super::AppState;
use super::error::{ApiError, ValidationError};
use super::extract::{Address, Query};
use super::thumbnails::SIDES;
use crate::imaging;
use crate::model::image::{Format, ThumbnailSize};
use crate::model::tag::Tag;
use crate::model::text::{Description, Title};
use crate::service::imports::Order;
use crate::service::{self, DEFAULT_MAX_FILE_BYTES, DEFAULT_MIN_FILE_BYTES};

/// What this service accepts. All bounds are inclusive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Limits {
    /// Bytes of a file.
    pub min_file_size: u64,
    /// Bytes of a file.
    pub max_file_size: u64,
    /// Pixels of each side of a picture.
    pub min_image_side: u32,
    /// Pixels of each side of a picture.
    pub max_image_side: u32,
    /// Width × height of a picture.
    pub max_image_pixels: u64,
    /// `reject`: a picture beyond `max_image_side` or `max_image_pixels` is refused. `shrink`: it is scaled down to them, unless it
    /// is a GIF or animated.
    #[schema(schema_with = super::openapi::oversize_schema)]
    pub oversize: &'static str,
    /// Frames × width × height of an animation.
    pub max_animation_pixels: u64,
    /// Media types of the accepted formats.
    pub content_types: Vec<&'static str>,
    /// Whether originals keep the place where they were taken; otherwise it is removed before they are stored.
    pub keep_location: bool,
    /// Characters of a title.
    pub max_title_length: usize,
    /// Characters of a description.
    pub max_description_length: usize,
    /// Tags of an image.
    pub max_tags: usize,
    /// Characters of a tag.
    pub max_tag_length: usize,
    /// URLs of an import.
    pub max_import_urls: usize,
    /// Sizes of `GET /images/{image_id}/thumbnails/{size}`.
    pub thumbnail_sizes: Vec<String>,
    /// Pixels of each side that `GET /images/{image_id}/thumbnail` takes.
    pub min_thumbnail_side: u32,
    /// Pixels of each side that `GET /images/{image_id}/thumbnail` takes.
    pub max_thumbnail_side: u32,
}

impl Limits {
    pub fn of(limits: &service::Limits) -> Self {
        Self::new(&limits.imaging, limits.min_file_bytes, limits.max_file_bytes)
    }

    fn new(imaging: &imaging::Limits, min_file_size: u64, max_file_size: u64) -> Self {
        let shown = ThumbnailSize::SHOWN.map(|size| size.name().into_owned());
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
            max_title_length: Title::MAX_CHARS,
            max_description_length: Description::MAX_CHARS,
            max_tags: Tag::MAX_PER_IMAGE,
            max_tag_length: Tag::MAX_CHARS,
            max_import_urls: Order::MAX_URLS,
            thumbnail_sizes: shown.into_iter().chain(imaging.thumbnail_heights.iter().map(u32::to_string)).collect(),
            min_thumbnail_side: *SIDES.start(),
            max_thumbnail_side: *SIDES.end(),
        }
    }

    /// What the form's file may be, for people.
    fn of_file(&self) -> String {
        let Self { min_file_size, max_file_size, min_image_side: min, max_image_side: max, max_image_pixels: pixels, .. } = self;
        let larger = if self.oversize == "shrink" { " A larger still picture is scaled down, unless it is a GIF." } else { "" };
        format!(
            "A JPEG, PNG, GIF or WebP file of {} to {}, with {min}×{min} to {max}×{max} pixels and at most {pixels} in all.{larger}",
            bytes(*min_file_size),
            bytes(*max_file_size),
        )
    }
}

impl Default for Limits {
    /// Those of a service without settings.
    fn default() -> Self {
        Self::new(&imaging::Limits::default(), DEFAULT_MIN_FILE_BYTES, DEFAULT_MAX_FILE_BYTES)
    }
}

/// `10 MiB (10485760 bytes)`, or bytes alone where no unit divides them.
fn bytes(number: u64) -> String {
    let unit = [("GiB", 30), ("MiB", 20), ("KiB", 10)].into_iter().find(|(_, shift)| number.is_multiple_of(1 << shift));
    match unit {
        Some((name, shift)) if number > 0 => format!("{} {name} ({number} bytes)", number >> shift),
        _ => format!("{number} bytes"),
    }
}

/// Settings change with a restart only, and a client that acts on an old limit is told the new one by an error.
const CACHE_CONTROL: HeaderValue = HeaderValue::from_static("public, max-age=60");

/// Get the limits
///
/// What this service accepts, as its operator has configured it: a client can check a file before it sends it. Needs no
/// credentials.
#[utoipa::path(get, path = "/limits", tag = "service", responses(
    (status = 200, description = "The limits.", body = Limits, headers(("Cache-Control" = String, description = "How long to keep them"))),
    ValidationError))]
pub async fn get_limits(State(app): State<AppState>, Address(uri): Address) -> Result<Response, ApiError> {
    Query::of(&uri).finish()?;
    Ok(([(header::CACHE_CONTROL, CACHE_CONTROL)], Json(Limits::of(app.service.limits()))).into_response())
}

/// Writes the limits into the document: what the form's file may be, and an example of `GET /limits`.
pub fn describe(mut document: OpenApi, limits: &Limits) -> OpenApi {
    let Some(components) = &mut document.components else { return document };
    if let Some(RefOr::T(Schema::Object(form))) = components.schemas.get_mut("UploadForm")
        && let Some(RefOr::T(Schema::Object(file))) = form.properties.get_mut("file")
    {
        file.description = Some(limits.of_file());
    }
    if let Some(RefOr::T(Schema::Object(schema))) = components.schemas.get_mut("Limits") {
        schema.examples = serde_json::to_value(limits).into_iter().collect();
    }
    document
}
