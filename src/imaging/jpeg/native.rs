//! JPEG in components that are neither RGB nor YCbCr, by libjpeg: inks as they are stored, and grey.

use super::header::JpegHeader;
use super::libjpeg::{patient_errors, unwinding, written};
use super::proved;
use crate::imaging::error::Error;
use crate::imaging::{Header, Limits};
use mozjpeg::{ColorSpace, Compress, Decompress};

/// Inks in rows, as stored.
pub(in crate::imaging) struct Cmyk {
    pub width: u32,
    pub height: u32,
    /// The part that is covered by the original, from the top left corner.
    pub covered: (f64, f64),
    /// Four a pixel.
    pub samples: Vec<u8>,
}

/// Decodes the whole file at its scale; damage anywhere refuses it.
pub(in crate::imaging) fn decode_cmyk(bytes: &[u8], header: &Header, jpeg: &JpegHeader, limits: &Limits) -> Result<Cmyk, Error> {
    let failed = |error: std::io::Error| Error::corrupt(format!("the JPEG cannot be read ({})", error.kind()));
    let proved = proved(bytes, header, limits)?;
    unwinding(limits, || {
        let mut decoder = Decompress::with_err(patient_errors(limits)).from_mem(&proved).map_err(failed)?;
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

/// Encodes inks, four a pixel, as the light that is left, which Adobe's marker means.
pub(in crate::imaging) fn encode_cmyk(size: (u32, u32), samples: &[u8], quality: f32) -> Result<Vec<u8>, Error> {
    encode(ColorSpace::JCS_CMYK, size, samples, quality)
}

pub(in crate::imaging) fn encode_grey(size: (u32, u32), samples: &[u8], quality: f32) -> Result<Vec<u8>, Error> {
    encode(ColorSpace::JCS_GRAYSCALE, size, samples, quality)
}

fn encode(space: ColorSpace, (width, height): (u32, u32), samples: &[u8], quality: f32) -> Result<Vec<u8>, Error> {
    written(|| {
        let mut compress = Compress::new(space);
        compress.set_size(width as usize, height as usize);
        compress.set_fastest_defaults();
        compress.set_quality(quality);
        let mut started = compress.start_compress(Vec::new())?;
        started.write_scanlines(samples)?;
        started.finish()
    })
}
