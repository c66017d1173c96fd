//! The JSON of images, kept while it stays the same.
//!
//! Most of it is presigned URLs, which stay the same for a while (see `service/images/presigned_urls.rs`). Signing and formatting
//! them takes most of the time of a page. An entry is used only if it was created from an equal image and with equally valid
//! links, so it is never outdated.

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::views::ImageView;
use crate::http::error::ApiError;
use crate::model::id::ImageId;
use crate::model::image::Image;
use crate::service::error::Error;
use crate::service::images::presigned_urls::{LinkSigner, LinkValidity};

/// JSON takes up to this fraction of the memory for cached files.
const SHARE: u64 = 4;

/// The memory of a typical entry, for the initial size of the table, which grows if needed.
const TYPICAL_BYTES: u64 = 4096;

/// What an entry takes besides the JSON and the image, approximately.
const ENTRY_BYTES: usize = 512;

#[derive(Debug)]
pub struct ImageJsonCache {
    /// `None` if caching is off.
    entries: Option<Cache<ImageId, ImageJson, BySize>>,
}

/// An image with its links as JSON.
#[derive(Debug, Clone)]
pub struct ImageJson(Arc<Entry>);

#[derive(Debug)]
struct Entry {
    image: Arc<Image>,
    validity: LinkValidity,
    json: Box<RawValue>,
}

#[derive(Debug, Clone)]
struct BySize;

impl Weighter<ImageId, ImageJson> for BySize {
    fn weight(&self, _: &ImageId, ImageJson(entry): &ImageJson) -> u64 {
        (entry.json.get().len() + size_of::<Image>() + entry.image.text_bytes() + ENTRY_BYTES) as u64
    }
}

impl ImageJsonCache {
    /// Creates a cache with its share of the memory for cached files; 0 turns caching off.
    pub fn new(cache_bytes: u64) -> Self {
        let max_bytes = cache_bytes / SHARE;
        let entries = usize::try_from(max_bytes / TYPICAL_BYTES).unwrap_or(usize::MAX).clamp(16, 1 << 16);
        Self { entries: (max_bytes > 0).then(|| Cache::with_weighter(entries, max_bytes, BySize)) }
    }

    /// Returns the JSON of an image with links from this signer.
    ///
    /// # Errors
    /// The image cannot be serialised.
    pub fn get(&self, image: &Arc<Image>, signer: &mut LinkSigner<'_>) -> Result<ImageJson, ApiError> {
        let cached = self.entries.as_ref().and_then(|entries| entries.get(&image.id));
        if let Some(cached) = cached.filter(|cached| cached.is_of(image, signer.validity())) {
            return Ok(cached);
        }
        let links = signer.links(image);
        let json = serde_json::value::to_raw_value(&ImageView::new(image, Some(&links))).map_err(Error::internal)?;
        let json = ImageJson(Arc::new(Entry { image: Arc::clone(image), validity: signer.validity().clone(), json }));
        if let Some(entries) = &self.entries {
            entries.insert(image.id, json.clone());
        }
        Ok(json)
    }
}

impl ImageJson {
    fn is_of(&self, image: &Arc<Image>, validity: &LinkValidity) -> bool {
        (Arc::ptr_eq(&self.0.image, image) || self.0.image == *image) && self.0.validity == *validity
    }

    /// Length in bytes.
    pub fn length(&self) -> usize {
        self.0.json.get().len()
    }
}

impl Serialize for ImageJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.json.serialize(serializer)
    }
}
