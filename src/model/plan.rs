//! Plans: what an account is given.

use std::fmt;

use super::image::ThumbnailSize;

/// A plan's name: 1–64 letters A-Z and a-z, digits, hyphens and underscores.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlanName(String);

impl PlanName {
    pub const MAX_CHARS: usize = 64;

    /// # Errors
    /// The rule that `text` breaks, in words for the client.
    pub fn parse(text: &str) -> Result<Self, String> {
        let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        if plain && (1..=Self::MAX_CHARS).contains(&text.len()) {
            return Ok(Self(text.to_owned()));
        }
        Err(format!("must have 1 to {} letters A-Z and a-z, digits, hyphens and underscores", Self::MAX_CHARS))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn from_stored(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for PlanName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub name: PlanName,
    pub features: Features,
    /// Whether it came with the service; such a plan can be changed, but not deleted.
    pub built_in: bool,
}

/// What a plan gives. It is the owner's plan that counts, whoever looks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Features {
    /// Which of the service's thumbnails.
    pub thumbnails: Vec<ThumbnailSize>,
    /// Whether originals can be downloaded and linked to.
    pub original: bool,
    /// Whether links that expire can be made, which lead to originals.
    pub expiring_links: bool,
    /// Whether pictures of any size can be asked for.
    pub custom_sizes: bool,
    /// Whether pictures can be imported from URLs.
    pub imports: bool,
    /// Bytes of all originals together that are not deleted.
    pub max_bytes: Option<u64>,
    /// Images that are not deleted.
    pub max_images: Option<u64>,
}

/// What of a quota is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    pub images: u64,
    /// Of originals.
    pub bytes: u64,
}
