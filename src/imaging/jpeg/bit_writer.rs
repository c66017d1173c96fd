//! Writes the Huffman-coded coefficients of a scan (T.81, F.1.2).

use super::forward_dct::ZIGZAG_IN_COLUMNS;
use super::standard_tables::Codes;

/// The code of each symbol: its bits, and their number in the lowest byte.
pub(super) struct Encoding([u64; 256]);

impl Encoding {
    /// Assigns codes in increasing order (T.81, annex C).
    pub fn new((counts, symbols): &Codes) -> Self {
        let mut encoding = [0; 256];
        let mut symbols = symbols.iter();
        let mut code = 0u64;
        for (count, length) in counts.iter().zip(1u64..) {
            for &symbol in symbols.by_ref().take(usize::from(*count)) {
                let size = u64::from(symbol & 15);
                encoding[usize::from(symbol)] = code << size << 8 | (length + size);
                code += 1;
            }
            code <<= 1;
        }
        Encoding(encoding)
    }
}

/// More than a block takes: 64 codes of 16 bits and values of 11, and one store past the end.
const MAX_BLOCK_BYTES: usize = 256;

/// Bytes that are collected before they are added to the file. Small enough to stay in the L1 cache.
const CAPACITY: usize = 8 << 10;

pub(super) struct BitWriter {
    file: Vec<u8>,
    /// Bytes without the zero that must follow each 0xff. Adding the zeros later, many bytes at a time, leaves no branch to
    /// predict for each code.
    window: Box<[u8; CAPACITY + MAX_BLOCK_BYTES]>,
    cursor: Cursor,
}

/// The write position. Copying it is cheap, and a copy can stay in registers.
#[derive(Clone, Copy, Default)]
struct Cursor {
    at: usize,
    /// The next bits, left-aligned; fewer than eight between two calls.
    buffer: u64,
    count: u32,
}

impl BitWriter {
    /// Appends to a file.
    pub fn after(file: Vec<u8>) -> Self {
        BitWriter { file, window: Box::new([0; CAPACITY + MAX_BLOCK_BYTES]), cursor: Cursor::default() }
    }

    /// Writes a block. Its coefficients are in columns; `previous` is the DC of the previous block of the component.
    #[inline(always)]
    pub fn block(&mut self, coefficients: &[i16; 64], previous: i16, dc: &Encoding, ac: &Encoding) {
        if self.cursor.at >= CAPACITY {
            self.empty();
        }
        let window = self.window.as_mut_slice();
        let mut cursor = self.cursor;
        cursor.symbol(window, dc, 0, i32::from(coefficients[0]) - i32::from(previous));
        let mut rest = in_zigzag_order(nonzero(coefficients)) & !1;
        let mut last = 0;
        while rest != 0 {
            let index = rest.trailing_zeros();
            let mut run = index - last - 1;
            while run > 15 {
                cursor.symbol(window, ac, 15, 0);
                run -= 16;
            }
            let place = ZIGZAG_IN_COLUMNS[index as usize & 63];
            cursor.symbol(window, ac, run, i32::from(coefficients[usize::from(place) & 63]));
            last = index;
            rest &= rest - 1;
        }
        if last < 63 {
            cursor.symbol(window, ac, 0, 0);
        }
        self.cursor = cursor;
    }

    /// Adds the bytes of the window to the file, with a zero after each 0xff.
    #[cold]
    #[inline(never)]
    fn empty(&mut self) {
        let mut rest = &self.window[..self.cursor.at];
        while let Some(at) = memchr::memchr(0xff, rest) {
            self.file.extend_from_slice(&rest[..=at]);
            self.file.push(0);
            rest = &rest[at + 1..];
        }
        self.file.extend_from_slice(rest);
        self.cursor.at = 0;
    }

    /// Pads the last byte with ones and writes it.
    pub fn finish(mut self) -> Vec<u8> {
        let padding = self.cursor.count.next_multiple_of(8) - self.cursor.count;
        self.cursor.put(self.window.as_mut_slice(), (1 << padding) - 1, padding);
        self.empty();
        self.file
    }
}

