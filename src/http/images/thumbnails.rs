//! Thumbnails and resized images.

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::http::AppState;
use crate::http::error::ApiError;
use crate::http::openapi::error_responses::{FileMissing, NotFound, ResizeForbidden, UnknownThumbnailSize};
use crate::http::request::conditional::IfNoneMatch;
use crate::http::request::declared::{RequestFields, request_fields};
use crate::http::request::extractors::{CallerOf, RequestUri, TurnKeyOf};
use crate::http::request::fields::{Query, integer};
use crate::http::request::json_fields::required;
use crate::http::request::parameters::{FromPath, PathFields, PathParam};
use crate::model::accept::Accept;
use crate::model::id::ImageId;
use crate::model::image::{Format, ThumbnailSize, Visibility};
use crate::model::rendering::Fit;
use crate::model::resize::{MAX_SIDE, MIN_SIDE, SIGNED_PARAMETERS};
use crate::service::Service;
use crate::service::admission::downloads::Download;
use crate::service::error::{Error, Fields};
use crate::service::images::resize_urls::{SignedQuery, VerifiedSignature};
use crate::service::images::thumbnails::{Content, SendOptions, ServedImage};
use crate::service::images::variant_request::{FormatRequest, VariantRequest};

/// The bytes never change, but their image can be deleted or made private, and caches should notice within an hour.
const CACHE_CONTROL: HeaderValue = HeaderValue::from_static("public, max-age=3600");

/// The owner's own cache can keep the bytes, but must revalidate each time.
const PRIVATE_CACHE_CONTROL: HeaderValue = HeaderValue::from_static("private, no-cache");

/// The response is only an image: no script, style or form may run, however a browser interprets the bytes.
pub(in crate::http) const SANDBOX: HeaderValue = HeaderValue::from_static("default-src 'none'; sandbox");

/// The path of a thumbnail.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct ThumbnailPath {
    /// The image's id.
    #[param(format = Uuid)]
    image_id: String,
    /// `small` (within 128×128 pixels), `medium` (within 512×512), or one of the heights that the operator configured.
    #[param(pattern = "^(small|medium|[1-9][0-9]{1,3})$", example = "small")]
    size: String,
}

/// Get a thumbnail
///
/// The thumbnail keeps the aspect ratio and is never enlarged. It is upright and has no metadata. The format is JPEG, or WebP if
/// the image has transparency. Thumbnails are created during the upload; one with a height that was configured later is created
/// on the first request.
#[utoipa::path(get, path = "/images/{image_id}/thumbnails/{size}", tag = "images",
    params(ThumbnailPath, IfNoneMatch),
    responses(
        (status = 200, description = "The thumbnail.", content(("image/jpeg"), ("image/webp")),
            headers(("ETag" = String, description = "Entity tag of these bytes."), ("Cache-Control" = String, description = "How long caches may keep the response."))),
        (status = 304, description = "Not modified."),
        UnknownThumbnailSize, NotFound, FileMissing))]
pub async fn get_thumbnail(
    State(app): State<AppState>,
    CallerOf(caller): CallerOf,
    TurnKeyOf(key): TurnKeyOf,
    PathFields(path): PathFields<ThumbnailPath>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let size = read_size_name(&app.service, &path.size, &[])?;
    let id = ImageId::from_path(&path.image_id)?;
    let known = IfNoneMatch::of(&headers);
    let sending = SendOptions { is_known: &|etag| known.matches(etag), with_body: method != Method::HEAD, requested_by: &key };
    image_response(app.service.thumbnail(&caller, &key, id, size, &sending).await?)
}

