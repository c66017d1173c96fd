//! CMYK JPEG, decoded by libjpeg to its inks without conversion to RGB.

use super::header::JpegHeader;
use super::libjpeg_error::{catch, error_manager};
use super::verified;
use crate::imaging::error::Error;
use crate::imaging::{Header, Limits};
use mozjpeg::{ColorSpace, Decompress};

/// Inks in rows, as stored.
pub(in crate::imaging) struct Cmyk {
    pub width: u32,
    pub height: u32,
    /// The part that the original covers, from the top left corner. The last column and row can be partial.
    pub covered: (f64, f64),
    /// Four per pixel.
    pub samples: Vec<u8>,
}

/// Verifies the whole file, and decodes it at the scale in `jpeg`.
pub(in crate::imaging) fn decode(bytes: &[u8], header: &Header, jpeg: &JpegHeader, limits: &Limits) -> Result<Cmyk, Error> {
    let failed = |error: std::io::Error| Error::corrupt(format!("the JPEG cannot be read ({})", error.kind()));
    let verified = verified(bytes, header, limits)?;
    catch(limits, || {
        let mut decoder = Decompress::with_err(error_manager(limits)).from_mem(&verified).map_err(failed)?;
        if decoder.size() != (header.stored.0 as usize, header.stored.1 as usize) {
            return Err(Error::corrupt("the JPEG states two different sizes"));
        }
        decoder.scale(jpeg.scale);
        let mut started = decoder.to_colorspace(ColorSpace::JCS_CMYK).map_err(failed)?;
        let (width, height) = (started.width() as u32, started.height() as u32);
        let mut samples = vec![0u8; started.width() * started.height() * 4];
        started.read_scanlines_into(&mut samples).map_err(failed)?;
        started.finish().map_err(failed)?;
        let eighths = f64::from(jpeg.scale) / 8.0;
        let covered = (f64::from(header.stored.0) * eighths, f64::from(header.stored.1) * eighths);
        Ok(Cmyk { width, height, covered, samples })
    })
}
