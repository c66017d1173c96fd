//! Scales down a JPEG: keeps the segments of the original and encodes the image again. Grey stays grey and CMYK stays CMYK,
//! because a colour profile is for one colour space.

use super::{QUALITY, Shrunk, exif};
use crate::imaging::error::Error;
use crate::imaging::jpeg::cmyk::{self, Cmyk};
use crate::imaging::jpeg::encode::{self, Chroma};
use crate::imaging::jpeg::header::JpegHeader;
use crate::imaging::jpeg::segments::{EOI, SOS, Segment, Segments};
use crate::imaging::pixels::Pixels;
use crate::imaging::resample::{Source, lanczos3, resample};
use crate::imaging::{Format, Header, Limits, decode};

pub(super) fn shrink(
    bytes: &[u8],
    header: &Header,
    jpeg: &JpegHeader,
    limits: &Limits,
    target: (u32, u32),
) -> Result<Shrunk, Error> {
    let source = SourceSegments::read(bytes, target);
    let bitmap = match source.components {
        4 => cmyk(bytes, header, jpeg, limits, target)?,
        components => {
            let pixels = decode(bytes, header, limits)?.pixels;
            let (width, height) = pixels.covered();
            let resized = pixels.resized([0.0, 0.0, width, height], target)?;
            drop(pixels);
            if components == 1 { grey(resized)? } else { resized.encode(Format::Jpeg, QUALITY, Chroma::Quarter)? }
        }
    };
    Ok(Shrunk { file: source.assemble(&bitmap), dropped_credentials: source.had_credentials })
}

fn grey(pixels: Pixels) -> Result<Vec<u8>, Error> {
    let (size, samples) = match pixels {
        Pixels::YCbCr(ycbcr) => ((ycbcr.luma.width, ycbcr.luma.height), ycbcr.luma.samples),
        Pixels::Rgb(bitmap) => {
            let grey = bitmap.pixels.chunks_exact(bitmap.channels()).map(|pixel| pixel[0]).collect();
            ((bitmap.width, bitmap.height), grey)
        }
    };
    encode::encode_grey(size, &samples, f32::from(QUALITY))
}

/// Resizes each ink separately, because the resampler treats the last of four channels as alpha.
fn cmyk(bytes: &[u8], header: &Header, jpeg: &JpegHeader, limits: &Limits, target: (u32, u32)) -> Result<Vec<u8>, Error> {
    let Cmyk { width, height, covered, samples } = cmyk::decode(bytes, header, jpeg, limits)?;
    let mut resized = vec![0; target.0 as usize * target.1 as usize * 4];
    for ink in 0..4 {
        let plane: Vec<u8> = samples.iter().skip(ink).step_by(4).copied().collect();
        let source = Source { width, height, channels: 1, samples: &plane };
        let plane = resample(source, [0.0, 0.0, covered.0, covered.1], target, lanczos3())?;
        for (pixel, sample) in resized.chunks_exact_mut(4).zip(plane) {
            // The encoder writes Adobe's marker, which means inverted inks.
            pixel[ink] = if jpeg.adobe { sample } else { 255 - sample };
        }
    }
    drop(samples);
    encode::encode_cmyk(target, &resized, f32::from(QUALITY))
}

/// The segments before the image data of a file.
struct SourceSegments {
    /// The kept segments, in their order.
    kept: Vec<u8>,
    components: u8,
    had_credentials: bool,
}

impl SourceSegments {
    fn read(file: &[u8], target: (u32, u32)) -> Self {
        let mut source = SourceSegments { kept: Vec::new(), components: 3, had_credentials: false };
        let mut segments = Segments::new(file);
        // An unreadable segment stops the loop here, and decoding rejects the file.
        while let Ok(Some(Segment { marker, body })) = segments.next() {
            let body = &file[body];
            match marker {
                SOS | EOI => break,
                // SOF: precision, height and width precede the number of components.
                0xc0..=0xc2 => source.components = body.get(5).copied().unwrap_or(source.components),
                // JUMBF (ISO 19566-5), which contains Content Credentials.
                0xeb => source.had_credentials |= body.starts_with(b"JP"),
                _ if is_kept(marker, body) => source.keep(marker, body, target),
                _ => {}
            }
        }
        source
    }

    fn keep(&mut self, marker: u8, body: &[u8], target: (u32, u32)) {
        let length = u16::try_from(body.len() + 2).unwrap_or(u16::MAX);
        self.kept.extend([0xff, marker]);
        self.kept.extend(length.to_be_bytes());
        let start = self.kept.len();
        self.kept.extend_from_slice(body);
        if marker == 0xe1 && body.starts_with(b"Exif\0\0") {
            exif::set_size(&mut self.kept[start + 6..], target);
        }
    }

    /// Returns the file: SOI, the kept segments, and the encoded image from its tables on.
    fn assemble(&self, bitmap: &[u8]) -> Vec<u8> {
        let mut file = Vec::with_capacity(bitmap.len() + self.kept.len());
        file.extend([0xff, 0xd8]);
        file.extend_from_slice(&self.kept);
        let mut at = 2;
        // Skips the encoder's own JFIF segment: the original's is kept, if it had one.
        if let Some(&[0xff, 0xe0, high, low]) = bitmap.get(2..6) {
            at += 2 + usize::from(u16::from_be_bytes([high, low]));
        }
        file.extend_from_slice(bitmap.get(at..).unwrap_or_default());
        file
    }
}

/// Returns whether a segment still applies to the smaller image.
fn is_kept(marker: u8, body: &[u8]) -> bool {
    match marker {
        0xe0 => body.starts_with(b"JFIF\0"),
        // Multi-Picture Format, FlashPix and gain maps (ISO 21496-1) refer to other images in the file.
        0xe2 => body.starts_with(b"ICC_PROFILE\0"),
        // Adobe's marker describes the coding of the old components.
        0xee => false,
        0xe1 | 0xe3..=0xef | 0xfe => true,
        _ => false,
    }
}
