//! Sequential JPEG (T.81, F.2). Each block is decoded, transformed and dropped. Only the planes are kept, however many scans
//! the components are spread over.

use super::ac_table::AcTable;
use super::bits::Reader;
use super::coverage::Coverage;
use super::decode_error::DecodeError;
use super::frame::{Frame, Scan, ScanComponent};
use super::huffman::Table;
use super::inverse_dct::InverseDct;
use super::planes::Plane;
use super::scan_reader::ScanReader;
use std::sync::Arc;

/// `AVX2` gives each version closures of its own, so that they are compiled with it (see `planar.rs`).
#[inline(always)]
pub(super) fn decode<const AVX2: bool>(
    reader: &mut ScanReader,
    frame: &Frame,
    eighths: usize,
) -> Result<Vec<Plane>, DecodeError> {
    let planes = frame.components.iter().map(|component| Plane::new(frame, component, eighths));
    let mut planes: Vec<Option<Plane>> = planes.map(Some).collect();
    let mut coverage = Coverage::new(frame);
    while let Some(scan) = reader.next_scan(frame, &mut coverage)? {
        let mut states = states(reader, frame, &scan, eighths, &mut planes)?;
        match eighths {
            1 => decode_scan::<AVX2, 1>(reader, frame, &mut states)?,
            2 => decode_scan::<AVX2, 2>(reader, frame, &mut states)?,
            4 => decode_scan::<AVX2, 4>(reader, frame, &mut states)?,
            _ => decode_scan::<AVX2, 8>(reader, frame, &mut states)?,
        }
        for state in states {
            planes[state.index] = Some(state.plane);
        }
    }
    planes.into_iter().collect::<Option<_>>().ok_or(DecodeError::MissingComponent)
}

/// The state of one component in a scan.
struct ComponentState {
    index: usize,
    /// Blocks per MCU.
    h: usize,
    v: usize,
    dc: Arc<Table>,
    ac: Arc<AcTable>,
    quantization: [i32; 64],
    transform: InverseDct,
    /// The DC prediction: the DC coefficient of the previous block.
    predicted: i32,
    plane: Plane,
}

fn states(
    reader: &ScanReader,
    frame: &Frame,
    scan: &Scan,
    eighths: usize,
    planes: &mut [Option<Plane>],
) -> Result<Vec<ComponentState>, DecodeError> {
    let alone = scan.components.len() == 1;
    // Components usually share a table, so they share its look-up tables as well.
    let mut shared: Vec<(Arc<Table>, Arc<AcTable>)> = Vec::new();
    let state = |of: &ScanComponent| {
        let component = &frame.components[of.index];
        let no_table = DecodeError::Invalid("a scan without its tables");
        let dc = of.dc.clone().ok_or(no_table)?;
        let quantization =
            reader.tables.quantization.get(component.quantization).copied().flatten().ok_or(no_table)?.map(i32::from);
        let table = of.ac.clone().ok_or(no_table)?;
        let ac = match shared.iter().find(|(known, _)| Arc::ptr_eq(known, &table)) {
            Some((_, ac)) => Arc::clone(ac),
            None => {
                let ac = Arc::new(AcTable::new(Arc::clone(&table), eighths));
                shared.push((table, Arc::clone(&ac)));
                ac
            }
        };
        Ok(ComponentState {
            index: of.index,
            h: if alone { 1 } else { component.h },
            v: if alone { 1 } else { component.v },
            dc,
            ac,
            transform: InverseDct::new(&quantization),
            quantization,
            predicted: 0,
            plane: planes[of.index].take().ok_or(no_table)?,
        })
    };
    scan.components.iter().map(state).collect()
}

#[inline(always)]
fn decode_scan<const AVX2: bool, const EIGHTHS: usize>(
    reader: &mut ScanReader,
    frame: &Frame,
    states: &mut [ComponentState],
) -> Result<(), DecodeError> {
    let units = match states {
        [state] => (frame.components[state.index].blocks_across, frame.components[state.index].blocks_down),
        _ => (frame.mcus_across, frame.mcus_down),
    };
    let restart = |states: &mut &mut [ComponentState]| states.iter_mut().for_each(|state| state.predicted = 0);
    reader.for_each_mcu(units, &mut { states }, restart, |states, bits, column, row| {
        let mut bits = bits.reader();
        for state in states.iter_mut() {
            for y in 0..state.v {
                for x in 0..state.h {
                    state.decode_block::<EIGHTHS>(&mut bits, column * state.h + x, row * state.v + y)?;
                }
            }
        }
        bits.done();
        Ok(())
    })
}

impl ComponentState {
    #[inline(always)]
    fn decode_block<const EIGHTHS: usize>(&mut self, bits: &mut Reader, column: usize, row: usize) -> Result<(), DecodeError> {
        bits.refill();
        self.predicted = self.predicted.wrapping_add(self.dc.read_dc(bits)?);
        let dc = self.predicted;
        match EIGHTHS {
            1 => {
                self.ac.skip(1, bits)?;
                self.plane.put_1(column, row, dc, &self.quantization);
            }
            2 => {
                let coefficients = self.ac.read_2(bits, dc)?;
                self.plane.put_2(column, row, &coefficients, &self.quantization);
            }
            4 => {
                let mut coefficients = [0; 32];
                // Larger values are hostile, and wrap around as with libjpeg.
                coefficients[0] = dc as i16;
                let has_ac = self.ac.read_4(bits, &mut coefficients)?;
                if let Some(lowest) = coefficients.first_chunk() {
                    self.plane.put_4(column, row, lowest, has_ac, &self.transform);
                }
            }
            _ => {
                let mut coefficients = [0; 64];
                coefficients[0] = dc as i16;
                let has_ac = self.ac.read_8(bits, &mut coefficients)?;
                self.plane.put_8(column, row, &coefficients, has_ac, &self.transform);
            }
        }
        Ok(())
    }
}
