//! Progressive JPEG (T.81, annex G). Every scan refines coefficients that must be kept until the last scan. Only the few that a
//! reduced image needs are stored. For the others, one bit each records whether they are zero, which is all that later scans
//! need. This takes a seventh of the memory of whole blocks, and a scan can skip all corrections of a block in one step.

use super::bits::{Bits, Reader};
use super::coverage::Coverage;
use super::decode_error::DecodeError;
use super::forward_dct::ZIGZAG_IN_COLUMNS;
use super::frame::{Component, Frame, Scan};
use super::huffman::{Symbol, Table};
use super::idct::needed;
use super::inverse_dct::{InverseDct, PLACES_4};
use super::planes::Plane;
use super::scan_reader::ScanReader;

/// `AVX2` gives each version closures of its own, so that they are compiled with it (see `planar.rs`).
#[inline(always)]
pub(super) fn decode<const AVX2: bool>(
    reader: &mut ScanReader,
    frame: &Frame,
    eighths: usize,
) -> Result<Vec<Plane>, DecodeError> {
    let mut stores: Vec<CoefficientStore> =
        frame.components.iter().map(|component| CoefficientStore::new(frame, component, eighths)).collect();
    let mut coverage = Coverage::new(frame);
    while let Some(scan) = reader.next_scan(frame, &mut coverage)? {
        for component in &scan.components {
            let store = &mut stores[component.index];
            if store.quantization.is_none() {
                let table = reader.tables.quantization.get(frame.components[component.index].quantization);
                store.quantization = Some(table.copied().flatten().ok_or(NO_TABLE)?.map(i32::from));
            }
        }
        match (scan.first, scan.high) {
            (0, 0) => first_dc::<AVX2>(reader, frame, &scan, &mut stores)?,
            (0, _) => refine_dc::<AVX2>(reader, frame, &scan, &mut stores)?,
            (_, 0) => first_ac::<AVX2>(reader, frame, &scan, &mut stores)?,
            _ => refine_ac::<AVX2>(reader, frame, &scan, &mut stores)?,
        }
    }
    let mut planes = Vec::with_capacity(stores.len());
    for (component, store) in frame.components.iter().zip(stores) {
        planes.push(store.into_plane(frame, component)?);
    }
    Ok(planes)
}

const NO_TABLE: DecodeError = DecodeError::Invalid("a scan without its tables");

/// The stored coefficients of one component.
struct CoefficientStore {
    eighths: usize,
    /// Blocks in a row, padded to whole MCUs.
    across: usize,
    /// Coefficients stored per block.
    kept: usize,
    coefficients: Vec<i16>,
    /// For each block, a bit for each non-zero coefficient, in zigzag order.
    nonzero: Vec<u64>,
    quantization: Option<[i32; 64]>,
}

impl CoefficientStore {
    fn new(frame: &Frame, component: &Component, eighths: usize) -> Self {
        let (across, down) = frame.padded_blocks(component);
        let kept = needed(eighths);
        CoefficientStore {
            eighths,
            across,
            kept,
            coefficients: vec![0; across * down * kept],
            nonzero: vec![0; across * down],
            quantization: None,
        }
    }

    #[inline(always)]
    fn into_plane(self, frame: &Frame, component: &Component) -> Result<Plane, DecodeError> {
        let quantization = self.quantization.ok_or(DecodeError::MissingComponent)?;
        let mut plane = Plane::new(frame, component, self.eighths);
        self.transform(&quantization, &mut plane);
        Ok(plane)
    }

    #[inline(always)]
    fn transform(&self, quantization: &[i32; 64], plane: &mut Plane) {
        let transform = InverseDct::new(quantization);
        let rows = self.coefficients.chunks_exact(self.kept * self.across).zip(self.nonzero.chunks_exact(self.across));
        for (row, (blocks, nonzero)) in rows.enumerate() {
            for (column, (block, &nonzero)) in blocks.chunks_exact(self.kept).zip(nonzero).enumerate() {
                match self.eighths {
                    1 => plane.put_1(column, row, i32::from(block[0]), quantization),
                    2 => {
                        let block: [i16; 5] = std::array::from_fn(|k| block[k]);
                        plane.put_2(column, row, &block.map(i32::from), quantization);
                    }
                    4 => {
                        let mut coefficients = [0; 17];
                        for (&place, &coefficient) in PLACES_4.iter().zip(block) {
                            coefficients[usize::from(place)] = coefficient;
                        }
                        if let Some(lowest) = coefficients.first_chunk() {
                            plane.put_4(column, row, lowest, nonzero & !1 != 0, &transform);
                        }
                    }
                    _ => {
                        let mut coefficients = [0; 64];
                        coefficients[0] = block[0];
                        let mut rest = nonzero & !1;
                        while rest != 0 {
                            let index = rest.trailing_zeros() as usize;
                            coefficients[usize::from(ZIGZAG_IN_COLUMNS[index])] = block[index];
                            rest &= rest - 1;
                        }
                        plane.put_8(column, row, &coefficients, nonzero & !1 != 0, &transform);
                    }
                }
            }
        }
    }
}

