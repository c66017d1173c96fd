//! Test images built in code: four coloured quarters, so that every corner is identifiable.

use super::webp_files;
use mozjpeg::{ColorSpace, Compress};

pub const RED: [u8; 4] = [220, 30, 30, 255];
pub const GREEN: [u8; 4] = [30, 200, 60, 255];
pub const BLUE: [u8; 4] = [40, 60, 210, 255];
pub const WHITE: [u8; 4] = [240, 240, 240, 255];
pub const CLEAR: [u8; 4] = [0, 0, 0, 0];

/// Top left, top right, bottom left, bottom right.
pub const QUARTERS: [[u8; 4]; 4] = [RED, GREEN, BLUE, WHITE];

pub fn rgba(width: u32, height: u32, quarters: [[u8; 4]; 4]) -> Vec<u8> {
    (0..height)
        .flat_map(|y| (0..width).map(move |x| (x, y)))
        .flat_map(|(x, y)| quarters[usize::from(x >= width / 2) + 2 * usize::from(y >= height / 2)])
        .collect()
}

/// RGBA in squares of 16 pixels, each with noise of its own range and transparency: as many statistics as squares.
pub fn patchwork(width: u32, height: u32) -> Vec<u8> {
    let mut random = XorShift(0x2545_f491_4f6c_dd1d);
    let across = width.div_ceil(16);
    let mut color = |x: u32, y: u32| {
        let patch = u64::from(y / 16 * across + x / 16).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let noise = random.next();
        std::array::from_fn::<u8, 4, _>(|channel| {
            let range = (1 << ((patch >> (40 + channel)) & 7)) - 1;
            let noise = (noise >> (8 * channel)) as u8 & range;
            ((patch >> (8 * channel)) as u8).wrapping_add(noise)
        })
    };
    (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).flat_map(|(x, y)| color(x, y)).collect()
}

pub fn rgb(width: u32, height: u32) -> Vec<u8> {
    let rgba = rgba(width, height, QUARTERS);
    rgba.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect()
}

/// Deterministic noise, so that files have content.
pub struct XorShift(pub u64);

impl XorShift {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

pub fn noise(count: usize) -> Vec<u8> {
    let mut random = XorShift(0x9e37_79b9_7f4a_7c15);
    (0..count).map(|_| random.next() as u8).collect()
}

/// Builds any JPEG: `configure` sets mozjpeg's options, `exif` becomes an APP1 segment.
pub fn jpeg(
    size: (u32, u32),
    space: ColorSpace,
    samples: &[u8],
    exif: Option<&[u8]>,
    configure: impl FnOnce(&mut Compress),
) -> Vec<u8> {
    let mut compress = Compress::new(space);
    compress.set_size(size.0 as usize, size.1 as usize);
    compress.set_fastest_defaults();
    compress.set_quality(90.0);
    configure(&mut compress);
    let mut started = compress.start_compress(Vec::new()).expect("a JPEG starts");
    if let Some(exif) = exif {
        started.write_marker(mozjpeg::Marker::APP(1), &[b"Exif\0\0", exif].concat());
    }
    started.write_scanlines(samples).expect("a JPEG is written");
    started.finish().expect("a JPEG ends")
}

pub fn plain_jpeg(width: u32, height: u32) -> Vec<u8> {
    jpeg((width, height), ColorSpace::JCS_RGB, &rgb(width, height), None, |_| {})
}

pub fn progressive_jpeg(width: u32, height: u32) -> Vec<u8> {
    jpeg((width, height), ColorSpace::JCS_RGB, &rgb(width, height), None, |compress| {
        compress.set_progressive_mode();
    })
}

/// Builds a little-endian TIFF block with the orientation and further tags.
pub fn exif(orientation: u16, texts: &[(u16, &str)], sub_texts: &[(u16, &str)]) -> Vec<u8> {
    let mut block = b"II\x2a\0\x08\0\0\0".to_vec();
    let count = 1 + texts.len() + 1;
    let mut heap_at = 8 + 2 + count * 12 + 4;
    let sub_at = heap_at;
    heap_at += 2 + sub_texts.len() * 12 + 4;
    let mut heap = Vec::new();
    let mut entry = |tag: u16, text: &str| {
        let mut bytes = text.as_bytes().to_vec();
        bytes.push(0);
        bytes.resize(bytes.len().max(6), 0);
        let mut entry = [tag.to_le_bytes(), 2u16.to_le_bytes()].concat();
        entry.extend((bytes.len() as u32).to_le_bytes());
        entry.extend(((heap_at + heap.len()) as u32).to_le_bytes());
        heap.extend(bytes);
        entry
    };
    let number = |tag: u16, kind: u16, value: u32| {
        let mut entry = [tag.to_le_bytes(), kind.to_le_bytes()].concat();
        entry.extend(1u32.to_le_bytes());
        entry.extend(value.to_le_bytes());
        entry
    };
    block.extend((count as u16).to_le_bytes());
    block.extend(number(0x0112, 3, u32::from(orientation)));
    for (tag, text) in texts {
        block.extend(entry(*tag, text));
    }
    block.extend(number(0x8769, 4, sub_at as u32));
    block.extend([0; 4]);
    block.extend((sub_texts.len() as u16).to_le_bytes());
    for (tag, text) in sub_texts {
        block.extend(entry(*tag, text));
    }
    block.extend([0; 4]);
    block.extend(heap);
    block
}

pub fn png(
    size: (u32, u32),
    color: png::ColorType,
    depth: png::BitDepth,
    data: &[u8],
    configure: impl FnOnce(&mut png::Encoder<'_, &mut Vec<u8>>),
) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, size.0, size.1);
    encoder.set_color(color);
    encoder.set_depth(depth);
    configure(&mut encoder);
    let mut writer = encoder.write_header().expect("a PNG starts");
    writer.write_image_data(data).expect("a PNG is written");
    writer.finish().expect("a PNG ends");
    file
}

