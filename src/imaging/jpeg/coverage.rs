//! Tracks which coefficients the scans of a file contain: whether the image is complete, and whether a scan is consistent with
//! the earlier ones.
//!
//! A **sequential** image is complete when each component had a scan. A **progressive** one is complete at EOI when each
//! component had its DC; encoders may omit the rest. If the file ends without EOI, further scans may be missing, so the image
//! is complete only if every coefficient is known to its last bit.

use super::decode_error::DecodeError;
use super::frame::{Frame, Scan};

pub(super) struct Coverage {
    progressive: bool,
    /// For each component, the lowest known bit of each coefficient, in zigzag order.
    known: Vec<[Option<u32>; 64]>,
    /// Whether the only scan of a sequential image contains all components.
    interleaved: bool,
    scans: usize,
}

impl Coverage {
    pub fn new(frame: &Frame) -> Self {
        let known = vec![[None; 64]; frame.components.len()];
        Coverage { progressive: frame.progressive, known, interleaved: false, scans: 0 }
    }

    /// Checks that a scan is consistent with the earlier ones (T.81, G.1.1.1), and adds it.
    pub fn add_scan(&mut self, scan: &Scan) -> Result<(), DecodeError> {
        self.scans += 1;
        if !self.progressive {
            if (scan.first, scan.last, scan.high, scan.low) != (0, 63, 0, 0) {
                return Err(DecodeError::Invalid("a partial scan although it is not progressive"));
            }
            scan.components.iter().for_each(|component| self.known[component.index] = [Some(0); 64]);
            self.interleaved = self.scans == 1 && scan.components.len() == self.known.len();
            return Ok(());
        }
        // Either DC alone, or a band of one component. Each scan after the first adds one bit.
        let band = if scan.first == 0 {
            scan.last == 0
        } else {
            scan.first <= scan.last && scan.last < 64 && scan.components.len() == 1
        };
        let bits = scan.low <= 13 && (scan.high == 0 || scan.high == scan.low + 1);
        if !band || !bits {
            return Err(DecodeError::Invalid("an invalid progression"));
        }
        let contradiction = DecodeError::Invalid("scans that contradict each other");
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

    /// Returns whether every coefficient is known to its last bit.
    pub fn is_whole(&self) -> bool {
        self.known.iter().flatten().all(|&known| known == Some(0))
    }

    /// Returns whether each component has data.
    pub fn has_all_components(&self) -> bool {
        self.known.iter().all(|known| known[0].is_some())
    }

    /// Returns whether no scan can follow: viewers stop after the single interleaved scan of such an image.
    pub fn is_finished(&self) -> bool {
        self.interleaved
    }
}
