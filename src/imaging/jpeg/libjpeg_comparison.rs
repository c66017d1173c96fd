//! Compares our own JPEG decoder with libjpeg, on any file. Compiled only for tests and fuzz targets.

#![expect(clippy::panic, reason = "a property that does not hold must fail")]
#![expect(unsafe_code, reason = "the error callbacks of libjpeg are C functions")]

use super::decode_error::DecodeError;
use super::libjpeg_error::{Unwind, catch, count_scan, error_manager};
use super::{normalize, planar};
use crate::imaging::error::Error;
use crate::imaging::{Header, Kind, Limits};
use mozjpeg::{ColorSpace, Decompress};
use mozjpeg_sys as ffi;
use std::os::raw::c_int;
use std::panic::resume_unwind;

/// Panics if one decoder accepts what the other rejects, or if the scale decides whether a file is accepted.
///
/// libjpeg decodes the normalised file, as always, and rejects missing and wrong coefficients. It overlooks three kinds of
/// damage, which only our own decoder rejects.
pub(in crate::imaging) fn assert_agrees_with_libjpeg(file: &[u8], header: &Header, limits: &Limits) {
    let Kind::Jpeg(_) = &header.kind else { return };
    let max_scans = limits.max_progressive_scans;
    let decoded = [1, 2, 4, 8].map(|eighths| planar::decode(file, header.stored, eighths, max_scans));
    let [at_1, larger @ ..] = &decoded;
    for other in larger {
        assert_eq!(other.as_ref().err(), at_1.as_ref().err(), "the result depends on the scale");
    }
    let normalized = normalize::normalized(file, max_scans);
    match (at_1, strictly_at_an_eighth(&normalized, limits)) {
        (Ok(_), Err(error)) => panic!("libjpeg rejects it: {error}"),
        (Err(DecodeError::BlockOverrun | DecodeError::MissingComponent | DecodeError::ZeroFilled), Ok(_))
        | (Ok(_), Ok(_))
        | (Err(_), Err(_)) => {}
        (Err(error), Ok(_)) => panic!("libjpeg accepts it in spite of {error:?}"),
    }
}

/// Decodes a file with libjpeg at an eighth of its size, in the file's own colour space. Missing and wrong coefficients are
/// errors.
pub(super) fn strictly_at_an_eighth(bytes: &[u8], limits: &Limits) -> Result<Vec<u8>, Error> {
    use mozjpeg::ColorSpaceExt;
    let errors = ffi::jpeg_error_mgr { emit_message: Some(on_message), ..error_manager(limits) };
    catch(limits, || {
        let failed = |error: std::io::Error| Error::corrupt(error.to_string());
        let mut decoder = Decompress::with_err(errors).from_mem(bytes).map_err(failed)?;
        decoder.scale(1);
        let mut started = match decoder.color_space() {
            ColorSpace::JCS_CMYK | ColorSpace::JCS_YCCK => decoder.to_colorspace(ColorSpace::JCS_CMYK),
            ColorSpace::JCS_RGB => decoder.rgb(),
            _ => decoder.grayscale(),
        }
        .map_err(failed)?;
        let bytes_a_row = started.width() * started.color_space().num_components();
        let mut samples = vec![0u8; bytes_a_row * started.height()];
        started.read_scanlines_into(&mut samples).map_err(failed)?;
        started.finish().map_err(failed)?;
        Ok(samples)
    })
}

unsafe extern "C-unwind" fn on_message(common: &mut ffi::jpeg_common_struct, level: c_int) {
    // SAFETY: libjpeg calls this with the error manager that it was created with, is single-threaded, and holds no reference
    // into it during the call.
    let errors = unsafe { &mut *common.err };
    match errors.msg_code {
        // An unknown revision or colour transform is not damage, and no coefficient needs stray bytes.
        ffi::JWRN_JFIF_MAJOR | ffi::JWRN_ADOBE_XFORM | ffi::JWRN_EXTRANEOUS_DATA => {}
        code if level < 0 => resume_unwind(Box::new(Unwind::Message(code))),
        _ => count_scan(errors),
    }
}
