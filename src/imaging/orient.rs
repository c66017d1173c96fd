//! EXIF orientation: rotates and mirrors a small image upright. Applied to thumbnails, never to the original.

use super::bitmap::Bitmap;

/// Returns whether width and height are swapped for display.
pub(super) fn swaps_sides(orientation: u8) -> bool {
    (5..=8).contains(&orientation)
}

/// Converts a stored size to the displayed one, or back.
pub(super) fn displayed((width, height): (u32, u32), orientation: u8) -> (u32, u32) {
    if swaps_sides(orientation) { (height, width) } else { (width, height) }
}

/// Converts the stored image to the displayed one (EXIF 2.32, tag 0x0112). Unknown values change nothing.
pub(super) fn upright(bitmap: Bitmap, orientation: u8) -> Bitmap {
    let size = (bitmap.width, bitmap.height);
    let turned = match bitmap.channels() {
        3 => upright_samples::<3>(&bitmap.pixels, size, orientation),
        _ => upright_samples::<4>(&bitmap.pixels, size, orientation),
    };
    let Some(pixels) = turned else { return bitmap };
    let (width, height) = displayed(size, orientation);
    Bitmap::new(width, height, bitmap.alpha, pixels)
}

/// Converts samples in rows, like [`upright`]. Returns `None` if they are already upright.
pub(super) fn upright_samples<const CHANNELS: usize>(samples: &[u8], size: (u32, u32), orientation: u8) -> Option<Vec<u8>> {
    if !(2..=8).contains(&orientation) {
        return None;
    }
    let (stored_width, stored_height) = (size.0 as isize, size.1 as isize);
    let (last_column, last_row) = (stored_width - 1, (stored_height - 1) * stored_width);
    // The source of the first pixel, and the steps to the sources of the pixels to its right and below.
    let (first, right, down) = match orientation {
        2 => (last_column, -1, stored_width),
        3 => (last_row + last_column, -1, -stored_width),
        4 => (last_row, 1, -stored_width),
        5 => (0, stored_width, 1),
        6 => (last_row, -stored_width, 1),
        7 => (last_row + last_column, -stored_width, -1),
        _ => (last_column, stored_width, -1),
    };
    Some(turned::<CHANNELS>(samples, displayed(size, orientation), first, (right, down)))
}

fn turned<const CHANNELS: usize>(
    pixels: &[u8],
    (width, height): (u32, u32),
    first: isize,
    (right, down): (isize, isize),
) -> Vec<u8> {
    let (from, _) = pixels.as_chunks::<CHANNELS>();
    let mut turned = vec![0; from.len() * CHANNELS];
    let (to, _) = turned.as_chunks_mut::<CHANNELS>();
    for (row, start) in to.chunks_exact_mut(width as usize).take(height as usize).zip((0..).map(|y| first + y * down)) {
        for (x, pixel) in row.iter_mut().enumerate() {
            *pixel = from[(start + x as isize * right) as usize];
        }
    }
    turned
}
