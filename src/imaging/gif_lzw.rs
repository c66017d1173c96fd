//! Verifies the pixels of a GIF frame that is not displayed, without decoding them: the number of pixels that an LZW code stands
//! for depends only on the codes before it (GIF89a, appendix F). This takes a fifth of the time of the decoder.
//!
//! It recognises only flawless data. The decoder decides about all other.

/// Codes have at most 12 bits.
const MAX_CODES: usize = 4096;
const MAX_CODE_BITS: u32 = 12;

/// Returns whether the sub-blocks contain exactly `pixels` pixels: a clear code, valid codes for all of them, and the end code.
pub(super) fn is_flawless<'a>(min_code_bits: u8, sub_blocks: impl Iterator<Item = &'a [u8]>, pixels: usize) -> bool {
    if !(2..=8).contains(&min_code_bits) {
        return false;
    }
    let min_bits = u32::from(min_code_bits) + 1;
    // Lower codes are single pixels; the one after it is the end code.
    let clear = 1usize << min_code_bits;
    // The number of pixels that each code in the table stands for.
    let mut lengths = [0u16; MAX_CODES];
    lengths[..clear].fill(1);
    // The next free code, the bits of the next code, and the pixels of the previous code; zero after a clear code.
    let (mut next, mut code_bits, mut previous) = (clear + 2, min_bits, 0);
    let mut codes = Codes::new(sub_blocks);
    if codes.read(min_bits) != Some(clear) {
        return false;
    }
    let mut found = 0;
    while let Some(code) = codes.read(code_bits) {
        if code & !1 == clear {
            if code != clear {
                return found == pixels;
            }
            (next, code_bits, previous) = (clear + 2, min_bits, 0);
            continue;
        }
        // Each code after the first adds one: the previous code and the first pixel of this one. It can be this one itself.
        if previous > 0 && next < MAX_CODES {
            lengths[next] = previous + 1;
            next += 1;
            if next == 1 << code_bits && code_bits < MAX_CODE_BITS {
                code_bits += 1;
            }
        }
        if code >= next || found > pixels {
            return false;
        }
        previous = lengths[code];
        found += usize::from(previous);
    }
    false
}

/// Bytes of a window. Small enough to stay in the L1 cache.
const CAPACITY: usize = 4096;

/// Reads codes from sub-blocks, whose bytes are first copied to a window, so that eight can be loaded at a time.
struct Codes<I> {
    sub_blocks: I,
    /// The bytes, and room for the last sub-block and for loading past it.
    window: [u8; CAPACITY + 255 + 8],
    filled: usize,
    ended: bool,
    /// Index of the next byte of the window to load.
    at: usize,
    /// The next bits, and how many of them are valid. Higher bits may already be set.
    buffer: u64,
    count: u32,
}

impl<'a, I: Iterator<Item = &'a [u8]>> Codes<I> {
    fn new(sub_blocks: I) -> Self {
        Codes { sub_blocks, window: [0; CAPACITY + 255 + 8], filled: 0, ended: false, at: 0, buffer: 0, count: 0 }
    }

    /// Reads a code of up to 12 bits. Returns `None` at the end of the data.
    #[inline(always)]
    fn read(&mut self, bits: u32) -> Option<usize> {
        if self.at + 8 > self.filled && !self.fill(bits) {
            return None;
        }
        let word = self.window.get(self.at..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u64::from_le_bytes(*bytes));
        self.buffer |= word << self.count;
        self.at += ((63 - self.count) >> 3) as usize;
        self.count |= 56;
        let code = self.buffer & ((1 << bits) - 1);
        self.buffer >>= bits;
        self.count -= bits;
        Some(code as usize)
    }

