//! Pages of a list: the query parameters that select a page, and the response with the link to the next page.

use axum::Json;
use axum::extract::FromRequestParts;
use axum::response::Response;
use http::Uri;
use http::request::Parts;
use serde::Serialize;
use utoipa::IntoParams;

use super::declared::{RequestFields, request_fields};
use super::fields::{Query, integer};
use super::json_fields::required;
use super::link_header::with_next;
use crate::http::AppState;
use crate::http::error::ApiError;
use crate::service::error::Error;
use crate::service::paging::Page;

request_fields! {
    /// Where a page starts, and how many entries it has.
    #[derive(Debug, IntoParams)]
    #[into_params(parameter_in = Query)]
    pub struct PageQuery from Query {
        /// Maximum number of entries on the page.
        #[param(value_type = Option<u32>, minimum = 1, maximum = 100, default = 20)]
        limit: u32 = take(integer(1..=100)) or 20,
        /// The `next_page_token` of the previous page, with the same filters. Leave it out for the first page.
        page_token: Option<String> = take(|text| Ok(text.to_owned())),
    }
}

/// A request for a page of a list without other parameters.
#[derive(Debug, Clone)]
pub struct PageRequest {
    pub limit: u32,
    pub token: Option<String>,
    pub uri: Uri,
}

impl<S: Sync> FromRequestParts<S> for PageRequest {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let (limit, token) = take_page(Query::of(&parts.uri))?;
        Ok(Self { limit, token, uri: parts.uri.clone() })
    }
}

impl PageRequest {
    /// Responds with the page that `view` makes of the items, the token of the next page, and whether there is one.
    pub(in crate::http) fn respond<T, V: Serialize>(
        &self,
        app: &AppState,
        page: Page<T>,
        view: impl FnOnce(Vec<T>, Option<String>, bool) -> V,
    ) -> Result<Response, ApiError> {
        let next = page.next.clone();
        let has_more = next.is_some();
        Ok(with_next(app, &self.uri, next.as_deref(), Json(view(page.items, page.next, has_more)))?)
    }
}

/// Takes the parameters of [`PageQuery`] and rejects all others.
pub(in crate::http) fn take_page(query: Query) -> Result<(u32, Option<String>), Error> {
    let PageQuery { limit, page_token } = PageQuery::read(query)?;
    Ok((limit, page_token))
}

/// Takes the parameters of [`PageQuery`] for pages whose links are shared, and ignores all others.
pub(in crate::http) fn take_shared_page(mut query: Query) -> Result<(u32, Option<String>), Error> {
    let page = PageQuery::take(&mut query);
    query.finish_shared()?;
    let PageQuery { limit, page_token } = required(page)?;
    Ok((limit, page_token))
}
