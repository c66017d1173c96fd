//! The JSON representation of a page of images.

use serde::Serialize;
use utoipa::ToSchema;

use super::json_cache::{ImageJson, ImageJsonCache};
use super::views::ImageView;
use crate::http::error::ApiError;
use crate::service::images::listing::ImagePage;

/// A page of images, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ImagePage, example = crate::http::openapi::examples::image_page)]
pub struct ImagePageView<'a> {
    /// The images on this page.
    #[schema(value_type = Vec<ImageView>)]
    pub images: Vec<ImageJson>,
    /// Exact number of images that match the filters, on all pages.
    pub total_count: u64,
    /// The `page_token` of the next page, valid with the same filters; null on the last page.
    pub next_page_token: Option<&'a str>,
    /// Whether there is another page.
    pub has_more: bool,
}

impl<'a> ImagePageView<'a> {
    /// # Errors
    /// An image cannot be serialised.
    pub fn new(page: &'a mut ImagePage<'_>, cache: &ImageJsonCache) -> Result<Self, ApiError> {
        let images = page.images.iter().map(|image| cache.get(image, &mut page.signer)).collect::<Result<_, _>>()?;
        let (total_count, has_more, next_page_token) = (page.total, page.next.is_some(), page.next.as_deref());
        Ok(Self { images, total_count, next_page_token, has_more })
    }

    /// Approximate size as JSON.
    pub fn size_bytes(&self) -> usize {
        256 + self.images.iter().map(|image| image.length() + 1).sum::<usize>()
    }
}
