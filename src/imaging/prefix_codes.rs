//! Writes the bits and the prefix codes of a lossless WebP bitstream (RFC 9649, 3.7.2).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Maximum length of a code in bits.
const MAX_CODE_BITS: u8 = 15;

/// Maximum length of a code for code lengths, which are written with 3 bits.
const MAX_CODE_LENGTH_CODE_BITS: u8 = 7;

/// The order in which the lengths of the codes for code lengths are written.
const CODE_LENGTH_ORDER: [usize; 19] = [17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

/// Collects bits, the lowest first.
#[derive(Default)]
pub(super) struct BitWriter {
    bytes: Vec<u8>,
    pending: u64,
    pending_bits: u32,
}

impl BitWriter {
    /// Appends up to 32 bits.
    pub fn write(&mut self, value: u32, bits: u32) {
        self.pending |= u64::from(value) << self.pending_bits;
        self.pending_bits += bits;
        if self.pending_bits >= 32 {
            self.bytes.extend_from_slice(&(self.pending as u32).to_le_bytes());
            self.pending >>= 32;
            self.pending_bits -= 32;
        }
    }

    pub fn finish(mut self) -> Vec<u8> {
        let rest = self.pending_bits.div_ceil(8) as usize;
        self.bytes.extend_from_slice(&self.pending.to_le_bytes()[..rest]);
        self.bytes
    }
}

/// A canonical prefix code.
pub(super) struct PrefixCode {
    /// The length of each symbol's code in bits; 0 for a symbol that does not occur.
    pub lengths: Vec<u8>,
    /// The codes with their bits in the order in which they are written. Empty if there is only one symbol, whose code has no
    /// bits.
    codes: Vec<u16>,
}

impl PrefixCode {
    /// Returns the shortest code for symbols that occur as often as `counts` states.
    pub fn of(counts: &[u32]) -> Self {
        Self::limited(counts, MAX_CODE_BITS)
    }

    fn limited(counts: &[u32], max_bits: u8) -> Self {
        let lengths = code_lengths(counts, max_bits);
        let single = lengths.iter().filter(|&&length| length > 0).count() < 2;
        let codes = if single { Vec::new() } else { canonical(&lengths) };
        PrefixCode { lengths, codes }
    }

    /// Writes the code of a symbol that occurs.
    #[inline]
    pub fn put(&self, symbol: usize, writer: &mut BitWriter) {
        if let (Some(&code), Some(&length)) = (self.codes.get(symbol), self.lengths.get(symbol)) {
            writer.write(u32::from(code), u32::from(length));
        }
    }

    /// Writes the code itself.
    pub fn write(&self, writer: &mut BitWriter) {
        let used: Vec<usize> = (0..self.lengths.len()).filter(|&symbol| self.lengths[symbol] > 0).take(3).collect();
        match *used.as_slice() {
            [] => write_simple(&[0], writer),
            [first] if first < 256 => write_simple(&[first], writer),
            [first, second] if second < 256 => write_simple(&[first, second], writer),
            _ => self.write_lengths(writer),
        }
    }

    fn write_lengths(&self, writer: &mut BitWriter) {
        let runs = runs(&self.lengths);
        let mut counts = [0; CODE_LENGTH_ORDER.len()];
        runs.iter().for_each(|run| counts[run.symbol] += 1);
        let code = PrefixCode::limited(&counts, MAX_CODE_LENGTH_CODE_BITS);
        let written = CODE_LENGTH_ORDER.iter().rposition(|&symbol| code.lengths[symbol] > 0).map_or(4, |last| last.max(3) + 1);
        writer.write(0, 1);
        writer.write(written as u32 - 4, 4);
        CODE_LENGTH_ORDER[..written].iter().for_each(|&symbol| writer.write(u32::from(code.lengths[symbol]), 3));
        // The lengths of all symbols follow.
        writer.write(0, 1);
        for run in runs {
            code.put(run.symbol, writer);
            writer.write(run.extra, run.extra_bits);
        }
    }
}

/// Writes a code of one or two symbols below 256.
fn write_simple(symbols: &[usize], writer: &mut BitWriter) {
    writer.write(1, 1);
    writer.write(symbols.len() as u32 - 1, 1);
    let wide = symbols[0] > 1;
    writer.write(u32::from(wide), 1);
    writer.write(symbols[0] as u32, if wide { 8 } else { 1 });
    symbols[1..].iter().for_each(|&symbol| writer.write(symbol as u32, 8));
}

/// A code length, or repeated lengths: 16 repeats the last one that is not zero, 17 and 18 repeat zero.
struct Run {
    symbol: usize,
    extra: u32,
    extra_bits: u32,
}

fn runs(lengths: &[u8]) -> Vec<Run> {
    let mut runs = Vec::new();
    let mut push = |symbol: usize, extra: usize, extra_bits: u32| runs.push(Run { symbol, extra: extra as u32, extra_bits });
    for run in lengths.chunk_by(|first, second| first == second) {
        let (length, mut left) = (usize::from(run[0]), run.len());
        if length > 0 {
            push(length, 0, 0);
            left -= 1;
        }
        while left > 0 {
            let repeated = match (length, left) {
                (0, 11..) => left.min(138),
                (0, 3..) => left,
                (_, 3..) => left.min(6),
                _ => 1,
            };
            match (length, repeated) {
                (_, 1) => push(length, 0, 0),
                (0, 11..) => push(18, repeated - 11, 7),
                (0, _) => push(17, repeated - 3, 3),
                _ => push(16, repeated - 3, 2),
            }
            left -= repeated;
        }
    }
    runs
}

/// Returns the lengths of a Huffman code. If one exceeds `max_bits`, rare symbols count as more frequent, as in libwebp.
fn code_lengths(counts: &[u32], max_bits: u8) -> Vec<u8> {
    let mut least = 1;
    loop {
        let lengths = unlimited_lengths(counts, least);
        if lengths.iter().all(|&length| length <= max_bits) {
            return lengths;
        }
        least *= 2;
    }
}

fn unlimited_lengths(counts: &[u32], least: u32) -> Vec<u8> {
    let used = counts.iter().enumerate().filter(|(_, count)| **count > 0);
    let mut nodes: BinaryHeap<_> =
        used.enumerate().map(|(node, (_, &count))| Reverse((u64::from(count.max(least)), node))).collect();
    let leaves = nodes.len();
    let mut lengths = vec![0; counts.len()];
    if leaves == 1 {
        lengths.iter_mut().zip(counts).filter(|(_, count)| **count > 0).for_each(|(length, _)| *length = 1);
        return lengths;
    }
    let mut parents = vec![0; (leaves * 2).saturating_sub(1)];
    let mut next = leaves;
    while let (Some(Reverse((first, left))), Some(Reverse((second, right)))) = (nodes.pop(), nodes.pop()) {
        (parents[left], parents[right]) = (next, next);
        nodes.push(Reverse((first + second, next)));
        next += 1;
        if next == parents.len() {
            break;
        }
    }
    let mut depths = vec![0u8; parents.len()];
    for node in (0..parents.len().saturating_sub(1)).rev() {
        depths[node] = depths[parents[node]].saturating_add(1);
    }
    let used = lengths.iter_mut().zip(counts).filter(|(_, count)| **count > 0);
    used.zip(depths).for_each(|((length, _), depth)| *length = depth);
    lengths
}

/// Returns the canonical codes, reversed, because the first bit of a code is written first.
fn canonical(lengths: &[u8]) -> Vec<u16> {
    let mut next = [0u16; MAX_CODE_BITS as usize + 2];
    for &length in lengths.iter().filter(|&&length| length > 0) {
        next[usize::from(length) + 1] += 1;
    }
    for length in 1..next.len() - 1 {
        next[length] = (next[length] + next[length - 1]) << 1;
    }
    let code = |&length: &u8| {
        if length == 0 {
            return 0;
        }
        let code = next[usize::from(length)];
        next[usize::from(length)] += 1;
        code.reverse_bits() >> (16 - length)
    };
    lengths.iter().map(code).collect()
}
