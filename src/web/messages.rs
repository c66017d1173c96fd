//! Errors as pages, for people.

use askama::Template;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, Uri, header};

use super::pages;
use crate::http::error::{ApiError, Failure};
use crate::http::request::negotiation::names;
use crate::service::error::Error;

/// A page that says what went wrong.
#[derive(Template)]
#[template(path = "message.html", config = "src/web/askama.toml")]
struct MessagePage<'a> {
    assets: String,
    title: &'a str,
    message: String,
    /// The relative URL of the gallery; `None` for visitors of shares, who may have no access to it.
    home: Option<&'a str>,
}

/// Responds with a page for an error that visitors can cause. Other errors stay as they are, so that they are logged. `up` leads
/// from the directory of the page's URL to `/s/`.
///
/// # Errors
/// All other errors.
pub fn respond(error: ApiError, up: &str) -> Result<Response, ApiError> {
    let (title, message) = match error.failure() {
        Failure::Service(Error::NotFound { .. }) => {
            ("Not found", "There is nothing at this address. It may be misspelt, or it was deleted.".to_owned())
        }
        Failure::Service(Error::LinkExpired) => ("Expired", "This link has expired. Ask its owner for a new one.".to_owned()),
        Failure::Service(
            refused @ (Error::Forbidden { .. }
            | Error::Invalid(_)
            | Error::TooLarge { .. }
            | Error::BodyTooSlow
            | Error::TooManyRequests { .. }),
        ) => ("Not available", refused.to_string()),
        _ => return Err(error),
    };
    let page = MessagePage { assets: pages::assets(up), title, message, home: None };
    Ok(with_status_of(error, &page)?)
}

/// Responds with a page, and with the status and the waiting time of an error.
pub fn with_status_of(error: ApiError, page: &impl Template) -> Result<Response, Error> {
    let error = error.into_response();
    let mut response = pages::respond(error.status(), true, page)?;
    if let Some(wait) = error.headers().get(header::RETRY_AFTER) {
        response.headers_mut().insert(header::RETRY_AFTER, wait.clone());
    }
    Ok(response)
}

/// Responds to a request for a page below `/app/` that does not exist.
///
/// # Errors
/// The client is not a browser.
pub async fn no_such_page(uri: Uri, headers: HeaderMap) -> Result<Response, ApiError> {
    if !names(&headers, &header::ACCEPT, "text/html") {
        return Err(ApiError::no_such_route());
    }
    let depth = uri.path().trim_start_matches("/app/").matches('/').count();
    let up = "../".repeat(depth);
    let page = MessagePage {
        assets: pages::assets(&up),
        title: "Not found",
        message: "There is no page at this address.".to_owned(),
        home: Some(if up.is_empty() { "./" } else { &up }),
    };
    Ok(pages::respond(StatusCode::NOT_FOUND, true, &page)?)
}
