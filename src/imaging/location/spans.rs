//! Sets of byte ranges: what to zero, minus what must stay. Positions are 32 bits, because a block is small and a hostile one can
//! name as many ranges as it has entries.

/// From `start` up to, not including, `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Span {
    pub start: u32,
    pub end: u32,
}

impl Span {
    /// Returns the span, or `None` if it exceeds `limit` bytes.
    pub fn inside(start: usize, length: usize, limit: usize) -> Option<Self> {
        let end = start.checked_add(length)?;
        if end > limit {
            return None;
        }
        Some(Span { start: u32::try_from(start).ok()?, end: u32::try_from(end).ok()? })
    }

    pub fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }

    pub fn len(self) -> usize {
        self.range().len()
    }
}

/// Sorts and merges spans, so that none overlap.
pub(super) fn merged(mut spans: Vec<Span>) -> Vec<Span> {
    spans.retain(|span| span.start < span.end);
    spans.sort_unstable();
    let mut merged: Vec<Span> = Vec::new();
    for span in spans {
        match merged.last_mut() {
            Some(last) if span.start <= last.end => last.end = last.end.max(span.end),
            _ => merged.push(span),
        }
    }
    merged
}

/// Returns the parts of `from` that are not in `without`. Both must come from [`merged`].
pub(super) fn subtract(from: &[Span], without: &[Span]) -> Vec<Span> {
    let mut left = Vec::new();
    let mut next = 0;
    for &span in from {
        let mut start = span.start;
        while without.get(next).is_some_and(|kept| kept.end <= start) {
            next += 1;
        }
        // A span that reaches beyond this one applies to the next one too, so `next` stays on it.
        let mut at = next;
        while let Some(kept) = without.get(at).filter(|kept| kept.start < span.end) {
            if start < kept.start {
                left.push(Span { start, end: kept.start });
            }
            start = start.max(kept.end);
            at += 1;
        }
        next = at.saturating_sub(1).max(next);
        if start < span.end {
            left.push(Span { start, end: span.end });
        }
    }
    left
}

/// Returns whether a span shares a byte with one of `others`, which must come from [`merged`].
pub(super) fn touches(span: Span, others: &[Span]) -> bool {
    let next = others.partition_point(|other| other.end <= span.start);
    span.start < span.end && others.get(next).is_some_and(|other| other.start < span.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(list: &[(u32, u32)]) -> Vec<Span> {
        list.iter().map(|&(start, end)| Span { start, end }).collect()
    }

    #[test]
    fn subtract_matches_a_difference_byte_by_byte() {
        let mut seed = 7u32;
        let mut random = move |below: u32| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) % below
        };
        for _ in 0..2000 {
            let mut set = || -> Vec<Span> {
                let count = random(6);
                let list = (0..count).map(|_| (random(40), random(8))).collect::<Vec<_>>();
                merged(list.into_iter().map(|(start, length)| Span { start, end: start + length }).collect())
            };
            let (from, without) = (set(), set());
            let has = |set: &[Span], byte: u32| set.iter().any(|span| (span.start..span.end).contains(&byte));
            let left = subtract(&from, &without);
            for byte in 0..64 {
                assert_eq!(has(&left, byte), has(&from, byte) && !has(&without, byte), "{from:?} - {without:?} = {left:?}");
                let one = Span { start: byte, end: byte + 1 };
                assert_eq!(touches(one, &from), has(&from, byte));
            }
        }
    }

    #[test]
    fn adjacent_spans_are_merged() {
        assert_eq!(merged(spans(&[(4, 9), (0, 4), (20, 20), (6, 7)])), spans(&[(0, 9)]));
    }
}
