//! JPEG: decoding at the smallest size that covers the largest thumbnail, and encoding of thumbnails.
//!
//! A thumbnail needs a block's few lowest frequencies, but only the reading of every bit proves a file whole. So the usual
//! pictures, of 8 bits, coded by Huffman, grey or YCbCr, are read by a decoder of our own that passes over what nobody
//! needs (`reduced.rs`); it takes 0.6 of libjpeg's time for the same bits, and no more memory than the small picture.
//! libjpeg (`libjpeg.rs`) reads what is small anyway, and CMYK. Either refuses damage in the same words.

#[cfg(any(test, fuzzing))]
mod agreement;
mod bits;
mod block;
mod fault;
mod frame;
pub(super) mod header;
mod huffman;
mod idct;
mod libjpeg;
mod planes;
mod progressive;
mod reduced;
mod sequential;
#[cfg(test)]
mod tests;

use super::error::Error;
use super::pixels::Pixels;
use super::ycc::{Plane, Ycc};
use super::{Decoded, Header, Limits};
#[cfg(any(test, fuzzing))]
pub(super) use agreement::agrees_with_libjpeg;
use header::JpegHeader;
pub use libjpeg::simd_enabled;
pub(super) use libjpeg::{encode, encode_planes};

/// Decodes the whole file. When it is to be proved, damage anywhere refuses it; otherwise it was proved before, perhaps by
/// the other decoder, and what this one minds is overlooked: they differ in a few bytes that no block needs.
pub(super) fn decode(bytes: &[u8], header: &Header, jpeg: &JpegHeader, limits: &Limits) -> Result<Decoded, Error> {
    let reduced = if jpeg.reducible { Some(decode_reduced(bytes, jpeg, header.stored, limits)) } else { None };
    let pixels = match reduced {
        Some(Ok(picture)) => Pixels::Ycc(picture),
        Some(Err(damage)) if header.aim.prove => return Err(damage),
        Some(Err(_)) | None => Pixels::Rgb(libjpeg::decode(bytes, header, jpeg, limits)?),
    };
    Ok(Decoded { pixels, has_alpha: false, frames: 1 })
}

fn decode_reduced(bytes: &[u8], jpeg: &JpegHeader, stored: (u32, u32), limits: &Limits) -> Result<Ycc, Error> {
    let planes = reduced::decode(bytes, stored, usize::from(jpeg.scale), limits.max_progressive_scans)?;
    let mut planes = planes.into_iter().map(|plane| Plane::trimmed(plane.samples, plane.stride, plane.covered));
    let luma = planes.next().ok_or_else(|| Error::internal("a JPEG without components"))?;
    let chroma = planes.next().zip(planes.next()).map(|(cb, cr)| Plane::interleaved(&cb, &cr));
    Ok(Ycc { luma, chroma })
}