/// Reads the name of a thumbnail's size. `others` are the names of sizes that the endpoint has in addition.
pub(in crate::http) fn read_size_name(service: &Service, text: &str, others: &[&str]) -> Result<ThumbnailSize, Error> {
    let sizes: Vec<(String, ThumbnailSize)> = service.thumbnail_sizes().collect();
    let known = sizes.iter().find(|(name, _)| name == text).map(|(_, size)| *size);
    known.ok_or_else(|| {
        let names: Vec<&str> = sizes.iter().map(|(name, _)| name.as_str()).chain(others.iter().copied()).collect();
        let rule = format!("must be one of {}", names.join(", "));
        Error::Malformed { message: format!("size {rule}."), details: Fields::from([("size".to_owned(), rule)]) }
    })
}

request_fields! {
    /// The size and format of a resized image.
    #[derive(Debug, IntoParams)]
    #[into_params(parameter_in = Query)]
    pub struct VariantQuery from Query {
        /// Width in pixels, at least 16. Required unless `height` is given. Values above 2000 mean 2000.
        #[param(minimum = 16)]
        width: Option<u32> = take(parse_side),
        /// Height in pixels, at least 16. Required unless `width` is given. Values above 2000 mean 2000; with `fit=cover` both sides
        /// are reduced in proportion.
        #[param(minimum = 16)]
        height: Option<u32> = take(parse_side),
        /// How the image fits into the given size. Defaults to `contain`.
        #[param(value_type = Option<crate::http::openapi::enums::ResizeFitSchema>)]
        fit: Fit = take(read_fit) or Fit::default(),
        /// The format of the result. By default, it depends on the `Accept` header: WebP if that names `image/webp` with at least
        /// the weight of JPEG, otherwise JPEG. For an image with transparency, PNG takes the place of JPEG.
        #[param(value_type = Option<crate::http::openapi::enums::ThumbnailFormatSchema>)]
        format: Option<Format> = take(read_format),
        /// Quality of JPEG and WebP. Ignored for PNG.
        #[param(minimum = 1, maximum = 100, default = 80)]
        quality: Option<u8> = take(integer(1..=100)),
        /// When a signed URL expires, in seconds since 1970.
        #[param(value_type = Option<u64>, minimum = 0)]
        expires: Option<()> = take(|_| Ok(())),
        /// The signature of `expires` and the parameters above, from `POST /images/{image_id}/urls`.
        #[param(value_type = Option<String>, min_length = 43, max_length = 43, pattern = "^[A-Za-z0-9_-]+$")]
        signature: Option<()> = take(|_| Ok(())),
    }
}

/// Get a resized image
///
/// Created on the first request and stored. The result is upright and has no metadata. JPEG does not support transparency:
/// transparent pixels become white.
///
/// Without `signature`, the service rounds `width` and `height` up to the next multiple of 8, 10 or 25, whichever is smallest, and
/// `quality` to the nearest multiple of 5, unless its operator allows only certain sizes or only signed URLs. With `signature`,
/// the result has exactly the signed size; the parameters can be in any order.
#[utoipa::path(get, path = "/images/{image_id}/thumbnail", tag = "images",
    params(("image_id" = Uuid, Path, description = "The image's id."), VariantQuery, IfNoneMatch),
    responses(
        (status = 200, description = "The resized image.", content(("image/jpeg"), ("image/png"), ("image/webp")),
            headers(("ETag" = String, description = "Entity tag of these bytes."), ("Cache-Control" = String, description = "How long caches may keep the response."),
                ("Vary" = String, description = "`Accept`, if that header decided the format."))),
        (status = 304, description = "Not modified."),
        ResizeForbidden, NotFound, FileMissing))]
