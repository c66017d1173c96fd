//! The upload's request: `multipart/form-data`, read under its limits, its parts in any order.

use axum::body::{Body, Bytes};
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart, Request, State};
use axum::response::Response;
use bytes::BytesMut;
use http::{HeaderMap, header};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::AppState;
use super::body::{BodyError, BoundedBody};
use super::error::{
    ApiError, Failure, IdempotencyConflict, InternalServerError, InvalidUpload, PayloadTooLarge, QuotaOrForbidden,
    RequestTimeout, ServiceUnavailable, UnsupportedImage, ValidationError,
};
use super::extract::{Address, FieldErrors, Identity, Query, boolean, header as one_header};
use super::json;
use super::views::{ImageView, Text};
use crate::model::caller::UserId;
use crate::model::id::ImageId;
use crate::model::image::Visibility;
use crate::model::tag::Tag;
use crate::model::text::{Description, Title};
use crate::service::error::{Error, Fields};
use crate::service::idempotency::IdempotencyKey;
use crate::service::upload::{Origin, Upload};

/// A stored image.
#[derive(Debug, Serialize, ToSchema)]
pub struct UploadedImage<'a> {
    /// A confirmation for people.
    #[schema(example = "Image uploaded successfully")]
    pub message: &'static str,
    /// The image's id.
    #[schema(value_type = String, format = Uuid)]
    pub image_id: Text<ImageId>,
    /// The image.
    pub image: ImageView<'a>,
}

/// The file and its metadata. Parts can be in any order.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it describes what `Form` reads")]
pub struct UploadForm {
    /// A JPEG, PNG, GIF or WebP file within the limits that `GET /limits` tells; `limits.rs` writes them here.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
    /// The user id of the owner. Callers with an account may omit it, all others must send it. Authenticated callers can upload only
    /// for themselves.
    #[schema(required = false, min_length = 1, max_length = 128, pattern = "^[A-Za-z0-9._@:-]+$", example = "user123")]
    user_id: String,
    /// The title, without U+0000.
    #[schema(max_length = 200, example = "Beautiful Sunset")]
    title: Option<String>,
    /// The description, without U+0000.
    #[schema(max_length = 1000, example = "A stunning sunset over the mountains")]
    description: Option<String>,
    /// Up to 10 tags, separated by commas, each of up to 50 letters, digits, spaces, hyphens and underscores.
    #[schema(example = "nature,sunset,mountains")]
    tags: Option<String>,
    /// Who can see the image. Defaults to `public`.
    #[schema(value_type = super::words::VisibilityWord, required = false)]
    visibility: Option<String>,
    /// Stores the file byte for byte, with the location and the Content Credentials in it. `true` is refused unless the operator
    /// sets `ALLOW_KEEP_LOCATION` or `KEEP_LOCATION`; `false` if absent.
    keep_location: Option<bool>,
}

/// Upload an image
///
/// The whole image is decoded before it is stored; truncated and corrupt files are rejected. With an `Idempotency-Key`, repeating
/// the request within 24 hours returns the first response and stores nothing twice. Authenticated callers can upload only for
/// themselves.
#[utoipa::path(post, path = "/images", tag = "images",
    params(("Idempotency-Key" = Option<String>, Header, description = "A unique key, which makes it safe to repeat the request.", min_length = 1, max_length = 255, pattern = "^[!-~]+$")),
    request_body(content = UploadForm, content_type = "multipart/form-data"),
    responses((status = 200, description = "Uploaded.", body = UploadedImage), InvalidUpload, QuotaOrForbidden, RequestTimeout, IdempotencyConflict, PayloadTooLarge,
        UnsupportedImage, ValidationError, InternalServerError, ServiceUnavailable))]
pub async fn upload_image(
    State(app): State<AppState>,
    identity: Identity,
    Address(uri): Address,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let limit = app.service.limits().max_file_bytes + app.config.body.fields_bytes;
    let body = BoundedBody::new(body, limit, &app.config.body);
    let answer = async {
        Query::of(&uri).finish()?;
        app.service.require_uploader(&identity.caller)?;
        let announced = announced_length(&parts.headers, limit)?;
        let admitted = app.service.admit_upload(announced).await?;
        let form = Form::read(&app, &parts.headers, body, announced).await?;
        let upload = form.into_upload(&app, &identity, &parts.headers)?;
        app.service.upload(&identity.caller, admitted, upload).await.map_err(ApiError::from)
    };
    let uploaded = answer.await.inspect_err(|error| count_refusal(&app, error.failure()))?;
    let image = ImageView::new(&uploaded.image, Some(&uploaded.links));
    let response = UploadedImage { message: "Image uploaded successfully", image_id: Text(uploaded.image.id), image };
    json::answer(&response, ImageView::SIZE_BYTES)
}

