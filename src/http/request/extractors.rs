//! Extractors: the caller, the request's URI, and path segments.

use std::convert::Infallible;
use std::net::IpAddr;

use axum::extract::FromRequestParts;
use http::Uri;
use http::request::Parts;

use crate::http::error::ApiError;
use crate::model::caller::{Caller, UserId};
use crate::service::admission::fair_queue::TurnKey;
use crate::service::error::{Error, Fields};

/// Who asks, as `identify.rs` has found out; an extractor for handlers that need to know.
#[derive(Debug, Clone)]
pub struct CallerOf(pub Caller);

/// What `identify.rs` leaves with each request: the caller, and which rules the credentials break, if they break any.
#[derive(Debug, Clone)]
pub struct Identity {
    pub caller: Caller,
    pub invalid_fields: Fields,
    pub address: IpAddr,
}

impl<S: Sync> FromRequestParts<S> for CallerOf {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let identity = identity(parts)?;
        if identity.invalid_fields.is_empty() {
            Ok(Self(identity.caller))
        } else {
            Err(Error::Invalid(identity.invalid_fields).into())
        }
    }
}

/// For those who tell all invalid_fields fields at once.
impl<S: Sync> FromRequestParts<S> for Identity {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(identity(parts)?)
    }
}

/// Who takes turns with others at what is scarce.
#[derive(Debug, Clone)]
pub struct TurnKeyOf(pub TurnKey);

impl<S: Sync> FromRequestParts<S> for TurnKeyOf {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(identity(parts)?.turn_key()))
    }
}

impl Identity {
    pub fn turn_key(&self) -> TurnKey {
        TurnKey::of(&self.caller, self.address)
    }

    /// What `user_id` is where a request gives none: the caller, by credentials or by the header of a trusted gateway.
    ///
    /// # Errors
    /// The rule, in words for the client.
    pub fn default_user_id(&self) -> Result<UserId, String> {
        self.caller.user().cloned().ok_or_else(|| "is required".to_owned())
    }
}

fn identity(parts: &Parts) -> Result<Identity, Error> {
    let identity = parts.extensions.get::<Identity>().cloned();
    identity.ok_or_else(|| Error::internal("a route that asks for the caller has none"))
}

/// The path as text, for segments that have rules of their own.
#[derive(Debug, Clone)]
pub struct PathSegment(pub String);

impl<S: Send + Sync> FromRequestParts<S> for PathSegment {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        match axum::extract::Path::<String>::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(text)) => Ok(Self(text)),
            // A segment that is no UTF-8 names nothing.
            Err(_) => Err(ApiError::no_such_route()),
        }
    }
}

/// The address of the request, for its query.
#[derive(Debug, Clone)]
pub struct RequestUri(pub Uri);

impl<S: Sync> FromRequestParts<S> for RequestUri {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(parts.uri.clone()))
    }
}
