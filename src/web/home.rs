//! The first page, `/`: browsers get the gallery, other clients the documentation of the API.

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderMap, HeaderValue, header};

use super::redirect;
use crate::http::AppState;

pub fn routes(serves_pages: bool) -> Router<AppState> {
    match serves_pages {
        true => Router::new().route("/", get(find_home)),
        false => Router::new().route("/", get(async || redirect("docs/"))),
    }
}

async fn find_home(headers: HeaderMap) -> Response {
    let location = if accepts_pages(&headers) { "app/" } else { "docs/" };
    ([(header::VARY, HeaderValue::from_static("accept"))], redirect(location)).into_response()
}

/// Returns whether the client asks for pages, as browsers do when they open a URL. `*/*`, which programs send, does not.
fn accepts_pages(headers: &HeaderMap) -> bool {
    let fields = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    fields.flat_map(|field| field.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_page = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("text/html"));
        is_page && !parts.any(|part| part.strip_prefix("q=").is_some_and(|weight| weight.parse() == Ok(0.0)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_clients_that_name_html_get_pages() {
        for (accept, is_browser) in [
            ("text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8", true),
            ("application/json, Text/HTML;q=0.1", true),
            ("text/html;level=1", true),
            ("text/html;q=0", false),
            ("*/*", false),
            ("text/*", false),
            ("application/json", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT, accept.parse().unwrap())]);
            assert_eq!(accepts_pages(&headers), is_browser, "{accept}");
        }
        assert!(!accepts_pages(&HeaderMap::new()));
    }
}