pub async fn get_resized_image(
    State(app): State<AppState>,
    CallerOf(caller): CallerOf,
    TurnKeyOf(key): TurnKeyOf,
    PathParam(id): PathParam<String>,
    RequestUri(uri): RequestUri,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let (query, image) = (Query::of(&uri), ImageId::from_path(&id));
    // Checked first: without a valid signature, clients do not learn what else is wrong.
    let signed = match read_signature(&query) {
        Some(signature) => Some(app.service.check_signature(image?, &signature).await?),
        None => None,
    };
    let request = read_request(query, &headers)?;
    let known = IfNoneMatch::of(&headers);
    let sending = SendOptions { is_known: &|etag| known.matches(etag), with_body: method != Method::HEAD, requested_by: &key };
    let thumbnail = app.service.variant(&caller, &key, ImageId::from_path(&id)?, (&request, signed), &sending).await?;
    let caching = signed.map(|signed| cache_until_expiry(&signed, app.service.clock().now(), thumbnail.visibility));
    let mut response = image_response(thumbnail)?;
    if let Some(caching) = caching {
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_str(&caching).map_err(Error::internal)?);
    }
    if matches!(request.format, FormatRequest::Accepted(_)) {
        response.headers_mut().append(header::VARY, HeaderValue::from_static("accept"));
    }
    Ok(response)
}

/// Reads the signature of a URL; `None` if it is not signed.
pub fn read_signature(query: &Query) -> Option<SignedQuery> {
    if !query.has("signature") && !query.has("expires") {
        return None;
    }
    let signature = match query.values_of(&["signature"]).as_slice() {
        [(_, signature)] => signature.clone(),
        _ => String::new(),
    };
    Some(SignedQuery { parameters: query.values_of(&SIGNED_PARAMETERS), signature })
}

/// No cache keeps the response for longer than its URL is valid, nor for more than an hour, as without a signature.
pub fn cache_until_expiry(signed: &VerifiedSignature, now: DateTime<Utc>, visibility: Visibility) -> String {
    let seconds = (signed.expires_at - now).num_seconds().clamp(0, 3600);
    format!("{}, max-age={seconds}", visibility.name())
}

/// The allowed widths and heights.
pub(in crate::http) const SIDE_RANGE: std::ops::RangeInclusive<u32> = MIN_SIDE..=MAX_SIDE;

fn parse_side(text: &str) -> Result<u32, String> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // A number that overflows is above the maximum, too.
    let side = digits.then(|| text.parse().unwrap_or(u32::MAX)).filter(|side| *side >= MIN_SIDE);
    side.ok_or_else(|| format!("must be a whole number of at least {MIN_SIDE}; values above {MAX_SIDE} mean {MAX_SIDE}"))
}

/// Reduces both sides to the maximum. With `fit=cover` the aspect ratio stays; otherwise the result has the image's aspect ratio
/// anyway.
fn clamp_sides(width: Option<u32>, height: Option<u32>, fit: Fit) -> (Option<u32>, Option<u32>) {
    match (width, height, fit) {
        (Some(width), Some(height), Fit::Cover) if width.max(height) > MAX_SIDE => {
            let longer = u64::from(width.max(height));
            let scaled = |side: u32| (u64::from(side) * u64::from(MAX_SIDE) + longer / 2) / longer;
            let scaled = |side: u32| u32::try_from(scaled(side)).unwrap_or(MAX_SIDE).max(1);
            (Some(scaled(width)), Some(scaled(height)))
        }
        (width, height, _) => (width.map(|side| side.min(MAX_SIDE)), height.map(|side| side.min(MAX_SIDE))),
    }
}

/// The parameters of a resized image's URL.
const PARAMETERS: [&str; 7] = ["width", "height", "fit", "format", "quality", "expires", "signature"];

fn read_request(mut query: Query, headers: &HeaderMap) -> Result<VariantRequest, Error> {
    let (width_given, height_given) = (query.has("width"), query.has("height"));
    let parameters = VariantQuery::take(&mut query);
    let fit = parameters.as_ref().map(|parameters| parameters.fit).unwrap_or_default();
    if !width_given && !height_given {
        query.errors.add("width", "is required unless height is given");
    } else if fit == Fit::Cover {
        for (name, given) in [("width", width_given), ("height", height_given)] {
            if !given {
                query.errors.add(name, "is required for fit=cover");
            }
        }
    }
    // These URLs are used in pages, where others add parameters. But a misspelt `width` would silently return another size.
    query.finish_rejecting_misspellings(&PARAMETERS)?;
    // The signature was checked before.
    let VariantQuery { width, height, fit, format, quality, expires: _expires, signature: _signature } = required(parameters)?;
    let (width, height) = clamp_sides(width, height, fit);
    let format = format.map_or_else(|| accepted_format(headers), FormatRequest::Named);
    Ok(VariantRequest { width, height, fit, format, quality })
}

