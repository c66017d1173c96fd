//! The query parameters of a paged list.

use utoipa::IntoParams;

use super::fields::{Query, integer};
use crate::service::error::Error;

/// Where a page starts, and how many entries it has.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only the OpenAPI schema of what `take_page` reads")]
pub struct PageQuery {
    /// Maximum number of entries on the page.
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<u32>,
    /// The `next_page_token` of the previous page, with the same filters. Leave it out for the first page.
    page_token: Option<String>,
}

/// Takes the parameters of [`PageQuery`] and rejects all others.
pub(in crate::http) fn take_page(mut query: Query) -> Result<(u32, Option<String>), Error> {
    let page = take_position(&mut query);
    query.finish()?;
    Ok(page)
}

/// Takes the parameters of [`PageQuery`] for pages whose links are shared, and ignores all others.
pub(in crate::http) fn take_shared_page(mut query: Query) -> Result<(u32, Option<String>), Error> {
    let page = take_position(&mut query);
    query.finish_shared()?;
    Ok(page)
}

fn take_position(query: &mut Query) -> (u32, Option<String>) {
    let limit = query.take("limit", integer(1..=100)).unwrap_or(20);
    (limit, query.take("page_token", |text| Ok(text.to_owned())))
}
