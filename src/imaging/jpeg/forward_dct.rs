//! The forward DCT and quantisation of a block (T.81, A.3.3 and A.3.4), for the encoder. They use floating point, which the
//! compiler can vectorise on every processor.
//!
//! Columns are transformed as by Arai, Agui and Nakajima (Trans. IEICE E-71(11), 1988): five multiplications for eight values.
//! The output is scaled by constants, which are part of the quantisation. Rows are transformed as the columns of the transposed
//! block, which is not transposed back: coefficients are in columns.

/// Quantisation tables of T.81, annex K.1, in rows: luminance and chrominance.
#[rustfmt::skip]
const TABLES: [[u16; 64]; 2] = [
    [
        16, 11, 10, 16,  24,  40,  51,  61,
        12, 12, 14, 19,  26,  58,  60,  55,
        14, 13, 16, 24,  40,  57,  69,  56,
        14, 17, 22, 29,  51,  87,  80,  62,
        18, 22, 37, 56,  68, 109, 103,  77,
        24, 35, 55, 64,  81, 104, 113,  92,
        49, 64, 78, 87, 103, 121, 120, 101,
        72, 92, 95, 98, 112, 100, 103,  99,
    ],
    [
        17, 18, 24, 47, 99, 99, 99, 99,
        18, 21, 26, 66, 99, 99, 99, 99,
        24, 26, 56, 99, 99, 99, 99, 99,
        47, 66, 99, 99, 99, 99, 99, 99,
        99, 99, 99, 99, 99, 99, 99, 99,
        99, 99, 99, 99, 99, 99, 99, 99,
        99, 99, 99, 99, 99, 99, 99, 99,
        99, 99, 99, 99, 99, 99, 99, 99,
    ],
];

/// The index in rows of each coefficient in zigzag order (T.81, figure 5).
pub(super) const ZIGZAG: [u8; 64] = zigzag();

const fn zigzag() -> [u8; 64] {
    let mut order = [0; 64];
    let (mut index, mut diagonal) = (0, 0);
    while diagonal < 15 {
        let mut step = 0;
        while step <= diagonal {
            let (up, down) = (diagonal - step, step);
            let (row, column) = if diagonal % 2 == 0 { (up, down) } else { (down, up) };
            if row < 8 && column < 8 {
                order[index] = (row * 8 + column) as u8;
                index += 1;
            }
            step += 1;
        }
        diagonal += 1;
    }
    order
}

/// The same, for coefficients in columns.
pub(super) const ZIGZAG_IN_COLUMNS: [u8; 64] = {
    let mut order = ZIGZAG;
    let mut index = 0;
    while index < 64 {
        order[index] = order[index] % 8 * 8 + order[index] / 8;
        index += 1;
    }
    order
};

/// A quantisation table.
pub(super) struct Quantizer {
    /// In rows.
    pub table: [u8; 64],
    /// The factors of the transformed coefficients, in columns.
    factors: [[f32; 8]; 8],
}

impl Quantizer {
    /// Scales a table of the standard to a quality of 1 to 100, like libjpeg.
    pub fn new(is_chroma: bool, quality: u32) -> Self {
        let quality = quality.clamp(1, 100);
        let percent = if quality < 50 { 5000 / quality } else { 200 - quality * 2 };
        // 8 bits, which baseline JPEG requires.
        let table = TABLES[usize::from(is_chroma)].map(|value| ((u32::from(value) * percent + 50) / 100).clamp(1, 255) as u8);
        let cosine = |numerator: usize| (numerator as f64 * std::f64::consts::PI / 16.0).cos();
        let scale = |frequency: usize| if frequency == 0 { 8f64.sqrt() } else { 4.0 * cosine(frequency) };
        let factor = |column: usize, row: usize| 1.0 / (scale(row) * scale(column) * f64::from(table[row * 8 + column]));
        Quantizer { table, factors: std::array::from_fn(|column| std::array::from_fn(|row| factor(column, row) as f32)) }
    }

    /// Transforms and quantises the block at the start of `samples`. Returns its coefficients in columns.
    #[inline(always)]
    pub fn block(&self, samples: &[u8], stride: usize) -> [i16; 64] {
        let mut rows = [[0f32; 8]; 8];
        for (index, row) in rows.iter_mut().enumerate() {
            let Some(samples) = samples.get(index * stride..).and_then(<[u8]>::first_chunk::<8>) else { continue };
            // The level shift (T.81, A.3.1).
            *row = samples.map(|sample| f32::from(sample) - 128.0);
        }
        let columns = transformed_columns(&transposed(&transformed_columns(&rows)));
        let mut coefficients = [0i16; 64];
        let values = columns.as_flattened().iter().zip(self.factors.as_flattened());
        for (to, (value, factor)) in coefficients.iter_mut().zip(values) {
            *to = rounded(value * factor);
        }
        coefficients
    }
}

