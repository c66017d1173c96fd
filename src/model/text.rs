//! The free texts of an image: title, description, and the name that its file had at the client.

use std::fmt;

/// At most 200 characters, without U+0000.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Title(String);

/// At most 1000 characters, without U+0000.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description(String);

/// The last component of the client's path, at most 255 characters, no control characters; never part of an object key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileName(String);

impl Title {
    pub const MAX_CHARS: usize = 200;

    /// An empty text is no title.
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

    /// An empty text is no description.
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

    /// Cuts what the client sent to a name that is safe to show and to put into a header; `fallback` if nothing is left.
    pub fn clean(sent: &str, fallback: &str) -> Self {
        // Elsewhere than on Windows a name may end with a backslash, and is not a folder for it.
        let last = sent.trim_end_matches('\\').rsplit(['/', '\\']).next().unwrap_or_default();
        let name: String = last.chars().filter(|c| !c.is_control()).take(Self::MAX_CHARS).collect();
        let name = name.trim();
        Self(if matches!(name, "" | "." | "..") { fallback } else { name }.to_owned())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn from_stored(text: String) -> Self {
        Self(text)
    }
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
