//! Images in every format, with extreme amounts or kinds of data besides the pixels.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use mozjpeg::{ColorSpace, Compress};

use crate::{profiles, webp_files};

pub struct Case {
    pub name: &'static str,
    pub file: Vec<u8>,
    pub is_accepted: bool,
    pub jobs: &'static [&'static str],
}

const SIDE: u32 = 1200;
const MIB: usize = 1 << 20;

pub fn all() -> Vec<Case> {
    let plain = |name, file| Case { name, file, is_accepted: true, jobs: &["upload", "variant", "caption"] };
    let accepted = |name, file| Case { name, file, is_accepted: true, jobs: &["upload"] };
    let rejected = |name, file| Case { name, file, is_accepted: false, jobs: &["upload"] };
    let many_codes = webp_files::lossless(&patchwork(480, 480), 480, 480);
    vec![
        plain("JPEG", jpeg(ColorSpace::JCS_RGB, 3, SIDE, false, &[])),
        plain("JPEG, progressive", jpeg(ColorSpace::JCS_RGB, 3, SIDE, true, &[])),
        accepted("JPEG, small and progressive", jpeg(ColorSpace::JCS_RGB, 3, 500, true, &[])),
        plain("JPEG of inks, progressive", jpeg(ColorSpace::JCS_CMYK, 4, SIDE, true, &[])),
        accepted(
            "JPEG of inks with a profile",
            jpeg(ColorSpace::JCS_CMYK, 4, SIDE, false, &icc_segments(&profiles::table(b"CMYK", 4, 28))),
        ),
        accepted(
            "JPEG with a large profile",
            jpeg(ColorSpace::JCS_RGB, 3, SIDE, false, &icc_segments(&profiles::table(b"RGB ", 3, 87))),
        ),
        accepted("JPEG with 4,000 segments", jpeg(ColorSpace::JCS_RGB, 3, SIDE, false, &vec![(9, vec![0; 2000]); 4000])),
        accepted("JPEG with much XMP", jpeg(ColorSpace::JCS_RGB, 3, SIDE, false, &extended_xmp(2 * MIB))),
        accepted(
            "JPEG with empty texts in its EXIF",
            jpeg(ColorSpace::JCS_RGB, 3, SIDE, false, &[(1, [&b"Exif\0\0"[..], &empty_texts(60_000)].concat())]),
        ),
        plain("PNG", png(SIDE, png::BitDepth::Eight, &[])),
        plain("PNG, interlaced", interlaced_png(SIDE)),
        accepted(
            "PNG of 16 bits with a profile",
            png(1000, png::BitDepth::Sixteen, &[profile_chunk(&profiles::table(b"RGB ", 3, 80))]),
        ),
        accepted("PNG with a profile that inflates", png(SIDE, png::BitDepth::Eight, &[profile_chunk(&vec![0; 6 * MIB])])),
        accepted("PNG with texts that inflate", png(SIDE, png::BitDepth::Eight, &vec![compressed_text(b"Comment", 5 * MIB); 40])),
        accepted(
            "PNG with XMP that inflates",
            png(SIDE, png::BitDepth::Eight, &vec![compressed_text(b"XML:com.adobe.xmp", 5 * MIB); 3]),
        ),
        accepted("PNG with a long text", png(SIDE, png::BitDepth::Eight, &[chunk(b"tEXt", &text(b"Comment\0", 2 * MIB))])),
        accepted("PNG with long EXIF", png(SIDE, png::BitDepth::Eight, &[chunk(b"eXIf", &empty_texts(8 * MIB))])),
        accepted("PNG with empty texts in its EXIF", png(SIDE, png::BitDepth::Eight, &[chunk(b"eXIf", &empty_texts(120_000))])),
        accepted("PNG with 200,000 chunks", png(SIDE, png::BitDepth::Eight, &vec![chunk(b"tEXt", b"a\0b"); 200_000])),
        plain("GIF", gif(SIDE as u16, 10, &[])),
        accepted("GIF of 2,000 frames", gif(60, 2000, &[])),
        accepted("GIF with long XMP", gif(SIDE as u16, 1, &extension(b"XMP DataXMP", 3 * MIB))),
        accepted("GIF with a long profile", gif(SIDE as u16, 1, &extension(b"ICCRGBG1012", 8 * MIB))),
        plain("WebP", webp_files::lossy(&photo(3, SIDE), SIDE, SIDE, 80.0)),
        plain("WebP with alpha", webp_files::lossy(&photo(4, SIDE), SIDE, SIDE, 80.0)),
        plain("WebP, lossless", webp_files::lossless(&photo(3, SIDE), SIDE, SIDE)),
        accepted("WebP, lossless with many codes", many_codes.clone()),
        plain("WebP, lossless and animated", webp_files::animation(480, 480, &vec![many_codes; 10])),
        accepted(
            "WebP of 5,000 frames",
            webp_files::animation(60, 60, &vec![webp_files::lossless(&[9; 60 * 60 * 4], 60, 60); 5000]),
        ),
        accepted(
            "WebP with much metadata",
            webp_with(&[(b"ICCP", vec![1; 4 * MIB]), (b"EXIF", empty_texts(2 * MIB)), (b"XMP ", text(b"", 2 * MIB))]),
        ),
        rejected("PNG that ends early", cut(png(SIDE, png::BitDepth::Eight, &[]))),
        rejected("WebP that ends early", cut(webp_files::lossless(&photo(4, SIDE), SIDE, SIDE))),
        rejected("JPEG that ends early", cut(jpeg(ColorSpace::JCS_RGB, 3, SIDE, true, &[]))),
    ]
}

