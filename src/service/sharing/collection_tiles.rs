//! Collections for the pages of their owners: with the signed URLs of thumbnails.

use std::sync::Arc;

use crate::model::caller::Caller;
use crate::model::collection::{Collection, CollectionName};
use crate::model::id::ImageId;
use crate::service::Service;
use crate::service::error::Error;
use crate::service::images::tiles::{Tile, TilePage};
use crate::service::paging::Page;
use crate::service::sharing::collection_items::images_of;
use crate::service::sharing::collections::parts;
use crate::store;

/// A collection in a list of collections.
#[derive(Debug, Clone)]
pub struct CollectionCard {
    pub collection: Collection,
    /// The number of its images that the owner sees.
    pub image_count: u64,
    /// The first of them.
    pub cover: Option<Tile>,
}

/// A collection with a page of its tiles, in its order.
#[derive(Debug, Clone)]
pub struct CollectionTiles {
    pub collection: Collection,
    pub page: TilePage,
    /// The last image of the collection, on whatever page it is.
    pub last: Option<ImageId>,
}

impl Service {
    /// Lists a page of the caller's collections, newest first, with their covers.
    ///
    /// # Errors
    /// As for [`Service::list_collections`].
    pub async fn list_collection_cards(
        &self,
        caller: &Caller,
        limit: u32,
        token: Option<&str>,
    ) -> Result<Page<CollectionCard>, Error> {
        let Page { items, next } = self.list_collections(caller, limit, token).await?;
        let mut covers = Vec::with_capacity(items.len());
        let mut reader = self.db.reader().await?;
        for (collection, _) in &items {
            // A search in an index for each collection of the page.
            let first = images_of(&mut reader, collection, &parts(&collection.user_id), 1, None).await?;
            covers.push(first.images.into_iter().next().map(Arc::new));
        }
        drop(reader);
        let mut tiles = self.sign_tiles(covers.iter().flatten().cloned().collect()).await?.into_iter();
        let cards = items.into_iter().zip(covers).map(|((collection, image_count), cover)| {
            let cover = cover.and_then(|_| tiles.next());
            CollectionCard { collection, image_count, cover }
        });
        Ok(Page { items: cards.collect(), next })
    }

    /// Finds a collection of the caller, with a page of its tiles.
    ///
    /// # Errors
    /// As for [`Service::find_collection`].
    pub async fn list_collection_tiles(
        &self,
        caller: &Caller,
        name: &CollectionName,
        limit: u32,
        token: Option<&str>,
    ) -> Result<CollectionTiles, Error> {
        let (collection, page) = self.find_collection(caller, name, limit, token).await?;
        let (total, next) = (page.total, page.next);
        let tiles = self.sign_tiles(page.images).await?;
        let last = store::sharing::collection_order::find_last(&self.db, collection.id, &collection.user_id).await?;
        Ok(CollectionTiles { collection, page: TilePage { tiles, total, next }, last })
    }
}
