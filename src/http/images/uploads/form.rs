//! An upload as a form: a `multipart/form-data` request, read within its limits, with its parts in any order.

use std::collections::BTreeMap;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, header};
use utoipa::ToSchema;

use crate::http::AppState;
use crate::http::error::{ApiError, Failure};
use crate::http::request::body::{BoundedBody, require_unencoded};
use crate::http::request::declared::{RequestFields, Source, request_fields};
use crate::http::request::extractors::Identity;
use crate::http::request::fields::{FieldErrors, boolean, header as one_header};
use crate::http::request::json_fields::required;
use crate::http::request::multipart::{File, Multipart, Part};
use crate::model::caller::UserId;
use crate::model::image::Visibility;
use crate::model::tag::Tag;
use crate::model::text::{Description, Title};
use crate::model::upload_properties::UploadProperties;
use crate::service::admission::body_buffer::{ArrivingFile, Receiver};
use crate::service::admission::fair_queue::TurnKey;
use crate::service::error::Error;
use crate::service::images::idempotency_key::IdempotencyKey;
use crate::service::images::upload_request::{Origin, Upload, Uploaded};
use crate::service::sharing::share_access::OpenShare;

request_fields! {
    /// The file and its metadata. Parts can be in any order. An empty part counts as absent.
    #[derive(Debug, ToSchema)]
    // Swagger UI fills a form with the examples, or invents texts where there are none. It does not send empty texts.
    pub struct UploadForm from FormParts {
        /// A JPEG, PNG, GIF or WebP file within the limits of `GET /limits`; `maintenance/limits.rs` replaces this text.
        #[schema(value_type = String, format = Binary, required = true)]
        file: Option<NamedFile> = take_file(Ok),
        /// The user id of the owner. Defaults to the authenticated caller; behind a trusted gateway, that is the user in `X-User-Id`.
        /// Unauthenticated callers must send it. Authenticated callers can upload only for themselves.
        #[schema(value_type = String, required = false, max_length = 255, pattern = "^[A-Za-z0-9._@:|+~=-]*$", example = "")]
        user_id: Option<UserId> = take(UserId::parse),
        /// The title. U+0000 is not allowed.
        #[schema(value_type = Option<String>, max_length = 200, example = "")]
        title: Option<Title> = take(Title::parse) or None,
        /// The description. U+0000 is not allowed.
        #[schema(value_type = Option<String>, max_length = 1000, example = "")]
        description: Option<Description> = take(Description::parse) or None,
        /// Up to 10 tags, separated by commas, each of up to 50 letters, digits, spaces, hyphens and underscores:
        /// `nature,sunset,mountains`.
        #[schema(value_type = Option<String>, example = "")]
        tags: Vec<Tag> = take(Tag::parse_list) or Vec::new(),
        /// Who can see the image. Defaults to `public`.
        #[schema(value_type = crate::http::openapi::enums::VisibilitySchema, required = false)]
        visibility: Visibility = take(Visibility::parse) or Visibility::default(),
        /// Whether to store the file byte for byte, with its location metadata and Content Credentials. `true` is rejected unless the
        /// operator sets `ALLOW_KEEP_LOCATION` or `KEEP_LOCATION`. With `false`, the location metadata is removed unless the operator
        /// sets `KEEP_LOCATION`.
        #[schema(default = false)]
        keep_location: Option<bool> = take(boolean),
    }
}

/// The file that a visitor of a share adds.
#[derive(Debug, ToSchema)]
pub struct GuestUploadForm {
    /// A JPEG, PNG, GIF or WebP file within the limits of `GET /limits`.
    #[schema(value_type = String, format = Binary)]
    pub file: Vec<u8>,
}

/// A file and its name, if the client sent one.
#[derive(Debug)]
pub struct NamedFile {
    name: Option<String>,
    file: File,
}

/// Reads the form and uploads its file.
pub(super) async fn upload(app: &AppState, identity: &Identity, headers: &HeaderMap, body: Body) -> Result<Uploaded, ApiError> {
    let uploading = async {
        app.service.require_uploader(&identity.caller)?;
        let (form, receiver) = receive(app, identity, headers, body).await?;
        let (mut upload, file) = form.into_upload(app, identity, identity.default_user_id(), headers)?;
        let (bytes, admitted) = receiver.admit(processing_key(identity, &upload.user_id), file).await?;
        upload.bytes = bytes;
        app.service.upload(&identity.caller, admitted, upload).await.map_err(ApiError::from)
    };
    uploading.await.map_err(|error| with_file_limit(app, error))
}

/// Reads the form of a visitor of a share, and uploads its file.
pub(in crate::http) async fn upload_to_share(
    app: &AppState,
    identity: &Identity,
    share: &OpenShare,
    headers: &HeaderMap,
    body: Body,
) -> Result<Uploaded, ApiError> {
    let uploading = async {
        // An invalid key is reported with the other fields.
        let key = headers.get(IDEMPOTENCY_KEY).and_then(|key| IdempotencyKey::parse(key.as_bytes()).ok());
        app.service.require_guest_uploads(share, key.as_ref()).await?;
        let (form, receiver) = receive(app, identity, headers, body).await?;
        let owner = Ok(share.share.owner.clone());
        let (mut upload, file) = form.without_texts().into_upload(app, identity, owner, headers)?;
        let (bytes, admitted) = receiver.admit(None, file).await?;
        upload.bytes = bytes;
        app.service.upload_to_share(share, admitted, upload).await.map_err(ApiError::from)
    };
    uploading.await.map_err(|error| with_file_limit(app, error))
}

