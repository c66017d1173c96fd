//! The output of the decoders: a bitmap of bounded size, and the box filter that reduces rows while they are decoded, so that a
//! large PNG, GIF or WebP is never in memory as a whole.

/// Pixels in rows, RGB or RGBA (not premultiplied), 8 bits per channel, top row first, as stored: the orientation is not
/// applied yet.
#[derive(Debug, Clone)]
pub(super) struct Bitmap {
    pub width: u32,
    pub height: u32,
    /// Whether the pixels are RGBA rather than RGB.
    pub alpha: bool,
    /// The part that the original covers, from the top left corner. Less than one pixel smaller than the bitmap: reducing by 3
    /// can leave a last column made of only one or two pixels.
    pub covered: (f64, f64),
    pub pixels: Vec<u8>,
}

impl Bitmap {
    pub fn channels(&self) -> usize {
        if self.alpha { 4 } else { 3 }
    }

    /// Creates a bitmap that is covered completely.
    pub fn new(width: u32, height: u32, alpha: bool, pixels: Vec<u8>) -> Self {
        let covered = (f64::from(width), f64::from(height));
        Bitmap { width, height, alpha, covered, pixels }
    }

    /// Returns whether any pixel is not fully opaque. An alpha channel alone does not mean that.
    pub fn is_transparent(&self) -> bool {
        self.alpha && self.pixels.chunks_exact(4).any(|pixel| pixel[3] != 255)
    }

    /// Returns whether all pixels are grey, as they are if decoded from grey samples.
    pub fn is_grey(&self) -> bool {
        self.pixels.chunks_exact(self.channels()).all(|pixel| pixel[0] == pixel[1] && pixel[1] == pixel[2])
    }

    /// Drops the alpha channel. Only for an opaque bitmap.
    pub fn without_alpha(self) -> Self {
        if !self.alpha {
            return self;
        }
        let pixels = self.pixels.chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect();
        Bitmap { alpha: false, pixels, ..self }
    }

    /// Blends with a white background and drops the alpha channel.
    pub fn on_white(&self) -> Self {
        if !self.alpha {
            return self.clone();
        }
        let blend = |channel: u8, alpha: u8| {
            let (channel, alpha) = (u32::from(channel), u32::from(alpha));
            ((channel * alpha + 255 * (255 - alpha) + 127) / 255) as u8
        };
        let pixels =
            self.pixels.chunks_exact(4).flat_map(|p| [blend(p[0], p[3]), blend(p[1], p[3]), blend(p[2], p[3])]).collect();
        Bitmap { alpha: false, pixels, ..*self }
    }
}

/// Returns the factor by which an image is reduced before resampling: the largest integer that leaves twice `min_longer_side`
/// on the longer side. In a thumbnail, a box filter to 2× followed by Lanczos3 is indistinguishable from Lanczos3 alone.
pub(super) fn reduction(width: u32, height: u32, min_longer_side: u32) -> u32 {
    // With 128, a sum of 255 × 255 × 128 × 128 fits in 32 bits.
    (width.max(height) / min_longer_side.saturating_mul(2).max(1)).clamp(1, 128)
}

/// Returns the size after the reduction.
pub(super) fn reduced_size(width: u32, height: u32, min_longer_side: u32) -> (u32, u32) {
    let factor = reduction(width, height, min_longer_side);
    (width.div_ceil(factor), height.div_ceil(factor))
}

/// Averages blocks of `factor × factor` pixels, one row at a time. Colours are weighted by alpha, so the colour of a
/// transparent pixel does not bleed into its neighbours.
pub(super) struct Reducer {
    width: usize,
    height: u32,
    factor: usize,
    /// The sum of each column in a band of `factor` rows.
    columns: Columns,
    rows_in_band: usize,
    out: Vec<u8>,
}

/// Rows are summed column by column, which the compiler vectorises. Columns are combined once per band.
enum Columns {
    /// Colours. 128 rows of 255 fit in 16 bits.
    Opaque(Vec<u16>),
    /// Colours × alpha, and alpha.
    Weighted(Vec<[u32; 4]>),
}