/// Rounds to the nearest integer. Adding 1.5 × 2²³ leaves it in the lowest bits of the fraction. The standard tables have no
/// codes for values above 1023; only DC, which is coded differently, can reach −1024.
#[inline(always)]
fn rounded(value: f32) -> i16 {
    const MAGIC: f32 = 12_582_912.0;
    let integer = (value + MAGIC).to_bits() as i32 - MAGIC.to_bits() as i32;
    integer.clamp(-1023, 1023) as i16
}

/// Written so that the compiler recognises it.
#[inline(always)]
pub(super) fn transposed(rows: &[[f32; 8]; 8]) -> [[f32; 8]; 8] {
    let mut columns = [[0f32; 8]; 8];
    for y in 0..8 {
        for x in 0..8 {
            columns[x][y] = rows[y][x];
        }
    }
    columns
}

/// Transforms the columns of a block.
#[inline(always)]
fn transformed_columns(rows: &[[f32; 8]; 8]) -> [[f32; 8]; 8] {
    const HALF_SQRT_2: f32 = std::f32::consts::FRAC_1_SQRT_2;
    /// cos 6π/16, cos 2π/16 − cos 6π/16, cos 2π/16 + cos 6π/16.
    const C6: f32 = 0.382_683_43;
    const C2_MINUS_C6: f32 = 0.541_196_1;
    const C2_PLUS_C6: f32 = 1.306_563;

    let mut out = [[0f32; 8]; 8];
    for x in 0..8 {
        let sum = |y: usize| rows[y][x] + rows[7 - y][x];
        let gap = |y: usize| rows[y][x] - rows[7 - y][x];
        let (outer, inner) = (sum(0) + sum(3), sum(1) + sum(2));
        let (outer_gap, inner_gap) = (sum(0) - sum(3), sum(1) - sum(2));
        let lean = (outer_gap + inner_gap) * HALF_SQRT_2;
        let (near, middle, far) = (gap(3) + gap(2), gap(2) + gap(1), gap(1) + gap(0));
        let turn = (near - far) * C6;
        let (small, large) = (near * C2_MINUS_C6 + turn, far * C2_PLUS_C6 + turn);
        let half = middle * HALF_SQRT_2;
        let (upper, lower) = (gap(0) + half, gap(0) - half);
        out[0][x] = outer + inner;
        out[1][x] = upper + large;
        out[2][x] = outer_gap + lean;
        out[3][x] = lower - small;
        out[4][x] = outer - inner;
        out[5][x] = lower + small;
        out[6][x] = outer_gap - lean;
        out[7][x] = upper - large;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zigzag_is_that_of_the_standard() {
        assert_eq!(ZIGZAG[..12], [0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25]);
        assert_eq!(ZIGZAG[60..], [47, 55, 62, 63]);
        let mut all = ZIGZAG;
        all.sort_unstable();
        assert!(all.iter().enumerate().all(|(index, &value)| index == usize::from(value)));
    }

    #[test]
    fn coefficients_are_those_of_the_definition() {
        let mut state = 7u32;
        for round in 0..50 {
            let samples: Vec<u8> = (0..64)
                .map(|index| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    if round == 0 { 255 * u8::from(index % 8 < 4) } else { (state >> 24) as u8 }
                })
                .collect();
            let quantizer = Quantizer::new(round % 2 == 0, 60);
            let made = quantizer.block(&samples, 8);
            for (index, value) in made.into_iter().enumerate() {
                let (u, v) = (index as u8 / 8, index as u8 % 8);
                let angle =
                    |x: usize, frequency: u8| ((2 * x + 1) as f64 * f64::from(frequency) * std::f64::consts::PI / 16.0).cos();
                let scale = |frequency: u8| if frequency == 0 { 0.5f64.sqrt() } else { 1.0 };
                let sum: f64 = (0..64).map(|i| (f64::from(samples[i]) - 128.0) * angle(i % 8, u) * angle(i / 8, v)).sum();
                let expected = sum * scale(u) * scale(v) / 4.0 / f64::from(quantizer.table[usize::from(v * 8 + u)]);
                assert!((expected - f64::from(value)).abs() < 0.501, "{round}: coefficient {index} is {value} for {expected}");
            }
        }
    }
}
