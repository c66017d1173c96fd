//! What every decoder hands on: an image of a bounded size, and the box filter that makes it from rows as they are
//! decoded, so that a large PNG, GIF or WebP never stands in memory as a whole.

/// Pixels in rows, RGB or RGBA (not premultiplied), 8 bits a channel, top row first, as stored: not yet oriented.
#[derive(Debug, Clone)]
pub(super) struct Bitmap {
    pub width: u32,
    pub height: u32,
    /// RGBA when true, RGB otherwise.
    pub alpha: bool,
    /// The part that is covered by the original, from the top left corner; less than a pixel smaller than the image.
    /// Scaling down by 3 leaves a last column that is made of one or two pixels only.
    pub covered: (f64, f64),
    pub pixels: Vec<u8>,
}

impl Bitmap {
    pub fn channels(&self) -> usize {
        if self.alpha { 4 } else { 3 }
    }

    /// An image whose every pixel is covered.
    pub fn whole(width: u32, height: u32, alpha: bool, pixels: Vec<u8>) -> Self {
        let covered = (f64::from(width), f64::from(height));
        Bitmap { width, height, alpha, covered, pixels }
    }

    /// Whether any pixel lets something through; an alpha channel alone does not mean that.
    pub fn is_transparent(&self) -> bool {
        self.alpha && self.pixels.chunks_exact(4).any(|pixel| pixel[3] != 255)
    }

    /// Whether it is an image of greys alone, as all are that were decoded from grey samples.
    pub fn is_grey(&self) -> bool {
        self.pixels.chunks_exact(self.channels()).all(|pixel| pixel[0] == pixel[1] && pixel[1] == pixel[2])
    }

    /// The same image as RGB, for one that proved to be opaque.
    pub fn without_alpha(self) -> Self {
        if !self.alpha {
            return self;
        }
        let pixels = self.pixels.chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect();
        Bitmap { alpha: false, pixels, ..self }
    }

    /// The same image as RGB, on a white page.
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

/// By how much an image of these sides may shrink before the resampling: the largest whole number that leaves twice
/// the pixels that the longer side must `cover`. A box filter to 2× followed by Lanczos3 cannot be told from Lanczos3 alone in a thumbnail.
pub(super) fn reduction(width: u32, height: u32, min_longer_side: u32) -> u32 {
    // 128 keeps 255 × 255 × 128 × 128 within the 32 bits of a sum.
    (width.max(height) / min_longer_side.saturating_mul(2).max(1)).clamp(1, 128)
}

/// The size after the reduction.
pub(super) fn reduced_size(width: u32, height: u32, min_longer_side: u32) -> (u32, u32) {
    let factor = reduction(width, height, min_longer_side);
    (width.div_ceil(factor), height.div_ceil(factor))
}

/// Averages blocks of `factor × factor` pixels, a row at a time. Colours are weighted by their alpha: what lies under a
/// transparent pixel never bleeds into its neighbours.
pub(super) struct Reducer {
    width: usize,
    height: u32,
    factor: usize,
    /// Of a band of `factor` rows, the sum of each column.
    columns: Columns,
    rows_in_band: usize,
    out: Vec<u8>,
}

/// Rows are added up column by column, which the compiler turns into vector code; columns are put together once a band.
enum Columns {
    /// Colours: 128 rows of 255 are less than 2¹⁶.
    Opaque(Vec<u16>),
    /// Colours × alpha, and alpha.
    Weighted(Vec<[u32; 4]>),
}

impl Reducer {
    /// For an image of which the longer side must keep `cover` pixels.
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

    /// Takes the next row: grey, grey and alpha, RGB or RGBA, told apart by `channels`. With two or four channels the
    /// reducer must have been made with alpha, otherwise without.
    pub fn push(&mut self, row: &[u8], channels: usize) {
        debug_assert_eq!(row.len(), self.width * channels);
        match (channels, self.factor) {
            (1, 1) => self.out.extend(row.iter().flat_map(|&grey| [grey; 3])),
            (2, 1) => self.out.extend(row.chunks_exact(2).flat_map(|p| [p[0], p[0], p[0], p[1]])),
            (_, 1) => self.out.extend_from_slice(row),
            _ => self.add(row, channels),
        }
    }

    /// The image, when all rows have been pushed.
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
                    weigh(sums, [pixel[0], pixel[0], pixel[0], pixel[1]]);
                }
            }
            (Columns::Weighted(sums), _) => {
                for (sums, pixel) in sums.iter_mut().zip(row.as_chunks::<4>().0) {
                    weigh(sums, *pixel);
                }
            }
        }
        self.rows_in_band += 1;
        if self.rows_in_band == self.factor {
            self.emit();
        }
    }

    /// Turns the sums of a band of rows into one row.
    fn emit(&mut self) {
        let rows = self.rows_in_band as u32;
        match &mut self.columns {
            Columns::Opaque(sums) => {
                for cell in sums.chunks(self.factor * 3) {
                    let count = (cell.len() / 3) as u32 * rows;
                    let totals = cell.as_chunks::<3>().0.iter().fold([0u32; 3], |totals, column| {
                        std::array::from_fn(|channel| totals[channel] + u32::from(column[channel]))
                    });
                    self.out.extend(totals.map(|total| divide(total, count)));
                }
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

/// Adds a pixel's colours, weighted.
#[inline(always)]
fn weigh(sums: &mut [u32; 4], pixel: [u8; 4]) {
    let alpha = u32::from(pixel[3]);
    let weights = [alpha, alpha, alpha, 1];
    for channel in 0..4 {
        sums[channel] += u32::from(pixel[channel]) * weights[channel];
    }
}

/// Rounded; 0 when there is nothing to divide by.
fn divide(total: u32, by: u32) -> u8 {
    ((total + by / 2) / by.max(1)) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_image_is_averaged_and_its_ragged_edge_counted() {
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
    fn colour_under_transparency_does_not_bleed() {
        let mut reducer = Reducer::new(2048, 2, true, 512);
        let row: Vec<u8> = (0..2048).flat_map(|x| if x % 2 == 0 { [250, 10, 10, 255] } else { [0, 0, 0, 0] }).collect();
        reducer.push(&row, 4);
        reducer.push(&row, 4);
        let bitmap = reducer.finish();
        assert_eq!(bitmap.pixels[..4], [250, 10, 10, 128]);
        assert!(bitmap.is_transparent());
    }
}
