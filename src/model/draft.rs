//! Drafts: uploads in several requests whose image does not exist yet. To clients, they are uploads.

use std::borrow::Cow;

use chrono::{DateTime, Utc};

use super::caller::UserId;
use super::id::ImageId;
pub use super::id::UploadId;
use super::upload_properties::UploadProperties;

/// An upload in several requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    pub id: UploadId,
    pub user_id: UserId,
    pub method: DraftMethod,
    pub state: DraftState,
    /// The announced length in bytes of what is sent; the maximum if none was announced.
    pub length: u64,
    pub is_length_known: bool,
    /// The number of bytes that the service has received and stored.
    pub received: u64,
    /// The announced media type of what is sent.
    pub content_type: String,
    /// The announced SHA-256 of what is sent.
    pub sha256: Option<[u8; 32]>,
    pub properties: UploadProperties,
    /// The header `Upload-Metadata` of the tus protocol, which the client can read back.
    pub tus_metadata: Option<String>,
    pub expires_at: DateTime<Utc>,
}

impl Draft {
    /// Returns how many bytes of a resumable upload need not be sent again.
    pub fn offset(&self) -> u64 {
        if let DraftState::Complete(_) = self.state { self.length } else { self.received }
    }
}

/// How the file is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DraftMethod {
    /// To the storage, with a presigned URL.
    Direct,
    /// To the service in pieces, with the tus protocol.
    Tus,
    /// As a form, to the service in pieces, with Resumable Uploads for HTTP.
    Form,
}

impl DraftMethod {
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Tus => "tus",
            Self::Form => "resumable_form",
        }
    }

    /// Returns whether the file can still be sent when the upload has ended, until it expires.
    pub fn can_outlive_its_end(self) -> bool {
        self == Self::Direct
    }

    pub fn parse(name: &str) -> Option<Self> {
        [Self::Direct, Self::Tus, Self::Form].into_iter().find(|method| method.name() == name)
    }
}

/// The progress of a draft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DraftState {
    /// The file can be sent. Counts towards the quota.
    Open,
    Complete(ImageId),
    /// The file was refused.
    Failed(DraftFailure),
    Cancelled,
    Expired,
}

/// Why a file, or the form with it, was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DraftFailure {
    InvalidFile { reason: String },
    InvalidForm { reason: String },
    UnsupportedFormat { found: Option<Cow<'static, str>> },
}