/// Returns one small image for each decoder.
pub fn small() -> Vec<Vec<u8>> {
    let profile = profile_chunk(&profiles::table(b"RGB ", 3, 5));
    vec![
        jpeg(ColorSpace::JCS_RGB, 3, 160, true, &icc_segments(&profiles::table(b"RGB ", 3, 5))),
        jpeg(ColorSpace::JCS_CMYK, 4, 160, true, &icc_segments(&profiles::table(b"CMYK", 4, 5))),
        jpeg(ColorSpace::JCS_RGB, 3, 600, false, &[]),
        png(160, png::BitDepth::Eight, &[profile.clone(), compressed_text(b"Comment", 1000)]),
        png(160, png::BitDepth::Sixteen, &[profile]),
        gif(160, 2, &[]),
        webp_files::lossy(&photo(4, 160), 160, 160, 80.0),
        webp_files::lossless(&photo(4, 160), 160, 160),
    ]
}

fn cut(file: Vec<u8>) -> Vec<u8> {
    file[..file.len() / 2].to_vec()
}

/// Returns a gradient with some noise in which each row is shifted. Rows are copied, because test builds are not
/// optimised.
fn photo(channels: usize, side: u32) -> Vec<u8> {
    let side = side as usize;
    let mut random = 1u32;
    let mut row = Vec::with_capacity(side * channels);
    for x in 0..side {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let noise = (random >> 29) as usize;
        let pixel = [x * 200 / side + noise, 180 + noise, x * 100 / side, 250 - x * 200 / side];
        row.extend(pixel.iter().take(channels).map(|&value| value as u8));
    }
    let mut pixels = Vec::with_capacity(side * side * channels);
    for y in 0..side {
        let (end, start) = row.split_at(y / 2 % side * channels);
        pixels.extend_from_slice(start);
        pixels.extend_from_slice(end);
    }
    pixels
}

/// Returns squares whose noise differs in range, so that an encoder uses different codes for each.
fn patchwork(width: u32, height: u32) -> Vec<u8> {
    let mut random = 1u64;
    let mut color = |x: u32, y: u32| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let patch = u64::from(y / 16 * 1000 + x / 16).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        std::array::from_fn::<u8, 4, _>(|channel| {
            let noise = (random >> (32 + 8 * channel)) as u8 & ((1 << ((patch >> (40 + channel)) & 7)) - 1);
            ((patch >> (8 * channel)) as u8).wrapping_add(noise)
        })
    };
    (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).flat_map(|(x, y)| color(x, y)).collect()
}