async fn receive(
    app: &AppState,
    identity: &Identity,
    headers: &HeaderMap,
    body: Body,
) -> Result<(FormParts, Receiver), ApiError> {
    let limit = max_bytes(app);
    let body = BoundedBody::new(body, limit, &app.config.body);
    require_unencoded(headers)?;
    let announced = announced_length(headers, limit)?;
    let receiver = app.service.receive_upload(identity.turn_key(), announced).await?;
    let form = FormParts::read(app, headers, body, &receiver).await?;
    Ok((form, receiver))
}

/// Adds the limit of the file to the error for a form that is too large.
fn with_file_limit(app: &AppState, error: ApiError) -> ApiError {
    let max_file_bytes = app.service.limits().max_file_bytes;
    match error.failure() {
        Failure::Service(Error::TooLarge { limit_bytes }) => {
            Error::UploadTooLarge { limit_bytes: *limit_bytes, max_file_bytes }.into()
        }
        _ => error,
    }
}

/// Returns the maximum size of a form.
pub fn max_bytes(app: &AppState) -> u64 {
    app.service.limits().max_file_bytes + app.config.body.fields_bytes
}

/// Returns the key of the processing queue if it differs from the sender's: for unauthenticated uploads through a gateway, it is
/// the owner.
fn processing_key(identity: &Identity, owner: &UserId) -> Option<TurnKey> {
    identity.turn_key().is_anonymous().then(|| TurnKey::User(owner.clone()))
}

/// Returns the announced length, or `limit` if the client announces none.
fn announced_length(headers: &HeaderMap, limit: u64) -> Result<u64, Error> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok()).unwrap_or(limit);
    if announced > limit { Err(Error::TooLarge { limit_bytes: limit }) } else { Ok(announced) }
}

/// The parts of the form, which are not parsed yet.
#[derive(Debug, Default)]
pub struct FormParts {
    file: Option<NamedFile>,
    texts: BTreeMap<&'static str, String>,
    errors: FieldErrors,
}

/// The parts other than the file.
const TEXT_PARTS: [&str; 6] = ["user_id", "title", "description", "tags", "visibility", "keep_location"];

const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// The part that can be repeated, as web frameworks send lists. Some append brackets to its name.
const LIST_PART: &str = "tags";
const LIST_PART_IN_BRACKETS: &str = "tags[]";

/// Maximum size of a text part, and of all parts of a list together. The longest valid text is shorter.
const MAX_TEXT_BYTES: usize = 16 * 1024;

impl FormParts {
    pub(super) async fn read(
        app: &AppState,
        headers: &HeaderMap,
        body: BoundedBody,
        receiver: &Receiver,
    ) -> Result<Self, ApiError> {
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
            self.errors.add_unknown(name, "a field");
            part.discard().await?;
        }
        Ok(())
    }

    fn add_file(&mut self, name: Option<String>, file: File) {
        // Browsers send this for a file input without a chosen file.
        if file.length == 0 && name.is_none() {
            return;
        }
        if self.file.replace(NamedFile { name, file }).is_some() {
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

    fn take<T>(&mut self, name: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let text = self.texts.remove(name)?;
        self.errors.check(name, parse(&text))
    }

    fn take_file<T>(&mut self, name: &str, parse: impl FnOnce(NamedFile) -> Result<T, String>) -> Option<T> {
        let file = self.file.take()?;
        self.errors.check(name, parse(file))
    }

    /// Rejects all parts other than the file.
    fn without_texts(mut self) -> Self {
        for name in std::mem::take(&mut self.texts).into_keys() {
            self.errors.add(name, "is not accepted from visitors of a share");
        }
        self
    }

    /// Checks every part against its rule. The upload does not contain its file yet.
    pub(super) fn into_upload(
        mut self,
        app: &AppState,
        identity: &Identity,
        default_user: Result<UserId, String>,
        headers: &HeaderMap,
    ) -> Result<(Upload, ArrivingFile), Error> {
        let has_user = self.texts.contains_key("user_id");
        self.errors.add_all(identity.invalid_fields.clone());
        let form = required(UploadForm::take(&mut self))?;
        let errors = &mut self.errors;
        let default_user = if has_user { None } else { errors.check("user_id", default_user) };
        let keep_location =
            form.keep_location.and_then(|keep| errors.check("keep_location", app.service.may_keep_location(keep)));
        let idempotency_key = one_header(headers, IDEMPOTENCY_KEY, errors)
            .and_then(|key| errors.check(IDEMPOTENCY_KEY, IdempotencyKey::parse(key)));
        if form.file.is_none() {
            errors.add("file", "is required");
        }
        self.finish()?;
        let NamedFile { name, file } = required(form.file)?;
        let Some(content) = file.content else {
            app.service.check_size(file.length)?;
            return Err(Error::internal("a file was discarded although it is not too large"));
        };
        let upload = Upload {
            user_id: required(form.user_id.or(default_user))?,
            properties: UploadProperties {
                title: form.title,
                description: form.description,
                tags: form.tags,
                visibility: form.visibility,
                keep_location: keep_location.unwrap_or_default(),
                file_name: name,
            },
            bytes: Bytes::new(),
            origin: Origin::Form(idempotency_key),
        };
        Ok((upload, content))
    }
}

impl Source for FormParts {
    /// Unknown parts were rejected as they arrived.
    fn finish(self) -> Result<(), Error> {
        self.errors.finish()
    }
}
