//! Decoding of the AC coefficients of a block in sequential JPEG. Most of a file is read here. Where only the lowest frequencies
//! are needed, two look-up tables complement the Huffman table:
//!
//! - *low entries*: everything that the next bits contain of the 2×2 lowest frequencies, including the values;
//! - *skip entries*: the number of symbols in the next bits that can be skipped.

use super::bits::Reader;
use super::decode_error::DecodeError;
use super::forward_dct::ZIGZAG_IN_COLUMNS;
use super::huffman::{LOOK_UP_BITS, MAX_SIZE, Symbol, Table};
use super::idct::needed;
use super::inverse_dct::PLACES_4;
use std::sync::Arc;

const ENTRIES: usize = 1 << LOOK_UP_BITS;

/// Bits that index the low entries.
const LOW_BITS: u32 = 10;

pub(super) struct AcTable {
    table: Arc<Table>,
    low_entries: Box<[LowEntry; 1 << LOW_BITS]>,
    skip_entries: Box<[SkipEntry; ENTRIES]>,
}

/// The start of a block. Bits 0–4: bits to take. Bit 5: whether the block ends. Bits 8–15: index of the next coefficient. From
/// bit 16 on, 16 bits each: coefficients 1, 2 and 4 in zigzag order.
#[derive(Clone, Copy)]
struct LowEntry(u64);

/// Symbols to skip. Bits 0–4: bits to take. Bit 5: whether the block ends. From bit 6 on: coefficients skipped, plus one if the
/// block ends. If the bits contain no complete code, more coefficients than any block has.
#[derive(Clone, Copy)]
struct SkipEntry(u16);

const ENDS_BLOCK: u16 = 1 << 5;

/// Where reading a block stopped.
struct Read {
    /// Index of the next coefficient.
    next: usize,
    /// Whether the block ended there.
    ended: bool,
}

impl AcTable {
    /// Builds the look-up tables that decoding at `eighths` of the size needs. Entries that are not built contain no symbol, which
    /// is always valid.
    pub fn new(table: Arc<Table>, eighths: usize) -> Self {
        let mut low_entries = Box::new([LowEntry(1 << 8); 1 << LOW_BITS]);
        let mut skip_entries = Box::new([SkipEntry(64 << 6); ENTRIES]);
        if eighths == 2 {
            for (bits, entry) in low_entries.iter_mut().enumerate() {
                *entry = low_entry(&table, bits as u32);
            }
        }
        if eighths < 8 {
            for bits in 0..ENTRIES {
                skip_entries[bits] = skip_entry(&table, bits as u32);
            }
        }
        AcTable { table, low_entries, skip_entries }
    }

    /// Reads the first five coefficients in zigzag order, except the fourth, which is not one of the 2×2 lowest, and skips the
    /// rest. After the DC, at least 25 bits must be left.
    #[inline(always)]
    pub fn read_2(&self, bits: &mut Reader, dc: i32) -> Result<[i32; 5], DecodeError> {
        let first = self.low_entries[bits.peek(LOW_BITS)].0;
        bits.take((first & 31) as u32);
        let value = |place: u32| (first >> place) as i16;
        let mut coefficients = [0, value(16), value(32), 0, value(48), 0, 0, 0];
        let mut read = Read { next: (first >> 8 & 0xff) as usize, ended: first & u64::from(ENDS_BLOCK) != 0 };
        if !read.ended && read.next < needed(2) {
            read = self.read(read.next, &[0, 1, 2, 3, 4], &mut coefficients, bits)?;
        }
        if !read.ended {
            self.skip(read.next, bits)?;
        }
        let [_, across, down, _, both, ..] = coefficients.map(i32::from);
        Ok([dc, across, down, 0, both])
    }

    /// Reads the 4×4 lowest frequencies into a block of zeros, in rows, and skips the rest. Returns whether there are any
    /// AC coefficients. Element 16 is a placeholder for other frequencies.
    #[inline(always)]
    pub fn read_4(&self, bits: &mut Reader, into: &mut [i16; 32]) -> Result<bool, DecodeError> {
        let read = self.read(1, &PLACES_4, into, bits)?;
        if !read.ended {
            self.skip(read.next, bits)?;
        }
        Ok(read.next > 1)
    }

    /// Reads all AC coefficients into a block of zeros, in columns. Returns whether there are any.
    #[inline(always)]
    pub fn read_8(&self, bits: &mut Reader, into: &mut [i16; 64]) -> Result<bool, DecodeError> {
        Ok(self.read(1, &ZIGZAG_IN_COLUMNS, into, bits)?.next > 1)
    }

