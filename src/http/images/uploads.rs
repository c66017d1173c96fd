//! Uploads: a `multipart/form-data` request, read within its limits, with its parts in any order.

use std::collections::BTreeMap;

use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, header};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::views::{ImageView, Text};
use crate::http::AppState;
use crate::http::error::{ApiError, Failure};
use crate::http::openapi::error_responses::{
    Gone, IdempotencyConflict, InternalServerError, InvalidUpload, PayloadTooLarge, QuotaOrForbidden, RequestTimeout,
    ServiceUnavailable, UnsupportedImage, ValidationError,
};
use crate::http::request::body::{BoundedBody, require_unencoded};
use crate::http::request::extractors::{Identity, RequestUri};
use crate::http::request::fields::{FieldErrors, Query, boolean, header as one_header};
use crate::http::request::json;
use crate::http::request::multipart::{File, Multipart, Part};
use crate::model::caller::UserId;
use crate::model::id::ImageId;
use crate::model::image::Visibility;
use crate::model::tag::Tag;
use crate::model::text::{Description, Title};
use crate::service::admission::body_buffer::{ArrivingFile, Receiver};
use crate::service::admission::fair_queue::TurnKey;
use crate::service::error::Error;
use crate::service::images::idempotency::IdempotencyKey;
use crate::service::images::upload::{Origin, Upload};

/// An uploaded image.
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

/// The file and its metadata. Parts can be in any order. An empty part counts as absent.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
// Swagger UI fills a form with the examples, or invents texts where there are none. It does not send empty texts.
#[expect(dead_code, reason = "only the OpenAPI schema of what `Form` reads")]
pub struct UploadForm {
    /// A JPEG, PNG, GIF or WebP file within the limits of `GET /limits`; `maintenance/limits.rs` replaces this text.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
    /// The user id of the owner. Defaults to the authenticated caller; behind a trusted gateway, that is the user in `X-User-Id`.
    /// Unauthenticated callers must send it. Authenticated callers can upload only for themselves.
    #[schema(required = false, max_length = 255, pattern = "^[A-Za-z0-9._@:|+~=-]*$", example = "")]
    user_id: String,
    /// The title. U+0000 is not allowed.
    #[schema(max_length = 200, example = "")]
    title: Option<String>,
    /// The description. U+0000 is not allowed.
    #[schema(max_length = 1000, example = "")]
    description: Option<String>,
    /// Up to 10 tags, separated by commas, each of up to 50 letters, digits, spaces, hyphens and underscores:
    /// `nature,sunset,mountains`.
    #[schema(example = "")]
    tags: Option<String>,
    /// Who can see the image. Defaults to `public`.
    #[schema(value_type = crate::http::openapi::enums::VisibilitySchema, required = false)]
    visibility: Option<String>,
    /// Whether to store the file byte for byte, with its location metadata and Content Credentials. `true` is rejected unless the
    /// operator sets `ALLOW_KEEP_LOCATION` or `KEEP_LOCATION`. With `false`, the location metadata is removed unless the operator
    /// sets `KEEP_LOCATION`.
    #[schema(default = false)]
    keep_location: Option<bool>,
}

/// Upload an image
///
/// The whole image is decoded before it is stored; truncated and corrupt files are rejected. With an `Idempotency-Key`, repeating
/// the request within 24 hours returns the first response and stores nothing twice. Authenticated callers can upload only for
/// themselves.
#[utoipa::path(post, path = "/images", tag = "images",
    params(("Idempotency-Key" = Option<String>, Header, description = "A unique key that makes it safe to repeat the request.", min_length = 1, max_length = 255, pattern = "^[!-~]+$")),
    request_body(content = UploadForm, content_type = "multipart/form-data"),
    responses((status = 200, description = "Uploaded.", body = UploadedImage), InvalidUpload, QuotaOrForbidden, RequestTimeout, IdempotencyConflict, Gone, PayloadTooLarge,
        UnsupportedImage, ValidationError, InternalServerError, ServiceUnavailable))]
pub async fn upload_image(
    State(app): State<AppState>,
    identity: Identity,
    RequestUri(uri): RequestUri,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let limit = app.service.limits().max_file_bytes + app.config.body.fields_bytes;
    let body = BoundedBody::new(body, limit, &app.config.body);
    let uploading = async {
        Query::of(&uri).finish()?;
        app.service.require_uploader(&identity.caller)?;
        require_unencoded(&parts.headers)?;
        let announced = announced_length(&parts.headers, limit)?;
        let receiver = app.service.receive_upload(identity.turn_key(), announced).await?;
        let form = Form::read(&app, &parts.headers, body, &receiver).await?;
        let (mut upload, file) = form.into_upload(&app, &identity, &parts.headers)?;
        let (bytes, admitted) = receiver.admit(processing_key(&identity, &upload.user_id), file).await?;
        upload.bytes = bytes;
        app.service.upload(&identity.caller, admitted, upload).await.map_err(ApiError::from)
    };
    let max_file_bytes = app.service.limits().max_file_bytes;
    let uploaded = uploading.await.map_err(|error| match error.failure() {
        Failure::Service(Error::TooLarge { limit_bytes }) => {
            Error::UploadTooLarge { limit_bytes: *limit_bytes, max_file_bytes }.into()
        }
        _ => error,
    });
    let uploaded = uploaded.inspect_err(|error| count_refusal(&app, error.failure()))?;
    let image = ImageView::new(&uploaded.image, Some(&uploaded.links));
    let response = UploadedImage { message: "Image uploaded successfully", image_id: Text(uploaded.image.id), image };
    json::response(&response, ImageView::SIZE_BYTES)
}

