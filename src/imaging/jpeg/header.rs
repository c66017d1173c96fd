//! Reads the header of a JPEG: its markers up to the first scan (ITU-T T.81, annex B). Returns the size, the kind, the position
//! of EXIF and the decoding memory. Accepts what libjpeg accepts.

use super::idct;
use super::scan_reader::SECOND_SOI;
use super::segments::{EOI, SOI, SOS, Segment, Segments};
use crate::imaging::decode_target::{DecodeTarget, Purpose};
use crate::imaging::error::Error;
use crate::imaging::parsed_header::ParsedHeader;
use crate::imaging::{Kind, metadata, profile};
use std::ops::Range;

/// Maximum number of segments before the image data, more than any file has: an ICC profile takes up to 255, extended XMP
/// hundreds. A segment costs no more than its bytes.
const MAX_SEGMENTS: usize = 262_144;

/// Maximum number of ICC segments. They are numbered by one byte, so more cannot form a profile.
const MAX_ICC_SEGMENTS: usize = 256;

/// The part of the header that the decoders need.
#[derive(Debug, Clone)]
pub(in crate::imaging) struct JpegHeader {
    /// Whether Adobe's marker exists. It means that CMYK is inverted.
    pub adobe: bool,
    /// The decoding scale in eighths.
    pub scale: u8,
    /// Whether our own decoder outputs the planes of the file: grey or YCbCr.
    pub planar: bool,
}

/// Reads the header. `purpose` determines the decoding scale.
pub(in crate::imaging) fn read(bytes: &[u8], purpose: &Purpose<'_>) -> Result<ParsedHeader, Error> {
    let mut segments = Segments::new(bytes);
    let mut frame: Option<Frame> = None;
    let mut markers = ColorMarkers::default();
    let mut exif = None;
    for _ in 0..MAX_SEGMENTS {
        let Segment { marker, body: range } = segments.next()?.ok_or_else(|| Error::truncated("the JPEG header"))?;
        let body = &bytes[range.clone()];
        match marker {
            0xc4 | 0xcc => {}
            SOI => return Err(SECOND_SOI.into()),
            0xde | 0xdf => return Err(Error::unsupported("hierarchical JPEG")),
            0xc0..=0xcf => {
                if frame.is_some() {
                    return Err(Error::corrupt("the JPEG has two frame headers"));
                }
                frame = Some(Frame::parse(marker, body)?);
            }
            0xe1 if exif.is_none() && body.starts_with(b"Exif\0\0") => {
                exif = Some(range.start + 6..range.end);
            }
            0xe0 if body.len() >= 14 && body.starts_with(b"JFIF\0") => markers.jfif = true,
            0xe2 if markers.profile.len() < MAX_ICC_SEGMENTS => markers.profile.extend(IccSegment::parse(body, &range)),
            0xee if body.len() >= 12 && body.starts_with(b"Adobe") => markers.adobe_transform = Some(body[11]),
            EOI => return Err(Error::corrupt("the JPEG has no image data")),
            SOS => {
                let frame = frame.ok_or_else(|| Error::corrupt("the JPEG has image data before its frame header"))?;
                let in_scan = body.first().copied().unwrap_or(0);
                let orientation = metadata::orientation(bytes, exif.clone());
                let target = purpose.decode_target((frame.width, frame.height), orientation);
                return frame.into_parsed_header(markers, exif, orientation, in_scan, target, bytes.len() as u64);
            }
            _ => {}
        }
    }
    Err(Error::unsupported(format!("JPEG with more than {MAX_SEGMENTS} segments before the image data")))
}

/// Markers that determine the colour space of the components.
#[derive(Default)]
struct ColorMarkers {
    jfif: bool,
    adobe_transform: Option<u8>,
    profile: Vec<IccSegment>,
}

/// One of `count` segments of an ICC profile (ICC.1:2022, annex B.4), numbered from 1.
struct IccSegment {
    number: u8,
    count: u8,
    range: Range<usize>,
}

