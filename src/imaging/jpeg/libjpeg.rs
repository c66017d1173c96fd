//! JPEG by mozjpeg: decoding at a DCT scale, and encoding.
//!
//! libjpeg reports damage as *warnings* and goes on with grey, and so it does here: whether a file is whole was decided
//! before, by the decoder of our own.
//!
//! libjpeg's fatal errors cannot return; mozjpeg's callbacks unwind through its C frames, which are compiled for that, up
//! to the `catch_unwind` in this file. [`Fault`] is what travels. It is raised by `resume_unwind`, so no panic is printed.

#![expect(unsafe_code, reason = "libjpeg's hooks for warnings are C functions")]

use super::Limits;
use super::fault::Fault as Damage;
use super::header::JpegHeader;
use crate::imaging::Header;
use crate::imaging::encode::Chroma;
use crate::imaging::error::Error;
use crate::imaging::picture::Picture;
use crate::imaging::profile::ToSrgb;
use crate::imaging::ycc::Plane;
use mozjpeg::{ColorSpace, Compress, Decompress};
use mozjpeg_sys as ffi;
use std::os::raw::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Whether mozjpeg was built with SIMD. It is built without, and only a cargo warning says so, when `nasm` is missing (on
/// x86): then decoding takes half as long again.
pub fn simd_enabled() -> bool {
    unsafe extern "C" {
        fn jsimd_can_ycc_rgb() -> c_int;
    }
    // SAFETY: a function without arguments that mozjpeg's static library always has, with or without SIMD (`jsimd.h`); it
    // detects the processor into a thread-local and answers.
    unsafe { jsimd_can_ycc_rgb() != 0 }
}

/// Decodes a whole file, of which `tidied` holds what is to be decoded; `header` tells of the file itself.
pub(super) fn decode(tidied: &[u8], file: &[u8], header: &Header, jpeg: &JpegHeader, limits: &Limits) -> Result<Picture, Error> {
    unwinding(limits, || read_pixels(tidied, file, header, jpeg, patient_errors(limits)))
}

/// Encodes an RGB picture. mozjpeg's own defaults (trellis, progressive) would take 38 times as long
/// for files 18 % smaller.
pub(in crate::imaging) fn encode(picture: &Picture, quality: f32, chroma: Chroma) -> Result<Vec<u8>, Error> {
    written(|| {
        let mut compress = Compress::new(ColorSpace::JCS_RGB);
        prepare(&mut compress, (picture.width, picture.height), quality);
        if chroma == Chroma::Full {
            compress.set_chroma_sampling_pixel_sizes((1, 1), (1, 1));
        }
        let mut started = compress.start_compress(Vec::new())?;
        started.write_scanlines(&picture.pixels)?;
        started.finish()
    })
}

/// As [`encode`], of planes that are 4:2:0 already.
pub(in crate::imaging) fn encode_planes(luma: &Plane, chroma: &Plane, quality: f32) -> Result<Vec<u8>, Error> {
    written(|| {
        let mut compress = Compress::new(ColorSpace::JCS_YCbCr);
        prepare(&mut compress, (luma.width, luma.height), quality);
        compress.set_raw_data_in(true);
        let mut started = compress.start_compress(Vec::new())?;
        let planes = [luma.padded(1, 0, BLOCK), chroma.padded(2, 0, BLOCK), chroma.padded(2, 1, BLOCK)];
        if !started.write_raw_data(&planes.each_ref().map(Vec::as_slice)) {
            return Err(std::io::ErrorKind::Other.into());
        }
        started.finish()
    })
}

/// Samples of a block's side.
const BLOCK: usize = 8;

fn prepare(compress: &mut Compress, (width, height): (u32, u32), quality: f32) {
    compress.set_size(width as usize, height as usize);
    compress.set_fastest_defaults();
    compress.set_quality(quality);
    compress.set_chroma_sampling_pixel_sizes((2, 2), (2, 2));
}

pub(super) fn written(write: impl FnOnce() -> std::io::Result<Vec<u8>>) -> Result<Vec<u8>, Error> {
    let failed = |error: std::io::Error| Error::internal(format!("encoding a JPEG: {error}"));
    unwinding(&Limits::default(), || write().map_err(failed)).map_err(|error| match error {
        Error::Internal { .. } => error,
        other => Error::internal(format!("encoding a JPEG: {other}")),
    })
}

fn read_pixels(
    tidied: &[u8],
    file: &[u8],
    header: &Header,
    jpeg: &JpegHeader,
    errors: ffi::jpeg_error_mgr,
) -> Result<Picture, Error> {
    let failed = |_: std::io::Error| Error::corrupt("the JPEG data is invalid");
    let mut decoder = Decompress::with_err(errors).from_mem(tidied).map_err(failed)?;
    // Before anything is allocated for the picture: libjpeg must see the size that was checked.
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
                // Adobe's files hold the light that is left.
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
    Ok(Picture {
        covered: (f64::from(header.stored.0) * eighths, f64::from(header.stored.1) * eighths),
        ..Picture::whole(width as u32, height as u32, false, pixels)
    })
}

/// Without a profile the usual approximation.
fn cmyk_to_rgb(row: &[u8], target: &mut [u8]) {
    let light = |ink: u8| 255 - u32::from(ink);
    for (inks, to) in row.chunks_exact(4).zip(target.chunks_exact_mut(3)) {
        let key = light(inks[3]);
        for (ink, channel) in inks.iter().zip(to) {
            *channel = ((light(*ink) * key + 127) / 255) as u8;
        }
    }
}

/// What a libjpeg callback throws.
enum Fault {
    /// A warning or a fatal error, by its code.
    Message(c_int),
    TooManyScans,
}

/// Runs libjpeg and turns what it throws into an error.
pub(super) fn unwinding<T>(limits: &Limits, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    let payload = match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => return result,
        Err(payload) => payload,
    };
    Err(match payload.downcast::<Fault>().as_deref() {
        Ok(Fault::Message(code)) => explain(*code),
        Ok(Fault::TooManyScans) => Error::TooManyScans { limit: limits.max_progressive_scans },
        Err(_) => Error::internal("the JPEG library panicked"),
    })
}