    /// Reads coefficients from `k` on until the block ends or there is no place for further ones. `LENGTH` is a power of two.
    #[inline(always)]
    fn read<const PLACES: usize, const LENGTH: usize>(
        &self,
        mut k: usize,
        places: &[u8; PLACES],
        into: &mut [i16; LENGTH],
        bits: &mut Reader,
    ) -> Result<Read, DecodeError> {
        while k < PLACES {
            bits.refill();
            match self.table.read_ac(bits)? {
                Symbol { run: 15, value: 0 } => k += 16,
                Symbol { value: 0, .. } => return Ok(Read { next: k, ended: true }),
                Symbol { run, value } => {
                    k += run;
                    if let Some(&place) = places.get(k) {
                        into[usize::from(place) & (LENGTH - 1)] = value as i16;
                    }
                    k += 1;
                }
            }
        }
        if k > 64 { Err(DecodeError::BlockOverrun) } else { Ok(Read { next: k, ended: false }) }
    }

    /// Skips all coefficients from `k`, which is at least 1, to the end of the block.
    #[inline(always)]
    pub fn skip(&self, mut k: usize, bits: &mut Reader) -> Result<(), DecodeError> {
        while k < 64 {
            // Two look-ups take up to 54 bits.
            bits.refill();
            for _ in 0..2 {
                let skip = self.skip_entries[bits.peek(LOOK_UP_BITS)].0;
                let after = k + usize::from(skip >> 6);
                if after > 64 {
                    // The entry exceeds this block, so the end of the block is within it: skip one symbol at a time.
                    k = self.skip_one(k, bits)?;
                    break;
                }
                bits.take(u32::from(skip & 31));
                if skip & ENDS_BLOCK != 0 {
                    return Ok(());
                }
                k = after;
            }
        }
        Ok(())
    }

    #[inline(never)]
    fn skip_one(&self, k: usize, bits: &mut Reader) -> Result<usize, DecodeError> {
        if k == 64 {
            return Ok(64);
        }
        bits.refill();
        let after = match self.table.read_ac(bits)? {
            Symbol { run: 15, value: 0 } => k + 16,
            Symbol { value: 0, .. } => 64,
            Symbol { run, .. } => k + run + 1,
        };
        if after > 64 { Err(DecodeError::BlockOverrun) } else { Ok(after) }
    }
}

fn low_entry(table: &Table, bits: u32) -> LowEntry {
    let (mut taken, mut k, mut values, mut ends) = (0, 1, 0u64, false);
    while taken < LOW_BITS && k < needed(2) && !ends {
        let ahead = bits << (LOOK_UP_BITS - LOW_BITS) << taken;
        let Some((length, symbol)) = table.at(ahead).filter(|(length, _)| taken + length <= LOW_BITS) else { break };
        match symbol {
            Symbol { run: 15, value: 0 } => k += 16,
            Symbol { value: 0, .. } => ends = true,
            Symbol { run, value } => {
                k += run;
                if let Some(place) = [(1, 16), (2, 32), (4, 48)].iter().find(|(index, _)| *index == k) {
                    values |= u64::from(value as u16) << place.1;
                }
                k += 1;
            }
        }
        taken += length;
    }
    LowEntry(u64::from(taken) | if ends { u64::from(ENDS_BLOCK) } else { 0 } | (k as u64) << 8 | values)
}

fn skip_entry(table: &Table, bits: u32) -> SkipEntry {
    let (mut taken, mut passed, mut ends) = (0, 0, false);
    while taken < LOOK_UP_BITS && !ends {
        let Some((length, symbol)) = table.at_without_value(bits << taken) else { break };
        let coefficients = match symbol {
            Symbol { run: 15, value: 0 } => 16,
            Symbol { value: 0, .. } => 0,
            Symbol { run, .. } => run + 1,
        };
        // The code itself and everything before it must be within the bits; its value need not be.
        let code_seen = table.code_length(bits << taken).is_some_and(|code| taken + code <= LOOK_UP_BITS);
        if !code_seen || passed + coefficients > 63 {
            break;
        }
        ends = coefficients == 0;
        taken += length;
        passed += coefficients;
    }
    if taken == 0 {
        return SkipEntry(64 << 6);
    }
    debug_assert!(taken <= LOOK_UP_BITS + MAX_SIZE);
    SkipEntry(((passed + usize::from(ends)) << 6) as u16 | taken as u16 | if ends { ENDS_BLOCK } else { 0 })
}
