//! Headers that list what a client accepts, such as `Accept` and `Accept-Encoding` (RFC 9110, 12.5).

use http::{HeaderMap, HeaderName};

/// Returns whether the client names `value`, in any case, with a weight above zero. Wildcards do not count.
pub fn names(headers: &HeaderMap, field: &HeaderName, value: &str) -> bool {
    let fields = headers.get_all(field).iter().filter_map(|value| value.to_str().ok());
    fields.flat_map(|field| field.split(',')).any(|entry| {
        let mut parts = entry.split(';').map(str::trim);
        let is_named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(value));
        let weight = |part: &str| part.strip_prefix(['q', 'Q'])?.strip_prefix('=')?.parse::<f32>().ok();
        is_named && !parts.filter_map(weight).any(|weight| weight <= 0.0)
    })
}

#[cfg(test)]
mod tests {
    use http::header::{ACCEPT, ACCEPT_ENCODING};

    use super::*;

    #[test]
    fn only_named_values_with_a_positive_weight_count() {
        for (field, value, text, is_named) in [
            (&ACCEPT, "text/html", "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8", true),
            (&ACCEPT, "text/html", "application/json, Text/HTML;q=0.1", true),
            (&ACCEPT, "text/html", "text/html;level=1", true),
            (&ACCEPT, "text/html", "text/html;q=0", false),
            (&ACCEPT, "text/html", "text/html; Q=0.0", false),
            (&ACCEPT, "text/html", "*/*", false),
            (&ACCEPT, "text/html", "text/*", false),
            (&ACCEPT, "text/html", "", false),
            (&ACCEPT_ENCODING, "gzip", "gzip", true),
            (&ACCEPT_ENCODING, "gzip", "br, GZIP;q=0.5", true),
            (&ACCEPT_ENCODING, "gzip", "gzip;q=0", false),
            (&ACCEPT_ENCODING, "gzip", "identity", false),
        ] {
            let headers = HeaderMap::from_iter([(field.clone(), text.parse().unwrap())]);
            assert_eq!(names(&headers, field, value), is_named, "{text}");
        }
        assert!(!names(&HeaderMap::new(), &ACCEPT, "text/html"));
    }
}