pub fn rgba_png(width: u32, height: u32, quarters: [[u8; 4]; 4]) -> Vec<u8> {
    let data = rgba(width, height, quarters);
    png((width, height), png::ColorType::Rgba, png::BitDepth::Eight, &data, |_| {})
}

/// Returns a chunk with its length and CRC.
pub fn png_chunk(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut chunk = (body.len() as u32).to_be_bytes().to_vec();
    chunk.extend(name);
    chunk.extend(body);
    let crc = !chunk[4..].iter().fold(!0u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    });
    chunk.extend(crc.to_be_bytes());
    chunk
}

/// Grey quarters of 10, 90, 170 and 250 in Adam7's seven passes, in stored deflate blocks, because the `png` crate cannot write
/// interlaced images.
pub fn interlaced_png(width: u32, height: u32) -> Vec<u8> {
    const PASSES: [(u32, u32, u32, u32); 7] =
        [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)];
    let mut raw = Vec::new();
    for (left, top, across, down) in PASSES {
        for y in (top..height).step_by(down as usize) {
            raw.push(0);
            raw.extend(
                (left..width)
                    .step_by(across as usize)
                    .map(|x| [10u8, 90, 170, 250][usize::from(x >= width / 2) + 2 * usize::from(y >= height / 2)]),
            );
        }
    }
    let (mut a, mut b) = (1u32, 0u32);
    for &byte in &raw {
        a = (a + u32::from(byte)) % 65_521;
        b = (b + a) % 65_521;
    }
    let mut zlib = vec![0x78, 0x01];
    for block in raw.chunks(60_000) {
        let length = block.len() as u16;
        zlib.push(0);
        zlib.extend(length.to_le_bytes());
        zlib.extend((!length).to_le_bytes());
        zlib.extend(block);
    }
    zlib.extend([1, 0, 0, 0xff, 0xff]);
    zlib.extend((b << 16 | a).to_be_bytes());
    let ihdr = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 0, 0, 0, 1]].concat();
    let chunks = [png_chunk(b"IHDR", &ihdr), png_chunk(b"IDAT", &zlib), png_chunk(b"IEND", b"")];
    [b"\x89PNG\r\n\x1a\n".to_vec(), chunks.concat()].concat()
}

