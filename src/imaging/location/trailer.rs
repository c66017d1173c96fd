//! Data after the end of the image: the further images of a Multi-Picture file, the video of a motion photo, IPTC appended by old
//! programs, camera-specific blocks. Offsets point into this data, so everything is edited in place.

use super::{Policy, fill, insta360, iptc, mp4, segments};
use memchr::memmem;

/// The name of the block of Samsung's trailer (SEF) with the mobile country code. The code follows.
const MOBILE_COUNTRY: &[u8] = b"MCC_Data";

/// Removes the location in place and returns whether there was one.
pub(super) fn clean(trailer: &mut [u8], policy: Policy) -> bool {
    if policy.wipe {
        return fill(trailer, 0);
    }
    let mut changed = segments::clean_jpegs(trailer, policy);
    changed |= mp4::clean(trailer, policy);
    changed |= iptc::clean_appended(trailer, policy);
    changed | insta360::clean(trailer) | mobile_country(trailer)
}

fn mobile_country(trailer: &mut [u8]) -> bool {
    let found: Vec<usize> = memmem::find_iter(trailer, MOBILE_COUNTRY).map(|at| at + MOBILE_COUNTRY.len()).collect();
    let mut changed = false;
    for at in found {
        for byte in trailer.iter_mut().skip(at).take(3).take_while(|byte| byte.is_ascii_digit()) {
            *byte = b' ';
            changed = true;
        }
    }
    changed
}
