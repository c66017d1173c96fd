//! Frame headers, scan headers and tables (T.81, annex B). Parsing is strict: contradictions are damage.

use super::decode_error::DecodeError;
use super::huffman::Table;
use super::standard_tables::{self, Codes};
use std::sync::Arc;

/// A frame header (SOF).
#[derive(Debug)]
pub(super) struct Frame {
    pub width: u32,
    pub height: u32,
    pub progressive: bool,
    pub components: Vec<Component>,
    /// Maximum sampling factors.
    pub max_h: usize,
    pub max_v: usize,
    /// MCUs of an interleaved scan.
    pub mcus_across: usize,
    pub mcus_down: usize,
}

#[derive(Debug)]
pub(super) struct Component {
    pub id: u8,
    /// Horizontal and vertical sampling factors.
    pub h: usize,
    pub v: usize,
    pub quantization: usize,
    /// Blocks that contain a part of the image.
    pub blocks_across: usize,
    pub blocks_down: usize,
}

impl Frame {
    pub fn parse(marker: u8, body: &[u8]) -> Result<Self, DecodeError> {
        let wrong = DecodeError::Invalid("a frame header with the wrong length");
        let &[8, h1, h0, w1, w0, count, ref specs @ ..] = body else { return Err(wrong) };
        if specs.len() != usize::from(count) * 3 || specs.is_empty() {
            return Err(wrong);
        }
        let (width, height) = (u32::from(u16::from_be_bytes([w1, w0])), u32::from(u16::from_be_bytes([h1, h0])));
        let factors = |spec: &[u8]| (usize::from(spec[1] >> 4), usize::from(spec[1] & 15));
        let max =
            |factor: fn((usize, usize)) -> usize| specs.chunks_exact(3).map(|spec| factor(factors(spec))).max().unwrap_or(1);
        let (max_h, max_v) = (max(|f| f.0), max(|f| f.1));
        let mut components: Vec<Component> = Vec::with_capacity(usize::from(count));
        for spec in specs.chunks_exact(3) {
            let (h, v) = factors(spec);
            if !(1..=4).contains(&h) || !(1..=4).contains(&v) {
                return Err(DecodeError::Invalid("an invalid sampling factor"));
            }
            let blocks = |length: u32, factor: usize, max: usize| (length as usize * factor).div_ceil(max * 8);
            components.push(Component {
                id: spec[0],
                h,
                v,
                quantization: usize::from(spec[2]),
                blocks_across: blocks(width, h, max_h),
                blocks_down: blocks(height, v, max_v),
            });
        }
        Ok(Frame {
            width,
            height,
            progressive: marker == 0xc2,
            components,
            max_h,
            max_v,
            mcus_across: (width as usize).div_ceil(8 * max_h),
            mcus_down: (height as usize).div_ceil(8 * max_v),
        })
    }

    /// Returns the blocks of a component padded to whole MCUs, as in an interleaved scan.
    pub fn padded_blocks(&self, component: &Component) -> (usize, usize) {
        (self.mcus_across * component.h, self.mcus_down * component.v)
    }
}

/// A scan header (SOS).
pub(super) struct Scan {
    pub components: Vec<ScanComponent>,
    /// First and last coefficient in zigzag order (Ss and Se).
    pub first: usize,
    pub last: usize,
    /// Bit positions of the successive approximation: of the previous scan, 0 if none (Ah), and of this scan (Al).
    pub high: u32,
    pub low: u32,
}

pub(super) struct ScanComponent {
    /// Index of the component in the frame.
    pub index: usize,
    pub dc: Option<Arc<Table>>,
    pub ac: Option<Arc<Table>>,
}

impl Scan {
    pub fn parse(body: &[u8], frame: &Frame, tables: &Tables) -> Result<Self, DecodeError> {
        let wrong = DecodeError::Invalid("a scan header with the wrong length");
        let (&count, rest) = body.split_first().ok_or(wrong)?;
        let (specs, &[first, last, approximation]) = rest.split_last_chunk().ok_or(wrong)?;
        if !(1..=4).contains(&count) || specs.len() != usize::from(count) * 2 {
            return Err(wrong);
        }
        let mut components: Vec<ScanComponent> = Vec::with_capacity(usize::from(count));
        let (mut dc, mut ac) = (TableCache::default(), TableCache::default());
        // Tables that the scan does not use may be missing or invalid.
        let (needs_dc, needs_ac) = match frame.progressive {
            true => (first == 0 && approximation >> 4 == 0, first > 0),
            false => (true, true),
        };
        for (position, spec) in specs.chunks_exact(2).enumerate() {
            let unknown = DecodeError::Invalid("a scan with unknown components");
            // Components are in the order of the frame (T.81, B.2.3), so components with the same identifier are distinguished
            // by position.
            let named = |(index, component): (usize, &Component)| (component.id == spec[0] && index >= position).then_some(index);
            let index = frame.components.iter().enumerate().find_map(named).ok_or(unknown)?;
            if components.iter().any(|other| other.index == index) {
                return Err(unknown);
            }
            let standard = |tables: &'static [Codes; 2]| if frame.progressive { &[] } else { tables.as_slice() };
            let dc = if needs_dc { dc.get_or_build(&tables.dc, spec[1] >> 4, standard(&standard_tables::DC))? } else { None };
            let ac = if needs_ac { ac.get_or_build(&tables.ac, spec[1] & 15, standard(&standard_tables::AC))? } else { None };
            if dc.as_ref().is_some_and(|table| !table.is_for_dc()) {
                return Err(DecodeError::Invalid("a Huffman table with invalid symbols"));
            }
            components.push(ScanComponent { index, dc, ac });
        }
        let blocks: usize = components.iter().map(|c| frame.components[c.index].h * frame.components[c.index].v).sum();
        if components.len() > 1 && blocks > 10 {
            return Err(DecodeError::Invalid("too many blocks in an MCU"));
        }
        Ok(Scan {
            components,
            first: usize::from(first),
            last: usize::from(last),
            high: u32::from(approximation >> 4),
            low: u32::from(approximation & 15),
        })
    }
}

