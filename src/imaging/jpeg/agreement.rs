//! The decoder of our own beside libjpeg, on any file.

#![expect(clippy::panic, reason = "what does not hold is to be found")]

use super::fault::Fault;
use super::{libjpeg, reduced};
use crate::imaging::{Header, Kind, Limits};

/// Panics when it accepts what libjpeg calls damaged, or when it depends on the scale whether a file is accepted.
pub(in crate::imaging) fn agrees_with_libjpeg(file: &[u8], header: &Header, limits: &Limits) {
    let Kind::Jpeg(jpeg) = &header.kind else { return };
    if !jpeg.reducible {
        return;
    }
    let decoded = [1, 2, 4].map(|eighths| reduced::decode(file, header.stored, eighths, limits.max_progressive_scans));
    let accepted = decoded[0].is_ok();
    for other in &decoded[1..] {
        assert_eq!(other.is_ok(), accepted, "accepted at one scale only: {:?}", other.as_ref().err());
    }
    match libjpeg::luma_at_an_eighth(file, limits) {
        // Whether libjpeg minds bytes that no block takes depends on how far it has read ahead.
        Err(error) if accepted && error != Fault::StrayBytes.into() => panic!("libjpeg refuses it: {error}"),
        _ => {}
    }
}
