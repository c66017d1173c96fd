//! ICC profiles (ICC.1:2022): what is made of a picture carries none, so its pixels are brought to sRGB, by `moxcms`. The
//! original keeps its own.
//!
//! A profile that cannot be read, is too large, or is for other colours than the picture's counts as absent: the pixels are
//! then taken for sRGB, or ink, as everyone does.

use super::error::Error;
use super::picture::Picture;
use super::pixels::Pixels;
use flate2::read::ZlibDecoder;
use moxcms::{
    ColorProfile, DataColorSpace, Layout, ParsingOptions, TransferCharacteristics, Transform8BitExecutor, TransformOptions,
};
use std::io::Read;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// A monitor's or a camera's takes 0.5 to 50 KB, a printer's 0.2 to 3 MB.
const MAX_PROFILE_BYTES: usize = 4 << 20;

/// Where a profile lies in its file.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// In pieces, which JPEG's segments are.
    Plain(Vec<Range<usize>>),
    /// PNG compresses it.
    Deflated(Range<usize>),
}

impl Place {
    /// Bytes for the profile, its tables as numbers, and the tables of the transformation.
    pub fn weight_bytes(&self) -> u64 {
        let bytes = match self {
            Self::Plain(pieces) => pieces.iter().map(Range::len).sum(),
            // No byte of deflate stands for more than 1032.
            Self::Deflated(range) => range.len().saturating_mul(1032),
        };
        bytes.min(MAX_PROFILE_BYTES) as u64 * 6 + (4 << 20)
    }

    fn read(&self, file: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Plain(pieces) => {
                let bytes: usize = pieces.iter().map(Range::len).sum();
                let mut profile = Vec::with_capacity(Some(bytes).filter(|&bytes| bytes <= MAX_PROFILE_BYTES)?);
                for piece in pieces {
                    profile.extend_from_slice(file.get(piece.clone())?);
                }
                Some(profile)
            }
            Self::Deflated(range) => {
                let mut profile = Vec::new();
                let zlib = ZlibDecoder::new(file.get(range.clone())?);
                zlib.take(MAX_PROFILE_BYTES as u64 + 1).read_to_end(&mut profile).ok()?;
                Some(profile).filter(|profile| profile.len() <= MAX_PROFILE_BYTES)
            }
        }
    }
}

/// A way from a picture's own colours to sRGB.
pub(super) struct ToSrgb {
    from: Layout,
    transform: Arc<Transform8BitExecutor>,
}

impl ToSrgb {
    /// For RGB or RGBA, as which every picture is converted; it may have been grey in its file. `None` too when it is sRGB already.
    pub fn of(file: &[u8], place: Option<&Place>, pixels: &Pixels) -> Option<Self> {
        let alpha = pixels.has_alpha();
        let to = if alpha { Layout::Rgba } else { Layout::Rgb };
        Self::build(file, place?, to, |profile| match (profile.color_space, alpha) {
            (DataColorSpace::Rgb, _) if !is_srgb(profile) => Some(to),
            (DataColorSpace::Gray, false) if pixels.is_grey() => Some(Layout::Gray),
            (DataColorSpace::Gray, true) if pixels.is_grey() => Some(Layout::GrayAlpha),
            _ => None,
        })
    }

    /// For inks, where 255 is all of it.
    pub fn of_cmyk(file: &[u8], place: Option<&Place>) -> Option<Self> {
        // Four channels of any meaning have this name there.
        let layout = |profile: &ColorProfile| (profile.color_space == DataColorSpace::Cmyk).then_some(Layout::Rgba);
        Self::build(file, place?, Layout::Rgb, layout)
    }

    /// `from` says how the pixels lie that a profile is for, if it is for these.
    fn build(file: &[u8], place: &Place, to: Layout, from: impl FnOnce(&ColorProfile) -> Option<Layout>) -> Option<Self> {
        let profile = place.read(file)?;
        // Its tables are the sender's: whatever becomes of them, the picture is not worse for it.
        let built = catch_unwind(AssertUnwindSafe(|| {
            let profile = parse(&profile)?;
            let from = from(&profile)?;
            let srgb = ColorProfile::new_srgb();
            let transform = profile.create_transform_8bit(from, &srgb, to, TransformOptions::default()).ok()?;
            Some(ToSrgb { from, transform })
        }));
        built.ok().flatten()
    }

    /// A picture of the kind that this was made for, in sRGB.
    pub fn picture(&self, picture: Picture) -> Result<Picture, Error> {
        let mut pixels = vec![0; picture.pixels.len()];
        match self.from {
            Layout::Gray => self.samples(&picture.pixels.iter().copied().step_by(3).collect::<Vec<_>>(), &mut pixels)?,
            Layout::GrayAlpha => {
                let grey: Vec<u8> = picture.pixels.chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[3]]).collect();
                self.samples(&grey, &mut pixels)?;
            }
            _ => self.samples(&picture.pixels, &mut pixels)?,
        }
        Ok(Picture { pixels, ..picture })
    }

    /// Pixels of the kind that this was made for, to as many pixels of sRGB.
    pub fn samples(&self, from: &[u8], to: &mut [u8]) -> Result<(), Error> {
        self.transform.transform(from, to).map_err(|error| Error::internal(format!("converting colours: {error}")))
    }
}

fn parse(profile: &[u8]) -> Option<ColorProfile> {
    let options = ParsingOptions {
        max_profile_size: MAX_PROFILE_BYTES + 1,
        max_allowed_clut_size: MAX_PROFILE_BYTES,
        ..ParsingOptions::default()
    };
    ColorProfile::new_from_slice_with_options(profile, options).ok()
}

/// Whether no conversion would show: most profiles are one of the many spellings of sRGB.
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
            light.is_ok_and(|light| light.iter().enumerate().all(|(value, light)| (level(*light) - value as f32).abs() < 0.75))
        })
}

/// Linear light as sRGB's 0 to 255 (IEC 61966-2-1).
fn level(light: f32) -> f32 {
    255.0 * if light <= 0.003_130_8 { 12.92 * light } else { 1.055 * light.powf(1.0 / 2.4) - 0.055 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn srgb_is_told_from_what_is_like_it() {
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
