//! The alpha plane of a created WebP keeps every value, whatever it contains.

use super::super::libwebp::{decode, encode};
use super::test_images::XorShift;

fn assert_is_kept(name: &str, (width, height): (u32, u32), alpha: impl FnMut(u32) -> u8) {
    let plane: Vec<u8> = (0..width * height).map(alpha).collect();
    let pixels: Vec<u8> = plane.iter().flat_map(|&alpha| [200, alpha / 2, 30, alpha]).collect();
    let file = encode(&pixels, (width, height), true, 80.0, 1).expect("encoded");
    let decoded = decode(&file, (width, height), true, u64::MAX).expect("decoded");
    let kept: Vec<u8> = decoded.chunks_exact(4).map(|pixel| pixel[3]).collect();
    assert!(kept == plane, "{name}, {width} × {height}");
    let format = image::ImageFormat::WebP;
    let other = image::load_from_memory_with_format(&file, format).expect("decoded by another decoder").into_rgba8();
    let kept: Vec<u8> = other.pixels().map(|pixel| pixel.0[3]).collect();
    assert!(kept == plane, "{name}, {width} × {height}, read by another decoder");
}

#[test]
fn every_alpha_plane_is_kept() {
    for size in [(1, 1), (1, 40), (40, 1), (2, 2), (7, 5), (8, 300), (16, 16), (17, 33), (300, 200), (3, 6000)] {
        let (width, height) = size;
        let mut random = XorShift(0x9e37_79b9_7f4a_7c15);
        assert_is_kept("clear", size, |_| 0);
        assert_is_kept("one pixel", size, |at| if at == width * height / 2 { 255 } else { 0 });
        assert_is_kept("two values", size, |at| if at % width < width / 2 { 7 } else { 255 });
        assert_is_kept("rows", size, |at| (at / width * 3) as u8);
        assert_is_kept("a gradient", size, |at| (at % width + at / width * 2) as u8);
        assert_is_kept("noise", size, |_| random.below(255) as u8);
        assert_is_kept("little noise", size, |at| (at / 64 % 200) as u8 + random.below(6) as u8);
        assert_is_kept("noise in a part", size, |at| if at % width > width / 3 { 0 } else { random.below(99) as u8 });
        assert_is_kept("a disc", size, |at| {
            let (x, y) = (at % width * 2, at / width * 2);
            300u32.saturating_sub(x.abs_diff(width).pow(2) + y.abs_diff(height).pow(2)).min(254) as u8
        });
        // So few values of each kind that the rarest codes exceed 15 bits.
        assert_is_kept("powers of two", size, |at| (random.below(1 << 30) as u32 | 1 << (at % 2)).leading_zeros() as u8 * 5);
        assert_is_kept("a pattern", size, |at| [1, 50, 3, 200, 9][at as usize % 5]);
    }
}