/// Reads the upper bits of DC, coded as in sequential JPEG.
#[inline(always)]
fn first_dc<const AVX2: bool>(
    reader: &mut ScanReader,
    frame: &Frame,
    scan: &Scan,
    stores: &mut [CoefficientStore],
) -> Result<(), DecodeError> {
    for component in &scan.components {
        component.dc.as_ref().ok_or(NO_TABLE)?;
    }
    let mut predicted = [0i32; 4];
    let restart = |predicted: &mut [i32; 4]| *predicted = [0; 4];
    for_each_block::<_, AVX2>(reader, frame, scan, &mut predicted, restart, |predicted, bits, part, index| {
        let component = &scan.components[part];
        let store = &mut stores[component.index];
        let Some(table) = &component.dc else { return Err(NO_TABLE) };
        let mut bits = bits.reader();
        bits.refill();
        predicted[part] = predicted[part].wrapping_add(table.read_dc(&mut bits)?);
        bits.done();
        store.coefficients[index * store.kept] = predicted[part].wrapping_shl(scan.low) as i16;
        Ok(())
    })
}

/// Reads one more bit of each DC.
#[inline(always)]
fn refine_dc<const AVX2: bool>(
    reader: &mut ScanReader,
    frame: &Frame,
    scan: &Scan,
    stores: &mut [CoefficientStore],
) -> Result<(), DecodeError> {
    for_each_block::<_, AVX2>(
        reader,
        frame,
        scan,
        &mut (),
        |()| (),
        |(), bits, part, index| {
            let store = &mut stores[scan.components[part].index];
            let mut bits = bits.reader();
            bits.refill();
            store.coefficients[index * store.kept] |= (bits.read(1) << scan.low) as i16;
            bits.done();
            Ok(())
        },
    )
}

/// Reads the upper bits of a band.
#[inline(always)]
fn first_ac<const AVX2: bool>(
    reader: &mut ScanReader,
    frame: &Frame,
    scan: &Scan,
    stores: &mut [CoefficientStore],
) -> Result<(), DecodeError> {
    let (table, store) = band_table_and_store(scan, stores)?;
    let mut eob_run = 0u32;
    for_each_block::<_, AVX2>(
        reader,
        frame,
        scan,
        &mut eob_run,
        |blocks| *blocks = 0,
        |eob_run, bits, _, index| {
            if *eob_run > 0 {
                *eob_run -= 1;
                return Ok(());
            }
            let mut bits = bits.reader();
            let coefficients = &mut store.coefficients[index * store.kept..][..store.kept];
            let nonzero = &mut store.nonzero[index];
            let mut k = scan.first;
            while k <= scan.last {
                bits.refill();
                match table.read_ac(&mut bits)? {
                    Symbol { run: 15, value: 0 } => k += 16,
                    Symbol { run, value: 0 } => {
                        *eob_run = (1 << run) - 1 + bits.read(run as u32);
                        break;
                    }
                    Symbol { run, value } => {
                        k += run;
                        if k > scan.last {
                            return Err(DecodeError::BlockOverrun);
                        }
                        // Zero is possible in a hostile file, as with libjpeg's 16 bits.
                        let value = value.wrapping_shl(scan.low) as i16;
                        if let Some(coefficient) = coefficients.get_mut(k) {
                            *coefficient = value;
                        }
                        *nonzero |= u64::from(value != 0) << k;
                        k += 1;
                    }
                }
            }
            bits.done();
            if k > scan.last + 1 { Err(DecodeError::BlockOverrun) } else { Ok(()) }
        },
    )
}

