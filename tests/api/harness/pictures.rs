//! Images made in code. One corner is noise, so that every seed gives a different file and every file exceeds the
//! minimum size. The rest is a gradient, so that large images stay small files.

use mozjpeg::{ColorSpace, Compress};

use super::webp_files;

/// Deterministic random numbers.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Returns a number from 0 to `bound`, exclusive.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).expect("an index")
    }

    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}

/// Side of the noisy corner, in pixels.
const NOISE: u32 = 64;

fn pixels<const CHANNELS: usize>(width: u32, height: u32, seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let mut pixels = Vec::with_capacity(width as usize * height as usize * CHANNELS);
    for y in 0..height {
        for x in 0..width {
            let pixel = if x < NOISE && y < NOISE {
                random.next().to_le_bytes()
            } else {
                let shade = |at: u32, side: u32| u8::try_from(at * 255 / side).expect("a shade");
                [shade(x, width), shade(y, height), 128, 255, 0, 0, 0, 0]
            };
            pixels.extend_from_slice(&pixel[..CHANNELS]);
        }
    }
    pixels
}

pub fn jpeg(width: u32, height: u32, seed: u64) -> Vec<u8> {
    encode_jpeg(width, height, &pixels::<3>(width, height, seed), None)
}

/// The smallest possible JPEG: one colour, for tests that pad the file themselves.
pub fn flat_jpeg(width: u32, height: u32) -> Vec<u8> {
    encode_jpeg(width, height, &vec![90; width as usize * height as usize * 3], None)
}

/// A JPEG with EXIF: the orientation, and text fields in IFD0.
pub fn jpeg_with_exif(width: u32, height: u32, orientation: u8, texts: &[(u16, &str)]) -> Vec<u8> {
    encode_jpeg(width, height, &pixels::<3>(width, height, 7), Some(&exif(orientation, texts)))
}

fn encode_jpeg(width: u32, height: u32, pixels: &[u8], exif: Option<&[u8]>) -> Vec<u8> {
    let mut compress = Compress::new(ColorSpace::JCS_RGB);
    compress.set_size(width as usize, height as usize);
    compress.set_fastest_defaults();
    compress.set_quality(85.0);
    let mut started = compress.start_compress(Vec::new()).expect("the JPEG encoder starts");
    if let Some(exif) = exif {
        started.write_marker(mozjpeg::Marker::APP(1), &[b"Exif\0\0", exif].concat());
    }
    started.write_scanlines(pixels).expect("scanlines are encoded");
    started.finish().expect("the JPEG is finished")
}

/// A little-endian TIFF block.
fn exif(orientation: u8, texts: &[(u16, &str)]) -> Vec<u8> {
    let entries = u16::try_from(1 + texts.len()).expect("few entries");
    let mut block = [&b"II\x2a\0\x08\0\0\0"[..], &entries.to_le_bytes()].concat();
    let mut heap_at = 8 + 2 + u32::from(entries) * 12 + 4;
    let mut heap = Vec::new();
    block.extend([0x12, 1, 3, 0, 1, 0, 0, 0, orientation, 0, 0, 0]);
    for (tag, text) in texts {
        let bytes = [text.as_bytes(), &[0; 4]].concat();
        let length = u32::try_from(bytes.len()).expect("a short text");
        block.extend([&tag.to_le_bytes()[..], &[2, 0], &length.to_le_bytes(), &heap_at.to_le_bytes()].concat());
        heap_at += length;
        heap.extend(bytes);
    }
    block.extend([0; 4]);
    block.extend(heap);
    block
}

pub fn png(width: u32, height: u32, seed: u64) -> Vec<u8> {
    encode_png(width, height, png::ColorType::Rgb, &pixels::<3>(width, height, seed))
}

/// A PNG of these pixels, RGB in rows, padded with trailing bytes to the minimum file size.
pub fn png_of(width: u32, height: u32, rgb: &[u8]) -> Vec<u8> {
    let file = encode_png(width, height, png::ColorType::Rgb, rgb);
    let length = file.len().max(1024);
    padded(file, length)
}

/// A PNG whose noise has every degree of transparency.
pub fn transparent_png(width: u32, height: u32, seed: u64) -> Vec<u8> {
    encode_png(width, height, png::ColorType::Rgba, &pixels::<4>(width, height, seed))
}

/// A PNG whose left half is fully transparent, and whose right half is red below a noisy strip.
pub fn half_clear_png(width: u32, height: u32) -> Vec<u8> {
    let mut pixels = pixels::<4>(width, height, 3);
    for (index, pixel) in pixels.chunks_exact_mut(4).enumerate() {
        let (x, y) = (index as u32 % width, index as u32 / width);
        if x < width / 2 {
            pixel.fill(0);
        } else if y >= height / 3 {
            pixel.copy_from_slice(&[200, 30, 30, 255]);
        } else {
            pixel[0] = (x * 7 + y * 13) as u8;
        }
    }
    encode_png(width, height, png::ColorType::Rgba, &pixels)
}

fn encode_png(width: u32, height: u32, color: png::ColorType, pixels: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(color);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().expect("the PNG header is written");
    writer.write_image_data(pixels).expect("the PNG is encoded");
    writer.finish().expect("the PNG is finished");
    file
}

/// A GIF with greyscale frames that cover the whole canvas.
pub fn gif(width: u16, height: u16, frames: usize, seed: u64) -> Vec<u8> {
    let palette: Vec<u8> = (0..=255).flat_map(|shade| [shade; 3]).collect();
    let mut file = Vec::new();
    let mut encoder = gif::Encoder::new(&mut file, width, height, &palette).expect("the GIF header is written");
    for index in 0..frames {
        // Only the first frame of an animation has noise. The others are only counted.
        let buffer = if index == 0 {
            pixels::<1>(width.into(), height.into(), seed)
        } else {
            vec![u8::try_from(index % 256).expect("a shade"); usize::from(width) * usize::from(height)]
        };
        let frame = gif::Frame { width, height, delay: 10, buffer: buffer.into(), ..gif::Frame::default() };
        encoder.write_frame(&frame).expect("a GIF frame");
    }
    drop(encoder);
    file
}

pub fn webp(width: u32, height: u32, seed: u64) -> Vec<u8> {
    webp_files::lossy(&pixels::<3>(width, height, seed), width, height, 80.0)
}

/// An animated WebP. The first frame has noise, the others have one colour each.
pub fn animated_webp(width: u32, height: u32, frames: u8) -> Vec<u8> {
    let flat = |shade| vec![shade; width as usize * height as usize * 3];
    let first = std::iter::once(pixels::<3>(width, height, 1));
    let pictures = first.chain((1..frames).map(|index| flat(index * 20)));
    let stills: Vec<Vec<u8>> =
        pictures.map(|picture| webp_files::encode(&picture, width, height, |config| config.method = 0)).collect();
    webp_files::animation(width, height, &stills)
}

/// Appends zero bytes to an image until the file has `length` bytes.
pub fn padded(mut file: Vec<u8>, length: usize) -> Vec<u8> {
    assert!(file.len() <= length, "the image alone has {} bytes", file.len());
    file.resize(length, 0);
    file
}
