//! Errors of libjpeg: an error manager that unwinds, and the conversion of what it throws into an [`Error`].
//!
//! A fatal error of libjpeg cannot return. The callbacks here unwind through mozjpeg's C frames, which are compiled for that,
//! to the `catch_unwind` in [`catch`]. The payload is [`Unwind`], raised by `resume_unwind`, so no panic is printed.

#![expect(unsafe_code, reason = "the error callbacks of libjpeg are C functions")]

use super::decode_error::DecodeError;
use crate::imaging::Limits;
use crate::imaging::error::Error;
use mozjpeg_sys as ffi;
use std::os::raw::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// The payload that a libjpeg callback throws.
pub(super) enum Unwind {
    /// The code of a warning or a fatal error.
    Message(c_int),
    TooManyScans,
}

/// Runs `work`, which calls libjpeg, and converts what libjpeg throws into an error.
pub(super) fn catch<T>(limits: &Limits, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    let payload = match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => return result,
        Err(payload) => payload,
    };
    Err(match payload.downcast::<Unwind>().as_deref() {
        Ok(Unwind::Message(code)) => from_code(*code),
        Ok(Unwind::TooManyScans) => Error::TooManyScans { limit: limits.max_progressive_scans },
        Err(_) => Error::internal("the JPEG library panicked"),
    })
}

fn from_code(code: c_int) -> Error {
    let error = match code {
        ffi::JWRN_JPEG_EOF | ffi::JERR_FILE_READ => DecodeError::Truncated,
        ffi::JWRN_HIT_MARKER => DecodeError::UnexpectedMarker,
        ffi::JWRN_HUFF_BAD_CODE => DecodeError::InvalidCode,
        ffi::JWRN_MUST_RESYNC => DecodeError::MisplacedRestart,
        ffi::JERR_ARITH_NOTIMPL => return Error::unsupported("JPEG with arithmetic coding"),
        ffi::JERR_CONVERSION_NOTIMPL | ffi::JERR_FRACT_SAMPLE_NOTIMPL => return Error::unsupported("the colours of this JPEG"),
        ffi::JERR_OUT_OF_MEMORY => return Error::internal("libjpeg is out of memory"),
        _ => return Error::corrupt("the JPEG data is invalid"),
    };
    error.into()
}

/// Returns an error manager that throws on fatal errors and on too many scans, and ignores warnings.
pub(super) fn error_manager(limits: &Limits) -> ffi::jpeg_error_mgr {
    // SAFETY: the C struct contains numbers, nullable pointers and optional functions, for which zero is valid.
    // `jpeg_std_error` fills it in and keeps no pointer to it.
    let mut errors = unsafe {
        let mut errors = std::mem::zeroed();
        ffi::jpeg_std_error(&mut errors);
        errors
    };
    errors.error_exit = Some(on_error);
    errors.emit_message = Some(on_trace);
    // This field carries the number of scans that remain: only the default `emit_message` reads it, and that is replaced.
    // libjpeg's usual way, a larger struct around the error manager, is not possible through mozjpeg.
    errors.trace_level = c_int::try_from(limits.max_progressive_scans).unwrap_or(c_int::MAX);
    errors
}

unsafe extern "C-unwind" fn on_error(common: &mut ffi::jpeg_common_struct) {
    // SAFETY: libjpeg calls this with the error manager that it was created with, which outlives the call.
    let code = unsafe { (*common.err).msg_code };
    resume_unwind(Box::new(Unwind::Message(code)));
}

unsafe extern "C-unwind" fn on_trace(common: &mut ffi::jpeg_common_struct, _level: c_int) {
    // SAFETY: as above.
    count_scan(unsafe { &mut *common.err });
}

/// Counts scans by the trace message that libjpeg emits at the start of each.
pub(super) fn count_scan(errors: &mut ffi::jpeg_error_mgr) {
    if errors.msg_code == ffi::JTRC_SOS {
        if errors.trace_level == 0 {
            resume_unwind(Box::new(Unwind::TooManyScans));
        }
        errors.trace_level -= 1;
    }
}
