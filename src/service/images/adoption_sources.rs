//! The objects that clients may adopt: those below configured prefixes.

use std::fmt;
use std::str::FromStr;

use crate::model::user_id::UserId;
use crate::objects::layout;

/// An object, perhaps in another bucket than the service's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectAddress {
    pub bucket: String,
    pub key: String,
}

/// The prefixes in `ADOPT_SOURCES`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdoptionSources(Vec<Source>);

/// A bucket, and what the keys of its objects start with.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Source {
    bucket: String,
    prefix: String,
}

/// In a prefix, the owner of the new image.
const USER_ID: &str = "{user_id}";

impl AdoptionSources {
    /// Returns the default: the objects below `incoming/` in the service's bucket.
    pub fn default_of(bucket: &str) -> Self {
        Self(vec![Source { bucket: bucket.to_owned(), prefix: layout::INCOMING.to_owned() }])
    }

    /// Returns whether an object is below one of the sources of `user`.
    pub fn permit(&self, object: &ObjectAddress, user: &UserId) -> bool {
        let is_below = |source: &Source| {
            object.bucket == source.bucket && object.key.starts_with(&source.prefix.replace(USER_ID, user.as_str()))
        };
        // Some storages treat keys as paths, so others could lead to another object.
        let is_plain = object.key.split('/').all(|segment| !["", ".", ".."].contains(&segment));
        is_plain && self.0.iter().any(is_below)
    }
}

impl FromStr for AdoptionSources {
    type Err = String;

    /// Parses `bucket/prefix`, separated by commas; `none` permits nothing.
    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim() == "none" {
            return Ok(Self(Vec::new()));
        }
        let sources = text.split(',').map(|source| match source.trim() {
            "none" => Err("none cannot be combined with other sources".to_owned()),
            source => source.parse(),
        });
        sources.collect::<Result<_, _>>().map(Self)
    }
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (bucket, prefix) = text.split_once('/').unwrap_or((text, ""));
        if !s3s::path::check_bucket_name(bucket) {
            return Err(format!("each source must be like bucket/prefix; {bucket:?} is not the name of a bucket"));
        }
        let segments: Vec<&str> = prefix.split('/').collect();
        let (folders, rest) = segments.split_at(segments.len() - 1);
        if folders.iter().any(|segment| ["", ".", ".."].contains(segment)) {
            return Err(format!(
                "{text:?} must have no empty segments and no segments . or .., because no such object can be adopted"
            ));
        }
        // A placeholder that is only a part of a segment would permit the user `ann` the objects of `anna`.
        let has_braces = |segment: &&str| segment.contains(['{', '}']);
        if folders.iter().filter(|segment| **segment != USER_ID).any(has_braces) || rest.iter().any(has_braces) {
            return Err(format!(
                "{text:?} can contain braces only as {USER_ID} between slashes, as in {bucket}/incoming/{USER_ID}/"
            ));
        }
        Ok(Self { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
    }
}

impl fmt::Display for AdoptionSources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sources: Vec<_> = self.0.iter().map(|source| format!("{}/{}", source.bucket, source.prefix)).collect();
        f.write_str(if sources.is_empty() { "none" } else { "" })?;
        f.write_str(&sources.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permits(sources: &str, bucket: &str, key: &str) -> bool {
        let (sources, ann): (AdoptionSources, _) = (sources.parse().unwrap(), UserId::parse("ann").unwrap());
        sources.permit(&ObjectAddress { bucket: bucket.to_owned(), key: key.to_owned() }, &ann)
    }

    #[test]
    fn only_objects_below_a_source_may_be_adopted() {
        let sources = "images/incoming/, old-site/photos/2024-,scans";
        for (bucket, key) in [
            ("images", "incoming/a.jpg"),
            ("images", "incoming/a/..b/c d.jpg"),
            ("old-site", "photos/2024-01.jpg"),
            ("scans", "x"),
        ] {
            assert!(permits(sources, bucket, key), "{bucket}/{key}");
        }
        for (bucket, key) in [
            ("images", "a.jpg"),
            ("images", "incoming"),
            ("images", "incoming/"),
            ("images", "incoming/../a.jpg"),
            ("images", "incoming/./a.jpg"),
            ("images", "incoming//a.jpg"),
            ("images", "/incoming/a.jpg"),
            ("images", "Incoming/a.jpg"),
            ("old-site", "incoming/a.jpg"),
            ("old-site", "photos/2023-01.jpg"),
            ("other", "incoming/a.jpg"),
        ] {
            assert!(!permits(sources, bucket, key), "{bucket}/{key}");
        }
        assert!(!permits("none", "images", "incoming/a.jpg"));
    }

    #[test]
    fn a_source_can_be_limited_to_the_owner() {
        let sources = "images/incoming/{user_id}/";
        assert!(permits(sources, "images", "incoming/ann/a.jpg"));
        for key in ["incoming/bob/a.jpg", "incoming/anna/a.jpg", "incoming/{user_id}/a.jpg", "incoming/ann"] {
            assert!(!permits(sources, "images", key), "{key}");
        }
    }

    #[test]
    fn invalid_sources_are_explained() {
        for (text, rule) in [
            ("", "each source must be like bucket/prefix; \"\" is not the name of a bucket"),
            ("images/incoming/,", "each source must be like bucket/prefix; \"\" is not the name of a bucket"),
            ("/incoming/", "each source must be like bucket/prefix; \"\" is not the name of a bucket"),
            ("Images/x", "each source must be like bucket/prefix; \"Images\" is not the name of a bucket"),
            ("none,images/x", "none cannot be combined with other sources"),
            (
                "images/{user_id}",
                "\"images/{user_id}\" can contain braces only as {user_id} between slashes, as in images/incoming/{user_id}/",
            ),
            (
                "images/a-{user_id}/",
                "\"images/a-{user_id}/\" can contain braces only as {user_id} between slashes, as in images/incoming/{user_id}/",
            ),
            (
                "images/{USER_ID}/",
                "\"images/{USER_ID}/\" can contain braces only as {user_id} between slashes, as in images/incoming/{user_id}/",
            ),
            (
                "images//x/",
                "\"images//x/\" must have no empty segments and no segments . or .., because no such object can be adopted",
            ),
        ] {
            assert_eq!(text.parse::<AdoptionSources>().unwrap_err(), rule);
        }
        for text in ["none", "images/incoming/", "images/,old/a", "images/{user_id}/x"] {
            assert_eq!(text.parse::<AdoptionSources>().unwrap().to_string(), text);
        }
    }
}
