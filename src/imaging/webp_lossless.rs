//! Calculates what a lossless WebP bitstream (RFC 9649, chapter 3) makes its decoder allocate beside the pixels: the data of
//! the transforms, and the tables of the prefix codes. These can be far larger than the image, which can choose among 65,536
//! groups of five codes, with up to 20 KB of tables each.
//!
//! The number of groups is known only after decoding the entropy image, which assigns groups to blocks of pixels. libwebp does
//! the same (`ReadHuffmanCodes` in `vp8l_dec.c`). Encoders write an entropy image and transform images of about a hundredth of
//! the image, so they are decoded here as well, up to a limit. Beyond it, the accepted maximum is assumed. No pixel of the
//! image itself is decoded.

use super::error::Error;

/// The accepted maximum: 50% more than libwebp's own encoder can write. It divides an image into at most 2,600 blocks and uses
/// at most 10 bits for the colour cache.
pub(super) const MAX_TABLES_BYTES: u64 = 64 << 20;

/// Pixels of transform and entropy images that are decoded per file: those of 60 megapixels as written by libwebp's encoder, in
/// a few milliseconds.
pub(super) const MAX_READ_PIXELS: usize = 1 << 19;

/// For transforms without data, a palette of 256 colours, the colour cache, the group numbers, codes that are being read, and
/// libwebp's own structures.
const FIXED_BYTES: u64 = 384 << 10;

/// Five pointers, four numbers, and a table of 64 entries of 8 bytes for short codes (`HTreeGroup`).
const GROUP_BYTES: u64 = 5 * 8 + 4 * 4 + 64 * 8;

/// Entries of 4 bytes in the tables of a group, by the bits of the colour cache (`kTableSize`).
const TABLE_ENTRIES: [u64; 12] = [2954, 2956, 2958, 2962, 2970, 2986, 3018, 3082, 3212, 3468, 3980, 5004];

/// Above this, or above the number of pixels, libwebp allocates only for the groups that are used.
const MAX_UNCHECKED_GROUPS: usize = 1000;

/// Returns the bytes beside the pixels for a bitstream that starts after its own header. `left` is the part of
/// [`MAX_READ_PIXELS`] that other images of the file have not used.
///
/// If the data read here is damaged, it is damaged for libwebp too, which then allocates nothing further.
///
/// # Errors
/// The bitstream needs more than the accepted maximum.
pub(super) fn bytes_beside_pixels(data: &[u8], size: (u32, u32), left: &mut usize) -> Result<u64, Error> {
    bytes_within(data, size, left, MAX_TABLES_BYTES)
}

fn bytes_within(data: &[u8], size: (u32, u32), left: &mut usize, max_tables_bytes: u64) -> Result<u64, Error> {
    let (width, height) = (size.0 as usize, size.1 as usize);
    let mut reader = Reader { bits: Bits::new(data), left, transforms_bytes: 0 };
    let tables_bytes = match reader.read_level_0(width, height) {
        Ok(bytes) => bytes,
        Err(ReadError::Damaged) => 0,
        // Two transforms and the group numbers, each for blocks of 4 × 4.
        Err(ReadError::TooLong) => {
            reader.transforms_bytes = 3 * blocks(width, 2) as u64 * blocks(height, 2) as u64 * 4;
            max_tables_bytes
        }
    };
    if tables_bytes > max_tables_bytes {
        return Err(Error::unsupported("WebP with far more prefix codes than encoders write"));
    }
    Ok(reader.transforms_bytes + tables_bytes + FIXED_BYTES)
}

/// Why reading stopped.
enum ReadError {
    Damaged,
    /// The limit of pixels to read was reached.
    TooLong,
}

struct Reader<'a, 'b> {
    bits: Bits<'a>,
    left: &'b mut usize,
    /// Memory of all images that exist while the main image is decoded.
    transforms_bytes: u64,
}

/// Returns the number of blocks along a side.
fn blocks(side: usize, bits: u32) -> usize {
    side.div_ceil(1 << bits)
}