/// Look-up tables that the components of a scan share. They are built per scan rather than at their definition, because a file
/// can define a table every few bytes.
#[derive(Default)]
struct TableCache([Option<Arc<Table>>; 4]);

impl TableCache {
    /// Returns the table with this number: as defined in the file, or the standard one.
    fn get_or_build(
        &mut self,
        defined: &[Option<HuffmanDefinition>; 4],
        number: u8,
        standard: &[Codes],
    ) -> Result<Option<Arc<Table>>, DecodeError> {
        let number = usize::from(number);
        let known = standard.get(number).map(|(counts, symbols)| (counts, *symbols));
        let table = defined.get(number).and_then(Option::as_ref);
        let table = table.map(|table| (&table.counts, table.symbols.as_slice())).or(known);
        let Some((counts, symbols)) = table else { return Ok(None) };
        let slot = &mut self.0[number];
        if slot.is_none() {
            *slot = Some(Arc::new(Table::new(counts, symbols)?));
        }
        Ok(slot.clone())
    }
}

/// A Huffman table as coded: the number of codes of each length, 1 to 16, and their symbols in order.
pub(super) struct HuffmanDefinition {
    counts: [u8; 16],
    symbols: Vec<u8>,
}

/// The current tables. They apply until they are redefined.
#[derive(Default)]
pub(super) struct Tables {
    pub quantization: [Option<[u16; 64]>; 4],
    pub dc: [Option<HuffmanDefinition>; 4],
    pub ac: [Option<HuffmanDefinition>; 4],
    /// MCUs between two restart markers; 0 if there are none.
    pub restart_interval: usize,
}

impl Tables {
    /// Parses DQT. Values are in zigzag order.
    pub fn define_quantization(&mut self, mut body: &[u8]) -> Result<(), DecodeError> {
        let wrong = DecodeError::Invalid("a quantization table with the wrong length");
        while let Some((&spec, rest)) = body.split_first() {
            let wide = spec >> 4 != 0;
            let (values, rest) = rest.split_at_checked(if wide { 128 } else { 64 }).ok_or(wrong)?;
            let table = if wide {
                std::array::from_fn(|i| u16::from_be_bytes([values[2 * i], values[2 * i + 1]]))
            } else {
                std::array::from_fn(|i| u16::from(values[i]))
            };
            let slot = self.quantization.get_mut(usize::from(spec & 15));
            *slot.ok_or(DecodeError::Invalid("a quantization table with an invalid number"))? = Some(table);
            body = rest;
        }
        Ok(())
    }

    /// Parses DHT.
    pub fn define_huffman(&mut self, mut body: &[u8]) -> Result<(), DecodeError> {
        let wrong = DecodeError::Invalid("a Huffman table with the wrong length");
        while let Some((&spec, rest)) = body.split_first() {
            let (counts, rest) = rest.split_first_chunk::<16>().ok_or(wrong)?;
            let codes = counts.iter().map(|&count| usize::from(count)).sum();
            let (symbols, rest) = rest.split_at_checked(codes).ok_or(wrong)?;
            if codes > 256 {
                return Err(DecodeError::Invalid("a Huffman table with too many codes"));
            }
            let definition = HuffmanDefinition { counts: *counts, symbols: symbols.to_vec() };
            let class = if spec >> 4 == 0 { &mut self.dc } else { &mut self.ac };
            let slot = class.get_mut(usize::from(spec & 15)).filter(|_| spec >> 4 <= 1);
            *slot.ok_or(DecodeError::Invalid("a Huffman table with an invalid number"))? = Some(definition);
            body = rest;
        }
        Ok(())
    }

    /// Parses DRI.
    pub fn define_restart_interval(&mut self, body: &[u8]) -> Result<(), DecodeError> {
        let interval: [u8; 2] = body.try_into().map_err(|_| DecodeError::Invalid("a restart interval with the wrong length"))?;
        self.restart_interval = usize::from(u16::from_be_bytes(interval));
        Ok(())
    }
}
