//! The colour space that a PNG states without a profile: cICP, sRGB, gAMA and cHRM (PNG 3rd edition, 11.3.2). cICP takes
//! precedence over a profile, a profile over the others, and gAMA with cHRM come last.

use super::hdr::Hdr;
use super::png_chunks::{Chunk, chunks};
use moxcms::{
    Chromaticity, CicpColorPrimaries, CicpProfile, ColorPrimaries, ColorProfile, MatrixCoefficients, ToneReprCurve,
    TransferCharacteristics,
};

/// gAMA of images that are meant to be sRGB, multiplied by 100 000: 1/2.2, however it was rounded.
const SRGB_GAMMA: std::ops::RangeInclusive<u32> = 45_000..=46_000;

/// The gamma values that libpng accepts.
const POSSIBLE_GAMMA: std::ops::RangeInclusive<u32> = 16..=625_000_000;

/// cHRM of sRGB, multiplied by 100 000: white, red, green, blue.
const SRGB_CHROMATICITIES: [u32; 8] = [31_270, 32_900, 64_000, 33_000, 30_000, 60_000, 15_000, 6000];

/// Camera curves, whose images are made for a screen of this gamma (ITU-R BT.1886). Chromium displays them the same way.
const VIDEO_CURVES: [TransferCharacteristics; 4] = [
    TransferCharacteristics::Bt709,
    TransferCharacteristics::Bt601,
    TransferCharacteristics::Bt202010bit,
    TransferCharacteristics::Bt202012bit,
];
const VIDEO_GAMMA: f32 = 2.4;

/// Differences up to this are due to rounding.
const ROUNDING: u32 = 200;

/// A colour space other than sRGB.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum PngColorSpace {
    /// Code points of ITU-T H.273, and the peak luminance in nits.
    Cicp { primaries: CicpColorPrimaries, curve: TransferCharacteristics, peak_nits: Option<f64> },
    /// Multiplied by 100 000. Without chromaticities, those of sRGB apply.
    Gamma { gamma: u32, chromaticities: Option<[u32; 8]> },
}

/// The colour space that the chunks state.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct ColorChunks {
    /// From cICP, which takes precedence over a profile. `Some(None)` is sRGB.
    pub cicp: Option<Option<PngColorSpace>>,
    /// From the other chunks, if there is no usable profile.
    pub fallback: Option<PngColorSpace>,
}

/// Reads the first intact chunk of each kind before the image data.
pub(super) fn read(bytes: &[u8], max_chunks: usize) -> ColorChunks {
    let mut found = [None; 6];
    for chunk in chunks(bytes).take(max_chunks).take_while(|chunk| chunk.name != b"IDAT") {
        let names: [&[u8]; 6] = [b"cICP", b"sRGB", b"gAMA", b"cHRM", b"mDCV", b"cLLI"];
        if let Some(index) = names.iter().position(|name| *name == chunk.name) {
            found[index] = found[index].or_else(|| sized_body(&chunk, bytes));
        }
    }
    let [cicp, srgb, gamma, chromaticities, mastering, content] = found;
    // In Chromium's order: the peak luminance of the content (cLLI), then that of the mastering display (mDCV).
    let nits = |body: Option<&[u8]>, at| body.and_then(|body| number(body, at)).filter(|&nits| nits > 0);
    let peak_nits = nits(content, 0).or_else(|| nits(mastering, 16)).map(|nits| f64::from(nits) / 10_000.0);
    let fallback = if srgb.is_some() { None } else { from_gamma(gamma, chromaticities) };
    ColorChunks { cicp: cicp.and_then(|body| from_cicp(body, peak_nits)), fallback }
}

/// Returns the data of an intact chunk of the specified length.
fn sized_body<'a>(chunk: &Chunk<'_>, bytes: &'a [u8]) -> Option<&'a [u8]> {
    let length = match chunk.name {
        b"cICP" | b"gAMA" => 4,
        b"sRGB" => 1,
        b"cHRM" => 32,
        b"mDCV" => 24,
        _ => 8,
    };
    if chunk.body.len() == length { chunk.checked_body(bytes) } else { None }
}

