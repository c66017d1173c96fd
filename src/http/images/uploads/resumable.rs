//! Resumable Uploads for HTTP, an IETF draft: <https://datatracker.ietf.org/doc/draft-ietf-httpbis-resumable-upload/>.
//!
//! A client sends the form of `POST /images` in pieces. What is sent in pieces is the whole body of the request, so the pieces
//! together are parsed like any form. These routes are not in the OpenAPI document, because the draft defines them.

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, Version, header};
use http_body::Body as _;

use super::checksum::{Checksum, digest};
use super::form::max_bytes;
use super::piece::{self, IncomingPiece, PieceEnd, Received};
use super::problem::{Problem, Refusal};
use super::upload_headers::{
    ACCEPT_PATCH, MEDIA_TYPE, UPLOAD_COMPLETE, UPLOAD_LENGTH, UPLOAD_LIMIT, UPLOAD_OFFSET, boolean, headers_of_104, integer,
    limits_of, limits_of_new,
};
use super::{count_refusal, uploaded_response};
use crate::http::AppState;
use crate::http::error::{ApiError, Failure};
use crate::http::identity::authentication::authenticate;
use crate::http::request::body::require_unencoded;
use crate::http::request::extractors::{CallerOf, Identity};
use crate::http::request::fields::FieldErrors;
use crate::http::request::multipart::Multipart;
use crate::http::request::parameters::PathParam;
use crate::http::server::interim::InterimResponses;
use crate::model::draft::{Draft, DraftMethod, DraftState, UploadId};
use crate::model::header_parameters::HeaderParameters;
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

/// Creates an upload. The body is the beginning of the form.
pub(super) async fn create(app: &AppState, identity: &Identity, headers: &HeaderMap, body: Body) -> Response {
    respond(app, create_upload(app, identity, headers, body).await)
}

async fn create_upload(app: &AppState, identity: &Identity, headers: &HeaderMap, body: Body) -> Result<Response, Refusal> {
    app.service.require_uploader(&identity.caller)?;
    require_unencoded(headers)?;
    let new = read_new(app, identity, headers, integer(headers, &UPLOAD_LENGTH))?;
    let draft = app.service.create_resumable_upload(&identity.caller, DraftMethod::Form, new).await?;
    let mut response = if body.is_end_stream() {
        with_offset(StatusCode::CREATED.into_response(), 0)
    } else {
        let received = receive(app, identity, &draft, 0, PieceEnd::More, headers, body).await;
        let Ok(mut response) = received else {
            // Nobody knows its address.
            app.service.abandon_draft(&draft).await;
            return received;
        };
        *response.status_mut() = StatusCode::CREATED;
        response
    };
    response.headers_mut().insert(header::LOCATION, upload_address(app, &draft)?);
    response.headers_mut().insert(UPLOAD_LIMIT, limits_of(app, &draft));
    Ok(response)
}

/// Makes an upload with `Upload-Complete: ?1` one that can be continued, and sends its address in a 104 response. `None`: the client
/// or the upload does not permit it, and it is an ordinary upload.
pub(super) async fn upgrade(app: &AppState, identity: &Identity, parts: &Parts) -> Option<Draft> {
    let mut interim_headers =
        headers_of_104(&parts.headers).filter(|_| app.config.sends_104 && parts.version == Version::HTTP_11)?;
    let interim = parts.extensions.get::<InterimResponses>().filter(|interim| interim.is_possible())?;
    app.service.require_uploader(&identity.caller).ok()?;
    require_unencoded(&parts.headers).ok()?;
    let length = announced_length(&parts.headers, 0, true).ok()?;
    let new = read_new(app, identity, &parts.headers, length).ok()?;
    let draft = app.service.create_resumable_upload(&identity.caller, DraftMethod::Form, new).await.ok()?;
    interim_headers.insert(header::LOCATION, upload_address(app, &draft).ok()?);
    interim_headers.insert(UPLOAD_LIMIT, limits_of(app, &draft));
    interim.send_104(&interim_headers);
    Some(draft)
}

