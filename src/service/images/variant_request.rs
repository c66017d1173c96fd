//! A request for a resized image.

use crate::model::accept::Accept;
use crate::model::image::{Format, Image};
use crate::model::rendering::Fit;

/// A picture of any size, as it is asked for.
#[derive(Debug, Clone)]
pub struct VariantRequest {
    /// In pixels; at least one of both, and both for [`Fit::Cover`].
    pub width: Option<u32>,
    pub height: Option<u32>,
    pub fit: Fit,
    pub format: FormatRequest,
    /// 1 to 100; `None` is the default.
    pub quality: Option<u8>,
}

#[derive(Debug, Clone)]
pub enum FormatRequest {
    /// This one, of those that [`Rendering`] has.
    Named(Format),
    /// One that the client takes.
    Accepted(Accept),
}

/// The format for a client that says nothing about those it takes.
pub(in crate::service) fn default_format(image: &Image) -> Format {
    Accept::default().choose(is_transparent(image))
}

/// Whether something shows through: thumbnails are WebP then, whatever channels the file has.
pub(in crate::service) fn is_transparent(image: &Image) -> bool {
    image.thumbnails.iter().any(|thumbnail| thumbnail.format == Format::Webp)
}
