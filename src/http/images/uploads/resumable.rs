//! Resumable Uploads for HTTP, an IETF draft: <https://datatracker.ietf.org/doc/draft-ietf-httpbis-resumable-upload/>.
//!
//! A client sends the form of `POST /images` in pieces. What is sent in pieces is the whole body of the request, so the pieces
//! together are parsed like any form. These routes are not in the OpenAPI document, because the draft defines them.

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body::Body as _;

use super::checksum::{Checksum, digest};
use super::form::max_bytes;
use super::piece::{self, IncomingPiece, PieceEnd, Received};
use super::problem::{Problem, Refusal};
use super::upload_headers::{
    ACCEPT_PATCH, MEDIA_TYPE, Progress104, UPLOAD_COMPLETE, UPLOAD_LENGTH, UPLOAD_LIMIT, UPLOAD_OFFSET, boolean, integer,
    limits_of, limits_of_new,
};
use super::{address, count_refusal, uploaded_response};
use crate::http::AppState;
use crate::http::error::{ApiError, Failure};
use crate::http::identity::authentication::authenticate;
use crate::http::request::body::require_unencoded;
use crate::http::request::extractors::{CallerOf, Identity};
use crate::http::request::fields::FieldErrors;
use crate::http::request::multipart::Multipart;
use crate::http::request::parameters::PathParam;
use crate::model::draft::{Draft, DraftMethod, DraftState, UploadId};
use crate::model::header_parameters::HeaderParameters;
use crate::model::id::ImageId;
use crate::model::upload_properties::UploadProperties;
use crate::service::error::Error;
use crate::service::images::drafts::NewDraft;
use crate::service::images::upload_request::UploadMethod;

/// Returns the routes of uploads that exist. `POST /images` creates them.
pub fn routes(state: AppState) -> Router<AppState> {
    let upload = routing::head(get_offset).patch(append).delete(cancel).options(discover);
    Router::new()
        .route("/images", routing::options(discover))
        .route("/uploads/resumable/{id}", upload)
        .route_layer(axum::middleware::from_fn_with_state(state, authenticate))
}

/// An upload whose form begins to arrive.
#[derive(Debug)]
pub(super) struct Begun {
    draft: Draft,
    /// Whether the request has the whole form.
    is_whole: bool,
    /// If the client has got the address of the upload in a 104 response.
    progress: Option<Progress104>,
}

