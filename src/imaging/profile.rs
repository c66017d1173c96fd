//! ICC profiles (ICC.1:2022). Created images carry no profile, so their pixels are converted to sRGB by `moxcms`. The original
//! keeps its own profile.
//!
//! A profile that is unreadable, too large, or for another colour space than the image's counts as absent: the pixels are then
//! treated as sRGB or CMYK, as in all viewers. PNG can also state its colour space without a profile (`png_color_space.rs`).

use super::bitmap::Bitmap;
use super::error::Error;
use super::hdr::Hdr;
use super::pixels::Pixels;
use super::png_color_space::PngColorSpace;
use flate2::read::ZlibDecoder;
use moxcms::{
    ColorProfile, DataColorSpace, Layout, ParsingOptions, TransferCharacteristics, Transform8BitExecutor, Transform16BitExecutor,
    TransformOptions,
};
use std::io::Read;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Monitor and camera profiles take 0.5 to 50 KB, printer profiles 0.2 to 3 MB.
const MAX_PROFILE_BYTES: usize = 4 << 20;

/// Where the colour space of a file is stated.
#[derive(Debug, Clone)]
pub(super) enum ColorSource {
    /// A profile in one or more parts, as in the segments of a JPEG.
    Uncompressed(Vec<Range<usize>>),
    /// A compressed profile of a PNG, and the colour space that applies if the profile is unusable.
    Compressed(Range<usize>, Option<PngColorSpace>),
    ColorSpace(PngColorSpace),
}

impl ColorSource {
    /// Memory for the profile, its parsed tables, and the tables of the transform.
    pub fn weight_bytes(&self) -> u64 {
        let bytes = match self {
            Self::Uncompressed(pieces) => pieces.iter().map(Range::len).sum(),
            // One byte of deflate expands to at most 1032 bytes.
            Self::Compressed(range, _) => range.len().saturating_mul(1032),
            Self::ColorSpace(_) => 0,
        };
        bytes.min(MAX_PROFILE_BYTES) as u64 * 6 + (4 << 20)
    }

    fn read(&self, file: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Uncompressed(pieces) => {
                let bytes: usize = pieces.iter().map(Range::len).sum();
                let mut profile = Vec::with_capacity(Some(bytes).filter(|&bytes| bytes <= MAX_PROFILE_BYTES)?);
                for piece in pieces {
                    profile.extend_from_slice(file.get(piece.clone())?);
                }
                Some(profile)
            }
            Self::Compressed(range, _) => {
                let mut profile = Vec::new();
                let zlib = ZlibDecoder::new(file.get(range.clone())?);
                zlib.take(MAX_PROFILE_BYTES as u64 + 1).read_to_end(&mut profile).ok()?;
                Some(profile).filter(|profile| profile.len() <= MAX_PROFILE_BYTES)
            }
            Self::ColorSpace(_) => None,
        }
    }

    /// The colour space that the file states without or in addition to a profile.
    fn color_space(&self) -> Option<&PngColorSpace> {
        match self {
            Self::Uncompressed(_) => None,
            Self::Compressed(_, color_space) => color_space.as_ref(),
            Self::ColorSpace(color_space) => Some(color_space),
        }
    }
}

/// A conversion from the colour space of an image to sRGB, with 8 bits per channel.
pub(super) struct ToSrgb {
    from: Layout,
    conversion: Conversion<Transform8BitExecutor>,
}

/// The same conversion from 16 bits per channel, which only PNG has. It reduces to 8 bits after the conversion: 8-bit linear
/// light has one level for the 13 darkest of sRGB.
pub(super) struct ToSrgb16 {
    from: Layout,
    to: Layout,
    conversion: Conversion<Transform16BitExecutor>,
    /// The samples of a row, before and after the conversion.
    samples: (Vec<u16>, Vec<u16>),
    row: Vec<u8>,
}

enum Conversion<Transform: ?Sized> {
    Profile(Arc<Transform>),
    Hdr(Box<Hdr>),
}

impl ToSrgb {
    /// Returns the conversion for RGB or RGBA pixels, to which grey files are expanded as well. `None` if none is needed or
    /// possible.
    pub fn of(file: &[u8], source: Option<&ColorSource>, pixels: &Pixels) -> Option<Self> {
        let (source, alpha) = (source?, pixels.has_alpha());
        let to = rgb(alpha);
        let by_profile = catch_panic(|| {
            let profile = parse(&source.read(file)?)?;
            match source_layout(&profile, alpha, || pixels.is_grey())? {
                // The profile is sRGB, so the other colour information does not matter.
                None => Some(None),
                Some(from) => Self::build(&profile, from, to).map(Some),
            }
        });
        by_profile.unwrap_or_else(|| Self::from_color_space(source.color_space()?, to))
    }

