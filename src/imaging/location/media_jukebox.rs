//! J. River's Media Jukebox writes the fields of its catalogue into APP9 as XML, among them `Places`.

use super::{Policy, xmp};

pub(super) const HEADER: &[u8] = b"Media Jukebox\0";

/// Removes the locations in place and returns whether there were any. `xml` starts with its first tag.
pub(super) fn clean(xml: &mut [u8], policy: Policy) -> bool {
    xmp::clean_plain(xml, policy).changed()
}