fn count_refusal(app: &AppState, failure: &Failure) {
    match failure {
        Failure::Service(error) => app.service.count_refusal(error),
        other => app.service.metrics.count_upload(other.name()),
    }
}

/// The length that the client announces; `limit`, if it announces none.
fn announced_length(headers: &HeaderMap, limit: u64) -> Result<u64, Error> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok()).unwrap_or(limit);
    if announced > limit { Err(too_large(limit)) } else { Ok(announced) }
}

fn too_large(limit_bytes: u64) -> Error {
    Error::TooLarge { limit_bytes, setting: Some("MAX_FILE_SIZE") }
}

/// The parts as they came.
#[derive(Debug, Default)]
struct Form {
    file: Option<FilePart>,
    texts: std::collections::BTreeMap<&'static str, String>,
    errors: FieldErrors,
}

#[derive(Debug)]
struct FilePart {
    name: Option<String>,
    /// Of a file that is too large, only what fits.
    bytes: Bytes,
    length: u64,
}

/// The parts beside the file.
const TEXT_PARTS: [&str; 6] = ["user_id", "title", "description", "tags", "visibility", "keep_location"];

/// Bytes of one text part; the longest allowed text is shorter.
const MAX_TEXT_BYTES: usize = 16 * 1024;

impl Form {
    async fn read(app: &AppState, headers: &HeaderMap, body: BoundedBody, announced: u64) -> Result<Self, ApiError> {
        let mut multipart = open_multipart(headers, body).await?;
        let mut form = Self::default();
        while let Some(field) = multipart.next_field().await.map_err(|error| malformed(&error))? {
            form.read_part(app, field, announced).await?;
            if form.errors.is_full() {
                break;
            }
        }
        Ok(form)
    }

    async fn read_part(&mut self, app: &AppState, field: Field<'_>, announced: u64) -> Result<(), ApiError> {
        let name = field.name().unwrap_or_default().to_owned();
        if name == "file" {
            let part = read_file(field, app.service.limits().max_file_bytes, announced).await?;
            if self.file.replace(part).is_some() {
                self.errors.add("file", "must be given once");
            }
        } else if let Some(known) = TEXT_PARTS.into_iter().find(|known| *known == name) {
            let text = read_text(field).await?;
            if let Some(text) = self.errors.check(known, text)
                && self.texts.insert(known, text).is_some()
            {
                self.errors.add(known, "must be given once");
            }
        } else {
            self.errors.add_unknown(&name, "a part");
            discard(field).await?;
        }
        Ok(())
    }

    /// Holds every part against its rule.
    fn into_upload(mut self, app: &AppState, identity: &Identity, headers: &HeaderMap) -> Result<Upload, Error> {
        let mut errors = self.errors;
        errors.add_all(identity.broken.clone());
        let mut text = |name: &'static str| self.texts.remove(name);
        let user_id = match text("user_id") {
            Some(user_id) => errors.check("user_id", UserId::parse(&user_id)),
            None => errors.check("user_id", identity.own_user()),
        };
        let title = text("title").and_then(|title| errors.check("title", Title::parse(&title)).flatten());
        let description = text("description").and_then(|text| errors.check("description", Description::parse(&text)).flatten());
        let tags = text("tags").and_then(|tags| errors.check("tags", Tag::parse_list(&tags))).unwrap_or_default();
        let visibility = text("visibility").and_then(|text| errors.check("visibility", Visibility::parse(&text)));
        let keep_location = text("keep_location").filter(|text| !text.is_empty());
        let keep_location = keep_location.and_then(|text| {
            let keep = boolean(&text).and_then(|keep| app.service.may_keep_location(keep));
            errors.check("keep_location", keep)
        });
        let idempotency_key = one_header(headers, "Idempotency-Key", &mut errors)
            .and_then(|key| errors.check("Idempotency-Key", IdempotencyKey::parse(key)));
        if self.file.is_none() {
            errors.add("file", "is required");
        }
        errors.finish()?;
        let (Some(user_id), Some(file)) = (user_id, self.file) else {
            return Err(Error::internal("a required part is missing, and no rule said so"));
        };
        if file.length > file.bytes.len() as u64 {
            app.service.check_size(file.length)?;
        }
        let upload = Upload {
            user_id,
            title,
            description,
            tags,
            visibility: visibility.unwrap_or_default(),
            keep_location: keep_location.unwrap_or_default(),
            file_name: file.name,
            bytes: file.bytes,
            origin: Origin::Request(idempotency_key),
        };
        Ok(upload)
    }
}