    fn from_color_space(color_space: &PngColorSpace, layout: Layout) -> Option<Self> {
        catch_panic(|| match color_space.hdr(8) {
            Some(hdr) => Some(ToSrgb { from: layout, conversion: Conversion::Hdr(Box::new(hdr)) }),
            None => Self::build(&color_space.profile()?, layout, layout),
        })
    }

    /// Returns the conversion for inks, where 255 is full coverage.
    pub fn of_cmyk(file: &[u8], source: Option<&ColorSource>) -> Option<Self> {
        let source = source?;
        catch_panic(|| {
            let profile = parse(&source.read(file)?)?;
            // `Layout::Rgba` stands for any four channels here.
            if profile.color_space != DataColorSpace::Cmyk {
                return None;
            }
            Self::build(&profile, Layout::Rgba, Layout::Rgb)
        })
    }

    /// `from` is the pixel layout of the profile's colour space.
    fn build(profile: &ColorProfile, from: Layout, to: Layout) -> Option<Self> {
        let srgb = ColorProfile::new_srgb();
        let transform = profile.create_transform_8bit(from, &srgb, to, TransformOptions::default()).ok()?;
        Some(ToSrgb { from, conversion: Conversion::Profile(transform) })
    }

    /// Converts a bitmap of the kind that this conversion was built for.
    pub fn bitmap(&self, bitmap: Bitmap) -> Result<Bitmap, Error> {
        let mut pixels = vec![0; bitmap.pixels.len()];
        match self.from {
            Layout::Gray => self.samples(&bitmap.pixels.iter().copied().step_by(3).collect::<Vec<_>>(), &mut pixels)?,
            Layout::GrayAlpha => {
                let grey: Vec<u8> = bitmap.pixels.chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[3]]).collect();
                self.samples(&grey, &mut pixels)?;
            }
            _ => self.samples(&bitmap.pixels, &mut pixels)?,
        }
        Ok(Bitmap { pixels, ..bitmap })
    }

    /// Converts pixels of the kind that this conversion was built for.
    pub fn samples(&self, from: &[u8], to: &mut [u8]) -> Result<(), Error> {
        match &self.conversion {
            Conversion::Profile(transform) => transform.transform(from, to).map_err(failed),
            Conversion::Hdr(hdr) => {
                let channels = self.from.channels();
                for (from, to) in from.chunks_exact(channels).zip(to.chunks_exact_mut(channels)) {
                    to.copy_from_slice(from);
                    to[..3].copy_from_slice(&hdr.pixel([from[0], from[1], from[2]].map(usize::from)));
                }
                Ok(())
            }
        }
    }
}

impl ToSrgb16 {
    /// Returns the conversion for rows of grey, grey with alpha, RGB or RGBA, depending on `channels`. `None` if none is needed
    /// or possible.
    pub fn of(file: &[u8], source: Option<&ColorSource>, channels: usize, width: usize) -> Option<Self> {
        let source = source?;
        let (alpha, grey) = (channels.is_multiple_of(2), channels < 3);
        let to = rgb(alpha);
        let by_profile = catch_panic(|| {
            let profile = parse(&source.read(file)?)?;
            match source_layout(&profile, alpha, || grey)? {
                None => Some(None),
                Some(from) => Self::build(&profile, from, to, width).map(Some),
            }
        });
        by_profile.unwrap_or_else(|| {
            let color_space = source.color_space()?;
            catch_panic(|| match color_space.hdr(16) {
                Some(hdr) => Some(Self::new(Conversion::Hdr(Box::new(hdr)), to, to, width)),
                None => Self::build(&color_space.profile()?, to, to, width),
            })
        })
    }

    fn build(profile: &ColorProfile, from: Layout, to: Layout, width: usize) -> Option<Self> {
        let srgb = ColorProfile::new_srgb();
        let transform = profile.create_transform_16bit(from, &srgb, to, TransformOptions::default()).ok()?;
        Some(Self::new(Conversion::Profile(transform), from, to, width))
    }

    fn new(conversion: Conversion<Transform16BitExecutor>, from: Layout, to: Layout, width: usize) -> Self {
        let samples = (Vec::with_capacity(width * from.channels()), vec![0; width * to.channels()]);
        ToSrgb16 { from, to, conversion, samples, row: vec![0; width * to.channels()] }
    }

    /// Channels of the converted rows: three, or four with alpha.
    pub fn channels(&self) -> usize {
        self.to.channels()
    }

