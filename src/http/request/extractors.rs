//! Extractors: the caller and the request's URI.

use std::convert::Infallible;
use std::net::IpAddr;

use axum::extract::FromRequestParts;
use http::Uri;
use http::request::Parts;

use crate::http::error::ApiError;
use crate::model::caller::{Caller, UserId};
use crate::service::admission::fair_queue::TurnKey;
use crate::service::error::{Error, Fields};

/// The caller of a request. The request fails if its credentials are malformed.
#[derive(Debug, Clone)]
pub struct CallerOf(pub Caller);

/// The result of authentication, which `identity/authentication.rs` adds to each request: the caller, the rules that its
/// credentials break, and the client's address.
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

/// For handlers that report malformed credentials together with other invalid fields.
impl<S: Sync> FromRequestParts<S> for Identity {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(identity(parts)?)
    }
}

/// The key of the caller in the fair queues for scarce resources.
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

    /// Returns the default of `user_id`: the caller, authenticated by credentials or named by a trusted gateway.
    ///
    /// # Errors
    /// The rule, worded for the client.
    pub fn default_user_id(&self) -> Result<UserId, String> {
        self.caller.user().cloned().ok_or_else(|| "is required".to_owned())
    }
}

fn identity(parts: &Parts) -> Result<Identity, Error> {
    let identity = parts.extensions.get::<Identity>().cloned();
    identity.ok_or_else(|| Error::internal("a route that requires the caller has no authentication middleware"))
}

/// The URI of the request, for its query.
#[derive(Debug, Clone)]
pub struct RequestUri(pub Uri);

impl<S: Sync> FromRequestParts<S> for RequestUri {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(parts.uri.clone()))
    }
}
