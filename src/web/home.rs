//! The first page, `/`: browsers get the gallery, other clients the documentation of the API.

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderMap, HeaderValue, header};

use super::redirect;
use crate::http::AppState;
use crate::http::request::negotiation::names;

pub fn routes(serves_pages: bool) -> Router<AppState> {
    match serves_pages {
        true => Router::new().route("/", get(find_home)),
        false => Router::new().route("/", get(async || redirect("docs/"))),
    }
}

async fn find_home(headers: HeaderMap) -> Response {
    // Browsers name HTML when they open a URL. `*/*`, which programs send, does not count.
    let location = if names(&headers, &header::ACCEPT, "text/html") { "app/" } else { "docs/" };
    ([(header::VARY, HeaderValue::from_static("accept"))], redirect(location)).into_response()
}
