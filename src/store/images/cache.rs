//! Caches of rows, for requests that send files.
//!
//! The cache of images decides what may be sent. With SQLite, it is never outdated: see [`Db::version`]. With PostgreSQL, every
//! request asks the database. The cache of variants only says where the bytes are, which never changes.

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::variants::Variant;
use crate::model::id::ImageId;
use crate::model::image::Image;
use crate::store::database::db::Db;
use crate::store::database::error::Error;

/// The memory of a typical image, for the initial size of the table, which grows if needed.
const TYPICAL_BYTES: u64 = 1024;

/// What an entry and the collections of an image take, approximately.
const ENTRY_BYTES: usize = 256;

#[derive(Debug)]
pub struct ImageCache {
    /// `None` if caching is off. Each image has the version of the database at which it was read.
    images: Option<Cache<ImageId, (u64, Arc<Image>), BySize>>,
}

#[derive(Debug, Clone)]
struct BySize;

impl Weighter<ImageId, (u64, Arc<Image>)> for BySize {
    fn weight(&self, _: &ImageId, (_, image): &(u64, Arc<Image>)) -> u64 {
        let texts = [
            image.title.as_ref().map_or(0, |title| title.as_str().len()),
            image.description.as_ref().map_or(0, |description| description.as_str().len()),
            image.caption.text.as_ref().map_or(0, String::len),
            image.tags.iter().map(|tag| tag.as_str().len() + size_of::<String>()).sum(),
        ];
        (size_of::<Image>() + ENTRY_BYTES + texts.iter().sum::<usize>()) as u64
    }
}

impl ImageCache {
    /// Creates a cache of `max_bytes`; 0 turns caching off.
    pub fn new(max_bytes: u64) -> Self {
        let entries = usize::try_from(max_bytes / TYPICAL_BYTES).unwrap_or(usize::MAX).clamp(16, 1 << 16);
        Self { images: (max_bytes > 0).then(|| Cache::with_weighter(entries, max_bytes, BySize)) }
    }

    /// Returns the image, deleted or not, as the database has it now.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn find(&self, db: &Db, id: ImageId) -> Result<Option<Arc<Image>>, Error> {
        let (Some(images), Some(version)) = (&self.images, db.version()) else {
            return Ok(super::find(db, id).await?.map(Arc::new));
        };
        if let Some((_, image)) = images.get(&id).filter(|(read_at, _)| *read_at == version) {
            return Ok(Some(image));
        }
        let image = super::find(db, id).await?.map(Arc::new);
        if let Some(image) = &image {
            images.insert(id, (version, Arc::clone(image)));
        }
        Ok(image)
    }
}

/// The most variants in the cache.
const MAX_VARIANTS: usize = 8192;

#[derive(Debug)]
pub struct VariantCache {
    /// `None` if caching is off.
    variants: Option<Cache<(ImageId, String), Variant>>,
}

impl VariantCache {
    pub fn new(enabled: bool) -> Self {
        Self { variants: enabled.then(|| Cache::new(MAX_VARIANTS)) }
    }

    /// Returns a variant by the name of its rendering.
    pub fn get(&self, id: ImageId, rendering: &str) -> Option<Variant> {
        self.variants.as_ref()?.get(&(id, rendering.to_owned()))
    }

    pub fn insert(&self, id: ImageId, rendering: &str, variant: Variant) {
        if let Some(variants) = &self.variants {
            variants.insert((id, rendering.to_owned()), variant);
        }
    }

    pub fn remove(&self, id: ImageId, rendering: &str) {
        if let Some(variants) = &self.variants {
            variants.remove(&(id, rendering.to_owned()));
        }
    }
}