    /// Converts a big-endian row with the channels of this conversion to 8-bit sRGB.
    pub fn row(&mut self, row: &[u8], channels: usize) -> Result<&[u8], Error> {
        let (from, to) = &mut self.samples;
        from.clear();
        let (samples, _) = row.as_chunks::<2>();
        let samples = samples.iter().map(|&sample| u16::from_be_bytes(sample));
        if channels == self.from.channels() {
            from.extend(samples);
        } else {
            // Grey samples for an RGB profile.
            let samples: Vec<u16> = samples.collect();
            from.extend(samples.chunks_exact(channels).flat_map(|pixel| {
                let (grey, alpha) = (pixel[0], pixel.get(1).copied());
                [Some(grey), Some(grey), Some(grey), alpha].into_iter().flatten()
            }));
        }
        let width = from.len() / self.from.channels();
        let (to, out) = (&mut to[..width * self.to.channels()], &mut self.row[..width * self.to.channels()]);
        match &self.conversion {
            Conversion::Profile(transform) => {
                transform.transform(from, to).map_err(failed)?;
                for (out, &sample) in out.iter_mut().zip(&*to) {
                    *out = to_8_bits(sample);
                }
            }
            Conversion::Hdr(hdr) => {
                let channels = self.to.channels();
                for (from, to) in from.chunks_exact(channels).zip(out.chunks_exact_mut(channels)) {
                    to[..3].copy_from_slice(&hdr.pixel([from[0], from[1], from[2]].map(usize::from)));
                    if let (Some(&alpha), Some(to)) = (from.get(3), to.get_mut(3)) {
                        *to = to_8_bits(alpha);
                    }
                }
            }
        }
        Ok(out)
    }
}

/// Rounds 16 bits to 8.
fn to_8_bits(sample: u16) -> u8 {
    ((u32::from(sample) * 255 + 32_767) / 65_535) as u8
}

fn rgb(alpha: bool) -> Layout {
    if alpha { Layout::Rgba } else { Layout::Rgb }
}

/// Returns the pixel layout of the profile's colour space, or `None` if the profile is not for these pixels. `Some(None)` means
/// that the profile is sRGB and no conversion is needed.
fn source_layout(profile: &ColorProfile, alpha: bool, is_grey: impl FnOnce() -> bool) -> Option<Option<Layout>> {
    match profile.color_space {
        DataColorSpace::Rgb => Some((!is_srgb(profile)).then_some(rgb(alpha))),
        DataColorSpace::Gray if is_grey() => Some(Some(if alpha { Layout::GrayAlpha } else { Layout::Gray })),
        _ => None,
    }
}

/// Catches panics: the tables of a profile are untrusted, and an image without its profile is still usable.
fn catch_panic<T>(build: impl FnOnce() -> Option<T>) -> Option<T> {
    catch_unwind(AssertUnwindSafe(build)).ok().flatten()
}

fn failed(error: moxcms::CmsError) -> Error {
    Error::internal(format!("converting colours: {error}"))
}

fn parse(profile: &[u8]) -> Option<ColorProfile> {
    let options = ParsingOptions {
        max_profile_size: MAX_PROFILE_BYTES + 1,
        max_allowed_clut_size: MAX_PROFILE_BYTES,
        ..ParsingOptions::default()
    };
    ColorProfile::new_from_slice_with_options(profile, options).ok()
}

/// Returns whether a conversion would be invisible. Most profiles are one of many variants of sRGB.
fn is_srgb(profile: &ColorProfile) -> bool {
    let srgb = ColorProfile::new_srgb();
    let near = |a: f64, b: f64| (a - b).abs() < 0.003;
    let colorants = profile.colorant_matrix().v.into_iter().flatten().zip(srgb.colorant_matrix().v.into_iter().flatten());
    profile.is_matrix_shaper()
        && profile.lut_a_to_b_perceptual.is_none()
        && profile.cicp.is_none_or(|cicp| cicp.transfer_characteristics == TransferCharacteristics::Srgb)
        && colorants.into_iter().all(|(a, b)| near(a, b))
        && [&profile.red_trc, &profile.green_trc, &profile.blue_trc].into_iter().all(|curve| {
            let light = profile.build_8bit_lin_table(curve);
            light.is_ok_and(|light| {
                light.iter().enumerate().all(|(value, light)| (srgb_level(*light) - value as f32).abs() < 0.75)
            })
        })
}

/// Linear light as an sRGB level, 0 to 255 (IEC 61966-2-1).
fn srgb_level(light: f32) -> f32 {
    255.0 * if light <= 0.003_130_8 { 12.92 * light } else { 1.055 * light.powf(1.0 / 2.4) - 0.055 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn srgb_is_distinguished_from_similar_profiles() {
        let is = |profile: ColorProfile| is_srgb(&parse(&profile.encode().expect("bytes")).expect("a profile"));
        assert!(is(ColorProfile::new_srgb()));
        assert!(!is(ColorProfile::new_display_p3()), "the same curve");
        assert!(!is(ColorProfile::new_adobe_rgb()), "nearly the same red and blue");
        let mut curve = ColorProfile::new_srgb();
        curve.cicp = None;
        assert!(is(curve.clone()));
        let gamma = Some(moxcms::curve_from_gamma(2.2));
        (curve.red_trc, curve.green_trc, curve.blue_trc) = (gamma.clone(), gamma.clone(), gamma);
        assert!(!is(curve), "the same colours");
    }
}
