//! JPEG decoding at the smallest scale that covers the largest thumbnail, and encoding of thumbnails.
//!
//! A thumbnail of a large image needs only the few lowest frequencies of a block, but only reading every bit verifies a file. So
//! our own decoder (`planar.rs`) reads the usual images: 8 bits, Huffman-coded, grey or YCbCr. It skips the values that are not
//! needed, and needs only the memory of the output. It returns the planes of the file, which are resized and encoded without
//! conversion to RGB and back. libjpeg (`libjpeg.rs`) decodes CMYK, RGB and unusual subsampling, after our decoder has verified
//! the file.
//!
//! Stray bytes that no coefficient needs are skipped, wherever they are. Missing coefficients are damage (`segments.rs`,
//! `bits.rs`, `coverage.rs`).
//!
//! Our own encoder (`encode.rs`, `scan_writer.rs`) writes thumbnails as baseline JPEG.

mod ac_table;
mod bit_writer;
mod bits;
pub(super) mod cmyk;
mod coverage;
#[cfg(target_arch = "x86_64")]
mod cpu_features;
mod decode_error;
pub(super) mod encode;
mod forward_dct;
mod frame;
pub(super) mod header;
mod huffman;
mod idct;
mod inverse_dct;
mod libjpeg;
#[cfg(any(test, fuzzing))]
mod libjpeg_comparison;
mod libjpeg_error;
#[cfg(test)]
mod mutation_tests;
mod normalize;
mod planar;
mod planes;
mod progressive;
mod scan_reader;
mod scan_writer;
pub(super) mod segments;
mod sequential;
mod standard_tables;
#[cfg(test)]
mod tests;

use super::error::Error;
use super::pixels::Pixels;
use super::ycbcr::{Plane, YCbCr};
use super::{Decoded, Header, Limits};
use header::JpegHeader;
#[cfg(any(test, fuzzing))]
pub(super) use libjpeg_comparison::assert_agrees_with_libjpeg;
use std::borrow::Cow;

/// Decodes the whole file. If the target requires verification, any damage is an error. Our own decoder decides what counts as
/// damage, even if libjpeg then decodes the pixels, so acceptance depends neither on the size nor on the kind of JPEG. Without
/// verification, the file was verified before.
pub(super) fn decode(bytes: &[u8], header: &Header, jpeg: &JpegHeader, limits: &Limits) -> Result<Decoded, Error> {
    let max_scans = limits.max_progressive_scans;
    let pixels = match (jpeg.planar, header.target.verify) {
        (true, true) => Pixels::YCbCr(decode_planes(bytes, jpeg, header.stored, limits)?),
        (true, false) => match decode_planes(bytes, jpeg, header.stored, limits) {
            Ok(bitmap) => Pixels::YCbCr(bitmap),
            // An earlier version, which left verification to libjpeg, accepted this file.
            Err(_) => Pixels::Rgb(libjpeg::decode(&normalize::normalized(bytes, max_scans), bytes, header, jpeg, limits)?),
        },
        (false, true) => Pixels::Rgb(libjpeg::decode(&verified(bytes, header, limits)?, bytes, header, jpeg, limits)?),
        (false, false) => Pixels::Rgb(libjpeg::decode(&normalize::normalized(bytes, max_scans), bytes, header, jpeg, limits)?),
    };
    Ok(Decoded { pixels, has_alpha: false, frames: 1 })
}

/// Verifies the file, and returns it in the form that libjpeg decodes.
fn verified<'a>(bytes: &'a [u8], header: &Header, limits: &Limits) -> Result<Cow<'a, [u8]>, Error> {
    let has_no_stray_bytes = planar::verify(bytes, header.stored, limits.max_progressive_scans)?;
    Ok(if has_no_stray_bytes { Cow::Borrowed(bytes) } else { normalize::copy(bytes, limits.max_progressive_scans) })
}

fn decode_planes(bytes: &[u8], jpeg: &JpegHeader, stored: (u32, u32), limits: &Limits) -> Result<YCbCr, Error> {
    let planes = planar::decode(bytes, stored, usize::from(jpeg.scale), limits.max_progressive_scans)?;
    let mut planes = planes.into_iter().map(|plane| Plane::from_padded(plane.samples, plane.stride, plane.covered));
    let luma = planes.next().ok_or_else(|| Error::internal("a JPEG without components"))?;
    let chroma = planes.next().zip(planes.next()).map(|(cb, cr)| Plane::interleaved(&cb, &cr));
    Ok(YCbCr { luma, chroma })
}
