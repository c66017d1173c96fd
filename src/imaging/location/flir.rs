//! Thermal cameras of FLIR: a file of records (FFF), split over APP1 segments, as ExifTool documents it. One record is the GPS
//! position; others may hold a JPEG.

use super::block::MAX_BLOCK_BYTES;
use super::pieces::Pieces;
use super::tiff_read::Tiff;
use super::{Policy, clean_embedded_jpegs, fill};
use std::ops::Range;

pub(super) const HEADER: &[u8] = b"FLIR\0";

/// The header, a version, the number of the part, the number of the last part.
const HEAD_BYTES: usize = 8;

const ENTRY_BYTES: usize = 32;

const GPS_RECORD: u16 = 0x2b;

/// Removes the position in place and returns whether there was one. `bodies` are the segments' bodies in file order.
pub(super) fn clean(file: &mut [u8], bodies: &[Range<usize>], policy: Policy) -> bool {
    let mut changed = false;
    for pieces in sets(file, bodies) {
        if pieces.bytes() > MAX_BLOCK_BYTES {
            changed |= pieces.each(file, |piece| fill(piece, 0));
            continue;
        }
        let mut records = pieces.gather(file);
        let mut edited = clean_records(&mut records).unwrap_or(false);
        if policy.levels > 1 {
            edited |= clean_embedded_jpegs(&mut records, policy.nested());
        }
        if edited {
            pieces.scatter(file, &records);
            changed = true;
        }
    }
    changed
}

/// Groups the parts into files of records, ordered by part number. Some programs write zero for all numbers.
fn sets(file: &[u8], bodies: &[Range<usize>]) -> Vec<Pieces> {
    let mut sets: Vec<Vec<(u8, Range<usize>)>> = Vec::new();
    for body in bodies {
        let number = file.get(body.start + HEAD_BYTES - 2).copied().unwrap_or(0);
        let data = (body.start + HEAD_BYTES).min(body.end)..body.end;
        let starts = file.get(data.clone()).is_some_and(|data| data.starts_with(b"FFF\0") || data.starts_with(b"AFF\0"));
        match sets.last_mut().filter(|_| !starts) {
            Some(set) => set.push((number, data)),
            None => sets.push(vec![(number, data)]),
        }
    }
    let ordered = |mut set: Vec<(u8, Range<usize>)>| {
        set.sort_by_key(|(number, _)| *number);
        Pieces(set.into_iter().map(|(_, data)| data).collect())
    };
    sets.into_iter().map(ordered).collect()
}

/// Returns whether a position was removed, or `None` if the data is not FFF.
fn clean_records(records: &mut [u8]) -> Option<bool> {
    if !records.starts_with(b"FFF\0") && !records.starts_with(b"AFF\0") {
        return None;
    }
    let is_version = |big_endian: &bool| {
        let version = Tiff { bytes: records, big_endian: *big_endian }.u32(0x14);
        version.is_some_and(|version| (100..200).contains(&version))
    };
    let big_endian = [true, false].into_iter().find(is_version)?;
    let header = Tiff { bytes: records, big_endian };
    let (directory, count) = (header.u32(0x18)? as usize, header.u32(0x1c)? as usize);
    // Records do not overlap, so together they are no longer than the file.
    let (mut changed, mut budget) = (false, records.len());
    for index in 0..count.min(records.len() / ENTRY_BYTES) {
        let entry = directory.checked_add(index * ENTRY_BYTES)?;
        let reader = Tiff { bytes: records, big_endian };
        if reader.u16(entry)? != GPS_RECORD {
            continue;
        }
        let (start, length) = (reader.u32(entry + 0x0c)? as usize, reader.u32(entry + 0x10)? as usize);
        let Some(left) = budget.checked_sub(length) else { return Some(fill(records, 0)) };
        budget = left;
        let record = start.checked_add(length).and_then(|end| records.get_mut(start..end));
        let Some(record) = record.filter(|record| !super::is_blank(record)) else { continue };
        fill(record, 0);
        changed = true;
        // The record's checksum; zero means none.
        records.get_mut(entry + 0x1c..entry + ENTRY_BYTES)?.fill(0);
    }
    Some(changed)
}
