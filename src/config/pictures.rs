//! Settings that limit the accepted files and images.

use clap::{Args, ValueEnum};

use super::error::{ConfigError, require};
use super::units::Bytes;
use crate::imaging;
use crate::service;

/// The limits of a file and of its image.
#[derive(Debug, Clone, Args)]
pub struct PictureConfig {
    /// Maximum file size, up to 1GiB. UPLOAD_MEMORY_BUDGET, UPLOAD_DISK_BUDGET and DECODE_MEMORY_BUDGET must hold it.
    #[arg(long, help_heading = "File limits", env = "MAX_FILE_SIZE", default_value_t = Bytes(service::DEFAULT_MAX_FILE_BYTES))]
    pub max_file_size: Bytes,
    /// Minimum file size.
    #[arg(long, help_heading = "File limits", env = "MIN_FILE_SIZE", default_value_t = Bytes(service::DEFAULT_MIN_FILE_BYTES))]
    pub min_file_size: Bytes,
    /// Maximum width and height in pixels, up to 65500.
    #[arg(long, help_heading = "File limits", env = "MAX_IMAGE_SIDE", default_value_t = 4000)]
    pub max_image_side: u32,
    /// Maximum number of pixels (width × height), up to 1000000000. DECODE_MEMORY_BUDGET must hold one byte per pixel.
    #[arg(long, help_heading = "File limits", env = "MAX_IMAGE_PIXELS", default_value_t = 16_000_000)]
    pub max_image_pixels: u64,
    /// Minimum width and height in pixels.
    #[arg(long, help_heading = "File limits", env = "MIN_IMAGE_SIDE", default_value_t = 50)]
    pub min_image_side: u32,
    /// Whether to reject an image that exceeds MAX_IMAGE_SIDE or MAX_IMAGE_PIXELS, or to store it scaled down to these limits.
    #[arg(long, help_heading = "File limits", env = "OVERSIZE", value_enum, default_value_t = Oversize::Reject)]
    pub oversize: Oversize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Oversize {
    Reject,
    Shrink,
}

/// A larger file would not fit into the 32-bit lengths of RIFF with a margin, nor into the memory of most machines.
const MAX_FILE_BYTES: u64 = 1 << 30;
const MAX_PIXELS: u64 = 1_000_000_000;

/// Memory that decoding needs in addition to one byte per pixel, or to the copy of a file whose location metadata is removed.
const DECODE_EXTRA_BYTES: u64 = 16 << 20;
const COPY_EXTRA_BYTES: u64 = 24 << 20;
const MIN_DECODE_BYTES: u64 = 32 << 20;

/// Two of the steps in which memory for incoming bodies is reserved.
const RECEIVING_BYTES: u64 = 512 << 10;

impl PictureConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        require((1..=MAX_FILE_BYTES).contains(&self.max_file_size.0), "MAX_FILE_SIZE", "must be from 1 byte to 1GiB")?;
        require(self.min_file_size.0 >= 1, "MIN_FILE_SIZE", "must be at least 1 byte")?;
        require(
            self.min_file_size.0 <= self.max_file_size.0,
            "MAX_FILE_SIZE",
            &format!(
                "{} is less than MIN_FILE_SIZE, which is {}; check the units, such as MiB",
                self.max_file_size, self.min_file_size
            ),
        )?;
        require(
            (1..=imaging::MAX_SIDE).contains(&self.max_image_side),
            "MAX_IMAGE_SIDE",
            &format!("must be from 1 to {} pixels", imaging::MAX_SIDE),
        )?;
        require(
            (1..=self.max_image_side).contains(&self.min_image_side),
            "MIN_IMAGE_SIDE",
            &format!("must be from 1 pixel to MAX_IMAGE_SIDE, which is {}", self.max_image_side),
        )?;
        let least_pixels = u64::from(self.min_image_side).pow(2);
        require(
            (least_pixels..=MAX_PIXELS).contains(&self.max_image_pixels),
            "MAX_IMAGE_PIXELS",
            &format!("must be from {least_pixels}, which is MIN_IMAGE_SIDE squared, to {MAX_PIXELS} pixels"),
        )
    }

    /// Checks that the memory budgets are sufficient for one file and one image.
    ///
    /// # Errors
    /// The budget that is too small, with the setting that requires more and the minimum.
    pub(super) fn check_budgets(&self, upload: Bytes, decode: Bytes, fields_bytes: u64) -> Result<(), ConfigError> {
        // While the file is processed, another body must be able to arrive.
        let needed_upload = self.max_file_size.0 + fields_bytes + RECEIVING_BYTES;
        require(
            upload.0 >= needed_upload,
            "UPLOAD_MEMORY_BUDGET",
            &needed("one upload of MAX_FILE_SIZE", self.max_file_size, needed_upload),
        )?;
        require(decode.0 >= MIN_DECODE_BYTES, "DECODE_MEMORY_BUDGET", "must be at least 32MiB")?;
        let needed_pixels = self.max_image_pixels + DECODE_EXTRA_BYTES;
        require(
            decode.0 >= needed_pixels,
            "DECODE_MEMORY_BUDGET",
            &needed("one image of MAX_IMAGE_PIXELS", self.max_image_pixels, needed_pixels),
        )?;
        let needed_copy = self.max_file_size.0 + COPY_EXTRA_BYTES;
        let holds_copy = decode.0 >= needed_copy || self.max_file_size.0 <= service::DEFAULT_MAX_FILE_BYTES;
        require(holds_copy, "DECODE_MEMORY_BUDGET", &needed("one file of MAX_FILE_SIZE", self.max_file_size, needed_copy))
    }

    /// # Errors
    /// The disk budget is too small for one upload.
    pub(super) fn check_disk(&self, disk: Bytes) -> Result<(), ConfigError> {
        let holds_one = disk.0 == 0 || disk.0 >= self.max_file_size.0;
        let what = needed("one upload of MAX_FILE_SIZE", self.max_file_size, self.max_file_size.0);
        require(holds_one, "UPLOAD_DISK_BUDGET", &format!("{what}; 0 disables spilling to disk"))
    }

    /// Returns how many times larger than by default an image or a file may be, rounded up; at least 1.
    pub(super) fn scale(&self) -> u32 {
        let defaults = imaging::Limits::default();
        let pixels = self.limits().max_decoded_pixels().div_ceil(defaults.max_pixels);
        let bytes = self.max_file_size.0.div_ceil(service::DEFAULT_MAX_FILE_BYTES);
        u32::try_from(pixels.max(bytes)).unwrap_or(u32::MAX).max(1)
    }

    pub(super) fn limits(&self) -> imaging::Limits {
        imaging::Limits {
            min_side: self.min_image_side,
            max_side: self.max_image_side,
            max_pixels: self.max_image_pixels,
            shrink: self.oversize == Oversize::Shrink,
            ..imaging::Limits::default()
        }
    }
}

fn needed(what: &str, value: impl std::fmt::Display, bytes: u64) -> String {
    format!("must be at least {}MiB, to hold {what}, which is {value}", bytes.div_ceil(1 << 20))
}
