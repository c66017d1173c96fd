//! Sessions: list where an account is logged in, and log out.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::accounts::time;
use crate::http::AppState;
use crate::http::error::ApiError;
use crate::http::openapi::error_responses::NotFound;
use crate::http::request::authorization::LoggedInAccountHolder;
use crate::http::request::extractors::CallerOf;
use crate::http::request::parameters::{FromPath, NoQuery, PathParam};
use crate::model::account::SessionId;
use crate::service::error::Error;
use crate::service::identity::sessions::{Session, SessionSelection, no_such_session};

/// A session: one login and its tokens.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Session)]
pub struct SessionView {
    /// The session's id, a UUIDv7.
    #[schema(format = Uuid)]
    pub id: String,
    /// When the user logged in.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// When the session expires, unless its tokens are refreshed first.
    #[schema(format = DateTime)]
    pub expires_at: String,
    /// Whether this request used the session's access token.
    pub current: bool,
}

/// The sessions of an account.
#[derive(Debug, Serialize, ToSchema)]
pub struct SessionList {
    /// The sessions, newest first.
    pub sessions: Vec<SessionView>,
}

/// List your sessions
///
/// Newest first. API keys cannot be used for this operation.
#[utoipa::path(get, path = "/accounts/me/sessions", tag = "accounts",
    responses((status = 200, description = "Your sessions.", body = SessionList)))]
pub async fn list_my_sessions(
    State(app): State<AppState>,
    _: NoQuery,
    CallerOf(caller): CallerOf,
) -> Result<Json<SessionList>, ApiError> {
    let sessions = app.service.list_sessions(&caller).await?.iter().map(SessionView::new).collect();
    Ok(Json(SessionList { sessions }))
}

/// End all your sessions
///
/// Logs out everywhere, including here. API keys stay valid, and cannot be used for this operation.
#[utoipa::path(delete, path = "/accounts/me/sessions", tag = "accounts",
    responses((status = 204, description = "Ended.")))]
pub async fn end_my_sessions(
    State(app): State<AppState>,
    _: NoQuery,
    CallerOf(caller): CallerOf,
) -> Result<StatusCode, ApiError> {
    app.service.end_sessions(&caller, SessionSelection::All).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Log out
///
/// Ends a session: from then on, its access token and its refresh token are rejected. `current` is the session of the access
/// token that the request is made with. API keys cannot be used for this operation.
#[utoipa::path(delete, path = "/accounts/me/sessions/{id}", tag = "accounts",
    params(("id" = String, Path, description = "The session's id, or `current`.", example = "current")),
    responses((status = 204, description = "Ended."), NotFound))]
pub async fn end_my_session(
    State(app): State<AppState>,
    _: NoQuery,
    LoggedInAccountHolder(caller): LoggedInAccountHolder,
    PathParam(which): PathParam<SessionSelection>,
) -> Result<StatusCode, ApiError> {
    app.service.end_sessions(&caller, which).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl FromPath for SessionSelection {
    fn from_path(segment: &str) -> Result<Self, Error> {
        match segment {
            "current" => Ok(Self::Current),
            id => SessionId::parse(id).map(Self::One).ok_or_else(no_such_session),
        }
    }
}

impl SessionView {
    fn new(session: &Session) -> Self {
        Self {
            id: session.id.to_string(),
            created_at: time(session.id.created_at()),
            expires_at: time(session.expires_at),
            current: session.is_current,
        }
    }
}