impl IccSegment {
    const HEADER: &[u8] = b"ICC_PROFILE\0";

    fn parse(body: &[u8], range: &Range<usize>) -> Option<Self> {
        let &[number, count, ..] = body.strip_prefix(Self::HEADER)? else { return None };
        Some(IccSegment { number, count, range: range.start + Self::HEADER.len() + 2..range.end })
    }

    /// Returns the segments in order, if the profile is complete.
    fn assemble(mut segments: Vec<IccSegment>) -> Option<profile::ColorSource> {
        segments.sort_by_key(|segment| segment.number);
        let count = segments.len();
        let complete = segments
            .iter()
            .zip(1..)
            .all(|(segment, number)| (usize::from(segment.number), usize::from(segment.count)) == (number, count));
        (complete && count > 0)
            .then(|| profile::ColorSource::Uncompressed(segments.into_iter().map(|segment| segment.range).collect()))
    }
}

/// Minimum of the shorter side after decoding at a reduced scale. The last row or column includes the padding of its blocks, so it
/// must be a small part of the image.
const MIN_SHORTER_SIDE: u64 = 16;

/// Returns the decoding scale in eighths: the smallest that covers `min_longer_side` and [`MIN_SHORTER_SIDE`].
fn scale(width: u32, height: u32, min_longer_side: u32) -> u8 {
    let (shorter, longer) = (u64::from(width.min(height)), u64::from(width.max(height)));
    let covers =
        |eighths: u64| (longer * eighths) / 8 >= u64::from(min_longer_side) && (shorter * eighths) / 8 >= MIN_SHORTER_SIDE;
    [1u8, 2, 4].into_iter().find(|&eighths| covers(u64::from(eighths))).unwrap_or(8)
}

/// A frame header (SOF).
struct Frame {
    width: u32,
    height: u32,
    progressive: bool,
    ids: Vec<u8>,
    /// Horizontal and vertical sampling factors of each component.
    sampling: Vec<(u64, u64)>,
}

impl Frame {
    fn parse(marker: u8, body: &[u8]) -> Result<Self, Error> {
        match marker {
            0xc0..=0xc2 => {}
            0xc9..=0xcb => return Err(Error::unsupported("JPEG with arithmetic coding")),
            0xc3 => return Err(Error::unsupported("lossless JPEG")),
            _ => return Err(Error::unsupported("hierarchical JPEG")),
        }
        let &[precision, h1, h0, w1, w0, count, ref components @ ..] = body else {
            return Err(Error::truncated("the JPEG frame header"));
        };
        if precision != 8 {
            return Err(Error::unsupported(format!("JPEG with {precision} bits per sample")));
        }
        if !matches!(count, 1 | 3 | 4) {
            return Err(Error::unsupported(format!("JPEG with {count} colour components")));
        }
        if components.len() != usize::from(count) * 3 {
            return Err(Error::corrupt("the JPEG frame header has the wrong length"));
        }
        let height = u32::from(u16::from_be_bytes([h1, h0]));
        if height == 0 {
            return Err(Error::unsupported("JPEG with its height after the image data"));
        }
        let ids = components.chunks_exact(3).map(|component| component[0]).collect();
        let sampling: Vec<(u64, u64)> =
            components.chunks_exact(3).map(|component| (u64::from(component[1] >> 4), u64::from(component[1] & 15))).collect();
        if sampling.iter().any(|&(h, v)| !(1..=4).contains(&h) || !(1..=4).contains(&v)) {
            return Err(Error::corrupt("the JPEG has an invalid sampling factor"));
        }
        Ok(Frame { width: u32::from(u16::from_be_bytes([w1, w0])), height, progressive: marker == 0xc2, ids, sampling })
    }