impl Cursor {
    /// Writes the code for a run and the size of a value, and then the value.
    #[inline(always)]
    fn symbol(&mut self, window: &mut [u8], encoding: &Encoding, run: u32, value: i32) {
        let size = 32 - value.unsigned_abs().leading_zeros();
        let code = encoding.0[(run << 4 | size) as usize & 255];
        // A negative value is written as its lowest bits minus one (T.81, F.1.2.1.1).
        let bits = (value + (value >> 31)) as u64 & ((1 << size) - 1);
        // The entry is the code, shifted to leave room for the value, and the length of both.
        self.put(window, code >> 8 | bits, (code & 0xff) as u32);
    }

    /// Writes up to 27 bits.
    #[inline(always)]
    fn put(&mut self, window: &mut [u8], bits: u64, length: u32) {
        self.count += length;
        self.buffer |= bits << ((64 - self.count) & 63);
        if let Some(to) = window.get_mut(self.at..).and_then(|rest| rest.first_chunk_mut::<8>()) {
            *to = self.buffer.to_be_bytes();
        }
        self.at += (self.count >> 3) as usize;
        self.buffer <<= self.count & !7;
        self.count &= 7;
    }
}

/// For each column of a block and each set of coefficients in it, one bit each, their bits in zigzag order. Reordering these bits
/// is faster than reordering 64 coefficients, of which most are zero.
static COLUMNS_IN_ZIGZAG_ORDER: [[u64; 256]; 8] = {
    let mut table = [[0; 256]; 8];
    let mut index = 0;
    while index < 64 {
        let (column, row) = (ZIGZAG_IN_COLUMNS[index] as usize / 8, ZIGZAG_IN_COLUMNS[index] % 8);
        let mut set = 0;
        while set < 256 {
            table[column][set] |= (set as u64 >> row & 1) << index;
            set += 1;
        }
        index += 1;
    }
    table
};

/// Converts a bit for each coefficient in columns to a bit for each in zigzag order.
#[inline(always)]
fn in_zigzag_order(bits: u64) -> u64 {
    let columns = bits.to_le_bytes().into_iter().zip(&COLUMNS_IN_ZIGZAG_ORDER);
    columns.fold(0, |all, (column, table)| all | table[usize::from(column)])
}

/// Returns a bit for each coefficient that is not zero.
#[inline(always)]
fn nonzero(coefficients: &[i16; 64]) -> u64 {
    let flags = coefficients.map(|value| u8::from(value != 0));
    let (groups, _) = flags.as_chunks::<8>();
    // The multiplication collects the lowest bits of eight bytes in the highest byte.
    let bits = groups.iter().map(|group| u64::from_le_bytes(*group).wrapping_mul(0x0102_0408_1020_4080) >> 56);
    bits.zip(0..).fold(0, |all, (bits, index)| all | bits << (8 * index))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_nonzero_coefficient_is_found() {
        for index in 0..64 {
            let mut coefficients = [0; 64];
            (coefficients[index], coefficients[index / 2]) = (-1, 256);
            assert_eq!(nonzero(&coefficients), 1 << index | 1 << (index / 2));
        }
    }

    #[test]
    fn bits_are_reordered_like_coefficients() {
        for (index, place) in ZIGZAG_IN_COLUMNS.into_iter().enumerate() {
            assert_eq!(in_zigzag_order(1 << place), 1 << index);
        }
        assert_eq!(in_zigzag_order(u64::MAX), u64::MAX);
    }

    fn written(values: &[(u64, u32)]) -> Vec<u8> {
        let mut writer = BitWriter::after(vec![1]);
        values.iter().for_each(|&(bits, length)| writer.cursor.put(writer.window.as_mut_slice(), bits, length));
        writer.finish()
    }

    #[test]
    fn bytes_that_look_like_markers_are_stuffed() {
        assert_eq!(written(&[(0xff, 8), (0x1, 4)]), [1, 0xff, 0, 0x1f]);
        assert_eq!(written(&[(0xff_00ff, 24); 3]), [1, 0xff, 0, 0, 0xff, 0, 0xff, 0, 0, 0xff, 0, 0xff, 0, 0, 0xff, 0]);
    }
}
