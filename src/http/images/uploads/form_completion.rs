//! A form that was sent in pieces: when it is complete, it is parsed like any form, and its file becomes an image.

use axum::body::Body;
use bytes::Bytes;
use futures::stream;
use http::{HeaderMap, HeaderValue, header};
use sha2::{Digest, Sha256};

use super::form::{FormParts, max_bytes};
use crate::http::AppState;
use crate::http::error::{ApiError, Failure};
use crate::http::request::body::BoundedBody;
use crate::http::request::extractors::Identity;
use crate::model::draft::Draft;
use crate::service::admission::body_buffer::{ArrivingFile, Receiver};
use crate::service::error::Error;
use crate::service::images::upload_request::{Upload, Uploaded};

/// What has become of a form.
#[derive(Debug)]
pub enum Completion {
    Stored(Box<Uploaded>),
    /// It is refused for good.
    Refused(ApiError),
    /// It is shorter than announced.
    WrongLength,
}

/// Makes an image of a form of which `last` has just arrived.
///
/// # Errors
/// The upload is not over: the client can ask for the offset, and continue.
pub async fn complete(
    app: &AppState,
    identity: &Identity,
    draft: &Draft,
    offset: u64,
    receiver: Receiver,
    last: ArrivingFile,
) -> Result<Completion, ApiError> {
    let length = offset + last.length();
    if draft.is_length_known && draft.length != length {
        return Ok(Completion::WrongLength);
    }
    let (form, receiver) = app.service.assemble_form(draft, offset, receiver, last).await?;
    if !app.service.announce_length(&mut draft.clone(), length).await? {
        return Ok(Completion::WrongLength);
    }
    let (upload, file) = match read_form(app, identity, draft, form, &receiver).await {
        Ok(read) => read,
        Err(error) if is_final(&error) => {
            app.service.fail_form(draft, error.failure().to_string()).await;
            return Ok(Completion::Refused(error));
        }
        Err(error) => return Err(error),
    };
    match app.service.complete_form(draft, upload, receiver, file).await.map_err(ApiError::from) {
        Ok(uploaded) => Ok(Completion::Stored(Box::new(uploaded))),
        Err(error) if is_final(&error) => Ok(Completion::Refused(error)),
        Err(error) => Err(error),
    }
}

/// Returns whether the same form would be refused again.
fn is_final(error: &ApiError) -> bool {
    matches!(
        error.failure(),
        Failure::Service(
            Error::Malformed { .. }
                | Error::Invalid(_)
                | Error::InvalidFile { .. }
                | Error::UnsupportedFormat { .. }
                | Error::TooLarge { .. }
                | Error::UploadTooLarge { .. }
        )
    )
}

async fn read_form(
    app: &AppState,
    identity: &Identity,
    draft: &Draft,
    form: Bytes,
    receiver: &Receiver,
) -> Result<(Upload, ArrivingFile), ApiError> {
    if let Some(announced) = draft.sha256 {
        let hashed = form.clone();
        let found = tokio::task::spawn_blocking(move || Sha256::digest(&hashed)).await.map_err(Error::internal)?;
        if found[..] != announced {
            return Err(Error::malformed("Repr-Digest", "differs from what was sent").into());
        }
    }
    let content_type = HeaderValue::try_from(draft.content_type.as_str()).map_err(Error::internal)?;
    let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, content_type)]);
    let body = BoundedBody::new(in_chunks(form), max_bytes(app), &app.config.body);
    let form = FormParts::read(app, &headers, body, receiver).await?;
    let (upload, file) = form.into_upload(app, identity, Ok(draft.user_id.clone()), &headers)?;
    if upload.user_id != draft.user_id {
        return Err(Error::invalid("user_id", "must be the user who created the upload").into());
    }
    Ok((upload, file))
}

/// The parser of forms copies each chunk.
const CHUNK_BYTES: usize = 64 << 10;

fn in_chunks(mut bytes: Bytes) -> Body {
    let chunks = std::iter::from_fn(move || {
        let chunk = bytes.split_to(bytes.len().min(CHUNK_BYTES));
        (!chunk.is_empty()).then_some(Ok::<_, std::convert::Infallible>(chunk))
    });
    Body::from_stream(stream::iter(chunks))
}