/// Encodes a JPEG with application segments, given by their number.
fn jpeg(space: ColorSpace, channels: usize, side: u32, progressive: bool, segments: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut compress = Compress::new(space);
    compress.set_size(side as usize, side as usize);
    compress.set_fastest_defaults();
    compress.set_quality(85.0);
    if progressive {
        compress.set_progressive_mode();
    }
    let mut started = compress.start_compress(Vec::new()).expect("a JPEG header");
    for (number, body) in segments {
        started.write_marker(mozjpeg::Marker::APP(*number), body);
    }
    started.write_scanlines(&photo(channels, side)).expect("JPEG scanlines");
    started.finish().expect("a finished JPEG")
}

/// Splits an ICC profile into APP2 segments.
fn icc_segments(profile: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let pieces: Vec<&[u8]> = profile.chunks(65_000).collect();
    let count = u8::try_from(pieces.len()).expect("few pieces");
    let segment = |(number, piece): (u8, &&[u8])| (2, [&b"ICC_PROFILE\0"[..], &[number, count], piece].concat());
    (1..).zip(&pieces).map(segment).collect()
}

/// Splits extended XMP into APP1 segments (XMP specification part 3, section 1.1.3.1).
fn extended_xmp(length: usize) -> Vec<(u8, Vec<u8>)> {
    let digest = b"0123456789ABCDEF0123456789ABCDEF";
    let packet = text(b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF>", length);
    let main = format!(
        "http://ns.adobe.com/xap/1.0/\0<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>\
         <rdf:Description xmlns:xmpNote='http://ns.adobe.com/xmp/note/' xmpNote:HasExtendedXMP='{}'/></rdf:RDF></x:xmpmeta>",
        String::from_utf8_lossy(digest)
    );
    let mut segments = vec![(1, main.into_bytes())];
    for (index, piece) in packet.chunks(65_000).enumerate() {
        let numbers = [(length as u32).to_be_bytes(), (index as u32 * 65_000).to_be_bytes()].concat();
        segments.push((1, [&b"http://ns.adobe.com/xmp/extension/\0"[..], digest, &numbers, piece].concat()));
    }
    segments
}

/// Returns text that contains something like coordinates at intervals.
fn text(start: &[u8], length: usize) -> Vec<u8> {
    let mut text = start.to_vec();
    while text.len() < length {
        text.extend(b"a comment that goes on and on <exif:GPSLatitude>48,51.5N</exif:GPSLatitude> and on ");
    }
    text.truncate(length);
    text
}

/// Returns a TIFF block whose ASCII values consist only of NUL bytes: each value is a list of that many empty texts.
fn empty_texts(length: usize) -> Vec<u8> {
    const TAGS: [u16; 5] = [0x010f, 0x0110, 0x0112, 0x0132, 0x8298];
    let mut block = b"II\x2a\0\x08\0\0\0".to_vec();
    block.extend((TAGS.len() as u16).to_le_bytes());
    let start = 8 + 2 + TAGS.len() * 12 + 4;
    for tag in TAGS {
        block.extend(tag.to_le_bytes());
        block.extend(2u16.to_le_bytes());
        block.extend(((length - start) as u32).to_le_bytes());
        block.extend((start as u32).to_le_bytes());
    }
    block.resize(length, 0);
    block
}

fn chunk(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut crc = flate2::Crc::new();
    crc.update(name);
    crc.update(body);
    [&(body.len() as u32).to_be_bytes()[..], name, body, &crc.sum().to_be_bytes()].concat()
}

fn deflated(data: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(data).expect("deflate");
    encoder.finish().expect("deflate")
}

fn profile_chunk(profile: &[u8]) -> Vec<u8> {
    chunk(b"iCCP", &[b"a name\0\0", &deflated(profile)[..]].concat())
}

fn compressed_text(keyword: &[u8], length: usize) -> Vec<u8> {
    chunk(b"zTXt", &[keyword, b"\0\0", &deflated(&text(b"", length))].concat())
}

/// Encodes a PNG with these chunks after its header.
fn png(side: u32, depth: png::BitDepth, chunks: &[Vec<u8>]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, side, side);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(depth);
    let samples = if depth == png::BitDepth::Sixteen { photo_16_bit(side) } else { photo(3, side) };
    let mut writer = encoder.write_header().expect("a PNG header");
    writer.write_image_data(&samples).expect("PNG data");
    writer.finish().expect("a finished PNG");
    [&file[..33], &chunks.concat(), &file[33..]].concat()
}

