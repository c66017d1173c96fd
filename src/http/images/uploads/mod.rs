//! Uploads: a form with a file, or the address of an object that is already in the storage.

pub mod adoption;
mod checksum;
pub mod direct;
pub mod form;
mod form_completion;
mod metadata;
mod piece;
mod problem;
pub mod resumable;
pub mod tus;
mod upload_headers;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, header};
use serde::Serialize;
use utoipa::ToSchema;

use self::form::UploadForm;
use super::views::{ImageView, Text};
use crate::http::AppState;
use crate::http::error::{ApiError, Failure};
use crate::http::openapi::error_responses::{
    Gone, IdempotencyConflict, InvalidUpload, NoSuchObject, QuotaOrForbidden, UnsupportedImage,
};
use crate::http::request::extractors::{Identity, RequestUri};
use crate::http::request::fields::Query;
use crate::http::request::json;
use crate::model::header_parameters::HeaderParameters;
use crate::model::id::ImageId;
use crate::service::error::Error;
use crate::service::images::upload_request::{UploadMethod, Uploaded};

/// An uploaded image.
#[derive(Debug, Serialize, ToSchema)]
pub struct UploadedImage<'a> {
    /// A confirmation for people.
    #[schema(example = "Image uploaded successfully")]
    pub message: &'static str,
    /// The image's id.
    #[schema(value_type = String, format = Uuid, example = "019350a4-7f2c-7d3e-9b1a-2f6d8c4e0a17")]
    pub image_id: Text<ImageId>,
    /// The image.
    pub image: ImageView<'a>,
}

/// Upload an image
///
/// The whole image is decoded before it is stored; truncated and corrupt files are rejected. With an `Idempotency-Key`, repeating
/// the request within 24 hours returns the first response and stores nothing twice. Authenticated callers can upload only for
/// themselves.
///
/// A JSON body with `s3_key`, and optionally `s3_bucket` and the other fields of the form, adopts an object that is already in the
/// storage: the service reads the object, checks it like an uploaded file, and stores a copy. The object does not change. The setting
/// `ADOPT_SOURCES` lists the objects that can be adopted; for others, the response is 403 whether they exist or not. If the owner has
/// already adopted the same contents of the object, the response contains that image as it is now, and the other fields have no
/// effect. An API key needs the scope `adopt`. This document has no schema of that body, because client generators cannot combine it
/// with the form.
///
/// With the header `Upload-Complete: ?0`, the form is sent in pieces, as Resumable Uploads for HTTP, a draft of the IETF, defines. The
/// response is then 201, and `Location` is the address for the pieces.
#[utoipa::path(post, path = "/images", tag = "images",
    params(("Idempotency-Key" = Option<String>, Header, description = "A unique key that makes it safe to repeat the request.", min_length = 1, max_length = 255, pattern = "^[!-~]+$")),
    request_body(content = UploadForm, content_type = "multipart/form-data"),
    responses((status = 200, description = "Uploaded.", body = UploadedImage), InvalidUpload, QuotaOrForbidden, NoSuchObject,
        IdempotencyConflict, Gone, UnsupportedImage))]
pub async fn upload_image(
    State(app): State<AppState>,
    identity: Identity,
    RequestUri(uri): RequestUri,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let is_adoption = is_json(&parts.headers);
    let completeness = resumable::is_complete(&parts.headers).filter(|_| !is_adoption);
    if let Some(is_whole) = completeness {
        Query::of(&uri).finish()?;
        match resumable::begin(&app, &identity, &parts, is_whole).await {
            Ok(Some(begun)) => return Ok(resumable::receive_form(&app, &identity, begun, &parts.headers, body).await),
            Ok(None) => {}
            Err(response) => return Ok(response),
        }
    }
    let method = if is_adoption { UploadMethod::Adoption } else { UploadMethod::Form };
    // Refusals are counted, so they all happen here.
    let uploading = async {
        Query::of(&uri).finish()?;
        if is_adoption {
            adoption::adopt(&app, &identity, &parts.headers, body).await
        } else {
            form::upload(&app, &identity, &parts.headers, body).await
        }
    };
    match uploading.await.inspect_err(|error| count_refusal(&app, method, error.failure())) {
        Ok(uploaded) => uploaded_response(&uploaded),
        Err(error) if completeness.is_some() => Ok(resumable::with_limit(&app, error.into_response())),
        Err(error) => Err(error),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    HeaderParameters::parse(content_type).kind == "application/json"
}

fn address(app: &AppState, path: &str) -> Result<HeaderValue, Error> {
    HeaderValue::try_from(format!("{}/{path}", app.config.link_base)).map_err(Error::internal)
}

fn uploaded_response(uploaded: &Uploaded) -> Result<Response, ApiError> {
    let image = ImageView::new(&uploaded.image, Some(&uploaded.links));
    let response = UploadedImage { message: "Image uploaded successfully", image_id: Text(uploaded.image.id), image };
    json::response(&response, ImageView::SIZE_BYTES)
}

/// Counts an upload that was refused. A client that continues its upload later is not refused.
pub(in crate::http) fn count_refusal(app: &AppState, method: UploadMethod, failure: &Failure) {
    match failure {
        Failure::BodyInterrupted | Failure::Service(Error::WrongOffset { .. } | Error::UploadInUse { .. }) => {}
        Failure::Service(error) => app.service.count_refusal(method, error),
        other => app.service.metrics.count_upload(method.name(), other.name()),
    }
}
