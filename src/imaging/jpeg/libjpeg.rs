//! JPEG decoding by mozjpeg, at a DCT scale.
//!
//! libjpeg reports damage as *warnings* and continues with grey, and so does this module: our own decoder has verified the
//! file before.

use super::Limits;
use super::header::JpegHeader;
use super::libjpeg_error::{catch, error_manager};
use crate::imaging::Header;
use crate::imaging::bitmap::Bitmap;
use crate::imaging::error::Error;
use crate::imaging::profile::ToSrgb;
use mozjpeg::{ColorSpace, Decompress};
use mozjpeg_sys as ffi;

/// Decodes `normalized`, the normalised copy of `file`. `header` describes `file` itself.
pub(super) fn decode(
    normalized: &[u8],
    file: &[u8],
    header: &Header,
    jpeg: &JpegHeader,
    limits: &Limits,
) -> Result<Bitmap, Error> {
    catch(limits, || read_pixels(normalized, file, header, jpeg, error_manager(limits)))
}

fn read_pixels(
    normalized: &[u8],
    file: &[u8],
    header: &Header,
    jpeg: &JpegHeader,
    errors: ffi::jpeg_error_mgr,
) -> Result<Bitmap, Error> {
    let failed = |_: std::io::Error| Error::corrupt("the JPEG data is invalid");
    let mut decoder = Decompress::with_err(errors).from_mem(normalized).map_err(failed)?;
    // libjpeg must see the size that was checked, before anything is allocated for the image.
    if decoder.size() != (header.stored.0 as usize, header.stored.1 as usize) {
        return Err(Error::corrupt("the JPEG states two different sizes"));
    }
    decoder.scale(jpeg.scale);
    let cmyk = matches!(decoder.color_space(), ColorSpace::JCS_CMYK | ColorSpace::JCS_YCCK);
    let mut started = if cmyk { decoder.to_colorspace(ColorSpace::JCS_CMYK) } else { decoder.rgb() }.map_err(failed)?;

    let (width, height) = (started.width(), started.height());
    let mut pixels = vec![0; width * height * 3];
    if cmyk {
        let to_srgb = ToSrgb::of_cmyk(file, header.profile.as_ref());
        let mut row = vec![0u8; width * 4];
        for target in pixels.chunks_exact_mut(width * 3) {
            started.read_scanlines_into(&mut row).map_err(failed)?;
            if jpeg.adobe {
                // Adobe stores inverted inks.
                row.iter_mut().for_each(|ink| *ink = 255 - *ink);
            }
            match &to_srgb {
                Some(to_srgb) => to_srgb.samples(&row, target)?,
                None => cmyk_to_rgb(&row, target),
            }
        }
    } else {
        started.read_scanlines_into(&mut pixels).map_err(failed)?;
    }
    started.finish().map_err(failed)?;

    let eighths = f64::from(jpeg.scale) / 8.0;
    Ok(Bitmap {
        covered: (f64::from(header.stored.0) * eighths, f64::from(header.stored.1) * eighths),
        ..Bitmap::new(width as u32, height as u32, false, pixels)
    })
}

/// Converts inks with the usual approximation, for images without a profile.
fn cmyk_to_rgb(row: &[u8], target: &mut [u8]) {
    let light = |ink: u8| 255 - u32::from(ink);
    for (inks, to) in row.chunks_exact(4).zip(target.chunks_exact_mut(3)) {
        let key = light(inks[3]);
        for (ink, channel) in inks.iter().zip(to) {
            *channel = ((light(*ink) * key + 127) / 255) as u8;
        }
    }
}
