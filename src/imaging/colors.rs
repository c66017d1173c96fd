//! Finds the dominant colours of an image: a histogram of 4096 cells, then weighted k-means in OKLab, where distances match
//! perception. Deterministic: the first centre is the fullest cell, and each further one is the cell with the largest error.

use super::bitmap::Bitmap;
use crate::model::color::Color;

/// Maximum number of colours.
const MAX_COLORS: usize = 5;

/// Centres closer than this in OKLab look the same (a just noticeable difference is about 0.02).
const SAME_COLOR_DISTANCE: f32 = 0.05;

/// A colour with a smaller share of the image is an edge or ringing, not a dominant colour.
const MIN_SHARE: f32 = 0.01;

const ITERATIONS: usize = 12;

/// Returns up to five colours, most common first. Empty for a fully transparent image.
pub(super) fn dominant(bitmap: &Bitmap) -> Vec<Color> {
    let cells = histogram(bitmap);
    let total: f32 = cells.iter().map(|cell| cell.weight).sum();
    let mut clusters = cluster(&cells);
    clusters.sort_by(|a, b| b.weight.total_cmp(&a.weight));
    let mut kept: Vec<Cell> = Vec::new();
    for cluster in clusters {
        match kept.iter_mut().find(|other| distance(other.lab, cluster.lab) < SAME_COLOR_DISTANCE * SAME_COLOR_DISTANCE) {
            Some(other) => other.merge(&cluster),
            None => kept.push(cluster),
        }
    }
    kept.sort_by(|a, b| b.weight.total_cmp(&a.weight));
    kept.iter()
        .filter(|cell| cell.weight >= total * MIN_SHARE)
        .map(|cell| Color(cell.rgb.map(|channel| channel.round().clamp(0.0, 255.0) as u8)))
        .collect()
}

/// A cluster of colours: their mean and their share of the image.
#[derive(Clone, Copy)]
struct Cell {
    rgb: [f32; 3],
    lab: [f32; 3],
    weight: f32,
}

impl Cell {
    fn new(rgb: [f32; 3], weight: f32) -> Self {
        Cell { rgb, lab: oklab(rgb), weight }
    }

    fn merge(&mut self, other: &Cell) {
        let weight = self.weight + other.weight;
        let rgb = std::array::from_fn(|i| (self.rgb[i] * self.weight + other.rgb[i] * other.weight) / weight);
        *self = Cell::new(rgb, weight);
    }
}

/// Returns the non-empty cells, with four bits per channel, weighted by alpha.
fn histogram(bitmap: &Bitmap) -> Vec<Cell> {
    let mut sums = vec![[0u64; 4]; 4096];
    for pixel in bitmap.pixels.chunks_exact(bitmap.channels()) {
        let alpha = pixel.get(3).map_or(255, |&alpha| u64::from(alpha));
        let [r, g, b] = [pixel[0], pixel[1], pixel[2]].map(usize::from);
        let cell = &mut sums[(r >> 4) << 8 | (g >> 4) << 4 | b >> 4];
        for (sum, value) in cell.iter_mut().zip([r as u64, g as u64, b as u64, 1]) {
            *sum += value * alpha;
        }
    }
    sums.iter()
        .filter(|cell| cell[3] > 0)
        .map(|cell| {
            let mean = |sum: u64| (sum as f64 / cell[3] as f64) as f32;
            Cell::new([mean(cell[0]), mean(cell[1]), mean(cell[2])], cell[3] as f32)
        })
        .collect()
}

fn cluster(cells: &[Cell]) -> Vec<Cell> {
    let mut centres = seeds(cells);
    for _ in 0..ITERATIONS {
        let mut sums = vec![([0f32; 3], 0f32); centres.len()];
        for cell in cells {
            let Some((rgb, weight)) = sums.get_mut(nearest(&centres, cell)) else { continue };
            for (sum, value) in rgb.iter_mut().zip(cell.rgb) {
                *sum += value * cell.weight;
            }
            *weight += cell.weight;
        }
        let means = sums.into_iter().filter(|(_, weight)| *weight > 0.0);
        let means: Vec<Cell> = means.map(|(rgb, weight)| Cell::new(rgb.map(|sum| sum / weight), weight)).collect();
        // From here on, every iteration would return the same.
        let settled = means.len() == centres.len() && means.iter().zip(&centres).all(|(new, old)| new.rgb == old.rgb);
        centres = means;
        if settled {
            break;
        }
    }
    centres
}

