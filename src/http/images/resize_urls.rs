//! Signed URLs of resized images, for pages that cannot send a header with each image request.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::thumbnails::{read_fit, read_format};
use crate::http::AppState;
use crate::http::error::ApiError;
use crate::http::identity::accounts::time;
use crate::http::identity::tokens::NO_STORE;
use crate::http::openapi::error_responses::{NotFound, ResizeForbidden};
use crate::http::request::declared::{RequestFields, request_fields};
use crate::http::request::extractors::CallerOf;
use crate::http::request::fields::FieldErrors;
use crate::http::request::json_fields::{JsonFields, required, small_integer, text};
use crate::http::request::parameters::{NoQuery, PathParam};
use crate::model::format::Format;
use crate::model::id::ImageId;
use crate::model::rendering::Fit;
use crate::model::resize::{MAX_SIDE, MIN_SIDE};
use crate::service::error::{Error, Fields};
use crate::service::images::resize_urls::SizeToSign;

request_fields! {
    /// The sizes to sign URLs for.
    #[derive(Debug, ToSchema)]
    #[schema(as = CreateResizeUrlsRequest, example = json!({"sizes": [{"width": 320}, {"width": 640}, {"width": 1280}], "expires_in": 3600}))]
    pub struct NewUrlsBody from JsonFields {
        /// The sizes, each with the parameters of `GET /images/{image_id}/thumbnail`.
        #[schema(value_type = Vec<ResizeSizeBody>, min_items = 1, max_items = 20)]
        sizes: Vec<Value> = require(read_sizes),
        /// Lifetime of the URLs in seconds. The service rounds it up, so that URLs stay the same for a while and can be cached.
        /// Defaults to the lifetime of presigned URLs: one hour, unless the operator changed it.
        #[schema(nullable = false, minimum = 60, maximum = 86400)]
        expires_in: Option<u32> = take(small_integer(60, 86_400)),
    }
}

request_fields! {
    /// A size of a resized image.
    #[derive(Debug, ToSchema)]
    #[schema(as = ResizeSize)]
    pub struct ResizeSizeBody from JsonFields {
        /// Width in pixels. Required unless `height` is given.
        #[schema(nullable = false, minimum = 16, maximum = 2000)]
        width: Option<u32> = take(small_integer(MIN_SIDE, MAX_SIDE)),
        /// Height in pixels. Required unless `width` is given.
        #[schema(nullable = false, minimum = 16, maximum = 2000)]
        height: Option<u32> = take(small_integer(MIN_SIDE, MAX_SIDE)),
        /// How the image fits into the size. Defaults to `contain`.
        #[schema(nullable = false, value_type = Option<crate::http::openapi::enums::ResizeFitSchema>)]
        fit: Option<Fit> = take(|value| read_fit(&text(value)?)),
        /// The format of the result. By default, the `Accept` header of each request decides.
        #[schema(nullable = false, value_type = Option<crate::http::openapi::enums::ThumbnailFormatSchema>)]
        format: Option<Format> = take(|value| read_format(&text(value)?)),
        /// Quality of JPEG and WebP. Defaults to 80.
        #[schema(nullable = false, value_type = Option<u8>, minimum = 1, maximum = 100)]
        quality: Option<u8> = take(read_quality),
    }
}

/// Signed URLs of resized images.
#[derive(Debug, Serialize, ToSchema)]
pub struct ResizeUrls {
    /// The URLs, in the order of `sizes`.
    pub urls: Vec<ResizeUrlView>,
    /// The URLs with their widths, as a value for the `srcset` attribute of `<img>`. If several URLs have the same width, it
    /// contains only the first.
    #[schema(
        example = "http://localhost:8000/images/019350a4-7f2c-7d3e-9b1a-2f6d8c4e0a17/thumbnail?expires=1795939200&width=320&signature=\
                   3q2-7wAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA 320w"
    )]
    pub srcset: String,
    /// When the URLs expire.
    #[schema(format = DateTime)]
    pub expires_at: String,
}

/// A signed URL of a resized image.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ResizeUrl)]
pub struct ResizeUrlView {
    /// The URL. It works without authentication until it expires.
    #[schema(
        example = "http://localhost:8000/images/019350a4-7f2c-7d3e-9b1a-2f6d8c4e0a17/thumbnail?expires=1795939200&width=320&signature=\
                   3q2-7wAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    )]
    pub url: String,
    /// Width of the resized image in pixels.
    pub width: u32,
    /// Height of the resized image in pixels.
    pub height: u32,
}

