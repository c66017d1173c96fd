//! Query and path parameters, parsed.

use axum::extract::{FromRequestParts, Path};
use http::request::Parts;
use serde::de::DeserializeOwned;

use super::declared::RequestFields;
use super::fields::Query;
use crate::http::error::ApiError;
use crate::model::id::ImageId;
use crate::service::error::Error;

/// A request without query parameters: the extractor rejects any.
#[derive(Debug, Clone, Copy)]
pub struct NoQuery;

impl<S: Sync> FromRequestParts<S> for NoQuery {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Query::of(&parts.uri).finish()?;
        Ok(Self)
    }
}

/// The query parameters of a request, as `T` declares them. All others are rejected.
#[derive(Debug, Clone, Copy)]
pub struct QueryParams<T>(pub T);

impl<S: Sync, T: RequestFields<Source = Query>> FromRequestParts<S> for QueryParams<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(T::read(Query::of(&parts.uri))?))
    }
}

/// What a path segment identifies.
pub trait FromPath: Sized {
    /// # Errors
    /// The segment cannot identify anything. For most types, that is the same 404 as for what does not exist.
    fn from_path(segment: &str) -> Result<Self, Error>;
}

impl FromPath for ImageId {
    fn from_path(segment: &str) -> Result<Self, Error> {
        Self::parse(segment).ok_or_else(Error::no_such_image)
    }
}

impl FromPath for String {
    fn from_path(segment: &str) -> Result<Self, Error> {
        Ok(segment.to_owned())
    }
}

/// The path parameters of a route as `T` declares them, which are not parsed yet.
#[derive(Debug, Clone)]
pub struct PathFields<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for PathFields<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let fields = Path::<T>::from_request_parts(parts, state).await;
        // A segment that is not UTF-8 matches nothing.
        let Path(fields) = fields.map_err(|_| ApiError::no_such_route())?;
        Ok(Self(fields))
    }
}

/// The only path parameter of a route.
#[derive(Debug, Clone)]
pub struct PathParam<T>(pub T);

impl<S: Send + Sync, T: FromPath> FromRequestParts<S> for PathParam<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let PathFields(segment) = PathFields::<String>::from_request_parts(parts, state).await?;
        Ok(Self(T::from_path(&segment)?))
    }
}

/// The two path parameters of a route.
#[derive(Debug, Clone)]
pub struct PathParams<A, B>(pub A, pub B);

impl<S: Send + Sync, A: FromPath, B: FromPath> FromRequestParts<S> for PathParams<A, B> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let PathFields((first, second)) = PathFields::<(String, String)>::from_request_parts(parts, state).await?;
        Ok(Self(A::from_path(&first)?, B::from_path(&second)?))
    }
}
