//! Resumable uploads with the tus protocol, version 1.0.0: <https://tus.io/protocols/resumable-upload>.
//!
//! These routes are not in the OpenAPI document, because the protocol defines them.

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing;
use chrono::{DateTime, Utc};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use http_body::Body as _;

use super::checksum::{ALGORITHMS, Checksum};
use super::metadata::Metadata;
use super::piece::{self, IncomingPiece, PieceEnd, Received};
use super::{address, count_refusal, uploaded_response};
use crate::http::AppState;
use crate::http::error::{ApiError, Failure};
use crate::http::identity::authentication::authenticate;
use crate::http::request::body::require_unencoded;
use crate::http::request::extractors::{CallerOf, Identity};
use crate::http::request::fields::{FieldErrors, header as one_header};
use crate::http::request::parameters::PathParam;
use crate::model::draft::{Draft, DraftMethod, DraftState, UploadId};
use crate::model::header_parameters::HeaderParameters;
use crate::service::error::Error;
use crate::service::images::drafts::NewDraft;
use crate::service::images::upload_request::UploadMethod;

const VERSION: HeaderValue = HeaderValue::from_static("1.0.0");
const EXTENSIONS: HeaderValue = HeaderValue::from_static("creation,creation-with-upload,expiration,checksum,termination");
const PIECE: &str = "application/offset+octet-stream";

const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
const TUS_VERSION: HeaderName = HeaderName::from_static("tus-version");
const TUS_EXTENSION: HeaderName = HeaderName::from_static("tus-extension");
const TUS_MAX_SIZE: HeaderName = HeaderName::from_static("tus-max-size");
const TUS_CHECKSUM_ALGORITHM: HeaderName = HeaderName::from_static("tus-checksum-algorithm");
const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
const UPLOAD_EXPIRES: HeaderName = HeaderName::from_static("upload-expires");
const UPLOAD_METADATA: HeaderName = HeaderName::from_static("upload-metadata");

/// Returns the routes of the protocol.
pub fn routes(state: AppState) -> Router<AppState> {
    let uploads = routing::post(create).options(discover);
    let upload = routing::head(get_offset).patch(append).delete(terminate).post(override_method).options(discover);
    // Within the layer below, so that these responses have its header, too.
    let other_method = async || ApiError::method_not_allowed();
    Router::new()
        .route("/uploads/tus", uploads.fallback(other_method))
        .route("/uploads/tus/{id}", upload.fallback(other_method))
        .route_layer(axum::middleware::from_fn_with_state(state, authenticate))
        .layer(axum::middleware::from_fn(speak_tus))
}

/// Checks the version of the protocol, and adds it to the response.
async fn speak_tus(request: Request, next: Next) -> Response {
    let (method, version) = (request.method().clone(), request.headers().get(TUS_RESUMABLE).cloned());
    let mut response = if method == Method::OPTIONS || version == Some(VERSION) {
        next.run(request).await
    } else {
        let mut response = ApiError::tus_version().into_response();
        response.headers_mut().insert(TUS_VERSION, VERSION);
        response
    };
    // tus-js-client gives an upload up after any 4xx but 409 and 423. Credentials may be renewed, limits end, and networks get faster.
    let is_temporary = match (method, response.status()) {
        (Method::HEAD, StatusCode::UNAUTHORIZED | StatusCode::TOO_MANY_REQUESTS) => true,
        (Method::PATCH, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS) => true,
        _ => response.extensions().get::<ApiError>().is_some_and(is_in_use),
    };
    if is_temporary {
        *response.status_mut() = StatusCode::LOCKED;
    }
    response.headers_mut().insert(TUS_RESUMABLE, VERSION);
    response
}

fn is_in_use(error: &ApiError) -> bool {
    matches!(error.failure(), Failure::Service(Error::UploadInUse { .. }))
}

