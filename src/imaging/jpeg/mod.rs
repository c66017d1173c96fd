//! JPEG: decoding at the smallest size that covers the largest thumbnail, and encoding of thumbnails.
//!
//! A thumbnail needs a block's few lowest frequencies, but only the reading of every bit proves a file whole. So the usual
//! pictures, of 8 bits, coded by Huffman, grey or YCbCr, are read by a decoder of our own that passes over what nobody
//! needs (`reduced.rs`); it takes 0.6 of libjpeg's time for the same bits, and no more memory than the small picture.
//! libjpeg (`libjpeg.rs`) reads what is small anyway, and CMYK. Either refuses damage in the same words.

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
use super::{Decoded, Limits};
use header::JpegHeader;
pub(super) use libjpeg::encode;
pub use libjpeg::simd_enabled;

/// Decodes the whole file; damage anywhere refuses it.
pub(super) fn decode(bytes: &[u8], header: &JpegHeader, stored: (u32, u32), limits: &Limits) -> Result<Decoded, Error> {
    let picture = if header.reducible {
        decode_reduced(bytes, header, stored, limits)?.into_rgb()?
    } else {
        libjpeg::decode(bytes, header, stored, limits)?
    };
    Ok(Decoded { picture, has_alpha: false, frames: 1 })
}

fn decode_reduced(bytes: &[u8], header: &JpegHeader, stored: (u32, u32), limits: &Limits) -> Result<Ycc, Error> {
    let planes = reduced::decode(bytes, stored, usize::from(header.scale), limits.max_progressive_scans)?;
    let mut channels = planes.into_iter().map(|plane| Channel {
        width: plane.stride as u32,
        height: plane.rows as u32,
        covered: plane.covered,
        samples: plane.samples,
    });
    let luma = channels.next().ok_or_else(|| Error::internal("a JPEG without components"))?;
    Ok(Ycc { luma, chroma: channels.next().zip(channels.next()).map(Into::into) })
}
