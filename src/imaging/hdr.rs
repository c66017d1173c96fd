//! Tone mapping of high dynamic range (PQ and HLG, ITU-R BT.2100) to sRGB, as in Chromium 156: the reference white tone mapping
//! of SMPTE ST 2094-50.
//!
//! Reference white is 203 nits (ITU-R BT.2408) and maps to half of the screen's light, to leave headroom for brighter colours.
//! From there a curve leads to the peak luminance of the image, which maps to that of the screen. The factor is that of the
//! brightest BT.2020 channel, so hues do not change.
//!
//! Compared with Chromium's canvas, ramps of greys, of the primaries and of four mixtures differ by at most 1 of 255, with
//! every combination of curve and primaries and a peak of 100 to 20 000 nits (`tests/png_color_space.rs`).

use moxcms::{ColorProfile, Matrix3d, TransferCharacteristics};

/// Luminance of reference white.
const WHITE_NITS: f64 = 203.0;

/// Peak luminance if the file states none.
const DEFAULT_PEAK_NITS: f64 = 1000.0;

/// Position of the bend between the two straight ends of the curve.
const BEND: f64 = 0.65;

/// Steps of the table from linear light to sRGB: a fifth of a level in dark tones.
const LEVELS: usize = 1 << 14;

/// Luminance weights of BT.2020.
const LUMA: [f32; 3] = [0.2627, 0.6780, 0.0593];

/// A conversion from PQ or HLG to 8-bit sRGB.
pub(super) struct Hdr {
    /// The light of each sample value, where 1 is reference white.
    light: Vec<f32>,
    is_hlg: bool,
    to_bt2020: [[f32; 3]; 3],
    to_srgb: [[f32; 3]; 3],
    tone: ToneCurve,
    levels: Vec<u8>,
}

impl Hdr {
    /// Builds the conversion for samples of 8 or 16 bits; `None` if `curve` is not HDR. `primaries` is any profile with the
    /// primaries of the image. `peak_nits` is the peak luminance, if the file states it.
    pub fn new(primaries: &ColorProfile, curve: TransferCharacteristics, peak_nits: Option<f64>, bits: u32) -> Option<Self> {
        let is_hlg = match curve {
            TransferCharacteristics::Smpte2084 => false,
            TransferCharacteristics::Hlg => true,
            _ => return None,
        };
        let count = 1usize << bits;
        let light = (0..count).map(|sample| {
            let light = curve.linearize(sample as f64 / (count - 1) as f64);
            // moxcms applies the display gamma of HLG to each channel. It belongs to the luminance, see `pixel`.
            (if is_hlg { light.powf(1.0 / 1.2) } else { light * 10_000.0 / WHITE_NITS }) as f32
        });
        let bt2020 = ColorProfile::new_bt2020();
        Some(Hdr {
            light: light.collect(),
            is_hlg,
            to_bt2020: to_f32(primaries.transform_matrix(&bt2020)),
            to_srgb: to_f32(bt2020.transform_matrix(&ColorProfile::new_srgb())),
            tone: ToneCurve::new(peak_nits.unwrap_or(DEFAULT_PEAK_NITS) / WHITE_NITS),
            levels: (0..=LEVELS).map(|step| srgb(step as f64 / LEVELS as f64)).collect(),
        })
    }

    pub fn pixel(&self, [red, green, blue]: [usize; 3]) -> [u8; 3] {
        let light = |sample: usize| self.light.get(sample).copied().unwrap_or_default();
        let mut light = multiply(&self.to_bt2020, [light(red), light(green), light(blue)]);
        if self.is_hlg {
            // The nominal HLG display: a peak of 1000 nits and a gamma of 1.2 (BT.2100, table 5).
            let luminance: f32 = light.iter().zip(LUMA).map(|(light, share)| light * share).sum();
            let factor = luminance.max(0.0).powf(0.2) * (DEFAULT_PEAK_NITS / WHITE_NITS) as f32;
            light = light.map(|light| light * factor);
        }
        let factor = self.tone.factor(light[0].max(light[1]).max(light[2]));
        multiply(&self.to_srgb, light.map(|light| light * factor)).map(|light| {
            let step = (light.clamp(0.0, 1.0) * LEVELS as f32 + 0.5) as usize;
            self.levels.get(step).copied().unwrap_or(255)
        })
    }
}

/// The curve as in the standard: for eight points, the logarithm of the factor and its slope.
struct ToneCurve {
    points: [Point; 8],
    /// Whether the image is brighter than the screen.
    bends: bool,
}

#[derive(Clone, Copy, Default)]
struct Point {
    light: f32,
    factor: f32,
    slope: f32,
}

impl ToneCurve {
    /// Builds the curve for a peak of `peak` times reference white.
    fn new(peak: f64) -> Self {
        let mut points = [Point::default(); 8];
        let bends = peak > 1.0;
        if bends {
            let white = 1.0 - 0.5 * (peak.log2() / (DEFAULT_PEAK_NITS / WHITE_NITS).log2()).min(1.0);
            // A quadratic Bézier from (1, white) to (peak, 1).
            let bend = (1.0 + BEND * (1.0 / white - 1.0), white + BEND * (1.0 - white));
            let (ax, ay) = (1.0 - 2.0 * bend.0 + peak, white - 2.0 * bend.1 + 1.0);
            let (bx, by) = (2.0 * (bend.0 - 1.0), 2.0 * (bend.1 - white));
            for (index, point) in points.iter_mut().enumerate() {
                let t = index as f64 / 7.0;
                let (x, y) = (1.0 + t * (bx + t * ax), white + t * (by + t * ay));
                let rise = (2.0 * ay * t + by) / (2.0 * ax * t + bx);
                let slope = (x * rise - y) / (std::f64::consts::LN_2 * x * y);
                *point = Point { light: x as f32, factor: (y / x).log2() as f32, slope: slope as f32 };
            }
        }
        ToneCurve { points, bends }
    }

    /// Returns the factor for a pixel whose brightest channel has this light.
    fn factor(&self, light: f32) -> f32 {
        let [first, .., last] = self.points;
        if !self.bends {
            return 1.0;
        }
        if light <= first.light {
            return first.factor.exp2();
        }
        if light >= last.light {
            return last.factor.exp2() * last.light / light;
        }
        let next = self.points.partition_point(|point| point.light <= light).clamp(1, 7);
        let (from, to) = (self.points[next - 1], self.points[next]);
        let width = to.light - from.light;
        let t = (light - from.light) / width;
        let (t2, t3) = (t * t, t * t * t);
        let factor = (2.0 * t3 - 3.0 * t2 + 1.0) * from.factor
            + (t3 - 2.0 * t2 + t) * width * from.slope
            + (3.0 * t2 - 2.0 * t3) * to.factor
            + (t3 - t2) * width * to.slope;
        factor.exp2()
    }
}

fn multiply(matrix: &[[f32; 3]; 3], [x, y, z]: [f32; 3]) -> [f32; 3] {
    matrix.map(|row| row[0] * x + row[1] * y + row[2] * z)
}

fn to_f32(matrix: Matrix3d) -> [[f32; 3]; 3] {
    matrix.v.map(|row| row.map(|value| value as f32))
}

/// IEC 61966-2-1.
fn srgb(light: f64) -> u8 {
    (255.0 * if light <= 0.003_130_8 { 12.92 * light } else { 1.055 * light.powf(1.0 / 2.4) - 0.055 }).round() as u8
}
