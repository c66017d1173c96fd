//! Writes a baseline JPEG (T.81, annex B) with the standard Huffman tables, one row of MCUs at a time.

#![cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "calling a function that is compiled for AVX2"))]

use super::bit_writer::{BitWriter, Encoding};
#[cfg(target_arch = "x86_64")]
use super::cpu_features;
use super::forward_dct::{Quantizer, ZIGZAG};
use super::standard_tables;

/// Samples on each side of a block.
pub(super) const BLOCK: usize = 8;

/// The samples of one component in a row of MCUs.
pub(super) struct Strip {
    pub samples: Vec<u8>,
    /// Samples in a row, padded to whole MCUs.
    pub stride: usize,
}

/// Provides the samples of an image.
pub(super) trait Image {
    /// Width and height.
    fn size(&self) -> (usize, usize);
    /// For each component, how many blocks an MCU has each way, the first having the most.
    fn sampling(&self) -> &'static [usize];
    /// Fills the strips with the samples of a row of MCUs, padded with the last column and row.
    fn read(&self, mcu_row: usize, strips: &mut [Strip]);
}

pub(super) fn write(image: &impl Image, quality: u32) -> Vec<u8> {
    #[cfg(target_arch = "x86_64")]
    if cpu_features::has_avx2() {
        // SAFETY: the processor has these features.
        return unsafe { write_with_avx2(image, quality) };
    }
    write_all(image, quality)
}

/// Compiles everything for AVX2, which most processors have. The result is the same.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt")]
fn write_with_avx2(image: &impl Image, quality: u32) -> Vec<u8> {
    write_all(image, quality)
}

/// A component and what is needed to encode it.
struct Component {
    sampling: usize,
    /// Blocks that contain a part of the image.
    blocks: (usize, usize),
    table: usize,
    previous_dc: i16,
}

#[inline(always)]
fn write_all(image: &impl Image, quality: u32) -> Vec<u8> {
    let (width, height) = image.size();
    let sampling = image.sampling();
    let most = sampling.first().copied().unwrap_or(1);
    let mcus = (width.div_ceil(BLOCK * most), height.div_ceil(BLOCK * most));
    let quantizers = [false, true].map(|is_chroma| Quantizer::new(is_chroma, quality));
    let encodings = [0, 1].map(|table| (Encoding::new(&standard_tables::DC[table]), Encoding::new(&standard_tables::AC[table])));
    let component = |(index, &sampling): (usize, &usize)| {
        let blocks = |length: usize| length.div_ceil(most / sampling * BLOCK);
        Component { sampling, blocks: (blocks(width), blocks(height)), table: index.min(1), previous_dc: 0 }
    };
    let mut components: Vec<Component> = sampling.iter().enumerate().map(component).collect();
    let strip = |component: &Component| {
        let stride = mcus.0 * component.sampling * BLOCK;
        Strip { samples: vec![0; stride * component.sampling * BLOCK], stride }
    };
    let mut strips: Vec<Strip> = components.iter().map(strip).collect();
    let mut bits = BitWriter::after(header((width, height), sampling, &quantizers));
    for mcu_row in 0..mcus.1 {
        image.read(mcu_row, &mut strips);
        for mcu_column in 0..mcus.0 {
            for (component, strip) in components.iter_mut().zip(&strips) {
                let (dc, ac) = &encodings[component.table];
                for y in 0..component.sampling {
                    for x in 0..component.sampling {
                        let column = mcu_column * component.sampling + x;
                        let is_empty = column >= component.blocks.0 || mcu_row * component.sampling + y >= component.blocks.1;
                        let mut coefficients = [0; 64];
                        coefficients[0] = component.previous_dc;
                        // A block beyond the image is not displayed. It repeats the previous DC, which takes the fewest bits.
                        if !is_empty {
                            let start = y * BLOCK * strip.stride + column * BLOCK;
                            let samples = strip.samples.get(start..).unwrap_or_default();
                            coefficients = quantizers[component.table].block(samples, strip.stride);
                        }
                        bits.block(&coefficients, component.previous_dc, dc, ac);
                        component.previous_dc = coefficients[0];
                    }
                }
            }
        }
    }
    let mut file = bits.finish();
    file.extend([0xff, 0xd9]);
    file
}

/// Returns everything before the image data.
fn header(size: (usize, usize), sampling: &[usize], quantizers: &[Quantizer; 2]) -> Vec<u8> {
    let tables = &quantizers[..sampling.len().min(2)];
    let [width, height] = [size.0, size.1].map(|length| (length as u16).to_be_bytes());
    // JFIF 1.1 with square pixels and without a thumbnail.
    let mut file = b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0".to_vec();
    for (number, quantizer) in tables.iter().enumerate() {
        file.extend([0xff, 0xdb, 0, 67, number as u8]);
        file.extend(ZIGZAG.map(|index| quantizer.table[usize::from(index)]));
    }
    let count = sampling.len() as u8;
    file.extend([0xff, 0xc0, 0, 8 + 3 * count, 8, height[0], height[1], width[0], width[1], count]);
    for (index, &factor) in (0u8..).zip(sampling) {
        file.extend([index + 1, (factor << 4 | factor) as u8, index.min(1)]);
    }
    for number in 0..tables.len() {
        for (class, (counts, symbols)) in [&standard_tables::DC[number], &standard_tables::AC[number]].into_iter().enumerate() {
            file.extend([0xff, 0xc4, 0, 19 + symbols.len() as u8, (class << 4 | number) as u8]);
            file.extend(counts);
            file.extend(*symbols);
        }
    }
    file.extend([0xff, 0xda, 0, 6 + 2 * count, count]);
    for index in 0..count {
        file.extend([index + 1, index.min(1) * 0x11]);
    }
    file.extend([0, 63, 0]);
    file
}
