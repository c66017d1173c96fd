//! The query parameters of a paged list.

use utoipa::IntoParams;

use super::declared::{RequestFields, request_fields};
use super::fields::{Query, integer};
use super::json_fields::required;
use crate::service::error::Error;

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
