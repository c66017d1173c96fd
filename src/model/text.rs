//! The texts of an image: title, description, and the file name on the client.

use super::format::Format;
use std::fmt;

/// At most 200 characters, without U+0000.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Title(String);

/// At most 1000 characters, without U+0000.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description(String);

/// The last component of the client's path, at most 255 characters, without control characters. Never part of an object key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileName(String);

impl Title {
    pub const MAX_CHARS: usize = 200;

    /// Parses a title; an empty text means none.
    ///
    /// # Errors
    /// The rule that `text` breaks, in words for the client.
    pub fn parse(text: &str) -> Result<Option<Self>, String> {
        Ok(bounded(text, Self::MAX_CHARS)?.map(Self))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn from_stored(text: String) -> Self {
        Self(text)
    }
}

impl Description {
    pub const MAX_CHARS: usize = 1000;

    /// Parses a description; an empty text means none.
    ///
    /// # Errors
    /// The rule that `text` breaks, in words for the client.
    pub fn parse(text: &str) -> Result<Option<Self>, String> {
        Ok(bounded(text, Self::MAX_CHARS)?.map(Self))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn from_stored(text: String) -> Self {
        Self(text)
    }
}

fn bounded(text: &str, max_chars: usize) -> Result<Option<String>, String> {
    if text.chars().count() > max_chars {
        return Err(format!("must have at most {max_chars} characters"));
    }
    // PostgreSQL cannot store it, and no text needs it.
    if text.contains('\0') {
        return Err("must not contain the character U+0000".to_owned());
    }
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

impl FileName {
    pub const MAX_CHARS: usize = 255;

    /// Reduces the client's file name to one that is safe to display and to put into a header; returns `fallback` if nothing
    /// remains.
    pub fn clean(sent: &str, fallback: &str) -> Self {
        // Outside Windows, a name may end with a backslash, which does not make it a directory.
        let last = sent.trim_end_matches('\\').rsplit(['/', '\\']).next().unwrap_or_default();
        let name: String = last.chars().filter(|c| !c.is_control() && !is_bidi_control(*c)).take(Self::MAX_CHARS).collect();
        let name = name.trim();
        Self(if matches!(name, "" | "." | "..") { fallback } else { name }.to_owned())
    }

    /// Returns the name to save the file under. Its extension matches the format, so that no program mistakes an image for
    /// another file type; the extension of another image format is replaced.
    pub fn for_download(&self, format: Format) -> String {
        // Most names are ASCII, which has no such characters.
        let name: String =
            if self.0.is_ascii() { self.0.clone() } else { self.0.chars().filter(|c| !is_bidi_control(*c)).collect() };
        let (stem, extension) = name.rsplit_once('.').unwrap_or((&name, ""));
        let is = |known: &&str| extension.eq_ignore_ascii_case(known);
        if format.extensions().iter().any(&is) && !stem.is_empty() {
            return name;
        }
        let has_image_extension = IMAGE_EXTENSIONS.iter().any(is) && !stem.is_empty();
        format!("{}.{}", if has_image_extension { stem } else { name.trim_end_matches('.') }, format.extension())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn from_stored(text: String) -> Self {
        Self(text)
    }
}

const IMAGE_EXTENSIONS: [&str; 18] = [
    "apng", "avif", "bmp", "dng", "gif", "heic", "heif", "jfif", "jpe", "jpeg", "jpg", "jxl", "png", "svg", "tif", "tiff",
    "webp", "ico",
];

/// Returns whether a character changes the direction of the surrounding text (Unicode UAX 9, 2) and could so disguise the
/// extension.
fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{61C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_counted_not_bytes() {
        assert!(Title::parse(&"é".repeat(200)).unwrap().is_some());
        assert!(Title::parse(&"é".repeat(201)).is_err());
        assert!(Description::parse(&"😀".repeat(1000)).unwrap().is_some());
        assert!(Description::parse(&"😀".repeat(1001)).is_err());
        assert_eq!(Title::parse(""), Ok(None));
        assert!(Title::parse("a\0b").is_err());
    }

    #[test]
    fn a_download_name_has_the_extension_of_its_format() {
        for (name, format, saved) in [
            ("sunset.jpg", Format::Jpeg, "sunset.jpg"),
            ("Sunset.JPEG", Format::Jpeg, "Sunset.JPEG"),
            ("a.jfif", Format::Jpeg, "a.jfif"),
            ("IMG_0001.HEIC", Format::Jpeg, "IMG_0001.jpg"),
            ("photo.png", Format::Webp, "photo.webp"),
            ("icon.apng", Format::Png, "icon.apng"),
            ("invoice.html", Format::Png, "invoice.html.png"),
            ("invoice.hta", Format::Gif, "invoice.hta.gif"),
            ("Report v1.2", Format::Png, "Report v1.2.png"),
            ("image", Format::Png, "image.png"),
            ("trailing.", Format::Png, "trailing.png"),
            (".jpg", Format::Jpeg, ".jpg.jpg"),
            ("x\u{202e}gnp.exe", Format::Png, "xgnp.exe.png"),
            ("日本.png", Format::Png, "日本.png"),
        ] {
            assert_eq!(FileName::from_stored(name.to_owned()).for_download(format), saved, "{name:?}");
        }
    }

    #[test]
    fn a_file_name_is_the_last_component_without_control_characters() {
        for (sent, kept) in [
            ("sunset.jpg", "sunset.jpg"),
            ("../../etc/passwd", "passwd"),
            (r"C:\photos\été.jpg", "été.jpg"),
            ("a\r\nSet-Cookie: x.jpg", "aSet-Cookie: x.jpg"),
            ("", "image.png"),
            ("..", "image.png"),
            ("photos/", "image.png"),
            (r"photo.jpg\", "photo.jpg"),
            (r"C:\photos\photo.jpg\", "photo.jpg"),
            (r"\\", "image.png"),
        ] {
            assert_eq!(FileName::clean(sent, "image.png").as_str(), kept);
        }
        assert_eq!(FileName::clean(&"é".repeat(300), "x").as_str().chars().count(), 255);
    }
}
