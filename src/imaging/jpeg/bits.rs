//! The bits of an entropy-coded segment (ITU-T T.81, F.2.2.5): the bytes between two markers, without the zero that is stuffed
//! after every 0xff.
//!
//! Bytes are unstuffed into a small window first, so that the hot loops read eight at a time without checks. After the end of
//! the segment the window contains zeros. Reading them is detected at the next MCU ([`Bits::start_mcu`]), so the code within an
//! MCU needs no check.

use super::decode_error::DecodeError;
use super::segments::next_marker;

/// More than the largest MCU takes: ten blocks of 64 symbols of 16 + 16 bits.
const SLACK: usize = 10 * 64 * 4 + 64;

/// Bytes unstuffed per fill. Small enough to stay in the L1 cache.
const CAPACITY: usize = 8 << 10;

pub(super) struct Bits<'a> {
    file: &'a [u8],
    /// Position in the file where unstuffing continues; that of the marker if `ended`.
    next: usize,
    /// Whether a marker or the end of the file was reached.
    ended: bool,
    window: Box<[u8; CAPACITY + SLACK]>,
    /// Bytes of the segment in the window.
    filled: usize,
    cursor: Cursor,
}

/// The read position. Copying it is cheap, and a copy can stay in registers.
#[derive(Clone, Copy, Default)]
struct Cursor {
    /// Index of the next byte of the window to load.
    at: usize,
    /// The next bits, left-aligned.
    buffer: u64,
    /// Number of valid bits in the buffer. Lower bits may already be set.
    count: u32,
}

impl Cursor {
    fn bits_read(self) -> usize {
        self.at * 8 - self.count as usize
    }
}

impl<'a> Bits<'a> {
    pub fn new(file: &'a [u8]) -> Self {
        Bits { file, next: 0, ended: true, window: Box::new([0; CAPACITY + SLACK]), filled: 0, cursor: Cursor::default() }
    }

    /// Starts the segment at `position` of the file.
    pub fn start_segment(&mut self, position: usize) {
        self.next = position;
        self.ended = false;
        self.filled = 0;
        self.cursor = Cursor::default();
    }

    /// Must be called before every MCU: ensures that its bits are in the window.
    #[inline(always)]
    pub fn start_mcu(&mut self) -> Result<(), DecodeError> {
        if self.cursor.at + SLACK <= self.filled { Ok(()) } else { self.fill_or_end() }
    }

    #[cold]
    #[inline(never)]
    fn fill_or_end(&mut self) -> Result<(), DecodeError> {
        if self.ended {
            return if self.cursor.bits_read() <= self.filled * 8 { Ok(()) } else { Err(self.cut_off()) };
        }
        self.fill();
        Ok(())
    }

    /// Finishes the segment and skips the bytes after its last MCU. Returns the position of the next marker (its first 0xff),
    /// or the end of the file.
    pub fn finish_segment(&mut self) -> Result<usize, DecodeError> {
        if !self.ended {
            self.fill();
        }
        if self.cursor.bits_read() > self.filled * 8 {
            return Err(self.cut_off());
        }
        let unread_bytes = self.filled - self.cursor.bits_read().div_ceil(8);
        let read_to = self.next - unread_bytes;
        while !self.ended {
            match next_marker(self.file, self.next) {
                Some((_, code)) if self.file[code] == 0 => self.next = code + 1,
                Some((start, _)) => (self.next, self.ended) = (start, true),
                None => (self.next, self.ended) = (self.file.len(), true),
            }
        }
        if self.next == self.file.len() && self.is_zero_filled(read_to) {
            return Err(DecodeError::ZeroFilled);
        }
        Ok(self.next)
    }

    /// Returns whether the file ends in zeros of which some were read as MCUs and some were not. An interrupted download leaves
    /// such zeros, and zero bits are often valid codes. Zeros after the last MCU are padding, because its last byte is padded
    /// with ones.
    fn is_zero_filled(&self, read_to: usize) -> bool {
        let zeros = self.file.iter().rev().take_while(|&&byte| byte == 0).count();
        let data_end = self.file.len() - zeros;
        read_to > data_end + 1 && read_to < self.file.len()
    }