/// Returns what the service supports.
async fn discover(State(app): State<AppState>) -> Response {
    let max_bytes = HeaderValue::from(app.service.limits().max_file_bytes);
    let headers = [
        (TUS_VERSION, VERSION),
        (TUS_EXTENSION, EXTENSIONS),
        (TUS_MAX_SIZE, max_bytes),
        (TUS_CHECKSUM_ALGORITHM, HeaderValue::from_static(ALGORITHMS)),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

/// Creates an upload. The body may be its first piece.
async fn create(State(app): State<AppState>, identity: Identity, headers: HeaderMap, body: Body) -> Result<Response, ApiError> {
    let created = create_upload(&app, &identity, &headers, body).await;
    let (draft, progress) = created.inspect_err(|error| count_refusal(&app, UploadMethod::Tus, error.failure()))?;
    let mut response = match &progress {
        Some(Received::Complete(uploaded)) => uploaded_response(uploaded)?,
        _ => Response::default(),
    };
    *response.status_mut() = StatusCode::CREATED;
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, address(&app, &format!("uploads/tus/{}", draft.id))?);
    headers.insert(UPLOAD_EXPIRES, date(draft.expires_at)?);
    if let Some(progress) = progress {
        headers.insert(UPLOAD_OFFSET, HeaderValue::from(offset(&draft, &progress)));
    }
    Ok(response)
}

async fn create_upload(
    app: &AppState,
    identity: &Identity,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Draft, Option<Received>), ApiError> {
    app.service.require_uploader(&identity.caller)?;
    let is_empty = body.is_end_stream();
    let has_piece = is_piece(headers) || headers.contains_key(header::CONTENT_TYPE) && !is_empty;
    if has_piece {
        require_piece(headers)?;
        require_unencoded(headers)?;
    }
    let checksum = Checksum::of(headers)?;
    let new = read_new(app, identity, headers)?;
    let draft = app.service.create_resumable_upload(&identity.caller, DraftMethod::Tus, new).await?;
    if !has_piece {
        return Ok((draft, None));
    }
    let end = PieceEnd::AtLength;
    let headers = headers.clone();
    let piece = IncomingPiece { draft: draft.clone(), offset: 0, end, checksum, headers, body, progress: None };
    match piece::receive(app, identity.turn_key(), piece).await {
        Ok(progress) => Ok((draft, Some(progress))),
        Err(error) => {
            // Nobody knows its address.
            app.service.abandon_draft(&draft).await;
            Err(error)
        }
    }
}

fn read_new(app: &AppState, identity: &Identity, headers: &HeaderMap) -> Result<NewDraft, Error> {
    let mut errors = FieldErrors::default();
    errors.add_all(identity.invalid_fields.clone());
    for unsupported in ["Upload-Defer-Length", "Upload-Concat"] {
        if headers.contains_key(unsupported) {
            errors.add(unsupported, "is not supported");
        }
    }
    let length = one_header(headers, "Upload-Length", &mut errors).and_then(|value| errors.check("Upload-Length", number(value)));
    if !headers.contains_key(UPLOAD_LENGTH) {
        errors.add("Upload-Length", "is required");
    }
    let metadata = Metadata::read(app, identity, headers, &mut errors);
    errors.finish()?;
    let missing = || Error::internal("a required header is missing, but no error was reported");
    let (length, metadata) = (length.ok_or_else(missing)?, metadata.ok_or_else(missing)?);
    let max_file_bytes = app.service.limits().max_file_bytes;
    if length > max_file_bytes {
        return Err(Error::UploadTooLarge { limit_bytes: max_file_bytes, max_file_bytes });
    }
    app.service.check_size(length)?;
    Ok(NewDraft {
        user_id: metadata.user_id,
        length,
        is_length_known: true,
        content_type: metadata.content_type,
        sha256: None,
        properties: metadata.properties,
        tus_metadata: metadata.text,
    })
}

/// Returns how many bytes have been received. `HEAD`.
async fn get_offset(
    State(app): State<AppState>,
    CallerOf(caller): CallerOf,
    PathParam(id): PathParam<UploadId>,
) -> Result<Response, ApiError> {
    let mut draft = app.service.find_resumable_upload(&caller, DraftMethod::Tus, id).await?;
    if draft.state == DraftState::Open {
        app.service.metrics.upload_resumes.inc();
        app.service.active_pieces.end(id).await;
        draft = app.service.find_resumable_upload(&caller, DraftMethod::Tus, id).await?;
    }
    let headers = [
        (UPLOAD_OFFSET, HeaderValue::from(draft.offset())),
        (UPLOAD_LENGTH, HeaderValue::from(draft.length)),
        (UPLOAD_EXPIRES, date(draft.expires_at)?),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    let mut response = headers.into_response();
    if let Some(metadata) = draft.tus_metadata.and_then(|metadata| HeaderValue::try_from(metadata).ok()) {
        response.headers_mut().insert(UPLOAD_METADATA, metadata);
    }
    Ok(response)
}

/// Appends a piece. The last one makes the image, which is the response.
async fn append(
    State(app): State<AppState>,
    identity: Identity,
    PathParam(id): PathParam<UploadId>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let appending = async {
        require_piece(&headers)?;
        let checksum = Checksum::of(&headers)?;
        let offset = headers.get(UPLOAD_OFFSET).and_then(|value| number(value.as_bytes()).ok());
        let offset = offset.ok_or_else(|| Error::malformed("Upload-Offset", "must be a whole number"))?;
        let draft = app.service.find_resumable_upload(&identity.caller, DraftMethod::Tus, id).await?;
        if offset != draft.offset() {
            return Err(Error::WrongOffset { offset: draft.offset() }.into());
        }
        let end = PieceEnd::AtLength;
        let piece = IncomingPiece { draft: draft.clone(), offset, end, checksum, headers, body, progress: None };
        Ok::<_, ApiError>((draft, piece::receive(&app, identity.turn_key(), piece).await?))
    };
    let (draft, progress) = appending.await.inspect_err(|error| count_refusal(&app, UploadMethod::Tus, error.failure()))?;
    let mut response = match &progress {
        Received::Offset(_) => StatusCode::NO_CONTENT.into_response(),
        Received::Refused(error) => return Err(error.clone()),
        Received::WrongLength => return Err(Error::internal("a piece of a file ended as a form does").into()),
        Received::Complete(uploaded) => {
            let mut response = uploaded_response(uploaded)?;
            let image = format!("images/{}", uploaded.image.id);
            response.headers_mut().insert(header::LOCATION, address(&app, &image)?);
            response
        }
    };
    response.headers_mut().insert(UPLOAD_OFFSET, HeaderValue::from(offset(&draft, &progress)));
    response.headers_mut().insert(UPLOAD_EXPIRES, date(draft.expires_at)?);
    Ok(response)
}

/// Deletes an upload. If it is complete, its image stays.
async fn terminate(
    State(app): State<AppState>,
    CallerOf(caller): CallerOf,
    PathParam(id): PathParam<UploadId>,
) -> Result<StatusCode, ApiError> {
    let draft = app.service.find_resumable_upload(&caller, DraftMethod::Tus, id).await?;
    app.service.cancel_draft(&caller, draft.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// For clients that cannot send methods other than GET and POST.
async fn override_method(
    State(app): State<AppState>,
    identity: Identity,
    id: PathParam<UploadId>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let caller = CallerOf(identity.caller.clone());
    match headers.get("x-http-method-override").map(HeaderValue::as_bytes) {
        Some(b"PATCH") => append(State(app), identity, id, headers, body).await,
        Some(b"DELETE") => Ok(terminate(State(app), caller, id).await?.into_response()),
        Some(b"HEAD") => get_offset(State(app), caller, id).await,
        _ => Err(Error::malformed("X-HTTP-Method-Override", "must be PATCH, DELETE or HEAD").into()),
    }
}

fn is_piece(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    HeaderParameters::parse(content_type).kind == PIECE
}

fn require_piece(headers: &HeaderMap) -> Result<(), ApiError> {
    if is_piece(headers) { Ok(()) } else { Err(ApiError::wrong_media_type(PIECE)) }
}

fn number(value: &[u8]) -> Result<u64, String> {
    let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let number = str::from_utf8(value).ok().filter(|_| is_number).and_then(|text| text.parse().ok());
    number.ok_or_else(|| "must be a whole number".to_owned())
}

fn offset(draft: &Draft, progress: &Received) -> u64 {
    match progress {
        Received::Offset(offset) => *offset,
        Received::Complete(_) | Received::Refused(_) | Received::WrongLength => draft.length,
    }
}

fn date(time: DateTime<Utc>) -> Result<HeaderValue, Error> {
    HeaderValue::try_from(httpdate::fmt_http_date(time.into())).map_err(Error::internal)
}
