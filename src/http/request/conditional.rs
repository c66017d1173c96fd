//! Conditional requests: whether the client already has the current version (RFC 9110, 13.1.2).

use http::{HeaderMap, header};
use utoipa::IntoParams;

use crate::model::entity_tag;

/// The header of a conditional request.
#[derive(Debug, Clone, Default, IntoParams)]
#[into_params(parameter_in = Header)]
pub struct IfNoneMatch {
    /// Entity tags of the versions that the client has, or `*`.
    #[param(rename = "If-None-Match", value_type = Option<String>)]
    entity_tags: String,
}

impl IfNoneMatch {
    /// Joins several fields into one list. An unreadable field matches nothing, so that the client gets the full response.
    pub fn of(headers: &HeaderMap) -> Self {
        let fields = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        Self { entity_tags: fields.collect::<Vec<_>>().join(",") }
    }

    /// Returns whether the list contains `etag`, which is given without quotes.
    pub fn matches(&self, etag: &str) -> bool {
        entity_tag::is_listed(&self.entity_tags, etag)
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
            (vec!["\"x,*,y\""], false),
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
