//! A block that its container cut into pieces: read as one, edited, and written back over the same bytes.

use std::ops::Range;

/// Where the pieces lie in the file, in the block's order.
#[derive(Debug, Default)]
pub(super) struct Pieces(pub Vec<Range<usize>>);

impl Pieces {
    pub fn bytes(&self) -> usize {
        self.0.iter().map(Range::len).sum()
    }

    /// Pieces that do not lie in the file count as empty.
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

/// One of the segments that a block may have been cut into.
pub(super) struct SegmentPart {
    /// Where the segment's body starts, before the header that every one has.
    pub body_start: usize,
    /// Where its part of the block lies.
    pub data: Range<usize>,
    /// Whether it starts a block for certain.
    pub starts: bool,
}

/// The runs of segments that follow each other with nothing but marker and length between them, in the order of the file.
pub(super) fn runs(parts: Vec<SegmentPart>) -> Vec<Pieces> {
    const HEAD_BYTES: usize = 4;
    parts
        .chunk_by(|one, next| !next.starts && one.data.end + HEAD_BYTES == next.body_start)
        .map(|run| Pieces(run.iter().map(|part| part.data.clone()).collect()))
        .collect()
}
