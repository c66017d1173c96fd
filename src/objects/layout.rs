//! Object keys: `<last two hex digits of the id>/<id>/<name>`, or `…/<id>/<prefix>/<name>` for what was moved when its image was
//! deleted.
//!
//! Ids are ordered by time; the leading digits are random, so that writes spread over S3's partitions.

use std::borrow::Cow;

use crate::model::id::ImageId;
use crate::model::image::Image;

/// The name of the original below its image's prefix; thumbnails are named as their sizes are.
pub const ORIGINAL: &str = "original";

/// The names of the objects that an image's upload makes. To be found, they need the image's prefix: [`stored_names`].
pub fn names_at_upload(image: &Image) -> Vec<Cow<'static, str>> {
    let thumbnails = image.thumbnails.iter().map(|thumbnail| thumbnail.size.name());
    std::iter::once(Cow::Borrowed(ORIGINAL)).chain(thumbnails).collect()
}

/// The name below its image of an object that the image's upload made, once it is moved.
pub fn prefixed(object_prefix: &str, name: &str) -> String {
    if object_prefix.is_empty() { name.to_owned() } else { format!("{object_prefix}/{name}") }
}

/// The names of the objects that an image's upload made, where they are now.
pub fn stored_names(image: &Image) -> Vec<String> {
    names_at_upload(image).iter().map(|name| prefixed(&image.object_prefix, name)).collect()
}

/// The key of an object that an image's upload made, where it is now.
pub fn stored_key(image: &Image, name: &str) -> String {
    key(image.id, &prefixed(&image.object_prefix, name))
}

/// Whether a name is that of an original, wherever it was moved.
pub fn is_original(name: &str) -> bool {
    !is_variant(name) && name.rsplit('/').next() == Some(ORIGINAL)
}

/// The name of a variant's object: `token` is of this making alone, so the name is never used twice.
pub fn variant(rendering: &str, token: &str) -> String {
    format!("t/{rendering}/{token}")
}

/// Whether a name is that of a variant's object.
pub fn is_variant(name: &str) -> bool {
    name.starts_with("t/")
}

/// The token in the name of a variant's object.
pub fn variant_token(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or_default()
}

/// The key of an object of an image.
pub fn key(id: ImageId, name: &str) -> String {
    format!("{:02x}/{id}/{name}", id.spread())
}

/// The image and the name that a key stands for; `None` for a key that is not of this layout.
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
    fn a_key_is_read_back_and_nothing_else_is() {
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