/// Builds a GIF; odd frames are a small patch. Index 4 is transparent.
pub fn gif(width: u16, height: u16, frames: usize, quarters: [u8; 4]) -> Vec<u8> {
    let palette = [RED, GREEN, BLUE, WHITE, CLEAR].map(|c| [c[0], c[1], c[2]]).concat();
    let mut file = Vec::new();
    let mut encoder = gif::Encoder::new(&mut file, width, height, &palette).expect("a GIF starts");
    for index in 0..frames {
        let patch = index % 2 == 1;
        let (w, h) = if patch { (width / 2, height / 2) } else { (width, height) };
        let pixel = |x: u16, y: u16| quarters[usize::from(x >= w / 2) + 2 * usize::from(y >= h / 2)];
        let frame = gif::Frame {
            left: if patch { 3 } else { 0 },
            width: w,
            height: h,
            transparent: Some(4),
            buffer: (0..h).flat_map(|y| (0..w).map(move |x| pixel(x, y))).collect::<Vec<_>>().into(),
            ..gif::Frame::default()
        };
        encoder.write_frame(&frame).expect("a GIF frame");
    }
    drop(encoder);
    file
}

pub fn webp(width: u32, height: u32, quarters: [[u8; 4]; 4], lossless: bool) -> Vec<u8> {
    let data = rgba(width, height, quarters);
    if lossless { webp_files::lossless(&data, width, height) } else { webp_files::lossy(&data, width, height, 80.0) }
}

pub fn animated_webp(width: u32, height: u32, frames: usize) -> Vec<u8> {
    let stills: Vec<Vec<u8>> = (0..frames)
        .map(|index| {
            let mut quarters = QUARTERS;
            quarters.rotate_left(index % 4);
            webp(width, height, quarters, false)
        })
        .collect();
    webp_files::animation(width, height, &stills)
}

/// Returns a WebP with an EXIF chunk at its end and a VP8X header at its start.
pub fn webp_with_exif(width: u32, height: u32, exif: &[u8]) -> Vec<u8> {
    let simple = webp(width, height, QUARTERS, false);
    let mut body = b"WEBPVP8X\x0a\0\0\0\x08\0\0\0".to_vec();
    body.extend(&(width - 1).to_le_bytes()[..3]);
    body.extend(&(height - 1).to_le_bytes()[..3]);
    body.extend(&simple[12..]);
    body.extend(b"EXIF");
    body.extend((exif.len() as u32).to_le_bytes());
    body.extend(exif);
    if exif.len() % 2 == 1 {
        body.push(0);
    }
    [&b"RIFF"[..], &(body.len() as u32).to_le_bytes(), &body].concat()
}

/// A grey JPEG of flat blocks with a restart marker after every second one, written by hand because mozjpeg's wrapper cannot
/// set a restart interval.
pub fn jpeg_with_restarts((width, height): (u32, u32)) -> Vec<u8> {
    let mut file = vec![0xff, 0xd8, 0xff, 0xdb, 0, 67, 0];
    file.extend([8; 64]);
    file.extend([0xff, 0xc0, 0, 11, 8, (height >> 8) as u8, height as u8, (width >> 8) as u8, width as u8, 1, 1, 0x11, 0]);
    // DC: size 0 is "0", size 4 is "10". AC: end of block is "0".
    file.extend([0xff, 0xc4, 0, 21, 0x00, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4]);
    file.extend([0xff, 0xc4, 0, 20, 0x10, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    file.extend([0xff, 0xdd, 0, 4, 0, 2]);
    file.extend([0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0]);
    let blocks = width.div_ceil(8) * height.div_ceil(8);
    for pair in 0..blocks.div_ceil(2) {
        if pair > 0 {
            file.extend([0xff, 0xd0 + ((pair - 1) % 8) as u8]);
        }
        // 10 1010 0 (+10, end), then 0 0 (the same, end), padded with ones.
        file.extend(if pair * 2 + 1 < blocks { [0b1010_1000, 0b0111_1111].as_slice() } else { &[0b1010_1001] });
    }
    file.extend([0xff, 0xd9]);
    file
}

/// Builds a JPEG whose components have these sampling factors.
pub fn sampled_jpeg((width, height): (u32, u32), factors: [(u8, u8); 3], progressive: bool) -> Vec<u8> {
    jpeg((width, height), ColorSpace::JCS_RGB, &rgb(width, height), None, |compress| {
        if progressive {
            compress.set_progressive_mode();
        }
        for (component, (h, v)) in compress.components_mut().iter_mut().zip(factors) {
            (component.h_samp_factor, component.v_samp_factor) = (h.into(), v.into());
        }
    })
}
