//! The value of an `Idempotency-Key` header.

use crate::model::draft::UploadId;
use crate::model::share::ShareId;

/// A string of 1–255 visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    pub const MAX_CHARS: usize = 255;

    /// # Errors
    /// The rule that `text` breaks, worded for the client.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let visible = !text.is_empty() && text.len() <= Self::MAX_CHARS && text.iter().all(u8::is_ascii_graphic);
        let key = visible.then(|| String::from_utf8(text.to_vec()).ok()).flatten();
        key.map(Self).ok_or_else(|| format!("must have 1 to {} visible ASCII characters", Self::MAX_CHARS))
    }

    /// Returns the key of an upload in several requests. No client can send it, because it has a space.
    pub(in crate::service) fn of_upload(id: UploadId) -> Self {
        Self(format!("upload {id}"))
    }

    /// Returns the key of an upload by a visitor of a share, who must not get responses to requests of the owner or of visitors of
    /// other shares. No client can send it, because it has a space.
    pub(in crate::service) fn of_share(&self, id: ShareId) -> Self {
        Self(format!("share {id} {}", self.0))
    }

    pub(in crate::service) fn as_str(&self) -> &str {
        &self.0
    }
}