impl Reader<'_, '_> {
    /// Returns the bytes of the tables for the codes of the main image.
    fn read_level_0(&mut self, mut width: usize, height: usize) -> Result<u64, ReadError> {
        let mut seen = [false; 4];
        while self.bits.read(1)? == 1 {
            let kind = self.bits.read(2)?;
            if std::mem::replace(&mut seen[kind as usize], true) {
                return Err(ReadError::Damaged);
            }
            match kind {
                // Predictor transform and colour transform.
                0 | 1 => {
                    self.read_subsampled(width, height)?;
                }
                // Subtract-green transform.
                2 => {}
                // Colour-indexing transform. With up to 16 colours, one pixel contains several.
                _ => {
                    let colors = self.bits.read(8)? as usize + 1;
                    self.read_image(colors, 1)?;
                    let packed_bits = match colors {
                        ..=2 => 3,
                        3..=4 => 2,
                        5..=16 => 1,
                        _ => 0,
                    };
                    width = blocks(width, packed_bits);
                }
            }
        }
        let cache_bits = self.cache_bits()?;
        let groups = if self.bits.read(1)? == 1 {
            let image = self.read_subsampled(width, height)?;
            allocated_groups(image.iter().map(|pixel| (pixel >> 8 & 0xffff) as usize), width * height)
        } else {
            1
        };
        Ok(groups as u64 * (TABLE_ENTRIES[cache_bits as usize] * 4 + GROUP_BYTES))
    }

    /// Reads an image with one pixel per block of the main image.
    fn read_subsampled(&mut self, width: usize, height: usize) -> Result<Vec<u32>, ReadError> {
        let bits = self.bits.read(3)? + 2;
        let (width, height) = (blocks(width, bits), blocks(height, bits));
        self.transforms_bytes += width as u64 * height as u64 * 4;
        self.read_image(width, height)
    }

    fn cache_bits(&mut self) -> Result<u32, ReadError> {
        if self.bits.read(1)? == 0 {
            return Ok(0);
        }
        let bits = self.bits.read(4)?;
        if (1..=11).contains(&bits) { Ok(bits) } else { Err(ReadError::Damaged) }
    }

    /// Reads an image without transforms and with one group of codes (RFC 9649, 3.7.1 and 3.6.2).
    fn read_image(&mut self, width: usize, height: usize) -> Result<Vec<u32>, ReadError> {
        let length = width * height;
        *self.left = self.left.checked_sub(length).ok_or(ReadError::TooLong)?;
        let cache_bits = self.cache_bits()?;
        let mut cache = ColorCache::new(cache_bits);
        let cache_colors = if cache_bits > 0 { 1 << cache_bits } else { 0 };
        let bits = &mut self.bits;
        let green = PrefixCode::read(bits, FIRST_COLOR_OF_CACHE + cache_colors)?;
        let (red, blue, alpha) = (PrefixCode::read(bits, 256)?, PrefixCode::read(bits, 256)?, PrefixCode::read(bits, 256)?);
        let distance = PrefixCode::read(bits, 40)?;
        let mut pixels: Vec<u32> = Vec::with_capacity(length);
        while pixels.len() < length {
            let symbol = green.symbol(bits)?;
            if symbol < FIRST_LENGTH {
                let (red, blue, alpha) = (red.symbol(bits)?, blue.symbol(bits)?, alpha.symbol(bits)?);
                let pixel = (alpha << 24 | red << 16 | symbol << 8 | blue) as u32;
                pixels.push(pixel);
                cache.insert(pixel);
            } else if symbol < FIRST_COLOR_OF_CACHE {
                let copied = read_prefixed(bits, symbol - FIRST_LENGTH)?;
                let prefix = distance.symbol(bits)?;
                let distance = plane_distance(read_prefixed(bits, prefix)?, width);
                if distance > pixels.len() || copied > length - pixels.len() {
                    return Err(ReadError::Damaged);
                }
                for _ in 0..copied {
                    let pixel = pixels[pixels.len() - distance];
                    pixels.push(pixel);
                    cache.insert(pixel);
                }
            } else {
                let pixel = cache.colors[symbol - FIRST_COLOR_OF_CACHE];
                pixels.push(pixel);
                cache.insert(pixel);
            }
        }
        Ok(pixels)
    }
}

/// Symbols of the green alphabet: green values, then length prefixes, then colour cache indices.
const FIRST_LENGTH: usize = 256;
const FIRST_COLOR_OF_CACHE: usize = 256 + 24;

/// Returns for how many groups libwebp allocates, for an image with `pixels` pixels.
fn allocated_groups(numbers: impl Iterator<Item = usize> + Clone, pixels: usize) -> usize {
    let groups = numbers.clone().max().map_or(1, |most| most + 1);
    if groups <= MAX_UNCHECKED_GROUPS && groups <= pixels {
        return groups;
    }
    let mut used = vec![false; groups];
    numbers.for_each(|number| used[number] = true);
    used.iter().filter(|used| **used).count()
}

/// Reads a length or a distance: a prefix and extra bits.
fn read_prefixed(bits: &mut Bits, prefix: usize) -> Result<usize, ReadError> {
    if prefix < 4 {
        return Ok(prefix + 1);
    }
    let extra = (prefix as u32 - 2) >> 1;
    Ok(((2 + (prefix & 1)) << extra) + bits.read(extra)? as usize + 1)
}