impl Reducer {
    /// Creates a reducer whose longer side keeps `min_longer_side` pixels.
    pub fn new(width: u32, height: u32, alpha: bool, min_longer_side: u32) -> Self {
        let (out_width, out_height) = reduced_size(width, height, min_longer_side);
        let factor = reduction(width, height, min_longer_side) as usize;
        let channels = if alpha { 4 } else { 3 };
        let columns = if factor > 1 { width as usize } else { 0 };
        Reducer {
            width: width as usize,
            height,
            factor,
            columns: if alpha { Columns::Weighted(vec![[0; 4]; columns]) } else { Columns::Opaque(vec![0; columns * 3]) },
            rows_in_band: 0,
            out: Vec::with_capacity(out_width as usize * out_height as usize * channels),
        }
    }

    /// Takes the next row: grey, grey with alpha, RGB or RGBA, depending on `channels`. Rows of two
    /// or four channels need a reducer with alpha, other rows one without.
    pub fn push(&mut self, row: &[u8], channels: usize) {
        debug_assert_eq!(row.len(), self.width * channels);
        match (channels, self.factor) {
            (1, 1) => self.out.extend(row.iter().flat_map(|&grey| [grey; 3])),
            (2, 1) => self.out.extend(row.chunks_exact(2).flat_map(|p| [p[0], p[0], p[0], p[1]])),
            (_, 1) => self.out.extend_from_slice(row),
            _ => self.add(row, channels),
        }
    }

    /// Returns the reduced bitmap, after all rows were pushed.
    pub fn finish(mut self) -> Bitmap {
        if self.rows_in_band > 0 {
            self.emit();
        }
        let factor = self.factor as f64;
        Bitmap {
            width: self.width.div_ceil(self.factor) as u32,
            height: self.height.div_ceil(self.factor as u32),
            alpha: matches!(self.columns, Columns::Weighted(_)),
            covered: (self.width as f64 / factor, f64::from(self.height) / factor),
            pixels: self.out,
        }
    }

    fn add(&mut self, row: &[u8], channels: usize) {
        match (&mut self.columns, channels) {
            (Columns::Opaque(sums), 1) => {
                for (sums, &grey) in sums.chunks_exact_mut(3).zip(row) {
                    sums.iter_mut().for_each(|sum| *sum += u16::from(grey));
                }
            }
            (Columns::Opaque(sums), _) => sums.iter_mut().zip(row).for_each(|(sum, &value)| *sum += u16::from(value)),
            (Columns::Weighted(sums), 2) => {
                for (sums, pixel) in sums.iter_mut().zip(row.as_chunks::<2>().0) {
                    add_weighted(sums, [pixel[0], pixel[0], pixel[0], pixel[1]]);
                }
            }
            (Columns::Weighted(sums), _) => {
                for (sums, pixel) in sums.iter_mut().zip(row.as_chunks::<4>().0) {
                    add_weighted(sums, *pixel);
                }
            }
        }
        self.rows_in_band += 1;
        if self.rows_in_band == self.factor {
            self.emit();
        }
    }

    /// Combines the sums of a band into one output row.
    fn emit(&mut self) {
        let rows = self.rows_in_band as u32;
        match &mut self.columns {
            Columns::Opaque(sums) => {
                combine(sums, self.factor, rows, &mut self.out);
                sums.fill(0);
            }
            Columns::Weighted(sums) => {
                for cell in sums.chunks(self.factor) {
                    let count = cell.len() as u32 * rows;
                    let [red, green, blue, alpha] = cell
                        .iter()
                        .fold([0u32; 4], |totals, column| std::array::from_fn(|channel| totals[channel] + column[channel]));
                    let colors = [red, green, blue].map(|total| divide(total, alpha));
                    self.out.extend([colors[0], colors[1], colors[2], divide(alpha, count)]);
                }
                sums.fill([0; 4]);
            }
        }
        self.rows_in_band = 0;
    }
}

/// Appends the mean of each `factor` columns. Small factors are constants, so that the compiler unrolls their sums.
fn combine(sums: &[u16], factor: usize, rows: u32, out: &mut Vec<u8>) {
    let whole = match factor {
        2 => combine_whole::<2>(sums, rows, out),
        3 => combine_whole::<3>(sums, rows, out),
        4 => combine_whole::<4>(sums, rows, out),
        5 => combine_whole::<5>(sums, rows, out),
        6 => combine_whole::<6>(sums, rows, out),
        7 => combine_whole::<7>(sums, rows, out),
        _ => 0,
    };
    for cell in sums[whole..].chunks(factor * 3) {
        let count = (cell.len() / 3) as u32 * rows;
        let totals = cell
            .as_chunks::<3>()
            .0
            .iter()
            .fold([0u32; 3], |totals, column| std::array::from_fn(|channel| totals[channel] + u32::from(column[channel])));
        out.extend(totals.map(|total| divide(total, count)));
    }
}

