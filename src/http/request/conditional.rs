//! Conditional requests: does the client have it already (RFC 9110, 13.1.2).

use http::{HeaderMap, header};

/// `If-None-Match`.
#[derive(Debug, Clone, Default)]
pub struct IfNoneMatch(String);

impl IfNoneMatch {
    /// Several fields are one list. What cannot be read matches nothing, so that the client gets what it asks for.
    pub fn of(headers: &HeaderMap) -> Self {
        let fields = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        Self(fields.collect::<Vec<_>>().join(","))
    }

    /// Whether `etag`, given without quotes, is one of the list. Compared weakly, as is due here. Our tags hold neither
    /// commas nor quotes, so the list can be taken apart at its commas.
    pub fn matches(&self, etag: &str) -> bool {
        self.0.split(',').map(str::trim).any(|listed| {
            let opaque = listed.strip_prefix("W/").unwrap_or(listed);
            listed == "*" || opaque.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) == Some(etag)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_a_star_and_weak_tags_match() {
        for (fields, matches) in [
            (vec!["\"a-1\""], true),
            (vec!["W/\"a-1\""], true),
            (vec!["\"x\", \"a-1\" ,W/\"y\""], true),
            (vec!["\"x\"", "\"a-1\""], true),
            (vec!["*"], true),
            (vec![], false),
            (vec!["\"a\""], false),
            (vec!["a-1"], false),
            (vec!["\"A-1\""], false),
            (vec!["w/\"a-1\""], false),
            (vec!["\"a-1"], false),
        ] {
            let mut headers = HeaderMap::new();
            for field in &fields {
                headers.append(header::IF_NONE_MATCH, field.parse().unwrap());
            }
            assert_eq!(IfNoneMatch::of(&headers).matches("a-1"), matches, "{fields:?}");
        }
    }
}
