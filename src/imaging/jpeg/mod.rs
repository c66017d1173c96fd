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
use super::ycc::{Channel, Ycc};
use super::{Decoded, Header, Limits};
#[cfg(any(test, fuzzing))]
pub(super) use agreement::agrees_with_libjpeg;
use header::JpegHeader;
pub(super) use libjpeg::encode;
pub use libjpeg::simd_enabled;

/// Decodes the whole file. When it is to be proved, damage anywhere refuses it; otherwise it was proved before, perhaps by
/// the other decoder, and what this one minds is overlooked: they differ in a few bytes that no block needs.
pub(super) fn decode(bytes: &[u8], header: &Header, jpeg: &JpegHeader, limits: &Limits) -> Result<Decoded, Error> {
    let reduced = if jpeg.reducible { Some(decode_reduced(bytes, jpeg, header.stored, limits)) } else { None };
    let picture = match reduced {
        Some(Ok(picture)) => picture.into_rgb()?,
        Some(Err(damage)) if header.aim.prove => return Err(damage),
        Some(Err(_)) | None => libjpeg::decode(bytes, header, jpeg, limits)?,
    };
    Ok(Decoded { picture, has_alpha: false, frames: 1 })
}

fn decode_reduced(bytes: &[u8], jpeg: &JpegHeader, stored: (u32, u32), limits: &Limits) -> Result<Ycc, Error> {
    let planes = reduced::decode(bytes, stored, usize::from(jpeg.scale), limits.max_progressive_scans)?;
    let mut channels = planes.into_iter().map(|plane| Channel {
        width: plane.stride as u32,
        height: plane.rows as u32,
        covered: plane.covered,
        samples: plane.samples,
    });
    let luma = channels.next().ok_or_else(|| Error::internal("a JPEG without components"))?;
    Ok(Ycc { luma, chroma: channels.next().zip(channels.next()).map(Into::into) })
}
