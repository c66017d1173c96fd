//! Predicts each sample of an alpha plane from its neighbours (RFC 9649, 4.1): each tile with the predictor whose differences
//! are cheapest to write.

/// Tiles have 2⁴ samples each way.
pub(super) const TILE_BITS: u32 = 4;

const TILE: usize = 1 << TILE_BITS;

/// The predictors in use, as numbered in the format: none, left, top, their mean, the closer one of them, and the plane through
/// three neighbours. With two more, planes are only half a percent smaller.
const MODES: [u8; 6] = [0, 1, 2, 7, 11, 12];

pub(super) struct Predicted {
    /// The predictor of each tile.
    pub modes: Vec<u8>,
    /// The differences from the prediction, modulo 256.
    pub residuals: Vec<u8>,
}

pub(super) fn predict(plane: &[u8], width: usize) -> Predicted {
    let padded = Padded::of(plane, width);
    let guess = choose(&padded, &guessed_costs(), 4);
    let modes = choose(&padded, &costs(&padded.residuals(&guess)), 2);
    let residuals = padded.residuals(&modes);
    Predicted { modes, residuals }
}

/// A plane with a row more above, and a column more to the left.
struct Padded {
    width: usize,
    height: usize,
    samples: Vec<u8>,
}

impl Padded {
    fn of(plane: &[u8], width: usize) -> Self {
        let mut samples = vec![0; width + 1];
        for row in plane.chunks_exact(width) {
            samples.push(0);
            samples.extend_from_slice(row);
        }
        Padded { width, height: plane.len() / width, samples }
    }

    fn row_tiles(&self) -> usize {
        self.width.div_ceil(TILE)
    }

    /// Returns the columns and the rows of each tile.
    fn tiles(&self) -> impl Iterator<Item = (usize, usize, usize, usize)> {
        let tiles = |side: usize| (0..side).step_by(TILE).map(move |start| (start, (start + TILE).min(side)));
        let width = self.width;
        tiles(self.height).flat_map(move |(top, bottom)| tiles(width).map(move |(left, right)| (left, right, top, bottom)))
    }

    /// Returns whether all samples of a tile equal those around it, so that nearly every predictor fits.
    fn is_flat(&self, (left, right, top, bottom): (usize, usize, usize, usize)) -> bool {
        let first = self.samples[(top + 1) * (self.width + 1) + left + 1];
        (top..bottom + 1).all(|row| {
            let start = row * (self.width + 1) + left;
            self.samples[start..start + right - left + 1].iter().fold(0, |different, sample| different | (sample ^ first)) == 0
        })
    }

    /// Writes the differences of a part of a row.
    fn differences(&self, mode: u8, (left, right): (usize, usize), y: usize, to: &mut [u8]) {
        let stride = self.width + 1;
        let start = (y + 1) * stride + left;
        // `row[x + 1]` is the sample, `row[x]` the one to its left; and so above.
        let count = right - left;
        let row = &self.samples[start..start + count + 1];
        let above = &self.samples[start - stride..start - stride + count + 1];
        let mode = if y == 0 { 1 } else { mode };
        let to = &mut to[..count];
        match mode {
            0 => to.copy_from_slice(&row[1..]),
            1 => each(row, above, to, |left, _, _| left),
            2 => each(row, above, to, |_, top, _| top),
            7 => each(row, above, to, |left, top, _| (left + top) >> 1),
            11 => each(row, above, to, select),
            _ => each(row, above, to, |left, top, top_left| (left + top - top_left).clamp(0, 255)),
        }
        // The first column is predicted from above.
        if left == 0 && y > 0 {
            to[0] = row[1].wrapping_sub(above[1]);
        }
    }

    fn residuals(&self, modes: &[u8]) -> Vec<u8> {
        let mut residuals = vec![0; self.width * self.height];
        for (y, row) in residuals.chunks_exact_mut(self.width).enumerate() {
            let modes = &modes[y / TILE * self.row_tiles()..];
            for (tile, (to, &mode)) in row.chunks_mut(TILE).zip(modes).enumerate() {
                self.differences(mode, (tile * TILE, tile * TILE + to.len()), y, to);
            }
        }
        residuals
    }
}

/// Returns the neighbour that is closer to left + top - top left.
#[inline(always)]
fn select(left: i16, top: i16, top_left: i16) -> i16 {
    if (top - top_left).abs() < (left - top_left).abs() { left } else { top }
}

/// Predicts from the samples to the left, above, and above to the left.
#[inline(always)]
fn each(row: &[u8], above: &[u8], to: &mut [u8], predict: impl Fn(i16, i16, i16) -> i16) {
    let count = to.len();
    let (lefts, samples) = (&row[..count], &row[1..count + 1]);
    let (top_lefts, tops) = (&above[..count], &above[1..count + 1]);
    for x in 0..count {
        let predicted = predict(i16::from(lefts[x]), i16::from(tops[x]), i16::from(top_lefts[x])) as u8;
        to[x] = samples[x].wrapping_sub(predicted);
    }
}

/// Returns the cheapest predictor of each tile by every `step`th row. `costs` are those of the differences.
fn choose(padded: &Padded, costs: &[u16; 256], step: usize) -> Vec<u8> {
    let mut differences = [0; TILE];
    let mut cost = |mode: u8, (left, right, top, bottom): (usize, usize, usize, usize)| {
        let mut sum = 0u32;
        for y in (top..bottom).skip(step / 2).step_by(step) {
            let to = &mut differences[..right - left];
            padded.differences(mode, (left, right), y, to);
            sum += to.iter().map(|&difference| u32::from(costs[usize::from(difference)])).sum::<u32>();
        }
        sum
    };
    let mut last = MODES[0];
    let choose = |tile| {
        if padded.is_flat(tile) {
            return last;
        }
        // Of equal ones, the last one, because repetitions are cheap to write.
        let candidates = std::iter::once(last).chain(MODES);
        last = candidates.map(|mode| (cost(mode, tile), mode)).min_by_key(|(cost, _)| *cost).map_or(last, |(_, mode)| mode);
        last
    };
    padded.tiles().map(choose).collect()
}

/// Costs before any difference is known: of the size of the difference.
fn guessed_costs() -> [u16; 256] {
    std::array::from_fn(|difference| {
        let size = (difference as u8 as i8).unsigned_abs();
        ((f32::from(size) + 1.0).log2() * 24.0) as u16 + u16::from(size > 0) * 32
    })
}

/// Returns the costs in sixteenths of a bit, for differences as frequent as these.
fn costs(residuals: &[u8]) -> [u16; 256] {
    let mut counts = [0u32; 256];
    residuals.iter().for_each(|&difference| counts[usize::from(difference)] += 1);
    counts.map(|count| (((residuals.len() as f32 + 1.0) / (count as f32).max(0.5)).log2() * 16.0) as u16)
}
