//! Colours of an image's palette.

use std::fmt;

/// An sRGB colour; `Display` writes `#rrggbb`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Color(pub [u8; 3]);

impl Color {
    /// Parses `#rrggbb`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut rgb = [0; 3];
        hex::decode_to_slice(text.strip_prefix('#')?, &mut rgb).ok()?;
        Some(Self(rgb))
    }
}

impl fmt::Display for Color {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = *b"#rrggbb";
        hex::encode_to_slice(self.0, &mut text[1..]).map_err(|_| fmt::Error)?;
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}
