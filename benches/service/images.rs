//! The images to upload: those in the directory `BENCH_IMAGES`, or generated ones.

use std::path::Path;

use image_service::imaging::{Limits, inspect, process};

use crate::Result;
use crate::random::Random;
use crate::webp;

pub struct ImageFile {
    pub name: String,
    pub bytes: Vec<u8>,
    pub megapixels: f64,
}

/// The images that the service accepts. A directory may also contain other files.
pub fn all() -> Result<Vec<ImageFile>> {
    let files = match std::env::var_os("BENCH_IMAGES") {
        Some(folder) => read(Path::new(&folder))?,
        None => generate()?,
    };
    let accepted = |(name, bytes): (String, Vec<u8>)| {
        let (limits, size) = (Limits::default(), bytes.len());
        let header = inspect(&bytes, &limits).ok().filter(|_| (1024..=10 << 20).contains(&size))?;
        process(&bytes, &header, &limits).ok()?;
        let megapixels = f64::from(header.width) * f64::from(header.height) / 1e6;
        Some(ImageFile { name, bytes, megapixels })
    };
    Ok(files.into_iter().filter_map(accepted).collect())
}

/// The images of at least 12 megapixels.
pub fn large() -> Result<Vec<ImageFile>> {
    let large: Vec<_> = all()?.into_iter().filter(|image| image.megapixels >= 11.9).collect();
    if large.is_empty() { Err("BENCH_IMAGES has no image of at least 12 megapixels".into()) } else { Ok(large) }
}

fn read(folder: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let mut files = Vec::new();
    for entry in folder.read_dir()? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            files.push((entry.file_name().to_string_lossy().into_owned(), std::fs::read(entry.path())?));
        }
    }
    files.sort();
    Ok(files)
}

fn generate() -> Result<Vec<(String, Vec<u8>)>> {
    let mut files = Vec::new();
    for (number, (width, height, progressive)) in [
        (4000, 3000, false),
        (4000, 4000, false),
        (4000, 3000, true),
        (2560, 1920, false),
        (2000, 1500, false),
        (800, 600, false),
    ]
    .into_iter()
    .enumerate()
    {
        files.push((format!("{number}.jpg"), jpeg(width, height, progressive)?));
    }
    files.push(("6.png".to_owned(), png(1200, 900)?));
    let (width, height) = (1600, 1200);
    let webp = webp::lossy(&pixels(width, height), width as u32, height as u32, 80.0);
    files.push(("7.webp".to_owned(), webp));
    Ok(files)
}

fn jpeg(width: usize, height: usize, progressive: bool) -> Result<Vec<u8>> {
    let mut encoder = mozjpeg::Compress::new(mozjpeg::ColorSpace::JCS_RGB);
    encoder.set_fastest_defaults();
    encoder.set_size(width, height);
    encoder.set_quality(85.0);
    if progressive {
        encoder.set_progressive_mode();
    }
    let mut started = encoder.start_compress(Vec::new())?;
    started.write_scanlines(&pixels(width, height))?;
    Ok(started.finish()?)
}

fn png(width: usize, height: usize) -> Result<Vec<u8>> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width as u32, height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header()?.write_image_data(&pixels(width, height))?;
    Ok(file)
}

/// Smooth waves with a little noise, so that the files are about as large as photos.
fn pixels(width: usize, height: usize) -> Vec<u8> {
    let mut random = Random::new(1);
    let mut pixels = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        for x in 0..width {
            let wave = ((x as f64 / 97.0).sin() + (y as f64 / 61.0).cos()) * 50.0 + 110.0;
            let noise = (random.next() >> 60) as f64;
            for shift in [0.0, 15.0, 30.0] {
                pixels.push((wave + shift + noise) as u8);
            }
        }
    }
    pixels
}
