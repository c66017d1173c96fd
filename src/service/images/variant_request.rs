//! A request for a resized image.

use crate::model::accept::Accept;
use crate::model::image::{Format, Image};
use crate::model::rendering::Fit;

/// A requested size, fit, format and quality.
#[derive(Debug, Clone)]
pub struct VariantRequest {
    /// In pixels. At least one side is required, and both for [`Fit::Cover`].
    pub width: Option<u32>,
    pub height: Option<u32>,
    pub fit: Fit,
    pub format: FormatRequest,
    /// 1 to 100; `None` is the default.
    pub quality: Option<u8>,
}

#[derive(Debug, Clone)]
pub enum FormatRequest {
    /// One of the formats that [`crate::model::rendering::Rendering`] supports.
    Named(Format),
    /// The best format that the client accepts.
    Accepted(Accept),
}

/// Returns the format for a client that sends no `Accept` header.
pub(in crate::service) fn default_format(image: &Image) -> Format {
    Accept::default().choose(is_transparent(image))
}

/// Returns whether pixels are transparent. Thumbnails are WebP in that case only, whatever channels the file has.
pub(in crate::service) fn is_transparent(image: &Image) -> bool {
    image.thumbnails.iter().any(|thumbnail| thumbnail.format == Format::Webp)
}