/// Reads one more bit for each coefficient of a band: a correction for each non-zero one that is passed, and new coefficients
/// that become 1 or −1 (T.81, G.1.2.3).
#[inline(always)]
fn refine_ac<const AVX2: bool>(
    reader: &mut ScanReader,
    frame: &Frame,
    scan: &Scan,
    stores: &mut [CoefficientStore],
) -> Result<(), DecodeError> {
    let (table, store) = band_table_and_store(scan, stores)?;
    let band = (u64::MAX << scan.first) & (u64::MAX >> (63 - scan.last));
    let bit = 1i16 << scan.low;
    let mut eob_run = 0u32;
    for_each_block::<_, AVX2>(
        reader,
        frame,
        scan,
        &mut eob_run,
        |blocks| *blocks = 0,
        |eob_run, bits, _, index| {
            let mut bits = bits.reader();
            let coefficients = &mut store.coefficients[index * store.kept..][..store.kept];
            let nonzero = &mut store.nonzero[index];
            let mut rest = band;
            if *eob_run == 0 {
                while rest != 0 {
                    bits.refill();
                    let Symbol { run, value } = table.read_ac(&mut bits)?;
                    if value == 0 && run < 15 {
                        *eob_run = (1 << run) + bits.read(run as u32);
                        break;
                    }
                    if value.abs() > 1 {
                        return Err(DecodeError::InvalidCode);
                    }
                    // The symbol ends at the zero coefficient after `run` others.
                    let place = nth_bit(rest & !*nonzero, run).ok_or(DecodeError::BlockOverrun)?;
                    let before = rest & ((1 << place) - 1);
                    correct(&mut bits, coefficients, *nonzero & before, bit);
                    if value != 0 {
                        if let Some(coefficient) = coefficients.get_mut(place as usize) {
                            *coefficient = value as i16 * bit;
                        }
                        *nonzero |= 1 << place;
                    }
                    rest &= !(before | 1 << place);
                }
            }
            if *eob_run > 0 {
                correct(&mut bits, coefficients, *nonzero & rest, bit);
                *eob_run -= 1;
            }
            bits.done();
            Ok(())
        },
    )
}

/// Returns the position of the `n`th set bit, counted from 0.
#[inline(always)]
fn nth_bit(mut bits: u64, n: usize) -> Option<u32> {
    for _ in 0..n {
        bits &= bits.wrapping_sub(1);
    }
    (bits != 0).then(|| bits.trailing_zeros())
}

const LOWER_HALF: u64 = u32::MAX as u64;

/// Reads a correction for each coefficient in `which`, and applies it to those that are stored.
#[inline(always)]
fn correct(bits: &mut Reader, coefficients: &mut [i16], which: u64, bit: i16) {
    if which == 0 {
        return;
    }
    let of_kept = which & (u64::MAX >> (64 - coefficients.len()));
    let others = which.count_ones() - of_kept.count_ones();
    // A refill guarantees 56 bits, and there can be 63 corrections.
    for mut half in [of_kept & LOWER_HALF, of_kept & !LOWER_HALF] {
        bits.refill();
        while half != 0 {
            let coefficient = &mut coefficients[half.trailing_zeros() as usize];
            if bits.read(1) == 1 && *coefficient & bit == 0 {
                *coefficient = coefficient.wrapping_add(if *coefficient < 0 { -bit } else { bit });
            }
            half &= half - 1;
        }
    }
    bits.refill();
    let batch = others.min(48);
    bits.take(batch);
    if others > batch {
        bits.refill();
        bits.take(others - batch);
    }
}

/// Returns the table and the store for a scan of one component's band.
fn band_table_and_store<'s, 'a>(
    scan: &'s Scan,
    stores: &'a mut [CoefficientStore],
) -> Result<(&'s Table, &'a mut CoefficientStore), DecodeError> {
    let [component] = scan.components.as_slice() else { return Err(NO_TABLE) };
    let table = component.ac.as_deref().ok_or(NO_TABLE)?;
    Ok((table, &mut stores[component.index]))
}

/// Runs `block` for each block of a scan, with the index of its component in the scan and its index in the store.
#[inline(always)]
fn for_each_block<'a, S, const AVX2: bool>(
    reader: &mut ScanReader<'a>,
    frame: &Frame,
    scan: &Scan,
    state: &mut S,
    restart: impl FnMut(&mut S),
    mut block: impl FnMut(&mut S, &mut Bits<'a>, usize, usize) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    if let [alone] = scan.components.as_slice() {
        let component = &frame.components[alone.index];
        let across = frame.padded_blocks(component).0;
        let units = (component.blocks_across, component.blocks_down);
        return reader
            .for_each_mcu(units, state, restart, |state, bits, column, row| block(state, bits, 0, row * across + column));
    }
    let units = (frame.mcus_across, frame.mcus_down);
    reader.for_each_mcu(units, state, restart, |state, bits, column, row| {
        for (part, component) in scan.components.iter().enumerate() {
            let component = &frame.components[component.index];
            let across = frame.padded_blocks(component).0;
            for y in 0..component.v {
                for x in 0..component.h {
                    block(state, bits, part, (row * component.v + y) * across + column * component.h + x)?;
                }
            }
        }
        Ok(())
    })
}