    fn into_parsed_header(
        self,
        markers: ColorMarkers,
        exif: Option<Range<usize>>,
        orientation: u8,
        in_scan: u8,
        target: DecodeTarget,
        file_bytes: u64,
    ) -> Result<ParsedHeader, Error> {
        if !self.has_integer_sampling_ratios() {
            return Err(Error::unsupported("JPEG with fractional sampling factors"));
        }
        let scale = scale(self.width, self.height, target.min_longer_side);
        let scaled = |length: u32| (u64::from(length) * u64::from(scale)).div_ceil(8);
        let image_bytes = scaled(self.width) * scaled(self.height) * 3;
        let planar = self.is_grey_or_ycbcr(&markers) && self.has_matching_chroma_sampling();
        let decoder_bytes = if planar {
            self.planar_bytes(scale)
        } else {
            // libjpeg stores the coefficients of the whole image if they are spread over several scans.
            let several_scans = self.progressive || usize::from(in_scan) < self.sampling.len();
            // Rows of blocks, of samples and for upsampling: a few dozen for each component, at full width.
            let rows = u64::from(self.width) * self.sampling.len() as u64 * 64;
            // libjpeg may need a normalised copy of the file.
            file_bytes + rows + if several_scans { self.blocks() * 64 * 2 } else { 0 }
        };
        Ok(ParsedHeader {
            kind: Kind::Jpeg(JpegHeader { adobe: markers.adobe_transform.is_some(), scale, planar }),
            width: self.width,
            height: self.height,
            exif,
            profile: IccSegment::assemble(markers.profile),
            orientation,
            target,
            decoder_bytes: image_bytes + decoder_bytes,
            image_bytes,
        })
    }

    /// Returns the maximum sampling factors.
    fn max_sampling(&self) -> (u64, u64) {
        let max = |factor: fn(&(u64, u64)) -> u64| self.sampling.iter().map(factor).max().unwrap_or(1);
        (max(|factors| factors.0), max(|factors| factors.1))
    }

    /// Returns whether the sampling factors are integer multiples of each other. libjpeg and its derivatives support no others.
    fn has_integer_sampling_ratios(&self) -> bool {
        let (across, down) = self.max_sampling();
        self.sampling.iter().all(|(h, v)| across.is_multiple_of(*h) && down.is_multiple_of(*v))
    }

    /// Returns whether luma has a sample for each pixel, and Cb and Cr have the same sampling factors, as our own decoder
    /// requires.
    fn has_matching_chroma_sampling(&self) -> bool {
        match self.sampling.as_slice() {
            [luma, cb, cr] => *luma == self.max_sampling() && cb == cr,
            _ => true,
        }
    }

    /// Decides as libjpeg does: JFIF is YCbCr, then Adobe's marker decides, then the component identifiers.
    fn is_grey_or_ycbcr(&self, markers: &ColorMarkers) -> bool {
        match (self.ids.as_slice(), markers) {
            ([_], _) => true,
            ([_, _, _], ColorMarkers { jfif: true, .. }) => true,
            ([_, _, _], ColorMarkers { adobe_transform: Some(transform), .. }) => *transform != 0,
            (ids @ [_, _, _], _) => ids != b"RGB",
            _ => false,
        }
    }

    /// Returns the memory of our own decoder: planes, before and after chroma upsampling. For a progressive image, also a few
    /// coefficients of each block and one bit for each of the others.
    fn planar_bytes(&self, scale: u8) -> u64 {
        let side = u64::from(scale);
        let planes = self.blocks() * side * side;
        let stretched = u64::from(self.width) * u64::from(self.height) * side * side / 64 * 2;
        let kept = if self.progressive { self.blocks() * (8 + 2 * idct::needed(usize::from(scale)) as u64) } else { 0 };
        planes + stretched.max(kept)
    }

    /// Returns the blocks of all components, padded to whole MCUs.
    fn blocks(&self) -> u64 {
        let (across, down) = self.max_sampling();
        let mcus_across = u64::from(self.width).div_ceil(8 * across);
        let mcus_down = u64::from(self.height).div_ceil(8 * down);
        self.sampling.iter().map(|&(h, v)| mcus_across * h * mcus_down * v).sum()
    }
}
