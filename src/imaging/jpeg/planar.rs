//! Decodes a file at its own or a reduced size: reads its scans into planes.
//!
//! It accepts what libjpeg decodes without running out of data: stray bytes are skipped, missing coefficients and invalid codes
//! are damage. It is stricter than libjpeg on coefficients beyond the end of a block and on components without data.

#![cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "calling a function that is compiled for AVX2"))]

#[cfg(target_arch = "x86_64")]
use super::cpu_features;
use super::decode_error::DecodeError;
use super::frame::Frame;
use super::planes::Plane;
use super::scan_reader::ScanReader;
use super::{progressive, sequential};

/// Decodes every bit of the file into planes at `eighths` of the size: 1, 2, 4 or 8.
pub(super) fn decode(file: &[u8], size: (u32, u32), eighths: usize, max_scans: u32) -> Result<Vec<Plane>, DecodeError> {
    decode_all(&mut ScanReader::new(file, max_scans), size, eighths)
}

/// Reads every bit of the file and discards the result. Returns whether the file has no stray bytes before the end of the
/// image.
pub(super) fn verify(file: &[u8], size: (u32, u32), max_scans: u32) -> Result<bool, DecodeError> {
    let mut reader = ScanReader::new(file, max_scans);
    decode_all(&mut reader, size, 1)?;
    Ok(reader.has_no_stray_bytes())
}

fn decode_all(reader: &mut ScanReader, size: (u32, u32), eighths: usize) -> Result<Vec<Plane>, DecodeError> {
    let frame = reader.read_to_frame()?;
    // Checked before anything is allocated for the image.
    if (frame.width, frame.height) != size {
        return Err(DecodeError::Invalid("two different sizes"));
    }
    #[cfg(target_arch = "x86_64")]
    if cpu_features::has_avx2() {
        // SAFETY: the processor has these features.
        return unsafe { decode_with_avx2(reader, &frame, eighths) };
    }
    decode_scans::<false>(reader, &frame, eighths)
}

/// Compiles everything for AVX2, which most processors have. The result is the same.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt")]
fn decode_with_avx2(reader: &mut ScanReader, frame: &Frame, eighths: usize) -> Result<Vec<Plane>, DecodeError> {
    decode_scans::<true>(reader, frame, eighths)
}

#[inline(always)]
fn decode_scans<const AVX2: bool>(reader: &mut ScanReader, frame: &Frame, eighths: usize) -> Result<Vec<Plane>, DecodeError> {
    if frame.progressive {
        progressive::decode::<AVX2>(reader, frame, eighths)
    } else {
        sequential::decode::<AVX2>(reader, frame, eighths)
    }
}
