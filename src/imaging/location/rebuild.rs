//! Rewrites a file made of chunks, with some of them changed or left out. Nothing is copied before the first change.

use std::ops::Range;

/// Replacements in file order, without overlaps.
pub(super) struct Rebuild<'a> {
    file: &'a [u8],
    changes: Vec<(Range<usize>, Vec<u8>)>,
}

impl<'a> Rebuild<'a> {
    pub fn of(file: &'a [u8]) -> Self {
        Rebuild { file, changes: Vec::new() }
    }

    pub fn replace(&mut self, range: Range<usize>, with: Vec<u8>) {
        self.changes.push((range, with));
    }

    pub fn drop(&mut self, range: Range<usize>) {
        self.changes.push((range, Vec::new()));
    }

    /// Returns the new file, or `None` without a change.
    pub fn finish(self) -> Option<Vec<u8>> {
        if self.changes.is_empty() {
            return None;
        }
        let mut rebuilt = Vec::with_capacity(self.file.len());
        let mut at = 0;
        for (range, with) in self.changes {
            rebuilt.extend_from_slice(self.file.get(at..range.start).unwrap_or_default());
            rebuilt.extend_from_slice(&with);
            at = range.end;
        }
        rebuilt.extend_from_slice(self.file.get(at..).unwrap_or_default());
        Some(rebuilt)
    }
}