/// Returns 16-bit samples.
fn photo_16_bit(side: u32) -> Vec<u8> {
    photo(3, side).into_iter().flat_map(|value| [value, value]).collect()
}

/// Returns an RGB image of one colour, in the seven passes of Adam7.
fn interlaced_png(side: u32) -> Vec<u8> {
    const PASSES: [(u32, u32, u32, u32); 7] =
        [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)];
    let mut raw = Vec::new();
    for (left, top, across, down) in PASSES {
        for _ in (top..side).step_by(down as usize) {
            raw.push(0);
            raw.resize(raw.len() + (left..side).step_by(across as usize).count() * 3, 90);
        }
    }
    let header = [&side.to_be_bytes()[..], &side.to_be_bytes(), &[8, 2, 0, 0, 1]].concat();
    let chunks = [chunk(b"IHDR", &header), chunk(b"IDAT", &deflated(&raw)), chunk(b"IEND", b"")];
    [b"\x89PNG\r\n\x1a\n".to_vec(), chunks.concat()].concat()
}

/// Encodes grey frames with local palettes; `blocks` precede the first frame.
fn gif(side: u16, frames: usize, blocks: &[u8]) -> Vec<u8> {
    let palette: Vec<u8> = (0..=255).flat_map(|shade| [shade; 3]).collect();
    let mut file = Vec::new();
    let mut encoder = gif::Encoder::new(&mut file, side, side, &palette).expect("a GIF header");
    for index in 0..frames {
        let buffer = if index == 0 { photo(1, side.into()) } else { vec![index as u8; usize::from(side) * usize::from(side)] };
        let frame = gif::Frame {
            width: side,
            height: side,
            buffer: buffer.into(),
            palette: Some(palette.clone()),
            ..gif::Frame::default()
        };
        encoder.write_frame(&frame).expect("a GIF frame");
    }
    drop(encoder);
    let start = 13 + palette.len();
    [&file[..start], blocks, &file[start..]].concat()
}

/// Returns an application extension, in sub-blocks.
fn extension(name: &[u8; 11], length: usize) -> Vec<u8> {
    let mut block = [&[0x21, 0xff, 11], &name[..]].concat();
    for piece in text(b"", length).chunks(255) {
        block.push(piece.len() as u8);
        block.extend(piece);
    }
    block.push(0);
    block
}

fn webp_with(chunks: &[(&[u8; 4], Vec<u8>)]) -> Vec<u8> {
    let webp = webp_files::lossy(&photo(3, SIDE), SIDE, SIDE, 80.0);
    let side = &(SIDE - 1).to_le_bytes()[..3];
    let mut body = [&b"WEBPVP8X\x0a\0\0\0\x2c\0\0\0"[..], side, side].concat();
    let mut push = |name: &[u8; 4], data: &[u8]| {
        body.extend([&name[..], &(data.len() as u32).to_le_bytes(), data, &[0][..data.len() % 2]].concat());
    };
    let (before, after) = chunks.split_at(1);
    before.iter().for_each(|(name, data)| push(name, data));
    let length = u32::from_le_bytes([webp[16], webp[17], webp[18], webp[19]]) as usize;
    push(b"VP8 ", &webp[20..20 + length]);
    after.iter().for_each(|(name, data)| push(name, data));
    [&b"RIFF"[..], &(body.len() as u32).to_le_bytes(), &body].concat()
}