/// Returns the distance in pixels. The first 120 codes are for nearby pixels.
pub(super) fn plane_distance(code: usize, width: usize) -> usize {
    let Some(&nearby) = NEARBY.get(code - 1) else { return code - NEARBY.len() };
    let (down, across) = (usize::from(nearby >> 4), usize::from(nearby & 15));
    (down * width + 8).saturating_sub(across).max(1)
}

/// The upper four bits are the rows up, the lower four 8 minus the columns to the left (`kCodeToPlane`).
#[rustfmt::skip]
pub(super) const NEARBY: [u8; 120] = [
    0x18, 0x07, 0x17, 0x19, 0x28, 0x06, 0x27, 0x29, 0x16, 0x1a, 0x26, 0x2a, 0x38, 0x05, 0x37, 0x39, 0x15, 0x1b, 0x36, 0x3a,
    0x25, 0x2b, 0x48, 0x04, 0x47, 0x49, 0x14, 0x1c, 0x35, 0x3b, 0x46, 0x4a, 0x24, 0x2c, 0x58, 0x45, 0x4b, 0x34, 0x3c, 0x03,
    0x57, 0x59, 0x13, 0x1d, 0x56, 0x5a, 0x23, 0x2d, 0x44, 0x4c, 0x55, 0x5b, 0x33, 0x3d, 0x68, 0x02, 0x67, 0x69, 0x12, 0x1e,
    0x66, 0x6a, 0x22, 0x2e, 0x54, 0x5c, 0x43, 0x4d, 0x65, 0x6b, 0x32, 0x3e, 0x78, 0x01, 0x77, 0x79, 0x53, 0x5d, 0x11, 0x1f,
    0x64, 0x6c, 0x42, 0x4e, 0x76, 0x7a, 0x21, 0x2f, 0x75, 0x7b, 0x31, 0x3f, 0x63, 0x6d, 0x52, 0x5e, 0x00, 0x74, 0x7c, 0x41,
    0x4f, 0x10, 0x20, 0x62, 0x6e, 0x30, 0x73, 0x7d, 0x51, 0x5f, 0x40, 0x72, 0x7e, 0x61, 0x6f, 0x50, 0x71, 0x7f, 0x60, 0x70,
];

/// Recent colours by their hash.
struct ColorCache {
    bits: u32,
    colors: Vec<u32>,
}

impl ColorCache {
    fn new(bits: u32) -> Self {
        ColorCache { bits, colors: vec![0; 1 << bits] }
    }

    fn insert(&mut self, pixel: u32) {
        if self.bits > 0 {
            self.colors[(pixel.wrapping_mul(0x1e35_a7bd) >> (32 - self.bits)) as usize] = pixel;
        }
    }
}

/// A canonical prefix code, decoded one bit at a time.
struct PrefixCode {
    /// Number of symbols with a code of each length.
    counts: [u16; 16],
    /// Sorted by code length, then by symbol.
    symbols: Vec<u16>,
}

