//! Text in UTF-16 and UTF-32, read as one byte per character. Everything that is searched for in texts is ASCII.

/// The width of a character and its byte order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wide {
    bytes: usize,
    big_endian: bool,
}

/// A letter that no rule matches.
const OTHER: u8 = 0xc0;

/// The encodings of wide text, the more likely ones first.
pub(super) const ALL: [Wide; 4] = [
    Wide { bytes: 2, big_endian: false },
    Wide { bytes: 2, big_endian: true },
    Wide { bytes: 4, big_endian: false },
    Wide { bytes: 4, big_endian: true },
];

/// Detects UTF-16 by its byte order mark, or by its zeros: each Latin letter has one. Text in single bytes has zeros only at its
/// end.
pub(super) fn guess(text: &[u8]) -> Option<Wide> {
    match text {
        [0xff, 0xfe, ..] => return Some(Wide::UTF_16_LE),
        [0xfe, 0xff, ..] => return Some(Wide::UTF_16_BE),
        _ => {}
    }
    let text = text.get(..text.iter().rposition(|&byte| byte != 0)? + 1)?;
    let zeros = |skip: usize| text.iter().skip(skip).step_by(2).filter(|&&byte| byte == 0).count();
    let (first, second) = (zeros(0), zeros(1));
    let most = first.max(second);
    if most < 2 || most < text.len() / 8 || first == second {
        return None;
    }
    Some(if second > first { Wide::UTF_16_LE } else { Wide::UTF_16_BE })
}

impl Wide {
    pub const UTF_16_LE: Wide = ALL[0];
    pub const UTF_16_BE: Wide = ALL[1];

    /// Returns where the text starts if the only byte of its first `<` is at `first`.
    pub fn start(self, first: usize) -> usize {
        let lead = if self.big_endian { self.bytes - 1 } else { 0 };
        first.saturating_sub(lead) % self.bytes
    }

    /// Edits the narrow form of `text`, which keeps its length. Characters that `edit` does not change stay.
    pub fn edit<T>(self, text: &mut [u8], edit: impl FnOnce(&mut [u8]) -> T) -> T {
        let before: Vec<u8> = text.chunks_exact(self.bytes).map(|unit| self.narrow(unit)).collect();
        let mut after = before.clone();
        let result = edit(&mut after);
        for (unit, (old, new)) in text.chunks_exact_mut(self.bytes).zip(before.into_iter().zip(after)) {
            if old != new {
                self.widen(unit, new);
            }
        }
        result
    }

    fn narrow(self, unit: &[u8]) -> u8 {
        let (low, high) = match (self.big_endian, unit) {
            (false, [low, high @ ..]) => (*low, high),
            (true, [high @ .., low]) => (*low, high),
            _ => return OTHER,
        };
        let is_latin = high.iter().all(|&byte| byte == 0);
        match low {
            // The degree sign.
            0xb0 if is_latin => low,
            0xfe | 0xff if !is_latin => b' ',
            _ if is_latin && low < 0x80 => low,
            _ => OTHER,
        }
    }

    fn widen(self, unit: &mut [u8], character: u8) {
        unit.fill(0);
        let low = if self.big_endian { unit.last_mut() } else { unit.first_mut() };
        if let Some(low) = low {
            *low = character;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_changes_only_the_edited_characters() {
        for wide in ALL {
            let encode = |text: &str| -> Vec<u8> {
                text.chars()
                    .flat_map(|character| {
                        let code = u32::from(character);
                        let bytes = if wide.big_endian { code.to_be_bytes() } else { code.to_le_bytes() };
                        let skip = if wide.big_endian { 4 - wide.bytes } else { 0 };
                        bytes.into_iter().skip(skip).take(wide.bytes).collect::<Vec<_>>()
                    })
                    .collect()
            };
            let mut text = encode("Größe: 41.98°N 世");
            text.push(7);
            wide.edit(&mut text, |narrow| {
                assert_eq!(narrow.len(), 16);
                narrow[7..12].fill(b' ');
            });
            text.pop();
            assert_eq!(text, encode("Größe:      °N 世"));
        }
    }
}
