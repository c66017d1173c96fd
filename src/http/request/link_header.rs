//! The `Link` header of a paged list: the URL of the next page (RFC 8288), for clients that follow links instead of sending
//! tokens.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Uri, header};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::http::AppState;
use crate::service::error::Error;

/// Characters that a path can contain literally, but a link in angle brackets or a header cannot.
const NOT_IN_LINKS: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'\\').add(b'^').add(b'`').add(b'{').add(b'|').add(b'}');

/// Adds the URL of the next page, if there is one: the URL of this request with another `page_token`.
///
/// # Errors
/// The URL is not a valid header value, which is a bug of the service.
pub fn with_next(app: &AppState, uri: &Uri, next: Option<&str>, page: impl IntoResponse) -> Result<Response, Error> {
    let mut response = page.into_response();
    if let Some(token) = next {
        let link = format!("<{}>; rel=\"next\"", next_url(&app.config.link_base, uri, token));
        response.headers_mut().insert(header::LINK, HeaderValue::try_from(link).map_err(Error::internal)?);
    }
    Ok(response)
}

fn next_url(base: &str, uri: &Uri, token: &str) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    let filters = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).filter(|(name, _)| name != "page_token");
    let query = query.extend_pairs(filters).append_pair("page_token", token).finish();
    format!("{base}{}?{query}", utf8_percent_encode(uri.path(), NOT_IN_LINKS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_has_the_same_filters_and_another_token() {
        for (uri, next) in [
            ("/images", "https://example.org/pics/images?page_token=T%3D"),
            ("/images?page_token=old&limit=2", "https://example.org/pics/images?limit=2&page_token=T%3D"),
            (
                "/images?tags=a%20b,c&tags[]=%C3%BC&limit=",
                "https://example.org/pics/images?tags=a+b%2Cc&tags%5B%5D=%C3%BC&limit=&page_token=T%3D",
            ),
            ("/tags/a%20b/images", "https://example.org/pics/tags/a%20b/images?page_token=T%3D"),
        ] {
            assert_eq!(next_url("https://example.org/pics", &uri.parse().unwrap(), "T="), next, "{uri}");
        }
    }
}
