//! Transposes planes. Blocks of 64 bits are transposed in registers, by exchanging parts of two rows, which the compiler can
//! vectorise on every processor.

/// Returns the transpose of `width × height` pixels of 1 or 2 bytes, in rows.
pub(super) fn transposed<const CHANNELS: usize>(samples: &[u8], (width, height): (usize, usize)) -> Vec<u8> {
    match CHANNELS {
        1 => transposed_in_blocks::<1, 8>(samples, (width, height)),
        _ => transposed_in_blocks::<2, 4>(samples, (width, height)),
    }
}

/// `SIDE` is the number of pixels in 64 bits.
fn transposed_in_blocks<const CHANNELS: usize, const SIDE: usize>(from: &[u8], (width, height): (usize, usize)) -> Vec<u8> {
    let mut to = vec![0; from.len()];
    let (whole_width, whole_height) = (width - width % SIDE, height - height % SIDE);
    // In strips as wide as a cache line, of which all rows that are written to stay in the L1 cache.
    let blocks = (0..whole_width).step_by(SIDE * 8).flat_map(|strip| {
        let end = (strip + SIDE * 8).min(whole_width);
        (0..whole_height).step_by(SIDE).map(move |top| (top, strip..end))
    });
    for (top, strip) in blocks {
        for left in strip.step_by(SIDE) {
            let mut rows = [0u64; SIDE];
            for (y, row) in rows.iter_mut().enumerate() {
                let bytes = from.get(((top + y) * width + left) * CHANNELS..).and_then(<[u8]>::first_chunk);
                *row = bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes));
            }
            transpose_block(&mut rows);
            for (x, row) in rows.into_iter().enumerate() {
                if let Some(bytes) = to.get_mut(((left + x) * height + top) * CHANNELS..).and_then(<[u8]>::first_chunk_mut) {
                    *bytes = row.to_le_bytes();
                }
            }
        }
    }
    // The rest of the right and bottom edges.
    let (pixels, _) = from.as_chunks::<CHANNELS>();
    let (transposed, _) = to.as_chunks_mut::<CHANNELS>();
    for (y, row) in pixels.chunks_exact(width.max(1)).enumerate() {
        let first = if y < whole_height { whole_width } else { 0 };
        for (x, pixel) in row.iter().enumerate().skip(first) {
            transposed[x * height + y] = *pixel;
        }
    }
    to
}

/// Transposes a square of 64-bit rows: exchanges its top right and bottom left quarters, and so on within each quarter.
#[inline(always)]
fn transpose_block<const SIDE: usize>(rows: &mut [u64; SIDE]) {
    let mut half = SIDE / 2;
    while half > 0 {
        let bits = 64 / SIDE * half;
        let left = u64::MAX / ((1 << bits) + 1);
        for top in 0..SIDE {
            if top & half == 0 {
                let exchanged = ((rows[top] >> bits) ^ rows[top + half]) & left;
                rows[top + half] ^= exchanged;
                rows[top] ^= exchanged << bits;
            }
        }
        half /= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_columns() {
        for (width, height) in [(1, 1), (3, 5), (8, 8), (4, 4), (16, 24), (17, 9), (7, 40), (33, 1), (1, 33), (100, 61)] {
            let pixels: Vec<[u8; 2]> = (0..width * height).map(|at| [(at * 7) as u8, (at * 31 / 4) as u8]).collect();
            let expected: Vec<[u8; 2]> = (0..width * height).map(|at| pixels[at % height * width + at / height]).collect();
            assert_eq!(transposed::<2>(pixels.as_flattened(), (width, height)), expected.as_flattened());
            let first = |pixels: &[[u8; 2]]| pixels.iter().map(|pixel| pixel[0]).collect::<Vec<_>>();
            assert_eq!(transposed::<1>(&first(&pixels), (width, height)), first(&expected));
        }
    }
}
