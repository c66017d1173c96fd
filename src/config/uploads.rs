//! Settings of uploads that are not forms.

use clap::Args;

use super::error::{ConfigError, require};
use super::units::{Bytes, Seconds};
use crate::service::images::adoption_sources::AdoptionSources;
use crate::service::images::drafts::{DEFAULT_MAX_OPEN, DEFAULT_MAX_OPEN_BYTES, DraftLimits};

/// Where images may come from, and how many uploads may be unfinished.
#[derive(Debug, Clone, Args)]
pub struct UploadConfig {
    /// Maximum number of open uploads per user: those that can still be sent or completed. Further ones are rejected with 429.
    #[arg(long, help_heading = "Uploads", env = "MAX_OPEN_UPLOADS", default_value_t = DEFAULT_MAX_OPEN)]
    pub max_open_uploads: u32,
    /// Maximum total size of the open uploads of a user, as announced. A value below MAX_FILE_SIZE counts as MAX_FILE_SIZE.
    #[arg(long, help_heading = "Uploads", env = "MAX_OPEN_UPLOAD_BYTES", default_value_t = Bytes(DEFAULT_MAX_OPEN_BYTES))]
    pub max_open_upload_bytes: Bytes,
    /// Seconds until a direct upload expires.
    #[arg(long, help_heading = "Uploads", env = "DIRECT_UPLOAD_LIFETIME", default_value_t = Seconds(3600))]
    pub direct_upload_lifetime: Seconds,
    /// Seconds until a resumable upload expires.
    #[arg(long, help_heading = "Uploads", env = "RESUMABLE_UPLOAD_LIFETIME", default_value_t = Seconds(86_400))]
    pub resumable_upload_lifetime: Seconds,
    /// Whether uploads from clients that support it get a 104 response with the address at which they can be continued, as Apple's
    /// URLSession does. Set it only if every proxy in front forwards interim responses.
    #[arg(long, help_heading = "Uploads", env = "SEND_104_RESPONSES", default_value_t = false, action = clap::ArgAction::Set)]
    pub send_104_responses: bool,
    /// Comma-separated prefixes of existing objects that clients may adopt as images, each as `bucket/prefix`. `{user_id}` in a
    /// prefix stands for the owner of the image. `none` permits no objects. Unset: `incoming/` in S3_BUCKET.
    #[arg(long, help_heading = "Uploads", env = "ADOPT_SOURCES")]
    pub adopt_sources: Option<AdoptionSources>,
}

impl UploadConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        require((1..=1000).contains(&self.max_open_uploads), "MAX_OPEN_UPLOADS", "must be from 1 to 1000")?;
        let resumable = self.resumable_upload_lifetime.0;
        require(
            (60..=30 * 86_400).contains(&resumable),
            "RESUMABLE_UPLOAD_LIFETIME",
            "must be from 60 to 2592000 seconds (30 days)",
        )?;
        let lifetime = self.direct_upload_lifetime.0;
        require(
            (60..=7 * 86_400).contains(&lifetime),
            "DIRECT_UPLOAD_LIFETIME",
            "must be from 60 to 604800 seconds (7 days), because S3 allows no more",
        )
    }

    pub(super) fn adopt_sources(&self, bucket: &str) -> AdoptionSources {
        self.adopt_sources.clone().unwrap_or_else(|| AdoptionSources::default_of(bucket))
    }

    pub(super) fn draft_limits(&self, max_file_bytes: u64) -> DraftLimits {
        DraftLimits {
            max_open: self.max_open_uploads,
            max_open_bytes: self.max_open_upload_bytes.0.max(max_file_bytes),
            direct_lifetime: self.direct_upload_lifetime.duration(),
            resumable_lifetime: self.resumable_upload_lifetime.duration(),
        }
    }
}