/// Maximum number of sizes in one request.
const MAX_SIZES: usize = 20;

/// Create signed URLs of resized images
///
/// For `<img src>` and `<img srcset>`: the URLs work without authentication until they expire, even if the image is private and
/// even if the service allows only signed URLs. The owner can sign any size. Other callers can sign only images and sizes that
/// they can request without a signature: sizes are rounded, or must be on the operator's list. Where only signed URLs are
/// allowed, other callers cannot sign. URLs that were signed while the image was public stop working when it becomes private.
#[utoipa::path(post, path = "/images/{image_id}/urls", tag = "images", params(("image_id" = Uuid, Path, description = "The image's id.")),
    request_body(content = NewUrlsBody, content_type = "application/json"),
    responses((status = 200, description = "The URLs.", body = ResizeUrls), ResizeForbidden, NotFound))]
pub async fn create_resize_urls(
    State(app): State<AppState>,
    _: NoQuery,
    CallerOf(caller): CallerOf,
    PathParam(id): PathParam<ImageId>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let (sizes, expires_in) = read_body(JsonFields::read_with_lists(&headers, body).await?)?;
    let (urls, expires_at) = app.service.create_resize_urls(&caller, id, &sizes, expires_in).await?;
    let base = format!("{}/images/{id}/thumbnail", app.config.link_base);
    let urls: Vec<ResizeUrlView> = urls
        .into_iter()
        .map(|url| ResizeUrlView { url: format!("{base}?{}", url.query), width: url.width, height: url.height })
        .collect();
    let body = ResizeUrls { srcset: srcset(&urls), urls, expires_at: time(expires_at) };
    Ok(([NO_STORE], Json(body)).into_response())
}

/// The URLs contain no spaces, and commas only inside, which `srcset` allows (HTML, 4.8.4.2.1).
fn srcset(urls: &[ResizeUrlView]) -> String {
    let mut widths = std::collections::BTreeSet::new();
    let first = urls.iter().filter(|url| widths.insert(url.width));
    first.map(|url| format!("{} {}w", url.url, url.width)).collect::<Vec<_>>().join(", ")
}

fn read_body(mut fields: JsonFields) -> Result<(Vec<SizeToSign>, Option<u32>), Error> {
    let body = NewUrlsBody::take(&mut fields);
    let mut read = Vec::new();
    for (number, size) in body.iter().flat_map(|body| &body.sizes).enumerate() {
        match read_size(size) {
            Ok(size) => read.push(size),
            Err(broken) => broken.into_iter().for_each(|(name, rule)| fields.errors.add(&format!("sizes[{number}]{name}"), rule)),
        }
    }
    fields.finish()?;
    Ok((read, required(body)?.expires_in))
}

fn read_sizes(value: Value) -> Result<Vec<Value>, String> {
    match value {
        Value::Array(sizes) if (1..=MAX_SIZES).contains(&sizes.len()) => Ok(sizes),
        _ => Err(format!("must be a list of 1 to {MAX_SIZES} sizes")),
    }
}

fn read_quality(value: Value) -> Result<u8, String> {
    small_integer(1, 100)(value).map(|quality| u8::try_from(quality).unwrap_or(100))
}

fn read_size(size: &Value) -> Result<SizeToSign, Fields> {
    let Value::Object(size) = size else {
        return Err(Fields::from([(String::new(), "must be an object such as {\"width\": 320}".to_owned())]));
    };
    let mut fields = JsonFields::from_object(size.clone());
    let given = ["width", "height"].map(|name| fields.has(name));
    let size = ResizeSizeBody::take(&mut fields);
    require_sides(&mut fields.errors, given, size.as_ref().and_then(|size| size.fit));
    match fields.finish().and_then(|()| required(size)) {
        Ok(ResizeSizeBody { width, height, fit, format, quality }) => Ok(SizeToSign { width, height, fit, format, quality }),
        Err(Error::Invalid(broken)) => Err(broken.into_iter().map(|(name, rule)| (format!(".{name}"), rule)).collect()),
        Err(other) => Err(Fields::from([(String::new(), other.to_string())])),
    }
}

fn require_sides(errors: &mut FieldErrors, given: [bool; 2], fit: Option<Fit>) {
    match given {
        [false, false] => errors.add("width", "is required unless height is given"),
        [false, true] if fit == Some(Fit::Cover) => errors.add("width", "is required for fit=cover"),
        [true, false] if fit == Some(Fit::Cover) => errors.add("height", "is required for fit=cover"),
        _ => {}
    }
}