/// The order in which the code length code lengths are stored (RFC 9649, 3.7.2.1.2).
const LENGTH_SYMBOLS: [usize; 19] = [17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

impl PrefixCode {
    fn read(bits: &mut Bits, symbols: usize) -> Result<Self, ReadError> {
        let mut lengths = vec![0u8; symbols.max(256)];
        if bits.read(1)? == 1 {
            let has_second = bits.read(1)? == 1;
            let first_bits = if bits.read(1)? == 1 { 8 } else { 1 };
            lengths[bits.read(first_bits)? as usize] = 1;
            if has_second {
                lengths[bits.read(8)? as usize] = 1;
            }
        } else {
            Self::read_lengths(bits, &mut lengths[..symbols])?;
        }
        Self::new(&lengths[..symbols])
    }

    fn read_lengths(bits: &mut Bits, lengths: &mut [u8]) -> Result<(), ReadError> {
        let mut of_lengths = [0u8; 19];
        let count = bits.read(4)? as usize + 4;
        for symbol in &LENGTH_SYMBOLS[..count] {
            of_lengths[*symbol] = bits.read(3)? as u8;
        }
        let code = Self::new(&of_lengths)?;
        let mut left = lengths.len();
        if bits.read(1)? == 1 {
            let length_bits = 2 + 2 * bits.read(3)?;
            left = 2 + bits.read(length_bits)? as usize;
            if left > lengths.len() {
                return Err(ReadError::Damaged);
            }
        }
        let (mut at, mut previous) = (0, 8);
        while at < lengths.len() && left > 0 {
            left -= 1;
            let symbol = code.symbol(bits)?;
            let (length, repeat) = match symbol {
                0..=15 => (symbol as u8, 1),
                16 => (previous, bits.read(2)? as usize + 3),
                17 => (0, bits.read(3)? as usize + 3),
                _ => (0, bits.read(7)? as usize + 11),
            };
            if length != 0 {
                previous = length;
            }
            lengths.get_mut(at..at + repeat).ok_or(ReadError::Damaged)?.fill(length);
            at += repeat;
        }
        Ok(())
    }

    /// Builds a code. It must be complete, or have a single symbol, which takes no bits.
    fn new(lengths: &[u8]) -> Result<Self, ReadError> {
        let mut counts = [0u16; 16];
        lengths.iter().for_each(|&length| counts[usize::from(length)] += 1);
        counts[0] = 0;
        let mut symbols: Vec<u16> = (0..lengths.len() as u16).filter(|&symbol| lengths[usize::from(symbol)] > 0).collect();
        symbols.sort_by_key(|&symbol| lengths[usize::from(symbol)]);
        let sum: u32 = counts.iter().enumerate().map(|(length, &count)| u32::from(count) << (15 - length)).sum();
        if symbols.len() == 1 || sum == 1 << 15 { Ok(PrefixCode { counts, symbols }) } else { Err(ReadError::Damaged) }
    }

    fn symbol(&self, bits: &mut Bits) -> Result<usize, ReadError> {
        if let [symbol] = self.symbols.as_slice() {
            return Ok(usize::from(*symbol));
        }
        // The first code of each length follows from the shorter codes.
        let (mut code, mut first, mut index) = (0u32, 0u32, 0u32);
        for &count in &self.counts[1..] {
            code |= bits.read(1)?;
            let count = u32::from(count);
            if code < first + count {
                return Ok(usize::from(self.symbols[(index + code - first) as usize]));
            }
            index += count;
            first = (first + count) << 1;
            code <<= 1;
        }
        Err(ReadError::Damaged)
    }
}

/// Reads bits, the lowest of each byte first.
struct Bits<'a> {
    data: &'a [u8],
    /// Bits taken from `data` and not read yet.
    window: u64,
    count: u32,
}

impl<'a> Bits<'a> {
    fn new(data: &'a [u8]) -> Self {
        Bits { data, window: 0, count: 0 }
    }

    /// Reads up to 32 bits.
    fn read(&mut self, count: u32) -> Result<u32, ReadError> {
        while self.count < count {
            let (&byte, rest) = self.data.split_first().ok_or(ReadError::Damaged)?;
            self.data = rest;
            self.window |= u64::from(byte) << self.count;
            self.count += 8;
        }
        let bits = (self.window & ((1 << count) - 1)) as u32;
        self.window >>= count;
        self.count -= count;
        Ok(bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::tests::{test_images::patchwork, webp_files};

    /// Returns the bitstream of a lossless file, after its header.
    fn bitstream(file: &[u8]) -> &[u8] {
        assert_eq!(&file[12..16], b"VP8L");
        &file[25..]
    }

    #[test]
    fn table_memory_is_counted_up_to_a_limit() {
        let file = webp_files::lossless(&patchwork(240, 160), 240, 160);
        let bytes = |left: &mut usize, limit| bytes_within(bitstream(&file), (240, 160), left, limit);
        let mut left = 1_000_000;
        let needed = bytes(&mut left, u64::MAX).expect("counted");
        assert!(needed > FIXED_BYTES + 10 * GROUP_BYTES, "several groups take {needed}");
        assert!(left < 1_000_000);
        assert!(bytes(&mut 1_000_000, needed).is_ok());
        assert!(matches!(bytes(&mut 1_000_000, 20_000), Err(Error::Unsupported { .. })));
        // If there is too much to read, the limit is assumed.
        assert_eq!(bytes(&mut 10, 1 << 20).expect("assumed"), (1 << 20) + FIXED_BYTES + 3 * 60 * 40 * 4);
        // Truncated data is never rejected here.
        for length in (0..bitstream(&file).len()).step_by(97) {
            let cut = &bitstream(&file)[..length];
            assert!(bytes_beside_pixels(cut, (240, 160), &mut 1_000_000).expect("accepted") <= needed);
        }
    }

    #[test]
    fn unused_groups_above_a_thousand_are_not_counted() {
        assert_eq!(allocated_groups([0, 5, 3].into_iter(), 100), 6);
        assert_eq!(allocated_groups([0, 5, 3].into_iter(), 4), 3);
        assert_eq!(allocated_groups([0, 999].into_iter(), 1 << 20), 1000);
        assert_eq!(allocated_groups([0, 1000, 1000].into_iter(), 1 << 20), 2);
    }
}