    /// Moves the unread bytes to the front of the window and copies more after them. At the end, zeros follow the data. Returns
    /// whether the data contains `bits` more bits.
    #[cold]
    #[inline(never)]
    fn fill(&mut self, bits: u32) -> bool {
        if !self.ended {
            // Bytes with bits in the buffer stay, so that the number of bits read is always known.
            let start = (self.at - self.count as usize / 8).min(self.filled);
            self.window.copy_within(start..self.filled, 0);
            self.at -= start;
            self.filled -= start;
            while self.filled < CAPACITY && !self.ended {
                match self.sub_blocks.next() {
                    Some(block) => {
                        self.window[self.filled..self.filled + block.len()].copy_from_slice(block);
                        self.filled += block.len();
                    }
                    None => self.ended = true,
                }
            }
            if self.ended {
                self.window[self.filled..].fill(0);
            }
        }
        self.at * 8 + bits as usize <= self.filled * 8 + self.count as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packs codes of the given bits.
    fn packed(codes: &[(u32, u32)]) -> Vec<u8> {
        let mut bits =
            codes.iter().flat_map(|&(code, bits)| (0..bits).map(move |bit| (code >> bit & 1) as u8)).collect::<Vec<_>>();
        bits.resize(bits.len().next_multiple_of(8), 0);
        bits.chunks(8).map(|byte| byte.iter().rev().fold(0, |value, bit| value << 1 | bit)).collect()
    }

    fn check(codes: &[(u32, u32)], pixels: usize) -> bool {
        let data = packed(codes);
        is_flawless(2, data.chunks(2), pixels)
    }

    #[test]
    fn codes_of_known_length_are_counted() {
        assert!(check(&[(4, 3), (1, 3), (5, 3)], 1));
        // A code may be the one that it adds: 1, 11, 111.
        assert!(check(&[(4, 3), (1, 3), (6, 3), (7, 3), (5, 4)], 6));
        assert!(check(&[(4, 3), (1, 3), (6, 3), (4, 3), (3, 3), (5, 3)], 4));
        assert!(check(&[(4, 3), (4, 3), (1, 3), (5, 3)], 1));
    }

    #[test]
    fn everything_else_is_left_to_the_decoder() {
        // No clear code, an unknown code, a code after the clear code that is not a pixel.
        for codes in [&[(1, 3), (5, 3)][..], &[(4, 3), (1, 3), (7, 3), (5, 3)], &[(4, 3), (6, 3), (5, 3)]] {
            assert!((0..9).all(|pixels| !check(codes, pixels)), "{codes:?}");
        }
        // Too few, too many, no end code.
        assert!(!check(&[(4, 3), (1, 3), (5, 3)], 2));
        assert!(!check(&[(4, 3), (1, 3), (1, 3), (5, 3)], 1));
        assert!(!check(&[(4, 3), (1, 3)], 1));
        assert!(!is_flawless(1, std::iter::empty(), 0));
    }

    /// Noise and stripes in all code sizes, so that the table fills up and is cleared, as the decoder reads them.
    #[test]
    fn what_the_decoder_reads_is_flawless() {
        for min_bits in 2..=8u8 {
            for period in [1u32, 3, 50, u32::MAX] {
                let mut state = 1u32;
                let pixels: Vec<u8> = (0..60_000u32)
                    .map(|index| {
                        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        let value = if period == u32::MAX { state >> 24 } else { index / period };
                        (value & ((1 << min_bits) - 1)) as u8
                    })
                    .collect();
                let mut frame = gif::Frame { width: 300, height: 200, buffer: pixels.into(), ..gif::Frame::default() };
                frame.make_lzw_pre_encoded();
                let (bits, data) = frame.buffer.split_first().expect("a code size");
                assert!(is_flawless(*bits, data.chunks(255), 60_000), "{min_bits} bits, period {period}");
                assert!(!is_flawless(*bits, data.chunks(255), 59_999));
                assert!(!is_flawless(*bits, data[..data.len() - 2].chunks(255), 60_000));
            }
        }
    }

    /// What is accepted here, the decoder accepts as well.
    #[test]
    fn the_decoder_reads_what_is_flawless() {
        let pixels: Vec<u8> = (0..1200u32).map(|index| ((index * index / 7 % 13) & 7) as u8).collect();
        let mut frame = gif::Frame { width: 40, height: 30, buffer: pixels.into(), ..gif::Frame::default() };
        frame.make_lzw_pre_encoded();
        let original = frame.buffer.to_vec();
        let mut state = 5u32;
        let mut random = |below: usize| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as usize % below
        };
        let mut accepted = 0;
        for _ in 0..20_000 {
            let mut damaged = original.clone();
            for _ in 0..random(3) {
                let at = 1 + random(damaged.len() - 1);
                damaged[at] ^= 1 << random(8);
            }
            if is_flawless(damaged[0], damaged[1..].chunks(255), 1200) {
                frame.buffer = damaged.into();
                let mut file = Vec::new();
                let mut encoder = gif::Encoder::new(&mut file, 40, 30, &[0; 24]).expect("a GIF starts");
                encoder.write_lzw_pre_encoded_frame(&frame).expect("a frame");
                drop(encoder);
                let mut options = gif::DecodeOptions::new();
                options.set_color_output(gif::ColorOutput::Indexed);
                let mut decoder = options.read_info(file.as_slice()).expect("a GIF");
                assert!(decoder.read_next_frame().expect("decoded").is_some());
                accepted += 1;
            }
        }
        assert!(accepted > 6_000, "{accepted}");
    }
}
