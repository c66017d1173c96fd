//! Huffman tables (T.81, annex C and F.2.2.3) as look-up tables indexed by the next bits.

use super::bits::{Reader, extend};
use super::decode_error::DecodeError;

/// Bits that index a look-up table.
pub(super) const LOOK_UP_BITS: u32 = 12;

/// Maximum size of a value in bits. 8-bit images need 11 for DC and 10 for AC (T.81, tables F.1 and F.2), but some encoders
/// exceed that, and every decoder accepts it.
pub(super) const MAX_SIZE: u32 = 15;

/// A symbol; zero if the bits do not contain a complete code. Bits 0–4: bits to take. Bits 5–8: run. Bits 9–12: size of a value
/// that must still be read. Bits 16–31: the value; zero if it must still be read or does not exist.
#[derive(Clone, Copy, Default)]
struct Entry(u32);

impl Entry {
    fn new(length: u32, symbol: u8) -> Self {
        Entry(length | u32::from(symbol >> 4) << 5 | u32::from(symbol & 15) << 9)
    }

    fn with_value(length: u32, symbol: u8, value: i32) -> Self {
        Entry(length | u32::from(symbol >> 4) << 5 | (value as u32) << 16)
    }

    #[inline(always)]
    fn length(self) -> u32 {
        self.0 & 31
    }

    #[inline(always)]
    fn run(self) -> usize {
        (self.0 >> 5 & 15) as usize
    }

    #[inline(always)]
    fn size(self) -> u32 {
        self.0 >> 9 & 15
    }

    #[inline(always)]
    fn value(self) -> i32 {
        self.0 as i32 >> 16
    }
}

/// An AC symbol and its value.
#[derive(Clone, Copy)]
pub(super) struct Symbol {
    /// Number of zeros before the coefficient.
    pub run: usize,
    /// Zero if there is no coefficient: a run of 15 then stands for 16 zeros (ZRL), any other run ends the block.
    pub value: i32,
}

pub(super) struct Table {
    entries: Box<[Entry; 1 << LOOK_UP_BITS]>,
    /// For each code length, the exclusive upper limit of its codes, left-aligned to 16 bits.
    limits: [u32; 17],
    /// For each code length, the offset from a code to the index of its symbol.
    offsets: [i32; 17],
    symbols: [u8; 256],
}

impl Table {
    /// Builds a table from the number of codes of each length, 1 to 16, and their symbols in order.
    pub fn new(counts: &[u8; 16], symbols: &[u8]) -> Result<Self, DecodeError> {
        let mut table = Table {
            entries: Box::new([Entry::default(); 1 << LOOK_UP_BITS]),
            limits: [0; 17],
            offsets: [0; 17],
            symbols: [0; 256],
        };
        let kept = table.symbols.get_mut(..symbols.len()).ok_or(DecodeError::Invalid("a Huffman table with too many codes"))?;
        kept.copy_from_slice(symbols);
        let mut code = 0u32;
        let mut symbols = symbols.iter();
        for length in 1..=16u32 {
            let count = u32::from(counts[length as usize - 1]);
            // The code of all ones is reserved.
            if count > 0 && code + count >= 1 << length {
                return Err(DecodeError::Invalid("a Huffman table with invalid code lengths"));
            }
            let index = shorter_codes(counts, length);
            table.offsets[length as usize] = index - code as i32;
            for &symbol in symbols.by_ref().take(count as usize) {
                if length <= LOOK_UP_BITS {
                    table.enter(code, length, symbol);
                }
                code += 1;
            }
            table.limits[length as usize] = code << (16 - length);
            code <<= 1;
        }
        Ok(table)
    }

    /// Adds a symbol to all entries whose bits start with its code.
    fn enter(&mut self, code: u32, length: u32, symbol: u8) {
        let size = u32::from(symbol & 15);
        let remaining_bits = LOOK_UP_BITS - length;
        for rest in 0..1u32 << remaining_bits {
            self.entries[(code << remaining_bits | rest) as usize] = if size > 0 && size <= remaining_bits {
                Entry::with_value(length + size, symbol, extend((rest >> (remaining_bits - size)) as i32, size))
            } else {
                Entry::new(length, symbol)
            };
        }
    }

    /// Returns whether this can be a DC table: categories above 15 do not exist.
    pub fn is_for_dc(&self) -> bool {
        self.symbols.iter().all(|&symbol| symbol <= 15)
    }

    #[inline(always)]
    fn look_up(&self, bits: &mut Reader) -> Result<Entry, DecodeError> {
        let entry = self.entries[bits.peek(LOOK_UP_BITS)];
        if entry.0 != 0 { Ok(entry) } else { self.look_up_long(bits.peek(16) as u32) }
    }

    /// Takes the next 16 bits rather than the reader, which can then stay in registers.
    #[cold]
    #[inline(never)]
    fn look_up_long(&self, ahead: u32) -> Result<Entry, DecodeError> {
        let length = (1..=16).find(|&length| ahead < self.limits[length]).ok_or(DecodeError::InvalidCode)?;
        let index = (ahead >> (16 - length)) as i32 + self.offsets[length];
        let symbol = usize::try_from(index).ok().and_then(|index| self.symbols.get(index)).ok_or(DecodeError::InvalidCode)?;
        Ok(Entry::new(length as u32, *symbol))
    }

    /// Reads a DC difference, from a table for which [`Table::is_for_dc`] is true. Takes up to 31 bits.
    #[inline(always)]
    pub fn read_dc(&self, bits: &mut Reader) -> Result<i32, DecodeError> {
        let entry = self.look_up(bits)?;
        bits.take(entry.length());
        // No branch on whether the entry contains the value, because it would be unpredictable.
        Ok(entry.value() + bits.read_signed(entry.size()))
    }

    /// Reads an AC symbol and its value. Takes up to 31 bits.
    #[inline(always)]
    pub fn read_ac(&self, bits: &mut Reader) -> Result<Symbol, DecodeError> {
        let entry = self.look_up(bits)?;
        bits.take(entry.length());
        let value = match entry.value() {
            0 => bits.read_signed(entry.size()),
            value => value,
        };
        Ok(Symbol { run: entry.run(), value })
    }

    /// Returns the symbol at the start of `ahead`, and the bits that it takes including its value; `None` if the bits do not
    /// contain all of it.
    pub fn at(&self, ahead: u32) -> Option<(u32, Symbol)> {
        let entry = self.entries[(ahead & ((1 << LOOK_UP_BITS) - 1)) as usize];
        (entry.0 != 0 && entry.size() == 0).then(|| (entry.length(), Symbol { run: entry.run(), value: entry.value() }))
    }

    /// Returns the length of the code at the start of `ahead`.
    pub fn code_length(&self, ahead: u32) -> Option<u32> {
        let ahead = ahead << (16 - LOOK_UP_BITS) & 0xffff;
        (1..=LOOK_UP_BITS).find(|&length| ahead < self.limits[length as usize])
    }

    /// Like [`Table::at`], for a symbol whose value does not matter and so may be outside the bits.
    pub fn at_without_value(&self, ahead: u32) -> Option<(u32, Symbol)> {
        let entry = self.entries[(ahead & ((1 << LOOK_UP_BITS) - 1)) as usize];
        let size = entry.size();
        let value = if size > 0 { 1 } else { entry.value() };
        (entry.0 != 0).then(|| (entry.length() + size, Symbol { run: entry.run(), value }))
    }
}

/// Returns the number of codes shorter than `length`.
fn shorter_codes(counts: &[u8; 16], length: u32) -> i32 {
    counts.iter().take(length as usize - 1).map(|&count| i32::from(count)).sum()
}