/// Parses primaries, curve, matrix and range. PNG is always RGB, so the matrix is the identity. Like browsers, this ignores the
/// narrow range and unknown values.
fn from_cicp(body: &[u8], peak_nits: Option<f64>) -> Option<Option<PngColorSpace>> {
    let &[primaries, curve, 0, 1] = body else { return None };
    let primaries = CicpColorPrimaries::try_from(primaries).ok()?;
    let curve = TransferCharacteristics::try_from(curve).ok()?;
    // moxcms cannot compute with the XYZ primaries, two of which have no luminance.
    let unusable = matches!(primaries, CicpColorPrimaries::Reserved | CicpColorPrimaries::Unspecified | CicpColorPrimaries::Xyz)
        || matches!(curve, TransferCharacteristics::Reserved | TransferCharacteristics::Unspecified);
    let srgb = (CicpColorPrimaries::Bt709, TransferCharacteristics::Srgb);
    let coding = (srgb != (primaries, curve)).then_some(PngColorSpace::Cicp { primaries, curve, peak_nits });
    (!unusable).then_some(coding)
}

fn from_gamma(gamma: Option<&[u8]>, chromaticities: Option<&[u8]>) -> Option<PngColorSpace> {
    let gamma = number(gamma?, 0).filter(|gamma| POSSIBLE_GAMMA.contains(gamma))?;
    let stated = chromaticities.map(|body| std::array::from_fn(|index| number(body, index * 4).unwrap_or_default()));
    let chromaticities = stated.filter(|stated| are_possible(stated) && !are_srgb(stated));
    let usual = SRGB_GAMMA.contains(&gamma) && chromaticities.is_none();
    (!usual).then_some(PngColorSpace::Gamma { gamma, chromaticities })
}

fn are_srgb(stated: &[u32; 8]) -> bool {
    stated.iter().zip(SRGB_CHROMATICITIES).all(|(&stated, srgb)| stated.abs_diff(srgb) <= ROUNDING)
}

/// Returns whether the chromaticities are visible colours, and the triangle of the primaries contains white.
fn are_possible(stated: &[u32; 8]) -> bool {
    let [white, red, green, blue] = [0, 2, 4, 6].map(|at| (f64::from(stated[at]), f64::from(stated[at + 1])));
    let side = |a: (f64, f64), b: (f64, f64), c: (f64, f64)| (b.0 - a.0) * (c.1 - a.1) - (b.1 - a.1) * (c.0 - a.0);
    let sides = [side(red, green, white), side(green, blue, white), side(blue, red, white)];
    let around = sides.iter().all(|&side| side > 1e6) || sides.iter().all(|&side| side < -1e6);
    let visible = [white, red, green, blue].iter().all(|&(x, y)| x + y <= 100_000.0);
    around && visible && white.1 > 0.0
}

impl PngColorSpace {
    /// Returns the equivalent ICC profile.
    pub fn profile(&self) -> Option<ColorProfile> {
        match *self {
            Self::Cicp { primaries, curve, .. } => {
                let (matrix_coefficients, full_range) = (MatrixCoefficients::Identity, true);
                let code_points =
                    CicpProfile { color_primaries: primaries, transfer_characteristics: curve, matrix_coefficients, full_range };
                let mut profile = ColorProfile::new_from_cicp(code_points);
                if VIDEO_CURVES.contains(&curve) {
                    profile.cicp = None;
                    let curve = Some(ToneReprCurve::Parametric(vec![VIDEO_GAMMA]));
                    (profile.red_trc, profile.green_trc, profile.blue_trc) = (curve.clone(), curve.clone(), curve);
                }
                profile.is_matrix_shaper().then_some(profile)
            }
            Self::Gamma { gamma, chromaticities } => {
                let mut profile = ColorProfile::new_srgb();
                if let Some(stated) = chromaticities {
                    let [white, red, green, blue] = [0, 2, 4, 6].map(|at| Chromaticity {
                        x: (f64::from(stated[at]) / 1e5) as f32,
                        y: (f64::from(stated[at + 1]) / 1e5) as f32,
                    });
                    profile.update_rgb_colorimetry(white.to_xyyb(), ColorPrimaries { red, green, blue });
                }
                profile.cicp = None;
                let curve = Some(ToneReprCurve::Parametric(vec![(1e5 / f64::from(gamma)) as f32]));
                (profile.red_trc, profile.green_trc, profile.blue_trc) = (curve.clone(), curve.clone(), curve);
                Some(profile)
            }
        }
    }

    /// Returns the tone mapping for samples of 8 or 16 bits; `None` if the colour space is not HDR.
    pub fn hdr(&self, bits: u32) -> Option<Hdr> {
        match *self {
            Self::Cicp { curve, peak_nits, .. } => Hdr::new(&self.profile()?, curve, peak_nits, bits),
            Self::Gamma { .. } => None,
        }
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}
