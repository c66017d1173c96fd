//! A block that its container splits into pieces: read as one, edited, and written back over the same bytes.

use std::ops::Range;

/// The ranges of the pieces in the file, in the order of the block.
#[derive(Debug, Default)]
pub(super) struct Pieces(pub Vec<Range<usize>>);

impl Pieces {
    pub fn bytes(&self) -> usize {
        self.0.iter().map(Range::len).sum()
    }

    /// Joins the pieces. A piece outside the file counts as empty.
    pub fn gather(&self, file: &[u8]) -> Vec<u8> {
        let mut whole = Vec::with_capacity(self.bytes().min(file.len()));
        for piece in &self.0 {
            whole.extend_from_slice(file.get(piece.clone()).unwrap_or_default());
        }
        whole
    }

    pub fn scatter(&self, file: &mut [u8], whole: &[u8]) {
        let mut rest = whole;
        for piece in &self.0 {
            let Some(target) = file.get_mut(piece.clone()) else { continue };
            let Some((part, after)) = rest.split_at_checked(target.len()) else { return };
            target.copy_from_slice(part);
            rest = after;
        }
    }

    pub fn each(&self, file: &mut [u8], mut edit: impl FnMut(&mut [u8]) -> bool) -> bool {
        let mut changed = false;
        for piece in &self.0 {
            changed |= file.get_mut(piece.clone()).is_some_and(&mut edit);
        }
        changed
    }
}

/// A segment that may hold a part of a split block.
pub(super) struct SegmentPart {
    /// The start of the segment's body, before the header that every segment has.
    pub body_start: usize,
    /// The range of its part of the block.
    pub data: Range<usize>,
    /// Whether it certainly starts a new block.
    pub starts: bool,
}

/// Groups segments that follow each other with nothing but marker and length between them, in file order.
pub(super) fn runs(parts: Vec<SegmentPart>) -> Vec<Pieces> {
    const HEAD_BYTES: usize = 4;
    parts
        .chunk_by(|one, next| !next.starts && one.data.end + HEAD_BYTES == next.body_start)
        .map(|run| Pieces(run.iter().map(|part| part.data.clone()).collect()))
        .collect()
}