/// Appends the means of all complete groups of `FACTOR` columns. Returns how many sums they contain.
fn combine_whole<const FACTOR: usize>(sums: &[u16], rows: u32, out: &mut Vec<u8>) -> usize {
    let (columns, _) = sums.as_chunks::<3>();
    let (cells, _) = columns.as_chunks::<FACTOR>();
    let count = FACTOR as u32 * rows;
    let start = out.len();
    out.resize(start + cells.len() * 3, 0);
    let (pixels, _) = out[start..].as_chunks_mut::<3>();
    // Multiplying is faster than dividing, and exact for totals up to 2²³ and counts up to 2¹⁴.
    let reciprocal = (1u64 << 40).div_ceil(u64::from(count));
    for (pixel, cell) in pixels.iter_mut().zip(cells) {
        for (channel, value) in pixel.iter_mut().enumerate() {
            let total: u32 = cell.iter().map(|column| u32::from(column[channel])).sum();
            *value = ((u64::from(total + count / 2) * reciprocal) >> 40) as u8;
        }
    }
    cells.len() * FACTOR * 3
}

/// Adds a pixel whose colours are weighted by its alpha.
#[inline(always)]
fn add_weighted(sums: &mut [u32; 4], pixel: [u8; 4]) {
    let alpha = u32::from(pixel[3]);
    let weights = [alpha, alpha, alpha, 1];
    for channel in 0..4 {
        sums[channel] += u32::from(pixel[channel]) * weights[channel];
    }
}

/// Divides with rounding. Returns 0 if `by` is 0.
fn divide(total: u32, by: u32) -> u8 {
    ((total + by / 2) / by.max(1)) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_image_is_averaged_including_its_partial_edge() {
        let (width, height) = (3073, 4);
        let mut reducer = Reducer::new(width, height, false, 512);
        let row: Vec<u8> = (0..width).flat_map(|x| [(x % 3) as u8 * 30; 3]).collect();
        for _ in 0..height {
            reducer.push(&row, 3);
        }
        let bitmap = reducer.finish();
        assert_eq!((bitmap.width, bitmap.height), (1025, 2));
        assert_eq!(bitmap.pixels.len(), 1025 * 2 * 3);
        assert_eq!(bitmap.pixels[..3], [30, 30, 30]);
        assert_eq!(bitmap.pixels[1024 * 3..1025 * 3], [0, 0, 0]);
        assert!((bitmap.covered.0 - 3073.0 / 3.0).abs() < 1e-9);
    }

    #[test]
    fn the_colour_of_transparent_pixels_does_not_bleed() {
        let mut reducer = Reducer::new(2048, 2, true, 512);
        let row: Vec<u8> = (0..2048).flat_map(|x| if x % 2 == 0 { [250, 10, 10, 255] } else { [0, 0, 0, 0] }).collect();
        reducer.push(&row, 4);
        reducer.push(&row, 4);
        let bitmap = reducer.finish();
        assert_eq!(bitmap.pixels[..4], [250, 10, 10, 128]);
        assert!(bitmap.is_transparent());
    }

    #[test]
    fn means_are_rounded_to_the_nearest_value() {
        for factor in 1..=8usize {
            for rows in [1, 2, factor as u32, 128] {
                let most = rows as u16 * 255;
                let sums: Vec<u16> =
                    (0..3 * 41).map(|i: u32| (i * 7919 % (u32::from(most) + 1)) as u16).chain([most; 24]).collect();
                let mut out = Vec::new();
                combine(&sums, factor, rows, &mut out);
                let expected = sums.chunks(factor * 3).flat_map(|cell| {
                    let count = (cell.len() / 3) as u32 * rows;
                    [0, 1, 2].map(|channel| divide(cell.iter().skip(channel).step_by(3).map(|&sum| u32::from(sum)).sum(), count))
                });
                assert_eq!(out, expected.collect::<Vec<u8>>(), "{factor} columns, {rows} rows");
            }
        }
    }
}