/// Creates an upload for `POST /images` with `Upload-Complete`. `None` if the request has the whole form, and the client or the limits
/// do not permit to continue it later: then it is an ordinary upload.
///
/// # Errors
/// The response to a request that is refused.
pub(super) async fn begin(app: &AppState, identity: &Identity, parts: &Parts, is_whole: bool) -> Result<Option<Begun>, Response> {
    let beginning = async {
        let length = announced_length(&parts.headers, 0, is_whole)?;
        let progress = Progress104::of(app, parts);
        if is_whole && progress.is_none() {
            return Ok(None);
        }
        let draft = match create(app, identity, &parts.headers, length).await {
            Ok(draft) => draft,
            // As an ordinary upload, it may succeed.
            Err(_) if is_whole => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if let Some(progress) = &progress {
            progress.announce(upload_address(app, &draft)?, limits_of(app, &draft));
        }
        Ok(Some(Begun { draft, is_whole, progress }))
    };
    beginning.await.map_err(|refusal| {
        if let Refusal::Api(error) = &refusal {
            count_refusal(app, UploadMethod::ResumableForm, error.failure());
        }
        respond(app, Err(refusal))
    })
}

async fn create(app: &AppState, identity: &Identity, headers: &HeaderMap, length: Option<u64>) -> Result<Draft, ApiError> {
    app.service.require_uploader(&identity.caller)?;
    require_unencoded(headers)?;
    let new = read_new(app, identity, headers, length)?;
    Ok(app.service.create_resumable_upload(&identity.caller, DraftMethod::Form, new).await?)
}

/// Receives the form, or the beginning of it.
pub(super) async fn receive_form(app: &AppState, identity: &Identity, begun: Begun, headers: &HeaderMap, body: Body) -> Response {
    let Begun { draft, is_whole, progress } = begun;
    let is_announced = progress.is_some();
    let receiving = async {
        let received = async {
            if !is_whole && body.is_end_stream() {
                return Ok(with_offset(Response::default(), 0));
            }
            let end = if is_whole { PieceEnd::Form(Box::new(identity.clone())) } else { PieceEnd::More };
            let (checksum, headers) = (Checksum::of_content(headers)?, headers.clone());
            let piece = IncomingPiece { draft: draft.clone(), offset: 0, end, checksum, headers, body, progress };
            receive(app, identity, piece).await
        };
        let mut response = match received.await {
            Ok(response) => response,
            Err(refusal) => {
                // Otherwise, nobody continues it.
                if !(is_announced && refusal.is_temporary()) {
                    app.service.abandon_draft(&draft).await;
                }
                return Err(refusal);
            }
        };
        if !is_whole {
            *response.status_mut() = StatusCode::CREATED;
            response.headers_mut().insert(header::LOCATION, upload_address(app, &draft)?);
            response.headers_mut().insert(UPLOAD_LIMIT, limits_of(app, &draft));
        }
        Ok(response)
    };
    respond(app, receiving.await)
}

fn read_new(app: &AppState, identity: &Identity, headers: &HeaderMap, length: Option<u64>) -> Result<NewDraft, ApiError> {
    let boundary = Multipart::boundary(headers)?;
    let mut errors = FieldErrors::default();
    errors.add_all(identity.invalid_fields.clone());
    if headers.contains_key("idempotency-key") {
        errors
            .add("Idempotency-Key", "is not supported for a form in pieces, because each of its requests can be repeated safely");
    }
    // Its form comes later.
    let user_id = identity.default_user_id().map_err(|_| "is required: send X-User-Id or credentials".to_owned());
    let user_id = errors.check("user_id", user_id);
    errors.finish()?;
    require_size(app, length.unwrap_or_default())?;
    Ok(NewDraft {
        user_id: user_id.ok_or_else(|| Error::internal("the user is missing, but no error was reported"))?,
        length: length.unwrap_or_else(|| max_bytes(app)),
        is_length_known: length.is_some(),
        content_type: format!("multipart/form-data; boundary=\"{}\"", boundary.replace('\\', "\\\\").replace('"', "\\\"")),
        sha256: digest(headers, "Repr-Digest")?,
        properties: UploadProperties::default(),
        tus_metadata: None,
    })
}

/// Returns how many bytes have been received. `HEAD`.
async fn get_offset(State(app): State<AppState>, CallerOf(caller): CallerOf, PathParam(id): PathParam<UploadId>) -> Response {
    let finding = async {
        let mut draft = app.service.find_resumable_upload(&caller, DraftMethod::Form, id).await?;
        if draft.state == DraftState::Open {
            app.service.metrics.upload_resumes.inc();
            app.service.active_pieces.end(id).await;
            draft = app.service.find_resumable_upload(&caller, DraftMethod::Form, id).await?;
        }
        let mut response = with_offset(StatusCode::NO_CONTENT.into_response(), draft.offset());
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(UPLOAD_LIMIT, limits_of(&app, &draft));
        if draft.is_length_known {
            headers.insert(UPLOAD_LENGTH, HeaderValue::from(draft.length));
        }
        if let DraftState::Complete(image) = draft.state {
            headers.insert(UPLOAD_COMPLETE, boolean(true));
            headers.insert(header::LOCATION, image_address(&app, image)?);
        }
        Ok(response)
    };
    respond(&app, finding.await)
}

/// Appends a piece. The one with `Upload-Complete: ?1` makes the image, which is the response.
async fn append(
    State(app): State<AppState>,
    identity: Identity,
    PathParam(id): PathParam<UploadId>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let progress = Progress104::of(&app, &parts);
    let headers = parts.headers;
    let appending = async {
        require_piece(&headers)?;
        require_unencoded(&headers)?;
        if !identity.invalid_fields.is_empty() {
            return Err(Error::Invalid(identity.invalid_fields.clone()).into());
        }
        let checksum = Checksum::of_content(&headers)?;
        let offset =
            integer(&headers, &UPLOAD_OFFSET).ok_or_else(|| Error::malformed("Upload-Offset", "must be a whole number"))?;
        let is_last = is_complete(&headers).ok_or_else(|| Error::malformed("Upload-Complete", "must be ?0 or ?1"))?;
        let mut draft = app.service.find_resumable_upload(&identity.caller, DraftMethod::Form, id).await?;
        if draft.state == DraftState::Open {
            // Its connection is dead: a client sends one piece at a time.
            app.service.active_pieces.end(id).await;
            draft = app.service.find_resumable_upload(&identity.caller, DraftMethod::Form, id).await?;
        }
        if let DraftState::Complete(image) = draft.state {
            let problem = if body.is_end_stream() { Problem::Completed } else { Problem::InconsistentLength };
            let mut response = problem.into_response();
            response.headers_mut().insert(header::LOCATION, image_address(&app, image)?);
            return Ok(response);
        }
        if offset != draft.received {
            return Err(Problem::WrongOffset { expected: draft.received, provided: offset }.into());
        }
        if let Some(length) = announced_length(&headers, offset, is_last)? {
            require_size(&app, length)?;
            let announced = app.service.announce_length(&mut draft, length).await;
            if !announced.map_err(|error| refusal(error.into(), offset))? {
                return Err(Problem::InconsistentLength.into());
            }
        }
        let end = if is_last { PieceEnd::Form(Box::new(identity.clone())) } else { PieceEnd::More };
        receive(&app, &identity, IncomingPiece { draft, offset, end, checksum, headers, body, progress }).await
    };
    respond(&app, appending.await)
}

/// Deletes an upload. If it is complete, its image stays.
async fn cancel(State(app): State<AppState>, CallerOf(caller): CallerOf, PathParam(id): PathParam<UploadId>) -> Response {
    let cancelling = async {
        let draft = app.service.find_resumable_upload(&caller, DraftMethod::Form, id).await?;
        app.service.cancel_draft(&caller, draft.id).await?;
        Ok(StatusCode::NO_CONTENT.into_response())
    };
    respond(&app, cancelling.await)
}

/// Returns the limits. `OPTIONS`.
async fn discover(State(app): State<AppState>) -> Response {
    let headers = [(ACCEPT_PATCH, HeaderValue::from_static(MEDIA_TYPE)), (UPLOAD_LIMIT, limits_of_new(&app))];
    (StatusCode::NO_CONTENT, headers).into_response()
}

/// Receives a piece.
async fn receive(app: &AppState, identity: &Identity, piece: IncomingPiece) -> Result<Response, Refusal> {
    let (draft, offset) = (piece.draft.clone(), piece.offset);
    match piece::receive(app, identity.turn_key(), piece).await {
        Ok(Received::Offset(offset)) => Ok(with_offset(StatusCode::NO_CONTENT.into_response(), offset)),
        Ok(Received::Complete(uploaded)) => {
            let mut response = uploaded_response(&uploaded)?;
            let headers = response.headers_mut();
            headers.insert(header::LOCATION, image_address(app, uploaded.image.id)?);
            headers.insert(UPLOAD_COMPLETE, boolean(true));
            if draft.is_length_known {
                headers.insert(UPLOAD_OFFSET, HeaderValue::from(draft.length));
            }
            Ok(response)
        }
        Ok(Received::Refused(error)) => {
            count_refusal(app, UploadMethod::ResumableForm, error.failure());
            let mut response = error.into_response();
            response.headers_mut().insert(UPLOAD_COMPLETE, boolean(true));
            Ok(response)
        }
        Ok(Received::WrongLength) => Err(Problem::InconsistentLength.into()),
        Err(error) => {
            count_refusal(app, UploadMethod::ResumableForm, error.failure());
            Err(match *error.failure() {
                Failure::Service(Error::TooLarge { .. }) if draft.is_length_known => Problem::InconsistentLength.into(),
                Failure::Service(Error::TooLarge { .. }) => too_large(app).into(),
                _ => refusal(error, offset),
            })
        }
    }
}

/// Returns why a piece at `offset` was refused.
fn refusal(error: ApiError, offset: u64) -> Refusal {
    match *error.failure() {
        Failure::Service(Error::WrongOffset { offset: expected }) => Problem::WrongOffset { expected, provided: offset }.into(),
        Failure::Service(Error::WrongChecksum) => Refusal::WrongDigest,
        _ => error.into(),
    }
}

/// Returns the value of `Upload-Complete`. The draft says to ignore other values than booleans.
pub(super) fn is_complete(headers: &HeaderMap) -> Option<bool> {
    super::upload_headers::item(headers, &UPLOAD_COMPLETE)?.as_boolean()
}

/// Returns the length that a request announces.
fn announced_length(headers: &HeaderMap, offset: u64, is_last: bool) -> Result<Option<u64>, Problem> {
    let rest = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let by_content = rest.filter(|_| is_last).map(|rest| offset.saturating_add(rest));
    match (integer(headers, &UPLOAD_LENGTH), by_content) {
        (Some(length), Some(other)) if length != other => Err(Problem::InconsistentLength),
        (length, by_content) => Ok(length.or(by_content)),
    }
}

fn require_piece(headers: &HeaderMap) -> Result<(), ApiError> {
    let content_type = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    if HeaderParameters::parse(content_type).kind == MEDIA_TYPE { Ok(()) } else { Err(ApiError::wrong_media_type(MEDIA_TYPE)) }
}

fn require_size(app: &AppState, length: u64) -> Result<(), Error> {
    if length > max_bytes(app) { Err(too_large(app)) } else { Ok(()) }
}

fn too_large(app: &AppState) -> Error {
    Error::UploadTooLarge { limit_bytes: max_bytes(app), max_file_bytes: app.service.limits().max_file_bytes }
}

fn with_offset(mut response: Response, offset: u64) -> Response {
    response.headers_mut().insert(UPLOAD_OFFSET, HeaderValue::from(offset));
    response.headers_mut().insert(UPLOAD_COMPLETE, boolean(false));
    response
}

fn upload_address(app: &AppState, draft: &Draft) -> Result<HeaderValue, Error> {
    address(app, &format!("uploads/resumable/{}", draft.id))
}

fn image_address(app: &AppState, image: ImageId) -> Result<HeaderValue, Error> {
    address(app, &format!("images/{image}"))
}

/// Adds the limits to a response that says that they are exceeded.
pub(super) fn with_limit(app: &AppState, mut response: Response) -> Response {
    if response.status() == StatusCode::PAYLOAD_TOO_LARGE {
        response.headers_mut().insert(UPLOAD_LIMIT, limits_of_new(app));
    }
    response
}

/// Returns the response.
fn respond(app: &AppState, result: Result<Response, Refusal>) -> Response {
    match result {
        Ok(response) => response,
        Err(Refusal::Problem(problem)) => problem.into_response(),
        Err(Refusal::WrongDigest) => {
            ApiError::from(Error::malformed("Content-Digest", "differs from the content")).into_response()
        }
        Err(Refusal::Api(error)) => {
            let is_in_use = matches!(error.failure(), Failure::Service(Error::UploadInUse { .. }));
            let mut response = error.into_response();
            if is_in_use {
                // A conflict would be a wrong offset.
                *response.status_mut() = StatusCode::LOCKED;
            }
            with_limit(app, response)
        }
    }
}