    fn cut_off(&self) -> DecodeError {
        if self.next < self.file.len() { DecodeError::UnexpectedMarker } else { DecodeError::Truncated }
    }

    /// Moves the unread bytes to the front of the window and unstuffs more after them. Bytes with bits in the buffer stay, so
    /// that the number of bits read is always known.
    fn fill(&mut self) {
        let loaded = (self.cursor.count as usize).div_ceil(8);
        let start = (self.cursor.at - loaded).min(self.filled);
        let kept = self.filled - start;
        self.window.copy_within(start..self.filled, 0);
        self.cursor.at = loaded;
        self.filled = kept;
        while !self.ended && self.filled < CAPACITY {
            let rest = &self.file[self.next..];
            let chunk = &rest[..rest.len().min(CAPACITY - self.filled)];
            let plain = memchr::memchr(0xff, chunk).unwrap_or(chunk.len());
            self.window[self.filled..self.filled + plain].copy_from_slice(&chunk[..plain]);
            self.filled += plain;
            self.next += plain;
            if plain == chunk.len() {
                self.ended = rest.len() == plain;
                continue;
            }
            // Any number of 0xff bytes may precede the marker code.
            let fill = rest[plain..].iter().take_while(|&&byte| byte == 0xff).count();
            if rest.get(plain + fill) == Some(&0) {
                self.window[self.filled] = 0xff;
                self.filled += 1;
                self.next += fill + 1;
            } else {
                self.ended = true;
            }
        }
        if self.ended {
            self.window[self.filled..].fill(0);
        }
    }

    /// Returns a reader with a copy of the cursor, which the compiler can keep in registers.
    #[inline(always)]
    pub fn reader(&mut self) -> Reader<'_> {
        Reader { window: &self.window, local: self.cursor, home: &mut self.cursor }
    }
}

/// Reads bits within one MCU. [`Reader::done`] writes the position back to the segment.
pub(super) struct Reader<'b> {
    window: &'b [u8; CAPACITY + SLACK],
    local: Cursor,
    home: &'b mut Cursor,
}

impl Reader<'_> {
    #[inline(always)]
    pub fn done(self) {
        *self.home = self.local;
    }

    /// Ensures that at least 56 bits can be peeked and taken.
    #[inline(always)]
    pub fn refill(&mut self) {
        let Cursor { at, buffer, count } = &mut self.local;
        let word = self.window.get(*at..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u64::from_be_bytes(*bytes));
        *buffer |= word >> *count;
        *at += ((63 - *count) >> 3) as usize;
        *count |= 56;
    }

    /// Returns the next `count` bits (1 to 32) without taking them.
    #[inline(always)]
    pub fn peek(&self, count: u32) -> usize {
        (self.local.buffer >> (64 - count)) as usize
    }

    /// Skips `count` bits, up to 56 since the last refill.
    #[inline(always)]
    pub fn take(&mut self, count: u32) {
        self.local.buffer <<= count;
        self.local.count -= count;
    }

    /// Reads `count` bits (0 to 16).
    #[inline(always)]
    pub fn read(&mut self, count: u32) -> u32 {
        let value = (self.local.buffer >> 32 >> (32 - count)) as u32;
        self.take(count);
        value
    }

    /// Reads a coefficient of `size` bits (0 to 15).
    #[inline(always)]
    pub fn read_signed(&mut self, size: u32) -> i32 {
        let value = (self.local.buffer >> 1 >> (63 - size)) as i32;
        // All ones if the first bit is 0: [`extend`] without a branch.
        let negative = !((self.local.buffer as i64) >> 63) as i32;
        self.take(size);
        value - (negative & ((1 << size) - 1))
    }
}

/// Converts `size` bits to a coefficient (EXTEND): bits that start with 0 are a negative value (T.81, figure F.12).
pub(super) fn extend(bits: i32, size: u32) -> i32 {
    if bits < 1 << (size - 1) { bits - (1 << size) + 1 } else { bits }
}
