//! The inverse DCT to one or two samples each way; `inverse_dct.rs` outputs more. An N-point transform of the N×N lowest
//! frequencies of a block outputs the block at N eighths of its size ("DCT-domain downsampling", Dugad & Ahuja, IEEE CSVT 11(4),
//! 2001; libjpeg 7 and later scale the same way). Coefficients are in zigzag order and dequantised.

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