/// Receives a whole form, which the client can continue if it is interrupted.
pub(super) async fn receive_whole(
    app: &AppState,
    identity: &Identity,
    draft: &Draft,
    headers: &HeaderMap,
    body: Body,
) -> Response {
    let end = PieceEnd::Form(Box::new(identity.clone()));
    respond(app, receive(app, identity, draft, 0, end, headers, body).await)
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
        sha256: digest(headers, "repr-digest"),
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
            headers.insert(header::LOCATION, address(&app, &format!("images/{image}"))?);
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
    headers: HeaderMap,
    body: Body,
) -> Response {
    let appending = async {
        require_piece(&headers)?;
        let offset =
            integer(&headers, &UPLOAD_OFFSET).ok_or_else(|| Error::malformed("Upload-Offset", "must be a whole number"))?;
        let is_last = is_complete(&headers).ok_or_else(|| Error::malformed("Upload-Complete", "must be ?0 or ?1"))?;
        let mut draft = app.service.find_resumable_upload(&identity.caller, DraftMethod::Form, id).await?;
        if let DraftState::Complete(_) = draft.state {
            return Err(if body.is_end_stream() { Problem::Completed } else { Problem::InconsistentLength }.into());
        }
        if offset != draft.received {
            return Err(Problem::WrongOffset { expected: draft.received, provided: offset }.into());
        }
        if let Some(length) = announced_length(&headers, offset, is_last)? {
            require_size(&app, length)?;
            if !app.service.announce_length(&mut draft, length).await? {
                return Err(Problem::InconsistentLength.into());
            }
        }
        let end = if is_last { PieceEnd::Form(Box::new(identity.clone())) } else { PieceEnd::More };
        receive(&app, &identity, &draft, offset, end, &headers, body).await
    };
    respond(&app, appending.await)
}

/// Deletes an upload. If it is complete, its image stays.
async fn cancel(State(app): State<AppState>, CallerOf(caller): CallerOf, PathParam(id): PathParam<UploadId>) -> Response {
    let cancelling = async {
        let draft = app.service.find_resumable_upload(&caller, DraftMethod::Form, id).await?;
        app.service.active_pieces.end(id).await;
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
async fn receive(
    app: &AppState,
    identity: &Identity,
    draft: &Draft,
    offset: u64,
    end: PieceEnd,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let checksum = Checksum::of_content(headers);
    let piece = IncomingPiece { draft: draft.clone(), offset, end, checksum, headers: headers.clone(), body };
    match piece::receive(app, identity.turn_key(), piece).await {
        Ok(Received::Offset(offset)) => Ok(with_offset(StatusCode::NO_CONTENT.into_response(), offset)),
        Ok(Received::Complete(uploaded)) => {
            let mut response = uploaded_response(&uploaded)?;
            response.headers_mut().insert(header::LOCATION, address(app, &format!("images/{}", uploaded.image.id))?);
            response.headers_mut().insert(UPLOAD_COMPLETE, boolean(true));
            Ok(response)
        }
        Ok(Received::Refused(error)) => {
            count_refusal(app, UploadMethod::ResumableForm, error.failure());
            let mut response = error.into_response();
            response.headers_mut().insert(UPLOAD_COMPLETE, boolean(true));
            Ok(response)
        }
        Err(error) => match *error.failure() {
            Failure::Service(Error::WrongOffset { offset: expected }) => {
                Err(Problem::WrongOffset { expected, provided: offset }.into())
            }
            Failure::Service(Error::WrongChecksum) => Err(Error::malformed("Content-Digest", "differs from the content").into()),
            // The draft requires that the upload ends.
            Failure::Service(Error::TooLarge { .. }) if draft.is_length_known => {
                app.service.abandon_draft(draft).await;
                Err(Problem::InconsistentLength.into())
            }
            Failure::Service(Error::TooLarge { .. }) => Err(too_large(app).into()),
            _ => Err(error.into()),
        },
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

fn address(app: &AppState, path: &str) -> Result<HeaderValue, Error> {
    HeaderValue::try_from(format!("{}/{path}", app.config.link_base)).map_err(Error::internal)
}

/// Returns the response, and counts refusals.
fn respond(app: &AppState, result: Result<Response, Refusal>) -> Response {
    match result {
        Ok(response) => response,
        Err(Refusal::Problem(problem)) => problem.into_response(),
        Err(Refusal::Api(error)) => {
            count_refusal(app, UploadMethod::ResumableForm, error.failure());
            let is_in_use = matches!(error.failure(), Failure::Service(Error::UploadInUse { .. }));
            let mut response = error.into_response();
            if is_in_use {
                // A conflict would be a wrong offset.
                *response.status_mut() = StatusCode::LOCKED;
            }
            if response.status() == StatusCode::PAYLOAD_TOO_LARGE {
                response.headers_mut().insert(UPLOAD_LIMIT, limits_of_new(app));
            }
            response
        }
    }
}