/// Returns the format that the `Accept` header asks for.
pub(in crate::http) fn accepted_format(headers: &HeaderMap) -> FormatRequest {
    let fields = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    FormatRequest::Accepted(Accept::parse(&fields.collect::<Vec<_>>().join(",")))
}

pub(in crate::http) fn read_fit(text: &str) -> Result<Fit, String> {
    Fit::parse(&text.to_ascii_lowercase()).ok_or_else(|| "must be contain or cover".to_owned())
}

pub(in crate::http) fn read_format(text: &str) -> Result<Format, String> {
    let word = text.to_ascii_lowercase();
    // `jpg`, from file names, is another name for `jpeg`.
    let known = Format::parse(if word == "jpg" { "jpeg" } else { &word }).filter(|format| *format != Format::Gif);
    known.ok_or_else(|| "must be jpeg, png or webp".to_owned())
}

/// A 304 has the same headers as a 200 (RFC 9110, 15.4.5).
pub(in crate::http) fn image_response(thumbnail: ServedImage) -> Result<Response, ApiError> {
    let etag = HeaderValue::from_str(&format!("\"{}\"", thumbnail.etag)).map_err(Error::internal)?;
    let (status, length, body) = match thumbnail.content {
        Content::Unchanged => (StatusCode::NOT_MODIFIED, None, Body::empty()),
        Content::Length(length) => (StatusCode::OK, Some(length), Body::empty()),
        Content::Body(download) => (StatusCode::OK, Some(download.length()), download_body(download)),
    };
    let caching = match thumbnail.visibility {
        Visibility::Public => CACHE_CONTROL,
        Visibility::Private => PRIVATE_CACHE_CONTROL,
    };
    let headers = [(header::ETAG, etag), (header::CACHE_CONTROL, caching), (header::CONTENT_SECURITY_POLICY, SANDBOX)];
    let mut response = (status, headers, body).into_response();
    if let Some(length) = length {
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(thumbnail.format.content_type()));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    Ok(response)
}

/// Returns the body that sends a file.
pub(in crate::http) fn download_body(download: Download) -> Body {
    match download {
        Download::Bytes(bytes) => Body::from(bytes),
        Download::Stream(_, stream) => Body::from_stream(stream),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_above_the_maximum_are_clamped_and_a_crop_keeps_its_aspect_ratio() {
        for (sides, fit, expected) in [
            ((Some(3840), None), Fit::Contain, (Some(2000), None)),
            ((Some(2048), Some(100)), Fit::Contain, (Some(2000), Some(100))),
            ((Some(3840), Some(2160)), Fit::Cover, (Some(2000), Some(1125))),
            ((Some(2000), Some(2000)), Fit::Cover, (Some(2000), Some(2000))),
            ((Some(999_999_999), Some(16)), Fit::Cover, (Some(2000), Some(1))),
            ((Some(300), Some(200)), Fit::Cover, (Some(300), Some(200))),
        ] {
            assert_eq!(clamp_sides(sides.0, sides.1, fit), expected, "{sides:?} {fit:?}");
        }
        assert_eq!(["16", "3840", "99999999999"].map(parse_side), [Ok(16), Ok(3840), Ok(u32::MAX)]);
        for bad in ["15", "0", "-1", "+16", "1e3", "3.5", "", "wide"] {
            assert!(parse_side(bad).is_err(), "{bad}");
        }
    }
}
