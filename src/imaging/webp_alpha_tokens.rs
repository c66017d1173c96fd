//! Splits the samples of an image into literals and copies of earlier samples (RFC 9649, 3.6.2).

use super::webp_lossless::{NEARBY, plane_distance};

/// Symbols of the green alphabet: samples, then length prefixes.
pub(super) const GREENS: usize = 256 + 24;

/// Symbols of the distance alphabet.
pub(super) const DISTANCES: usize = 40;

const MAX_LENGTH: usize = 4096;

/// Larger distances take more bits than most copies save.
const MAX_DISTANCE: usize = 1 << 18;

/// Minimum lengths of a copy, from nearby and from further away.
const MIN_NEAR_LENGTH: usize = 3;
const MIN_FAR_LENGTH: usize = 4;

/// A copy of this length is taken without a search for a longer one.
const GOOD_LENGTH: usize = 32;

/// Number of earlier places with the same hash that are compared.
const MAX_COMPARED: usize = 4;

const HASH_BITS: u32 = 14;

/// A sample, or a copy: its length in the upper 13 bits, its distance code in the lower 19.
#[derive(Clone, Copy)]
pub(super) struct Token(u32);

/// A length or a distance: a symbol and extra bits.
pub(super) struct Prefixed {
    pub prefix: usize,
    pub extra: u32,
    pub extra_bits: u32,
}

impl Prefixed {
    fn of(value: u32) -> Self {
        let value = value - 1;
        if value < 2 {
            return Prefixed { prefix: value as usize, extra: 0, extra_bits: 0 };
        }
        let extra_bits = value.ilog2() - 1;
        let prefix = (2 * extra_bits + (value >> extra_bits)) as usize;
        Prefixed { prefix, extra: value & ((1 << extra_bits) - 1), extra_bits }
    }
}

impl Token {
    /// How many samples the token stands for.
    #[inline]
    pub fn samples(self) -> usize {
        (self.0 >> 19).max(1) as usize
    }

    #[inline]
    pub fn length(self) -> Option<Prefixed> {
        (self.0 >> 19 > 0).then(|| Prefixed::of(self.0 >> 19))
    }

    #[inline]
    pub fn distance(self) -> Option<Prefixed> {
        (self.0 >> 19 > 0).then(|| Prefixed::of(self.0 & 0x7ffff))
    }

    /// Returns the symbol of the green alphabet.
    #[inline]
    pub fn green(self) -> usize {
        self.length().map_or(self.0 as usize, |length| 256 + length.prefix)
    }
}

/// How often the symbols of a group occur.
#[derive(Clone)]
pub(super) struct Counts {
    pub greens: [u32; GREENS],
    pub distances: [u32; DISTANCES],
}

impl Counts {
    pub const NONE: Self = Counts { greens: [0; GREENS], distances: [0; DISTANCES] };

    pub fn of(tokens: &[Token]) -> Self {
        let mut counts = Self::NONE;
        tokens.iter().for_each(|token| counts.add(*token));
        counts
    }

    pub fn add(&mut self, token: Token) {
        self.greens[token.green()] += 1;
        if let Some(distance) = token.distance() {
            self.distances[distance.prefix] += 1;
        }
    }
}

pub(super) fn tokens(samples: &[u8], width: usize) -> Vec<Token> {
    let mut search = Search::new(samples, width);
    let mut tokens = Vec::new();
    let mut at = 0;
    let mut found = search.longest(0);
    while at < samples.len() {
        let next = search.longest_after(at, found);
        match found {
            Some(copy) if next.is_none_or(|next| next.length <= copy.length) => {
                tokens.push(Token((copy.length as u32) << 19 | search.code(copy.distance)));
                // The first two places were added.
                let end = at + copy.length;
                (at + 2..end.min(at + GOOD_LENGTH)).for_each(|place| search.add(place));
                at = end;
                found = search.longest(at);
            }
            _ => {
                tokens.push(Token(u32::from(samples[at])));
                at += 1;
                found = next;
            }
        }
    }
    tokens
}

#[derive(Clone, Copy)]
struct Copy {
    length: usize,
    distance: usize,
}