fn seeds(cells: &[Cell]) -> Vec<Cell> {
    let fullest = cells.iter().max_by(|a, b| a.weight.total_cmp(&b.weight));
    let mut seeds: Vec<Cell> = fullest.copied().into_iter().collect();
    // The distance of each cell to its nearest seed.
    let mut gaps = vec![f32::INFINITY; cells.len()];
    while let Some(&newest) = seeds.last().filter(|_| seeds.len() < MAX_COLORS) {
        let mut worst = (0.0, None);
        for (cell, gap) in cells.iter().zip(&mut gaps) {
            *gap = gap.min(distance(newest.lab, cell.lab));
            let error = *gap * cell.weight;
            if error > 0.0 && error >= worst.0 {
                worst = (error, Some(cell));
            }
        }
        let Some(worst) = worst.1 else { break };
        seeds.push(*worst);
    }
    seeds
}

/// Returns the index of the nearest centre, the first of several.
fn nearest(centres: &[Cell], cell: &Cell) -> usize {
    let mut nearest = (f32::INFINITY, 0);
    for (index, centre) in centres.iter().enumerate() {
        let distance = distance(centre.lab, cell.lab);
        if distance < nearest.0 {
            nearest = (distance, index);
        }
    }
    nearest.1
}

/// Returns the squared distance.
fn distance(a: [f32; 3], b: [f32; 3]) -> f32 {
    let [x, y, z] = [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
    x * x + y * y + z * z
}

/// Converts sRGB, 0 to 255, to Björn Ottosson's OKLab, <https://bottosson.github.io/posts/oklab/>.
fn oklab(rgb: [f32; 3]) -> [f32; 3] {
    let [r, g, b] = rgb.map(|channel| {
        let value = channel / 255.0;
        if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    });
    let l = (0.412_221_46 * r + 0.536_332_55 * g + 0.051_445_995 * b).cbrt();
    let m = (0.211_903_5 * r + 0.680_699_5 * g + 0.107_396_96 * b).cbrt();
    let s = (0.088_302_46 * r + 0.281_718_85 * g + 0.629_978_7 * b).cbrt();
    [
        0.210_454_26 * l + 0.793_617_8 * m - 0.004_072_047 * s,
        1.977_998_5 * l - 2.428_592_2 * m + 0.450_593_7 * s,
        0.025_904_037 * l + 0.782_771_77 * m - 0.808_675_77 * s,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bitmap(colors: &[([u8; 4], usize)]) -> Bitmap {
        let pixels: Vec<u8> = colors.iter().flat_map(|(color, count)| color.repeat(*count)).collect();
        Bitmap::new((pixels.len() / 4) as u32, 1, true, pixels)
    }

    #[test]
    fn an_image_of_one_colour_has_one_dominant_colour() {
        assert_eq!(dominant(&bitmap(&[([12, 200, 99, 255], 500)])), [Color([12, 200, 99])]);
    }

    #[test]
    fn the_most_common_colour_comes_first_and_specks_are_dropped() {
        let colors =
            bitmap(&[([0, 0, 255, 255], 300), ([255, 0, 0, 255], 600), ([255, 255, 255, 255], 100), ([0, 255, 0, 255], 3)]);
        assert_eq!(dominant(&colors), [Color([255, 0, 0]), Color([0, 0, 255]), Color([255, 255, 255])]);
    }

    #[test]
    fn transparent_pixels_have_no_colour() {
        assert_eq!(dominant(&bitmap(&[([0, 0, 0, 0], 900), ([255, 255, 0, 255], 10)])), [Color([255, 255, 0])]);
        assert!(dominant(&bitmap(&[([9, 9, 9, 0], 90)])).is_empty());
    }
}