/// Returns the key of the processing queue if it differs from the sender's: for unauthenticated uploads through a gateway, it is
/// the owner.
fn processing_key(identity: &Identity, owner: &UserId) -> Option<TurnKey> {
    identity.turn_key().is_anonymous().then(|| TurnKey::User(owner.clone()))
}

fn count_refusal(app: &AppState, failure: &Failure) {
    match failure {
        Failure::Service(error) => app.service.count_refusal(error),
        other => app.service.metrics.count_upload(other.name()),
    }
}

/// Returns the announced length, or `limit` if the client announces none.
fn announced_length(headers: &HeaderMap, limit: u64) -> Result<u64, Error> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok()).unwrap_or(limit);
    if announced > limit { Err(Error::TooLarge { limit_bytes: limit }) } else { Ok(announced) }
}

/// The parts of the form.
#[derive(Debug, Default)]
struct Form {
    file: Option<(Option<String>, File)>,
    texts: BTreeMap<&'static str, String>,
    errors: FieldErrors,
}

/// The parts other than the file.
const TEXT_PARTS: [&str; 6] = ["user_id", "title", "description", "tags", "visibility", "keep_location"];

/// The part that can be repeated, as web frameworks send lists. Some append brackets to its name.
const LIST_PART: &str = "tags";
const LIST_PART_IN_BRACKETS: &str = "tags[]";

/// Maximum size of a text part, and of all parts of a list together. The longest valid text is shorter.
const MAX_TEXT_BYTES: usize = 16 * 1024;

impl Form {
    async fn read(app: &AppState, headers: &HeaderMap, body: BoundedBody, receiver: &Receiver) -> Result<Self, ApiError> {
        let mut multipart = Multipart::open(headers, body)?;
        let mut form = Self::default();
        while let Some(part) = multipart.next_part().await? {
            form.read_part(app, part, receiver).await?;
            if form.errors.is_full() {
                break;
            }
        }
        Ok(form)
    }

    async fn read_part(&mut self, app: &AppState, part: Part, receiver: &Receiver) -> Result<(), ApiError> {
        let name = part.name.clone().unwrap_or_default();
        let name = if name == LIST_PART_IN_BRACKETS { LIST_PART } else { &name };
        if name == "file" {
            let file_name = part.file_name.clone();
            let file = part.read_file(app.service.limits().max_file_bytes, receiver.file()).await?;
            if let Some(file) = self.errors.check("file", file) {
                self.add_file(file_name, file);
            }
        } else if let Some(known) = TEXT_PARTS.into_iter().find(|known| *known == name) {
            let text = part.read_text(MAX_TEXT_BYTES).await?;
            if let Some(text) = self.errors.check(known, text) {
                self.add_text(known, text);
            }
        } else {
            self.errors.add_unknown(name, "a part");
            part.discard().await?;
        }
        Ok(())
    }

    fn add_file(&mut self, name: Option<String>, file: File) {
        // Browsers send this for a file input without a chosen file.
        if file.length == 0 && name.is_none() {
            return;
        }
        if self.file.replace((name, file)).is_some() {
            self.errors.add("file", "must be given once");
        }
    }

    /// An empty part counts as absent, because forms send empty inputs.
    fn add_text(&mut self, name: &'static str, text: String) {
        if text.is_empty() {
            return;
        }
        match self.texts.get_mut(name) {
            None => {
                self.texts.insert(name, text);
            }
            Some(list) if name == LIST_PART && list.len() + text.len() < MAX_TEXT_BYTES => {
                list.push(',');
                list.push_str(&text);
            }
            Some(_) if name == LIST_PART => self.errors.add(name, format!("must have at most {MAX_TEXT_BYTES} bytes")),
            Some(_) => self.errors.add(name, "must be given once"),
        }
    }

    /// Checks every part against its rule. The upload does not contain its file yet.
    fn into_upload(mut self, app: &AppState, identity: &Identity, headers: &HeaderMap) -> Result<(Upload, ArrivingFile), Error> {
        let mut errors = self.errors;
        errors.add_all(identity.invalid_fields.clone());
        let mut text = |name: &'static str| self.texts.remove(name);
        let user_id = match text("user_id") {
            Some(user_id) => errors.check("user_id", UserId::parse(&user_id)),
            None => errors.check("user_id", identity.default_user_id()),
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
        let (Some(user_id), Some((file_name, file))) = (user_id, self.file) else {
            return Err(Error::internal("a required part is missing, but no error was reported"));
        };
        let Some(content) = file.content else {
            app.service.check_size(file.length)?;
            return Err(Error::internal("a file was discarded although it is not too large"));
        };
        let upload = Upload {
            user_id,
            title,
            description,
            tags,
            visibility: visibility.unwrap_or_default(),
            keep_location: keep_location.unwrap_or_default(),
            file_name,
            bytes: Bytes::new(),
            origin: Origin::Request(idempotency_key),
        };
        Ok((upload, content))
    }
}
