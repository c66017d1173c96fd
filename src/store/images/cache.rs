//! Caches of rows, for requests that read images.
//!
//! The cache of images decides what may be sent. It is never outdated. With SQLite, [`Db::version`] tells whether any row has
//! changed. With PostgreSQL, every request asks the database for the current version of the image (`versions.rs`). The cache of
//! variants only says where the bytes are, which never changes.

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::lists;
use super::variants::Variant;
use super::versions::{self, CurrentVersion, VersionReads};
use crate::model::counter::Counter;
use crate::model::filter::{ImageFilter, Part, Search};
use crate::model::id::ImageId;
use crate::model::image::{Image, Visibility};
use crate::store::database::db::Db;
use crate::store::database::error::Error;

/// The memory of a typical image, for the initial size of the table, which grows if needed.
const TYPICAL_BYTES: u64 = 1024;

/// What an entry and the collections of an image take, approximately.
const ENTRY_BYTES: usize = 256;

#[derive(Debug)]
pub struct ImageCache {
    /// `None` if caching is off.
    images: Option<Cache<ImageId, Cached, BySize>>,
    version_reads: VersionReads,
}

/// An image, and the version at which it was read.
#[derive(Debug, Clone)]
struct Cached(Version, Arc<Image>);

#[derive(Debug, Clone)]
enum Version {
    /// Of all rows that decide who may see an image.
    Database(u64),
    /// Of the image.
    Row(Arc<str>),
}

impl Cached {
    fn is_row(&self, version: &str) -> bool {
        matches!(&self.0, Version::Row(cached) if **cached == *version)
    }
}

#[derive(Debug, Clone)]
struct BySize;

impl Weighter<ImageId, Cached> for BySize {
    fn weight(&self, _: &ImageId, Cached(_, image): &Cached) -> u64 {
        (size_of::<Image>() + ENTRY_BYTES + image.text_bytes()) as u64
    }
}

/// A page of a list of images.
#[derive(Debug)]
pub struct CachedPage {
    pub images: Vec<Arc<Image>>,
    /// The last image of this page; `None` if it is the last page.
    pub next_after: Option<ImageId>,
    /// The sum of the counters; `None` if the page is empty.
    pub sum: Option<u64>,
}

impl ImageCache {
    /// Creates a cache of `max_bytes`; 0 turns caching off.
    pub fn new(max_bytes: u64) -> Self {
        let entries = usize::try_from(max_bytes / TYPICAL_BYTES).unwrap_or(usize::MAX).clamp(16, 1 << 16);
        let images = (max_bytes > 0).then(|| Cache::with_weighter(entries, max_bytes, BySize));
        Self { images, version_reads: VersionReads::default() }
    }

    /// Returns the image, deleted or not, as the database has it now.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn find(&self, db: &Db, id: ImageId) -> Result<Option<Arc<Image>>, Error> {
        let Some(images) = &self.images else { return Ok(super::find(db, id).await?.map(Arc::new)) };
        let cached = images.get(&id);
        if db.has_row_versions() {
            if let Some(cached) = cached {
                match self.version_reads.read(db, id).await? {
                    CurrentVersion::NoSuchImage => return Ok(None),
                    CurrentVersion::Found(version) if cached.is_row(&version) => return Ok(Some(cached.1)),
                    CurrentVersion::Found(_) | CurrentVersion::Unknown => {}
                }
            }
            let found = versions::find(db, &[id]).await?.pop();
            return Ok(found.map(|(image, version)| insert(images, image, version)));
        }
        let Some(version) = db.version() else { return Ok(super::find(db, id).await?.map(Arc::new)) };
        if let Some(Cached(Version::Database(read_at), image)) = cached
            && read_at == version
        {
            return Ok(Some(image));
        }
        let image = super::find(db, id).await?.map(Arc::new);
        if let Some(image) = &image {
            images.insert(id, Cached(Version::Database(version), Arc::clone(image)));
        }
        Ok(image)
    }

    /// Returns up to `limit` live images after `last` that match these searches, newest first, and the sum of `counters` from the
    /// same snapshot.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn page(
        &self,
        db: &Db,
        filter: &ImageFilter,
        searches: &[Search],
        (last, limit): (Option<ImageId>, u32),
        counters: &[Counter],
    ) -> Result<CachedPage, Error> {
        // One more, to know whether there is another page.
        let page = (last, limit + 1);
        let images = self.images.as_ref().filter(|_| db.has_row_versions());
        let Some(images) = images else {
            let (found, sum) = lists::page_and_sum(db, filter, searches, page, counters).await?;
            let (found, next_after) = split(found, limit, |image| image.id);
            return Ok(CachedPage { images: found.into_iter().map(Arc::new).collect(), next_after, sum });
        };
        let (found, sum) = lists::versions_and_sum(db, filter, searches, page, counters).await?;
        let (found, next_after) = split(found, limit, |(id, _)| *id);
        let current = |(id, version): &(ImageId, String)| images.get(id).filter(|cached| cached.is_row(version));
        let mut page: Vec<Option<Arc<Image>>> = found.iter().map(|found| current(found).map(|cached| cached.1)).collect();
        let missing: Vec<ImageId> =
            found.iter().zip(&page).filter(|(_, image)| image.is_none()).map(|((id, _), _)| *id).collect();
        if !missing.is_empty() {
            for (image, version) in versions::find(db, &missing).await? {
                let image = insert(images, image, version);
                // It may have been deleted or changed since the versions were read.
                if let Some(place) = found.iter().position(|(id, _)| *id == image.id)
                    && filter.tags.iter().all(|tag| image.tags.contains(tag))
                    && searches.iter().any(|search| is_in(&image, &search.part))
                {
                    page[place] = Some(image);
                }
            }
        }
        Ok(CachedPage { images: page.into_iter().flatten().collect(), next_after, sum })
    }
}

fn insert(images: &Cache<ImageId, Cached, BySize>, image: Image, version: String) -> Arc<Image> {
    let image = Arc::new(image);
    images.insert(image.id, Cached(Version::Row(version.into()), Arc::clone(&image)));
    image
}

/// Returns the page, and its last image if there are more.
fn split<T>(mut found: Vec<T>, limit: u32, id: impl Fn(&T) -> ImageId) -> (Vec<T>, Option<ImageId>) {
    let has_more = found.len() > limit as usize;
    found.truncate(limit as usize);
    let next_after = found.last().filter(|_| has_more).map(id);
    (found, next_after)
}

fn is_in(image: &Image, part: &Part) -> bool {
    image.deleted_at.is_none()
        && match part {
            Part::Public => image.visibility == Visibility::Public,
            Part::PrivateOf(user) => image.visibility == Visibility::Private && image.user_id == *user,
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
