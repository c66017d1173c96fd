//! The inverse DCT to fewer than eight samples: an N-point transform of the N×N lowest frequencies of a block outputs the block
//! at N eighths of its size ("DCT-domain downsampling", Dugad & Ahuja, IEEE CSVT 11(4), 2001; libjpeg 7 and later scale the
//! same way). Coefficients are in zigzag order and dequantised.

/// Returns how many coefficients in zigzag order contain all of the N×N lowest frequencies.
pub(super) const fn needed(eighths: usize) -> usize {
    match eighths {
        1 => 1,
        2 => 5,
        4 => 25,
        _ => 64,
    }
}

/// Rounds to a sample and applies the level shift of 128 (T.81, A.3.1).
#[inline(always)]
fn sample(value: i32) -> u8 {
    (value.wrapping_add((128 << 3) + 4) >> 3).clamp(0, 255) as u8
}

/// Outputs one sample: the mean of the block.
#[inline(always)]
pub(super) fn to_1(dc: i32) -> u8 {
    sample(dc)
}

/// Outputs 2×2 samples. Of the five coefficients, the fourth (index 3) is a higher frequency and is ignored.
#[inline(always)]
pub(super) fn to_2(c: [i32; 5], out: &mut [u8], stride: usize) {
    let [dc, across, down, _, both] = c;
    let (left, right) = (dc.wrapping_add(across), dc.wrapping_sub(across));
    let (lean_left, lean_right) = (down.wrapping_add(both), down.wrapping_sub(both));
    out[0] = sample(left.wrapping_add(lean_left));
    out[1] = sample(right.wrapping_add(lean_right));
    out[stride] = sample(left.wrapping_sub(lean_left));
    out[stride + 1] = sample(right.wrapping_sub(lean_right));
}

/// Outputs 4×4 samples.
#[inline(always)]
pub(super) fn to_4(c: &[i32; 25], out: &mut [u8], stride: usize) {
    // The 4×4 lowest frequencies in rows, by their zigzag indices.
    let rows = [
        four([c[0], c[1], c[5], c[6]]),
        four([c[2], c[4], c[7], c[13]]),
        four([c[3], c[8], c[12], c[17]]),
        four([c[9], c[11], c[18], c[24]]),
    ];
    for x in 0..4 {
        let column = four([rows[0][x], rows[1][x], rows[2][x], rows[3][x]]);
        for (y, value) in column.into_iter().enumerate() {
            out[y * stride + x] = sample(value);
        }
    }
}

/// The 4-point inverse DCT, orthonormal except for a factor of 2.
#[inline(always)]
fn four([f0, f1, f2, f3]: [i32; 4]) -> [i32; 4] {
    /// √2·cos(π/8) and √2·sin(π/8), multiplied by 2¹³.
    const COS: i32 = 10_703;
    const SIN: i32 = 4_433;
    let (outer, inner) = (f0.wrapping_add(f2), f0.wrapping_sub(f2));
    let rounded = |a: i32, b: i32| a.wrapping_add(b).wrapping_add(1 << 12) >> 13;
    let steep = rounded(f1.wrapping_mul(COS), f3.wrapping_mul(SIN));
    let flat = rounded(f1.wrapping_mul(SIN), f3.wrapping_mul(-COS));
    [outer.wrapping_add(steep), inner.wrapping_add(flat), inner.wrapping_sub(flat), outer.wrapping_sub(steep)]
}