struct Search<'a> {
    samples: &'a [u8],
    width: usize,
    /// The last place with each hash of four samples, plus one.
    last: Vec<u32>,
    /// The place before with the same hash, plus one.
    before: Vec<u32>,
    /// The distance code by the rows up and the columns from 8 to the left to 7 to the right.
    nearby: [u8; 128],
}

impl<'a> Search<'a> {
    fn new(samples: &'a [u8], width: usize) -> Self {
        let mut nearby = [0; 128];
        for (code, &place) in NEARBY.iter().enumerate() {
            nearby[usize::from(place)] = code as u8 + 1;
        }
        Search { samples, width, last: vec![0; 1 << HASH_BITS], before: vec![0; samples.len()], nearby }
    }

    /// Returns the longest copy for a place, and adds the place to the hashes.
    fn longest(&mut self, at: usize) -> Option<Copy> {
        let mut best = None;
        for distance in [1, self.width] {
            self.compare(at, distance, MIN_NEAR_LENGTH, &mut best);
        }
        let good = |best: Option<Copy>| best.is_some_and(|copy| copy.length >= GOOD_LENGTH);
        if !good(best) {
            let mut place = self.hash(at).map_or(0, |hash| self.last[hash]) as usize;
            for _ in 0..MAX_COMPARED {
                if place == 0 || at - (place - 1) > MAX_DISTANCE || good(best) {
                    break;
                }
                self.compare(at, at - (place - 1), MIN_FAR_LENGTH, &mut best);
                place = self.before[place - 1] as usize;
            }
        }
        self.add(at);
        best
    }

    /// Returns the longest copy for the next place, if the one found here may be improved by a literal in its place.
    fn longest_after(&mut self, at: usize, found: Option<Copy>) -> Option<Copy> {
        match found {
            Some(copy) if copy.length >= GOOD_LENGTH => {
                self.add(at + 1);
                None
            }
            _ => self.longest(at + 1),
        }
    }

    fn compare(&self, at: usize, distance: usize, min_length: usize, best: &mut Option<Copy>) {
        let Some(from) = at.checked_sub(distance) else { return };
        let wanted = best.map_or(min_length, |copy| copy.length + 1);
        // Most places differ here.
        if self.samples.get(at + wanted - 1) != self.samples.get(from + wanted - 1) {
            return;
        }
        let length = common(&self.samples[from..], self.samples.get(at..).unwrap_or_default());
        if length >= wanted {
            *best = Some(Copy { length, distance });
        }
    }

    fn hash(&self, at: usize) -> Option<usize> {
        let samples = self.samples.get(at..)?.first_chunk::<4>()?;
        Some((u32::from_le_bytes(*samples).wrapping_mul(0x9e37_79b1) >> (32 - HASH_BITS)) as usize)
    }

    fn add(&mut self, at: usize) {
        if let Some(hash) = self.hash(at) {
            self.before[at] = std::mem::replace(&mut self.last[hash], at as u32 + 1);
        }
    }

    fn code(&self, distance: usize) -> u32 {
        let (up, left) = (distance / self.width, distance % self.width);
        // To the left of the place, or to the right in the row above.
        let candidates = [(up, 8isize - left as isize), (up + 1, 8 + (self.width - left) as isize)];
        for (up, across) in candidates {
            if up < 8 && (0..16).contains(&across) {
                let code = usize::from(self.nearby[up * 16 + across as usize]);
                if code > 0 && plane_distance(code, self.width) == distance {
                    return code as u32;
                }
            }
        }
        (distance + NEARBY.len()) as u32
    }
}

/// Returns how many samples are equal from the start.
fn common(first: &[u8], second: &[u8]) -> usize {
    let most = first.len().min(second.len()).min(MAX_LENGTH);
    let (first, second) = (&first[..most], &second[..most]);
    let mut length = 0;
    for (first, second) in first.as_chunks::<8>().0.iter().zip(second.as_chunks::<8>().0) {
        let difference = u64::from_le_bytes(*first) ^ u64::from_le_bytes(*second);
        if difference != 0 {
            return length + difference.trailing_zeros() as usize / 8;
        }
        length += 8;
    }
    length + first[length..].iter().zip(&second[length..]).take_while(|(first, second)| first == second).count()
}