fn explain(code: c_int) -> Error {
    let damage = match code {
        ffi::JWRN_JPEG_EOF | ffi::JERR_FILE_READ => Damage::Truncated,
        ffi::JWRN_HIT_MARKER => Damage::BreaksOff,
        ffi::JWRN_HUFF_BAD_CODE => Damage::InvalidCode,
        ffi::JWRN_MUST_RESYNC => Damage::MisplacedRestart,
        ffi::JERR_ARITH_NOTIMPL => return Error::unsupported("JPEG with arithmetic coding"),
        ffi::JERR_CONVERSION_NOTIMPL | ffi::JERR_FRACT_SAMPLE_NOTIMPL => return Error::unsupported("the colours of this JPEG"),
        ffi::JERR_OUT_OF_MEMORY => return Error::internal("libjpeg got no memory"),
        _ => return Error::corrupt("the JPEG data is invalid"),
    };
    damage.into()
}

/// An error manager that throws when there is no going on, and counts scans.
pub(super) fn patient_errors(limits: &Limits) -> ffi::jpeg_error_mgr {
    // SAFETY: a C struct of numbers, nullable pointers and optional functions, for which zero is valid; `jpeg_std_error`
    // fills it in and keeps no pointer to it.
    let mut errors = unsafe {
        let mut errors = std::mem::zeroed();
        ffi::jpeg_std_error(&mut errors);
        errors
    };
    errors.error_exit = Some(on_error);
    errors.emit_message = Some(on_trace);
    // Read only by the default `emit_message`, replaced here: it carries the number of scans that are left. A struct of our
    // own around the error manager, libjpeg's usual way, is not possible through mozjpeg.
    errors.trace_level = c_int::try_from(limits.max_progressive_scans).unwrap_or(c_int::MAX);
    errors
}

unsafe extern "C-unwind" fn on_error(common: &mut ffi::jpeg_common_struct) {
    // SAFETY: libjpeg calls this with the error manager that it was created with.
    let code = unsafe { (*common.err).msg_code };
    resume_unwind(Box::new(Fault::Message(code)));
}

unsafe extern "C-unwind" fn on_trace(common: &mut ffi::jpeg_common_struct, _level: c_int) {
    // SAFETY: as above.
    count_scan(unsafe { &mut *common.err });
}

/// At the start of every scan there is a message that is only for tracing.
fn count_scan(errors: &mut ffi::jpeg_error_mgr) {
    if errors.msg_code == ffi::JTRC_SOS {
        if errors.trace_level == 0 {
            resume_unwind(Box::new(Fault::TooManyScans));
        }
        errors.trace_level -= 1;
    }
}

/// For comparison: what libjpeg makes of a file at an eighth of its size, in the file's own colours, when it is an error that
/// coefficients are missing or wrong.
#[cfg(any(test, fuzzing))]
pub(super) fn strictly_at_an_eighth(bytes: &[u8], limits: &Limits) -> Result<Vec<u8>, Error> {
    use mozjpeg::ColorSpaceExt;
    let errors = ffi::jpeg_error_mgr { emit_message: Some(on_message), ..patient_errors(limits) };
    unwinding(limits, || {
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

#[cfg(any(test, fuzzing))]
unsafe extern "C-unwind" fn on_message(common: &mut ffi::jpeg_common_struct, level: c_int) {
    // SAFETY: as above; libjpeg is single-threaded and holds no reference into it during the call.
    let errors = unsafe { &mut *common.err };
    match errors.msg_code {
        // An unknown revision or colour transform says nothing about damage, and no coefficient needs stray bytes.
        ffi::JWRN_JFIF_MAJOR | ffi::JWRN_ADOBE_XFORM | ffi::JWRN_EXTRANEOUS_DATA => {}
        code if level < 0 => resume_unwind(Box::new(Fault::Message(code))),
        _ => count_scan(errors),
    }
}
