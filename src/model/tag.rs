//! Tags: short words to find images by.
//!
//! A tag is stored in one canonical form (trimmed, NFC, lower case), so that a look-up by equality finds what users mean. The
//! stored form is also displayed, so it is not folded further: ß stays ß and does not become ss.

use std::fmt;

use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

/// 1–50 characters: letters of any script, digits, spaces, hyphens, underscores.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(String);

impl Tag {
    pub const MAX_CHARS: usize = 50;
    /// Maximum number of tags of an image.
    pub const MAX_PER_IMAGE: usize = 10;

    /// # Errors
    /// The rule that `text` breaks, in words for the client.
    pub fn parse(text: &str) -> Result<Self, String> {
        // İ in lower case is an i with a dot above, which users who search do not type.
        let tag: String = text.trim().to_lowercase().replace("i\u{307}", "i").nfc().collect();
        let length = tag.chars().count();
        if length == 0 || length > Self::MAX_CHARS {
            return Err(format!("must have 1 to {} characters", Self::MAX_CHARS));
        }
        if !tag.chars().all(is_allowed) || !joins_letters(&tag) {
            return Err("must contain only letters, digits, spaces, hyphens and underscores".to_owned());
        }
        Ok(Self(tag))
    }

    /// Parses a comma-separated list: drops empty entries and duplicates, keeps the order.
    ///
    /// # Errors
    /// The first rule that is broken, in words for the client.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, String> {
        let mut tags = Vec::new();
        for part in text.split(',').filter(|part| !part.trim().is_empty()) {
            push_unique(&mut tags, Self::parse(part).map_err(|rule| format!("each tag {rule}"))?)?;
        }
        Ok(tags)
    }

    /// As [`Tag::parse_list`], for a list of separate strings.
    ///
    /// # Errors
    /// The first rule that is broken, in words for the client.
    pub fn parse_all<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Vec<Self>, String> {
        let mut tags = Vec::new();
        for text in texts.into_iter().filter(|text| !text.trim().is_empty()) {
            push_unique(&mut tags, Self::parse(text).map_err(|rule| format!("each tag {rule}"))?)?;
        }
        Ok(tags)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Wraps a tag that was parsed before it was stored.
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }
}

fn push_unique(tags: &mut Vec<Tag>, tag: Tag) -> Result<(), String> {
    if tags.contains(&tag) {
        return Ok(());
    }
    if tags.len() == Tag::MAX_PER_IMAGE {
        return Err(format!("must have at most {} tags", Tag::MAX_PER_IMAGE));
    }
    tags.push(tag);
    Ok(())
}

/// Combining marks are part of the letters of many scripts (Devanagari, Thai, Hebrew points).
fn is_allowed(c: char) -> bool {
    is_letter(c) || is_joiner(c) || matches!(c, ' ' | '-' | '_')
}

fn is_letter(c: char) -> bool {
    c.is_alphanumeric() || is_combining_mark(c)
}

/// The zero-width non-joiner and joiner, which are part of the spelling of Persian and of Indic scripts.
fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200c}' | '\u{200d}')
}

/// Returns whether each joiner is between two letters. Elsewhere it is invisible and would make two tags of one.
fn joins_letters(tag: &str) -> bool {
    let letters: Vec<char> = tag.chars().collect();
    let between = |i: usize| i > 0 && is_letter(letters[i - 1]) && letters.get(i + 1).is_some_and(|next| is_letter(*next));
    letters.iter().enumerate().all(|(i, c)| !is_joiner(*c) || between(i))
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_has_one_spelling() {
        for spelling in ["Café", " café ", "CAFE\u{301}"] {
            assert_eq!(Tag::parse(spelling).unwrap().as_str(), "café");
        }
    }

    #[test]
    fn a_turkish_capital_i_is_the_same_letter_as_a_small_one() {
        for spelling in ["İstanbul", "istanbul", "ISTANBUL", "I\u{307}stanbul", "i\u{307}stanbul"] {
            assert_eq!(Tag::parse(spelling).unwrap().as_str(), "istanbul", "{spelling}");
        }
        assert_eq!(Tag::parse("ISPARTA Iğdır Straße").unwrap().as_str(), "isparta iğdır straße");
    }

    #[test]
    fn letters_of_any_script_are_letters() {
        for good in ["日本", "हिन्दी", "русский", "a b-c_d", "ß", "2024", "نیم\u{200c}فاصله", "क्\u{200d}ष", &"é".repeat(50)]
        {
            assert!(Tag::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            " ",
            "a,b",
            "a/b",
            "a\nb",
            "#a",
            "😀",
            "a\0",
            "\u{200c}a",
            "a\u{200d}",
            "a\u{200c}\u{200c}b",
            "a \u{200d}b",
            "a\u{200b}b",
            &"é".repeat(51),
        ] {
            assert!(Tag::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_list_is_trimmed_deduplicated_and_bounded() {
        let tags = Tag::parse_list(" Sea,,sea , sun,").unwrap();
        assert_eq!(tags.iter().map(Tag::as_str).collect::<Vec<_>>(), ["sea", "sun"]);
        let ten: Vec<String> = (0..10).map(|n| n.to_string()).collect();
        assert_eq!(Tag::parse_list(&(ten.join(",") + ",1,2")).unwrap().len(), 10);
        assert!(Tag::parse_list(&(ten.join(",") + ",x")).is_err());
    }
}
