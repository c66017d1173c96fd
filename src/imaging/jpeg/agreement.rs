//! The decoder of our own beside libjpeg, on any file.

#![expect(clippy::panic, reason = "what does not hold is to be found")]

use super::fault::Fault;
use super::{libjpeg, reduced, tidy};
use crate::imaging::{Header, Kind, Limits};

/// Panics when one of the two accepts what the other refuses, or when it depends on the scale whether a file is accepted.
///
/// libjpeg is shown the tidied file, as always; it refuses what lacks coefficients or has wrong ones. It overlooks three kinds of
/// damage, which only the decoder of our own refuses.
pub(in crate::imaging) fn agrees_with_libjpeg(file: &[u8], header: &Header, limits: &Limits) {
    let Kind::Jpeg(_) = &header.kind else { return };
    let max_scans = limits.max_progressive_scans;
    let decoded = [1, 2, 4].map(|eighths| reduced::decode(file, header.stored, eighths, max_scans));
    let [at_1, larger @ ..] = &decoded;
    for other in larger {
        assert_eq!(other.as_ref().err(), at_1.as_ref().err(), "accepted or refused in another way at another scale");
    }
    let tidied = tidy::tidied(file, max_scans);
    match (at_1, libjpeg::strictly_at_an_eighth(&tidied, limits)) {
        (Ok(_), Err(error)) => panic!("libjpeg refuses it: {error}"),
        (Err(Fault::BeyondBlock | Fault::Incomplete | Fault::ZeroFilled), Ok(_)) | (Ok(_), Ok(_)) | (Err(_), Err(_)) => {}
        (Err(fault), Ok(_)) => panic!("libjpeg accepts it, in spite of {fault:?}"),
    }
}
