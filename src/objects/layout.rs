//! Object keys: `<last two hex digits of the id>/<id>/<name>`, or `…/<id>/<prefix>/<name>` for objects that were moved when their
//! image was deleted.
//!
//! Ids are ordered by time. The leading two digits are random, so that writes spread over S3's partitions.

use std::borrow::Cow;

use crate::model::id::{ImageId, UploadId};
use crate::model::image::Image;

/// The name of an image's original. Thumbnails are named by their size.
pub const ORIGINAL: &str = "original";

/// Returns the names of the objects that an upload creates, without the image's prefix; see [`stored_names`].
pub fn names_at_upload(image: &Image) -> Vec<Cow<'static, str>> {
    let thumbnails = image.thumbnails.iter().map(|thumbnail| thumbnail.size.name());
    std::iter::once(Cow::Borrowed(ORIGINAL)).chain(thumbnails).collect()
}

/// Adds the image's prefix to an object's name; an empty prefix changes nothing.
pub fn prefixed(object_prefix: &str, name: &str) -> String {
    if object_prefix.is_empty() { name.to_owned() } else { format!("{object_prefix}/{name}") }
}

/// Returns the current names of the objects that an image's upload created, with the image's prefix.
pub fn stored_names(image: &Image) -> Vec<String> {
    names_at_upload(image).iter().map(|name| prefixed(&image.object_prefix, name)).collect()
}

/// Returns the current key of an object that an image's upload created.
pub fn stored_key(image: &Image, name: &str) -> String {
    key(image.id, &prefixed(&image.object_prefix, name))
}

/// Returns whether a name, with or without a prefix, is that of an original.
pub fn is_original(name: &str) -> bool {
    !is_variant(name) && name.rsplit('/').next() == Some(ORIGINAL)
}

/// Returns the name of a variant's object. `token` is unique to each rendering run, so no name is used twice.
pub fn variant(rendering: &str, token: &str) -> String {
    format!("t/{rendering}/{token}")
}

/// Returns whether a name is that of a variant's object.
pub fn is_variant(name: &str) -> bool {
    name.starts_with("t/")
}

/// Returns the token in the name of a variant's object.
pub fn variant_token(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or_default()
}

/// Returns the key of an image's object.
pub fn key(id: ImageId, name: &str) -> String {
    format!("{:02x}/{id}/{name}", id.spread())
}

/// What the keys of objects that are not images yet start with: `incoming/<id>/…` for those of the service. Operators may put other
/// objects there, to be adopted.
pub const INCOMING: &str = "incoming/";

/// The name of the object to which a direct upload goes.
pub const DIRECT: &str = "file";

/// Returns the key of an object of an upload in several requests.
pub fn incoming(id: UploadId, name: &str) -> String {
    format!("{INCOMING}{id}/{name}")
}

/// Parses the key of an object of an upload in several requests.
pub fn parse_incoming(key: &str) -> Option<(UploadId, &str)> {
    let (id, name) = key.strip_prefix(INCOMING)?.split_once('/')?;
    let id = UploadId::parse(id).filter(|id| id.uuid().get_version_num() == 7)?;
    Some((id, name))
}

/// Returns whether only the service and the clients of its uploads write this key.
pub fn is_own(key: &str) -> bool {
    parse(key).is_some() || parse_incoming(key).is_some()
}

/// Parses a key into the image's id and the object's name; `None` if the key does not follow this layout.
pub fn parse(key_text: &str) -> Option<(ImageId, &str)> {
    let (_, rest) = key_text.split_once('/')?;
    let (id, name) = rest.split_once('/')?;
    let id = ImageId::parse(id)?;
    (!name.is_empty() && key(id, name) == key_text).then_some((id, name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::clock::SystemClock;

    #[test]
    fn keys_that_only_the_service_writes() {
        let id = ImageId::new(&SystemClock);
        for own in [key(id, ORIGINAL), format!("incoming/{id}/0-a"), format!("incoming/{id}/")] {
            assert!(is_own(&own), "{own}");
        }
        for other in ["incoming/a.jpg", "incoming/6fa459ea-ee8a-4ca4-894e-db77e160355e/a.jpg", &format!("incoming/{id}"), "a"] {
            assert!(!is_own(other), "{other}");
        }
    }

    #[test]
    fn only_keys_of_this_layout_are_parsed() {
        let id = ImageId::new(&SystemClock);
        let original = key(id, ORIGINAL);
        assert_eq!(original[..2], original[original.len() - 11..][..2]);
        assert_eq!(parse(&original), Some((id, ORIGINAL)));
        assert_eq!(parse(&key(id, "t/h200.webp")), Some((id, "t/h200.webp")));
        for foreign in
            ["", "a", "00/x/original", &format!("zz/{id}/original"), &format!("{}/", &original[..39]), &original.to_uppercase()]
        {
            assert_eq!(parse(foreign), None, "{foreign}");
        }
    }
}
