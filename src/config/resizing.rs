//! Settings of resized images: which sizes may be requested, and how many are kept.

use clap::{Args, ValueEnum};

use super::error::{ConfigError, require};
use crate::model::resize::{ListedSize, ResizeMode};
use crate::service::images::resize_urls::ResizeLimits;

/// Resized images: permitted sizes, signing keys and limits.
#[derive(Debug, Clone, Args)]
pub struct ResizeConfig {
    /// Sizes that can be requested without a signature: any (`open`), those in RESIZE_SIZES (`listed`) or none (`signed`).
    /// Signed URLs give any size in every mode.
    #[arg(long, help_heading = "Thumbnails and resized images", env = "RESIZE", value_enum, default_value_t = Resize::Open)]
    pub resize: Resize,
    /// Comma-separated sizes for RESIZE=listed, each as `WIDTHxHEIGHT`, `WIDTHx` or `xHEIGHT`.
    #[arg(long, help_heading = "Thumbnails and resized images", env = "RESIZE_SIZES", value_delimiter = ',')]
    pub resize_sizes: Vec<String>,
    /// Comma-separated secrets for signing URLs of resized images, each of at least 32 characters. The first signs; all are
    /// accepted. Unset: keys derived from those that sign access tokens.
    #[arg(
        long,
        help_heading = "Thumbnails and resized images",
        env = "URL_SIGNING_KEYS",
        value_delimiter = ',',
        hide_env_values = true
    )]
    pub url_signing_keys: Vec<String>,
    /// Maximum number of resized images that are stored per image. Beyond it, the one that was requested longest ago is
    /// removed.
    #[arg(long, help_heading = "Thumbnails and resized images", env = "MAX_VARIANTS_PER_IMAGE", default_value_t = 100)]
    pub max_variants_per_image: u32,
    /// Maximum total size of the stored resized images of an image, as a multiple of the size of its original, and at least
    /// 4MiB. Beyond it, those that were requested longest ago are removed.
    #[arg(long, help_heading = "Thumbnails and resized images", env = "MAX_VARIANTS_FACTOR", default_value_t = 4)]
    pub max_variants_factor: u32,
    /// Days after its last request at which a stored resized image is removed. 0 keeps it forever.
    #[arg(long, help_heading = "Thumbnails and resized images", env = "VARIANT_RETENTION_DAYS", default_value_t = 30)]
    pub variant_retention_days: u32,
}

/// The sizes that are allowed without a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Resize {
    /// Any size, rounded up to a multiple of 8, 10 or 25.
    Open,
    /// The sizes of RESIZE_SIZES.
    Listed,
    /// None.
    Signed,
}

/// Keeps the error that lists the sizes readable.
const MAX_SIZES: usize = 100;

impl ResizeConfig {
    pub(super) fn check(&mut self) -> Result<(), ConfigError> {
        for list in [&mut self.resize_sizes, &mut self.url_signing_keys] {
            *list = list.iter().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()).collect();
        }
        for size in &self.resize_sizes {
            let read = size.parse::<ListedSize>();
            read.map_err(|rule| ConfigError { variable: "RESIZE_SIZES", reason: format!("each size {rule}; found {size:?}") })?;
        }
        require(self.resize_sizes.len() <= MAX_SIZES, "RESIZE_SIZES", "must have at most 100 sizes")?;
        let has_sizes = self.resize != Resize::Listed || !self.resize_sizes.is_empty();
        require(has_sizes, "RESIZE_SIZES", "RESIZE=listed needs at least one size")?;
        let long = self.url_signing_keys.iter().all(|secret| secret.len() >= 32);
        require(long, "URL_SIGNING_KEYS", "each secret must have at least 32 characters; separate secrets with commas")?;
        require(self.max_variants_per_image >= 1, "MAX_VARIANTS_PER_IMAGE", "must be at least 1")
    }

    pub(super) fn limits(&self) -> ResizeLimits {
        ResizeLimits {
            mode: match self.resize {
                Resize::Open => ResizeMode::Open,
                Resize::Listed => ResizeMode::Listed,
                Resize::Signed => ResizeMode::Signed,
            },
            // `check` has rejected invalid sizes.
            sizes: self.resize_sizes.iter().filter_map(|size| size.parse().ok()).collect(),
            signing_keys: self.url_signing_keys.clone(),
            max_variants: self.max_variants_per_image,
            max_bytes_factor: self.max_variants_factor,
        }
    }
}
