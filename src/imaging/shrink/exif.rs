//! Updates the image size in an EXIF block in place (Exif 2.32, 4.6.4 and 4.6.5). No length changes.

/// Tags of the first directory (IFD0).
const IMAGE_WIDTH: u16 = 0x0100;
const IMAGE_LENGTH: u16 = 0x0101;
const EXIF_DIRECTORY: u16 = 0x8769;
/// Tags of the Exif IFD.
const PIXEL_X_DIMENSION: u16 = 0xa002;
const PIXEL_Y_DIMENSION: u16 = 0xa003;

const SHORT: u16 = 3;
const LONG: u16 = 4;

/// Sets width and height, as stored, in the fields that `tiff` has. Leaves an unreadable block unchanged.
pub(super) fn set_size(tiff: &mut [u8], (width, height): (u32, u32)) {
    let little = match tiff.get(..4) {
        Some(b"II\x2a\0") => true,
        Some(b"MM\0\x2a") => false,
        _ => return,
    };
    let mut block = Block { tiff, little };
    let Some(first) = block.long(4) else { return };
    let directory = block.set(first, [(IMAGE_WIDTH, width), (IMAGE_LENGTH, height)]);
    if let Some(directory) = directory {
        block.set(directory, [(PIXEL_X_DIMENSION, width), (PIXEL_Y_DIMENSION, height)]);
    }
}

struct Block<'a> {
    tiff: &'a mut [u8],
    little: bool,
}

impl Block<'_> {
    /// Sets the numbers in a directory. Returns the offset of the Exif IFD, if this directory points to it.
    fn set(&mut self, directory: u32, numbers: [(u16, u32); 2]) -> Option<u32> {
        let start = directory as usize;
        let count = self.short(start)?;
        let mut found = None;
        for index in 0..usize::from(count) {
            let at = start.checked_add(2 + index * 12)?;
            let (tag, kind, values) = (self.short(at)?, self.short(at + 2)?, self.long(at + 4)?);
            if tag == EXIF_DIRECTORY && kind == LONG {
                found = self.long(at + 8);
            }
            if let Some((_, number)) = numbers.iter().find(|(wanted, _)| *wanted == tag && values == 1) {
                self.put(at + 8, kind, *number);
            }
        }
        found
    }

    fn put(&mut self, at: usize, kind: u16, number: u32) {
        let bytes = match (kind, u16::try_from(number)) {
            (SHORT, Ok(number)) => [if self.little { number.to_le_bytes() } else { number.to_be_bytes() }, [0; 2]].concat(),
            (LONG, _) => if self.little { number.to_le_bytes() } else { number.to_be_bytes() }.to_vec(),
            _ => return,
        };
        if let Some(field) = self.tiff.get_mut(at..at + 4) {
            field.copy_from_slice(&bytes);
        }
    }

    fn short(&self, at: usize) -> Option<u16> {
        let bytes = *self.tiff.get(at..)?.first_chunk()?;
        Some(if self.little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    }

    fn long(&self, at: usize) -> Option<u32> {
        let bytes = *self.tiff.get(at..)?.first_chunk()?;
        Some(if self.little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    }
}
