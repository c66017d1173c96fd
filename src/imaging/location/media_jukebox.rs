//! J. River's Media Jukebox writes its catalogue's fields into APP9, as XML: `Places` among them.

use super::{Policy, xmp};

pub(super) const HEADER: &[u8] = b"Media Jukebox\0";

/// Removes the places in place; whether there were any. `xml` starts with its first tag.
pub(super) fn clean(xml: &mut [u8], policy: Policy) -> bool {
    xmp::clean_plain(xml, policy).changed()
}
