//! Which coefficients a file's scans have given: whether the image is whole, and whether a scan follows from the earlier
//! ones.
//!
//! A **sequential** image is whole when each component had a scan. A **progressive** one is whole at the end of the image
//! (EOI) when each component had its DC; encoders may leave the rest out. Where the file ends otherwise, nothing says that
//! the last scan was the last one, so then it is whole only if every coefficient is known to its last bit.

use super::decode_error::DecodeError;
use super::frame::{Frame, Scan};

pub(super) struct Coverage {
    progressive: bool,
    /// Of each component, the lowest bit that is known of each coefficient, in zigzag order.
    known: Vec<[Option<u32>; 64]>,
    /// Whether one scan held all components of a sequential image: it is the only one.
    interleaved: bool,
    scans: usize,
}

impl Coverage {
    pub fn new(frame: &Frame) -> Self {
        let known = vec![[None; 64]; frame.components.len()];
        Coverage { progressive: frame.progressive, known, interleaved: false, scans: 0 }
    }

    /// Holds a scan against what the earlier ones gave (T.81, G.1.1.1), and adds it.
    pub fn add_scan(&mut self, scan: &Scan) -> Result<(), DecodeError> {
        self.scans += 1;
        if !self.progressive {
            if (scan.first, scan.last, scan.high, scan.low) != (0, 63, 0, 0) {
                return Err(DecodeError::Invalid("a scan of some coefficients only, without being progressive"));
            }
            scan.components.iter().for_each(|component| self.known[component.index] = [Some(0); 64]);
            self.interleaved = self.scans == 1 && scan.components.len() == self.known.len();
            return Ok(());
        }
        // DC alone, or a band of one component; each scan after the first adds one bit.
        let band = if scan.first == 0 {
            scan.last == 0
        } else {
            scan.first <= scan.last && scan.last < 64 && scan.components.len() == 1
        };
        let bits = scan.low <= 13 && (scan.high == 0 || scan.high == scan.low + 1);
        if !band || !bits {
            return Err(DecodeError::Invalid("an impossible progression"));
        }
        let contradiction = DecodeError::Invalid("scans that do not follow from each other");
        for component in &scan.components {
            let known = &mut self.known[component.index];
            if scan.first > 0 && known[0].is_none() {
                return Err(contradiction);
            }
            for known in &mut known[scan.first..=scan.last] {
                if known.unwrap_or(0) != scan.high {
                    return Err(contradiction);
                }
                *known = Some(scan.low);
            }
        }
        Ok(())
    }

    /// Whether every coefficient is known to its last bit.
    pub fn is_whole(&self) -> bool {
        self.known.iter().flatten().all(|&known| known == Some(0))
    }

    /// Whether each component has data.
    pub fn has_all_components(&self) -> bool {
        self.known.iter().all(|known| known[0].is_some())
    }

    /// Whether nothing can follow: viewers read no further than the one scan of such an image.
    pub fn is_finished(&self) -> bool {
        self.interleaved
    }
}
