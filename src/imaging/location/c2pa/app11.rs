//! Joins manifest stores in JPEG, which are split into APP11 segments (JPEG XT, ISO 18477-3, annex B): the letters `JP`, the box
//! instance number, the packet sequence number, and a copy of the box header in each segment.

use super::super::pieces::Pieces;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Letters, box instance number, packet sequence number.
const NUMBERS_BYTES: usize = 8;

/// One box, split into segments.
#[derive(Debug, Default)]
pub(in super::super) struct SplitBox {
    /// The box instance number. `None` for a segment that is not part of a box.
    number: Option<u16>,
    /// The ranges of the segments' bodies.
    pub bodies: Vec<Range<usize>>,
    /// The box, with its header once.
    pub pieces: Pieces,
    pub is_manifest_store: bool,
    /// Whether the sequence numbers are consecutive. Readers differ on boxes for which they are not.
    pub is_in_order: bool,
}

struct Piece {
    number: u32,
    /// Length and type of the box.
    head_bytes: usize,
    starts_manifest_store: bool,
}

/// Parses the body of an APP11 segment.
fn piece(body: &[u8]) -> Option<(u16, Piece)> {
    let [b'J', b'P', box_high, box_low, a, b, c, d] = *body.first_chunk::<NUMBERS_BYTES>()? else { return None };
    let is_long = body.get(NUMBERS_BYTES..NUMBERS_BYTES + 4)? == [0, 0, 0, 1];
    let head_bytes = if is_long { 16 } else { 8 };
    // After the header of the description box that a store starts with.
    let kind_at = NUMBERS_BYTES + head_bytes + 8;
    let starts_manifest_store = body.get(kind_at..kind_at + 4) == Some(b"c2pa");
    let piece = Piece { number: u32::from_be_bytes([a, b, c, d]), head_bytes, starts_manifest_store };
    Some((u16::from_be_bytes([box_high, box_low]), piece))
}

/// Joins the segments with these bodies into boxes, in file order.
pub(in super::super) fn join(file: &[u8], bodies: &[Range<usize>]) -> Vec<SplitBox> {
    let mut boxes: Vec<SplitBox> = Vec::new();
    // By box instance number: the index of the box, and the number of its pieces.
    let mut open: BTreeMap<u16, (usize, u32)> = BTreeMap::new();
    for body in bodies {
        let Some((number, piece)) = file.get(body.clone()).and_then(piece) else {
            boxes.push(SplitBox { bodies: vec![body.clone()], pieces: Pieces(vec![body.clone()]), ..SplitBox::default() });
            continue;
        };
        let known = open.get(&number).copied().filter(|_| piece.number > 1 && !piece.starts_manifest_store);
        let (at, count) = known.unwrap_or((boxes.len(), 0));
        if known.is_none() {
            boxes.push(SplitBox { number: Some(number), is_in_order: true, ..SplitBox::default() });
        }
        let Some(whole) = boxes.get_mut(at) else { continue };
        let repeated = if known.is_some() { piece.head_bytes } else { 0 };
        let data = (body.start + NUMBERS_BYTES + repeated).min(body.end)..body.end;
        whole.bodies.push(body.clone());
        whole.pieces.0.push(data);
        whole.is_manifest_store |= piece.starts_manifest_store;
        whole.is_in_order &= piece.number == count + 1;
        open.insert(number, (at, count + 1));
    }
    // Pieces without a first one may belong to a store: readers that sort them find the whole.
    let stores: BTreeSet<u16> = boxes.iter().filter(|found| found.is_manifest_store).filter_map(|found| found.number).collect();
    for found in boxes.iter_mut().filter(|found| !found.is_in_order) {
        found.is_manifest_store |= found.number.is_some_and(|number| stores.contains(&number));
    }
    boxes
}
