//! Tests of the public functions: files built in code are passed to `inspect` and `process`.

mod crashers;
mod damage;
mod formats;
mod gif;
mod messages;
mod png;
mod png_color_space;
mod profiles;
mod reference_comparison;
mod renderings;
mod shapes;
mod similarity;
mod stray_bytes;
pub(super) mod test_images;
mod webp;
mod webp_alpha;
#[path = "../../../tests/pictures/webp.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
pub(super) mod webp_files;

use super::*;

/// Inspects and processes a file, as a caller does.
fn run(bytes: &[u8]) -> Result<(Header, Processed), Error> {
    run_within(bytes, &Limits::default())
}

fn run_within(bytes: &[u8], limits: &Limits) -> Result<(Header, Processed), Error> {
    let header = inspect(bytes, limits)?;
    let processed = process(bytes, &header, limits)?;
    Ok((header, processed))
}

/// Limits that accept images of any small size.
fn tiny() -> Limits {
    Limits { min_side: 1, ..Limits::default() }
}

/// Returns the pixels of a thumbnail as RGBA.
fn pixels(thumbnail: &MadeThumbnail) -> Vec<[u8; 4]> {
    match thumbnail.info.format {
        Format::Jpeg => mozjpeg::Decompress::new_mem(&thumbnail.bytes)
            .and_then(|decoder| decoder.rgb()?.read_scanlines::<[u8; 3]>())
            .expect("a JPEG thumbnail")
            .into_iter()
            .map(|[r, g, b]| [r, g, b, 255])
            .collect(),
        _ => {
            let image = webp_files::decode(&thumbnail.bytes).expect("a WebP thumbnail");
            assert!(image.has_alpha);
            image.pixels.chunks_exact(4).map(|p| [p[0], p[1], p[2], p[3]]).collect()
        }
    }
}

/// Returns the pixel at a fraction of the width and height.
pub(super) fn pixel_at(thumbnail: &MadeThumbnail, across: f64, down: f64) -> [u8; 4] {
    let x = (f64::from(thumbnail.info.width) * across) as usize;
    let y = (f64::from(thumbnail.info.height) * down) as usize;
    pixels(thumbnail)[y * thumbnail.info.width as usize + x]
}

fn close(pixel: [u8; 4], expected: [u8; 4]) -> bool {
    pixel.iter().zip(expected).all(|(a, b)| a.abs_diff(b) <= 24)
}
