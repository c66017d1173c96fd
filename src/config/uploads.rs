//! Settings of uploads that are not forms.

use clap::Args;

use crate::service::images::adoption_sources::AdoptionSources;

/// Where images may come from.
#[derive(Debug, Clone, Args)]
pub struct UploadConfig {
    /// Comma-separated prefixes of existing objects that clients may adopt as images, each as `bucket/prefix`. `{user_id}` in a
    /// prefix stands for the owner of the image. `none` permits no objects. Unset: `incoming/` in S3_BUCKET.
    #[arg(long, help_heading = "Uploads", env = "ADOPT_SOURCES")]
    pub adopt_sources: Option<AdoptionSources>,
}

impl UploadConfig {
    pub(super) fn adopt_sources(&self, bucket: &str) -> AdoptionSources {
        self.adopt_sources.clone().unwrap_or_else(|| AdoptionSources::default_of(bucket))
    }
}