async fn open_multipart(headers: &HeaderMap, body: BoundedBody) -> Result<Multipart, ApiError> {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !media_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("multipart/form-data") {
        return Err(ApiError::wrong_media_type("multipart/form-data"));
    }
    let parameters = media_type.split(';').skip(1).filter_map(|parameter| parameter.trim().split_once('='));
    let mut boundaries = parameters.filter(|(name, _)| name.eq_ignore_ascii_case("boundary"));
    // RFC 2046, 5.1.1: 1 to 70 characters. An empty one would find no parts, and blame the fields.
    if boundaries.any(|(_, boundary)| !(1..=70).contains(&boundary.trim_matches('"').len())) {
        return Err(bad_multipart("the boundary must have 1 to 70 characters"));
    }
    let mut request = Request::new(Body::from_stream(body));
    *request.headers_mut() = headers.clone();
    // The body is bounded already; axum's own limit of 2 MiB would come first.
    DefaultBodyLimit::disable().apply(&mut request);
    let no_boundary = |_| bad_multipart("the Content-Type names no boundary");
    Multipart::from_request(request, &()).await.map_err(no_boundary)
}

/// Reads a file up to `max_bytes`; of a larger one the rest is counted and thrown away.
async fn read_file(mut field: Field<'_>, max_bytes: u64, announced: u64) -> Result<FilePart, ApiError> {
    let name = field.file_name().map(str::to_owned);
    let mut bytes = BytesMut::with_capacity(usize::try_from(announced.min(max_bytes)).unwrap_or_default());
    let mut length = 0;
    while let Some(piece) = field.chunk().await.map_err(|error| malformed(&error))? {
        length += piece.len() as u64;
        if length <= max_bytes {
            bytes.extend_from_slice(&piece);
        }
    }
    Ok(FilePart { name, bytes: bytes.freeze(), length })
}

async fn read_text(mut field: Field<'_>) -> Result<Result<String, String>, ApiError> {
    let mut bytes = Vec::new();
    while let Some(piece) = field.chunk().await.map_err(|error| malformed(&error))? {
        // One byte more than allowed is enough to know.
        let room = (MAX_TEXT_BYTES + 1).saturating_sub(bytes.len());
        bytes.extend_from_slice(&piece[..piece.len().min(room)]);
    }
    if bytes.len() > MAX_TEXT_BYTES {
        return Ok(Err(format!("must have at most {MAX_TEXT_BYTES} bytes")));
    }
    Ok(String::from_utf8(bytes).map_err(|_| "must be UTF-8".to_owned()))
}

async fn discard(mut field: Field<'_>) -> Result<(), ApiError> {
    while field.chunk().await.map_err(|error| malformed(&error))?.is_some() {}
    Ok(())
}

/// What the body ended with, if that is why reading failed; else the multipart is broken.
fn malformed(error: &MultipartError) -> ApiError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        match error.downcast_ref::<BodyError>() {
            Some(BodyError::TooLarge { limit_bytes }) => return too_large(*limit_bytes).into(),
            Some(BodyError::TooSlow) => return Error::BodyTooSlow.into(),
            Some(BodyError::Broken) => return bad_multipart("the connection broke before its end"),
            None => cause = error.source(),
        }
    }
    bad_multipart(&error.body_text())
}

fn bad_multipart(reason: &str) -> ApiError {
    let details = Fields::from([("body".to_owned(), reason.to_owned())]);
    Error::Malformed { message: "The multipart body cannot be read.".to_owned(), details }.into()
}
