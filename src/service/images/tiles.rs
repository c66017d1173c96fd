//! Tiles of a gallery: images with the signed URLs of their thumbnails, for pages that cannot send a header with each image
//! request.

use std::sync::Arc;

use chrono::TimeDelta;

use super::live::is_live;
use super::resize_urls::{ResizeUrl, SizeToSign, round_up, sign_original};
use super::trash::TrashedImage;
use super::variant_request::{FormatRequest, VariantRequest};
use crate::model::caller::Caller;
use crate::model::collection::CollectionName;
use crate::model::filter::{ImageFilter, Part};
use crate::model::id::ImageId;
use crate::model::image::{Format, Image, Thumbnail, Visibility};
use crate::model::rendering::{Fit, Rendering};
use crate::service::Service;
use crate::service::admission::fair_queue::TurnKey;
use crate::service::error::Error;
use crate::service::identity::permissions;
use crate::service::paging::Page;
use crate::service::sharing::collections::counters;
use crate::store;

/// An image of a gallery.
#[derive(Debug, Clone)]
pub struct Tile {
    pub image: Arc<Image>,
    /// The thumbnails that were created at upload, narrowest first. Empty if the owner's plan includes none.
    pub thumbnails: Vec<ResizeUrl>,
    /// Larger versions, narrowest first. They are created when they are first requested, so a gallery must not show them.
    pub large: Vec<ResizeUrl>,
    /// The query of a signed URL of the original, if the image is private and animated: thumbnails do not move. `None` if the
    /// owner's plan excludes originals.
    pub original: Option<String>,
}

/// A page of a gallery.
#[derive(Debug, Clone)]
pub struct TilePage {
    pub tiles: Vec<Tile>,
    /// The exact number of images that match the filter.
    pub total: u64,
    /// The token of the next page; `None` on the last page.
    pub next: Option<String>,
}

/// A large version. It is created when it is first shown; the thumbnails were created at upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LargeSize {
    Large,
    Largest,
}

impl LargeSize {
    pub const ALL: [Self; 2] = [Self::Large, Self::Largest];

    /// Returns the side of the square that contains the image, in pixels.
    pub fn side(self) -> u32 {
        match self {
            Self::Large => 1280,
            Self::Largest => 2000,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Large => "large",
            Self::Largest => "largest",
        }
    }

    pub(in crate::service) fn request(self, format: FormatRequest) -> VariantRequest {
        let side = Some(self.side());
        VariantRequest { width: side, height: side, fit: Fit::Contain, format, quality: None }
    }

    /// Returns the large versions of a live image that is larger than its thumbnails, smallest first, if the plan includes them.
    pub fn of(image: &Image) -> Vec<Self> {
        let is_included = is_live(image) && image.features.as_ref().is_none_or(|features| features.custom_sizes);
        let longest = image.width.max(image.height);
        let mut smaller =
            image.thumbnails.iter().map(|thumbnail| thumbnail.width.max(thumbnail.height)).max().unwrap_or_default();
        let mut sizes = Vec::new();
        for size in Self::ALL.into_iter().filter(|_| is_included) {
            if longest > smaller && size.side() > smaller {
                sizes.push(size);
            }
            smaller = smaller.max(size.side());
        }
        sizes
    }

    /// Returns the width and height of an image in this size.
    pub fn pixels(self, image: &Image) -> (u32, u32) {
        let side = Some(self.side());
        let rendering =
            Rendering::new((image.width, image.height), (side, side), Fit::Contain, Format::Jpeg, Rendering::DEFAULT_QUALITY);
        rendering.map_or((image.width, image.height), |rendering| (rendering.width, rendering.height))
    }
}

/// The URLs stay the same for this long, so that browsers can cache the files, and are valid for up to twice as long, because
/// galleries stay open for hours.
const WINDOW: TimeDelta = TimeDelta::hours(6);

impl Service {
    /// Lists a page of a gallery: the same images as [`Service::list_images`], with signed URLs.
    ///
    /// # Errors
    /// As for [`Service::list_images`].
    pub async fn list_tiles(
        &self,
        caller: &Caller,
        key: &TurnKey,
        filter: ImageFilter,
        collection: Option<&CollectionName>,
        limit: u32,
        token: Option<&str>,
    ) -> Result<TilePage, Error> {
        let page = self.list_images(caller, key, filter, collection, limit, token).await?;
        let (total, next) = (page.total, page.next);
        let tiles = self.sign_tiles(page.images).await?;
        Ok(TilePage { tiles, total, next })
    }

