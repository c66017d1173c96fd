//! The response to a `PostObject` request that stored an object: an empty document, XML, or a redirect, as the form demands.

use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use s3s::{Body, HttpResponse};
use url::Url;

use super::post_form::Fields;
use crate::objects::sigv4::encode;

/// An object that a form has stored.
pub(super) struct Posted<'a> {
    pub(super) bucket: &'a str,
    pub(super) key: &'a str,
    /// Without quotes.
    pub(super) etag: &'a str,
}

impl Posted<'_> {
    /// Returns the response that the form demands. Invalid demands are ignored, as S3 does.
    pub(super) fn response(&self, request_headers: &HeaderMap, fields: &Fields) -> HttpResponse {
        let location = self.location(request_headers);
        let redirect = fields.get("success_action_redirect").or(fields.get("redirect"));
        let mut response = Response::new(Body::empty());
        let mut target = None;
        if let Some(url) = redirect.and_then(|url| self.redirect(url)) {
            *response.status_mut() = StatusCode::SEE_OTHER;
            target = Some(url);
        } else {
            match fields.get("success_action_status") {
                Some("200") => {}
                Some("201") => {
                    *response.status_mut() = StatusCode::CREATED;
                    *response.body_mut() = Body::from(self.xml(&location));
                    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
                }
                _ => *response.status_mut() = StatusCode::NO_CONTENT,
            }
        }
        for (name, value) in [(header::ETAG, format!("\"{}\"", self.etag)), (header::LOCATION, target.unwrap_or(location))] {
            if let Ok(value) = HeaderValue::try_from(value) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }

    /// Returns the object's URL at the address that the client used. A proxy may have terminated TLS.
    fn location(&self, request_headers: &HeaderMap) -> String {
        let header = |name| request_headers.get(name).and_then(|value| value.to_str().ok());
        let path = format!("/{}/{}", encode(self.bucket), encode(self.key));
        match (header("host"), header("x-forwarded-proto")) {
            (Some(host), Some("https")) => format!("https://{host}{path}"),
            (Some(host), _) => format!("http://{host}{path}"),
            (None, _) => path,
        }
    }

    /// Returns the URL of a redirect; `None` if it is not an HTTP URL.
    fn redirect(&self, url: &str) -> Option<String> {
        let mut url = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
        let etag = format!("\"{}\"", self.etag);
        url.query_pairs_mut().append_pair("bucket", self.bucket).append_pair("key", self.key).append_pair("etag", &etag);
        Some(url.into())
    }

    fn xml(&self, location: &str) -> String {
        let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<PostResponse>");
        let etag = format!("\"{}\"", self.etag);
        for (name, value) in [("Location", location), ("Bucket", self.bucket), ("Key", self.key), ("ETag", &etag)] {
            xml.push_str(&format!("<{name}>{}</{name}>", escape(value)));
        }
        xml.push_str("</PostResponse>");
        xml
    }
}

/// Escapes text for XML. Parsers would change a plain carriage return.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '\r' => escaped.push_str("&#13;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    const POSTED: Posted<'static> = Posted { bucket: "images", key: "a/b <&é>\r.jpg", etag: "0cc175b9" };
    const LOCATION: &str = "http://localhost:4566/images/a%2Fb%20%3C%26%C3%A9%3E%0D.jpg";

    fn response<const N: usize>(fields: [(&str, &str); N]) -> HttpResponse {
        let headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static("localhost:4566"))]);
        POSTED.response(&headers, &Fields::from(fields))
    }

    #[test]
    fn the_form_selects_the_status() {
        for (demanded, status) in [("200", 200), ("201", 201), ("204", 204), ("", 204), ("404", 204), ("x", 204)] {
            let response = response([("success_action_status", demanded)]);
            assert_eq!(response.status().as_u16(), status, "{demanded}");
            assert_eq!(response.headers()["etag"], "\"0cc175b9\"");
            assert_eq!(response.headers()["location"], LOCATION);
        }
        assert_eq!(response([]).status(), 204);
    }

    #[tokio::test]
    async fn a_201_describes_the_object_in_xml() {
        let body = response([("success_action_status", "201")]).into_body().collect().await.unwrap().to_bytes();
        let expected = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<PostResponse><Location>{LOCATION}</Location><Bucket>images</Bucket>\
             <Key>a/b &lt;&amp;é&gt;&#13;.jpg</Key><ETag>\"0cc175b9\"</ETag></PostResponse>"
        );
        assert_eq!(str::from_utf8(&body).unwrap(), expected);
    }

    #[test]
    fn a_redirect_names_the_object_and_an_invalid_one_is_ignored() {
        let parameters = "bucket=images&key=a%2Fb+%3C%26%C3%A9%3E%0D.jpg&etag=%220cc175b9%22";
        for (url, separator) in [("https://example.org/done", "?"), ("http://example.org/?a=b%20c", "&")] {
            let response = response([("success_action_redirect", url), ("success_action_status", "201")]);
            assert_eq!(response.status(), 303);
            assert_eq!(response.headers()["location"], format!("{url}{separator}{parameters}"));
        }
        for bad in ["", "/done", "javascript:alert(1)", "data:text/html,x", "https://"] {
            assert_eq!(response([("success_action_redirect", bad)]).status(), 204, "{bad}");
        }
    }

    #[test]
    fn behind_a_tls_proxy_the_location_is_https() {
        let headers = [("host", "s3.example.org"), ("x-forwarded-proto", "https")]
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)));
        let response = POSTED.response(&HeaderMap::from_iter(headers), &Fields::default());
        assert!(response.headers()["location"].to_str().unwrap().starts_with("https://s3.example.org/images/"));
    }
}
