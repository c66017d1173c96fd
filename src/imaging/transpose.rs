//! Transposes planes in blocks of 16 × 16 samples, which fit in the vector registers of most processors.

const SIDE: usize = 16;

/// Blocks are transposed in strips of this many columns, so that the rows that are written stay in the cache.
const STRIP: usize = 256;

type Block = [[u8; SIDE]; SIDE];

/// Returns the transpose of `width × height` samples in rows.
pub(super) fn transposed(from: &[u8], (width, height): (usize, usize)) -> Vec<u8> {
    let mut to = vec![0; from.len()];
    let (whole_width, whole_height) = (width - width % SIDE, height - height % SIDE);
    let blocks = (0..whole_width).step_by(STRIP).flat_map(|strip| {
        let end = (strip + STRIP).min(whole_width);
        (0..whole_height).step_by(SIDE).map(move |top| (top, strip..end))
    });
    for (top, strip) in blocks {
        for left in strip.step_by(SIDE) {
            let mut block = [[0; SIDE]; SIDE];
            for (y, row) in block.iter_mut().enumerate() {
                row.copy_from_slice(&from[(top + y) * width + left..][..SIDE]);
            }
            let columns = interleaved(interleaved(interleaved(interleaved(block))));
            for (x, row) in columns.iter().enumerate() {
                to[(left + x) * height + top..][..SIDE].copy_from_slice(row);
            }
        }
    }
    // The rest of the right and bottom edges.
    for (y, row) in from.chunks_exact(width.max(1)).enumerate() {
        let first = if y < whole_height { whole_width } else { 0 };
        for (x, sample) in row.iter().enumerate().skip(first) {
            to[x * height + y] = *sample;
        }
    }
    to
}

/// Interleaves the rows of the upper half with those of the lower half. After four times, all rows are columns.
#[inline(always)]
fn interleaved(rows: Block) -> Block {
    let mut interleaved = [[0; SIDE]; SIDE];
    for (index, pair) in interleaved.as_chunks_mut::<2>().0.iter_mut().enumerate() {
        let (upper, lower) = (rows[index], rows[index + SIDE / 2]);
        let sample = |at: usize| if at.is_multiple_of(2) { upper[at / 2] } else { lower[at / 2] };
        *pair = [std::array::from_fn(sample), std::array::from_fn(|at| sample(SIDE + at))];
    }
    interleaved
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_columns() {
        for (width, height) in [(1, 1), (3, 5), (16, 16), (32, 48), (48, 16), (17, 19), (15, 80), (70, 1), (1, 70), (100, 61)] {
            let samples: Vec<u8> = (0..width * height).map(|at| (at * 7 + at / 256) as u8).collect();
            let expected: Vec<u8> = (0..width * height).map(|at| samples[at % height * width + at / height]).collect();
            assert_eq!(transposed(&samples, (width, height)), expected);
        }
    }
}