    /// Lists a page of the caller's deleted images, as [`Service::list_trash`]. The URLs end with the image's time in the trash.
    ///
    /// # Errors
    /// As for [`Service::list_trash`].
    pub async fn list_trash_tiles(
        &self,
        caller: &Caller,
        limit: u32,
        token: Option<&str>,
    ) -> Result<(Page<(Tile, TrashedImage)>, u64), Error> {
        let (Page { items, next }, total) = self.list_trash(caller, limit, token).await?;
        let images = items.iter().map(|trashed| Arc::clone(&trashed.image)).collect();
        let items = self.sign_tiles(images).await?.into_iter().zip(items).collect();
        Ok((Page { items, next }, total))
    }

    /// Lists a page of the public images of a collection, as [`Service::show_collection`].
    ///
    /// # Errors
    /// As for [`Service::show_collection`].
    pub async fn show_collection_tiles(
        &self,
        caller: &Caller,
        name: &CollectionName,
        limit: u32,
        token: Option<&str>,
    ) -> Result<TilePage, Error> {
        let (collection, page) = self.show_collection(caller, name, limit, token).await?;
        let mut reader = self.db.reader().await?;
        let total = store::images::counters::read_sum(&mut reader, &counters(collection.id, &[Part::Public])).await?;
        drop(reader);
        let tiles = self.sign_tiles(page.images.into_iter().map(Arc::new).collect()).await?;
        Ok(TilePage { tiles, total, next: page.next })
    }

    /// Finds the tile of a public image in a collection, as [`Service::show_collection_tiles`].
    ///
    /// # Errors
    /// There is no such collection, or no such image in it.
    pub async fn find_collection_tile(&self, caller: &Caller, name: &CollectionName, id: ImageId) -> Result<Tile, Error> {
        let collection = self.visible_collection(permissions::viewer(caller)?, name).await?;
        if !store::sharing::collection_items::contains(&self.db, collection.id, id).await? {
            return Err(Error::no_such_image());
        }
        self.find_tile(&Caller::Anonymous, id).await
    }

    /// Finds the tile of an image.
    ///
    /// # Errors
    /// There is no such image, or the caller may not see it.
    pub async fn find_tile(&self, caller: &Caller, id: ImageId) -> Result<Tile, Error> {
        let image = self.find_visible(caller, id).await?;
        let mut tiles = self.sign_tiles(vec![image]).await?;
        tiles.pop().ok_or_else(Error::no_such_image)
    }

    /// Signs the URLs of images that the caller may see.
    pub(in crate::service) async fn sign_tiles(&self, images: Vec<Arc<Image>>) -> Result<Vec<Tile>, Error> {
        let url_key = self.url_key().await?;
        let expires_at = round_up(self.clock.now() + WINDOW, WINDOW.num_seconds().unsigned_abs());
        let sign = |image: &Image, sizes: Vec<SizeToSign>| -> Result<Vec<ResizeUrl>, Error> {
            let urls = sizes.into_iter().map(|size| size.signed(&url_key, image, expires_at));
            let mut urls: Vec<ResizeUrl> = urls.collect::<Result<_, _>>()?;
            urls.sort_by_key(|url| url.width);
            urls.dedup_by_key(|url| url.width);
            Ok(urls)
        };
        let tile = |image: Arc<Image>| {
            let (thumbnails, large) = (sign(&image, thumbnails(&image))?, sign(&image, large(&image))?);
            let original = needs_original(&image).then(|| sign_original(&url_key, &image, expires_at)).transpose()?;
            Ok(Tile { image, thumbnails, large, original })
        };
        images.into_iter().map(tile).collect()
    }
}

/// Returns the thumbnails that the plan includes, in their stored format, so that they are not created again.
fn thumbnails(image: &Image) -> Vec<SizeToSign> {
    let included = image.thumbnails.iter().filter(|thumbnail| image.plan_includes_thumbnail(thumbnail.size));
    included.map(size_of_thumbnail).collect()
}

/// Returns whether a page needs a signed URL of the original. Public originals have a URL that everyone can use.
fn needs_original(image: &Image) -> bool {
    let is_private = image.visibility == Visibility::Private && is_live(image);
    is_private && image.metadata.animated && image.plan_includes_original()
}

/// Returns the large versions of an image.
fn large(image: &Image) -> Vec<SizeToSign> {
    let boxed = |size: LargeSize| SizeToSign { width: Some(size.side()), height: Some(size.side()), ..SizeToSign::default() };
    LargeSize::of(image).into_iter().map(boxed).collect()
}

fn size_of_thumbnail(thumbnail: &Thumbnail) -> SizeToSign {
    let (width, height) = thumbnail.size.bounds();
    SizeToSign { width, height, format: Some(thumbnail.format), ..SizeToSign::default() }
}
