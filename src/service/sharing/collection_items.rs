//! The images in collections: added and removed by the owner of the collection, listed for the owner and for other callers.
//!
//! Items follow their images: the transaction that deletes an image or makes it private also hides its items, which keep their
//! positions. Locks are taken in one order: the image, the collection, its share, its items, and last the counters of
//! collections.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::collections::{counters, lock, parts};
use crate::model::caller::{Caller, UserId};
use crate::model::collection::{Collection, CollectionId, CollectionItem, CollectionName, ItemVisibility};
use crate::model::counter::Counter;
use crate::model::filter::Part;
use crate::model::id::ImageId;
use crate::model::image::Image;
use crate::model::page::PageToken;
use crate::service::Service;
use crate::service::error::Error;
use crate::service::identity::permissions;
use crate::service::images::listing::ImagePage;
use crate::service::images::live::is_live;
use crate::service::images::presigned_urls::Links;
use crate::service::maintenance::step::Outcome;
use crate::service::paging::{list_fingerprint, parse_page_token};
use crate::service::time::truncate_to_micros;
use crate::store::{self, Reader, Tx};

/// The most collections of users other than its owner that an image may be in, because one transaction updates all its items. The
/// owner's collections are bounded by the number of collections per user instead, so other users cannot use up the owner's share.
const MAX_FOREIGN_COLLECTIONS: u64 = 1000;

/// Items of a deleted collection removed per step. On SQLite this blocks all other writers.
const REMOVE_BATCH: u32 = 1000;

/// A page of a collection, in its order: as the images were added, unless they were moved.
#[derive(Debug, Clone)]
pub struct CollectedImages {
    pub images: Vec<Image>,
    /// The token of the next page; `None` on the last page.
    pub next: Option<String>,
}

impl Service {
    /// Finds a collection of the caller, with a page of its public images and the caller's own, in its order.
    ///
    /// # Errors
    /// The caller is not authenticated, there is no such collection, it belongs to another user, or the page token is not of this
    /// list.
    pub async fn find_collection(
        &self,
        caller: &Caller,
        name: &CollectionName,
        limit: u32,
        token: Option<&str>,
    ) -> Result<(Collection, ImagePage<'_>), Error> {
        let user = permissions::authenticated_viewer(caller)?;
        let collection = self.own_collection(user, name).await?;
        let parts = parts(user);
        let mut reader = self.db.reader().await?;
        let page = images_of(&mut reader, &collection, &parts, limit, token).await?;
        let total = store::images::counters::read_sum(&mut reader, &counters(collection.id, &parts)).await?;
        drop(reader);
        let images = page.images.into_iter().map(Arc::new).collect();
        Ok((collection, ImagePage { images, signer: self.link_signer().await?, total, next: page.next }))
    }

    /// Lists the public images of a public collection, or of a private one for its owner, in its order.
    ///
    /// # Errors
    /// There is no such collection, or the page token is not of this list.
    pub async fn show_collection(
        &self,
        caller: &Caller,
        name: &CollectionName,
        limit: u32,
        token: Option<&str>,
    ) -> Result<(Collection, CollectedImages), Error> {
        let collection = self.visible_collection(permissions::viewer(caller)?, name).await?;
        let mut reader = self.db.reader().await?;
        let page = images_of(&mut reader, &collection, &[Part::Public], limit, token).await?;
        Ok((collection, page))
    }

    /// Finds an image in a collection.
    ///
    /// # Errors
    /// The caller is not authenticated, there is no such collection, it belongs to another user, or the image is not in it.
    pub async fn find_in_collection(&self, caller: &Caller, name: &CollectionName, id: ImageId) -> Result<(Image, Links), Error> {
        let user = permissions::authenticated_viewer(caller)?;
        let collection = self.own_collection(user, name).await?;
        let image = self.find_visible(caller, id).await?;
        if !store::sharing::collection_items::contains(&self.db, collection.id, id).await? {
            return Err(Error::no_such_image());
        }
        let links = self.links(&mut self.signer().await?, &image);
        Ok((Arc::unwrap_or_clone(image), links))
    }

    /// Adds an image to the end of a collection; if it is in it already, it keeps its position.
    ///
    /// # Errors
    /// The caller is not authenticated, there is no such collection, it belongs to another user, the caller may not see such an
    /// image, or the image is in too many collections.
    pub async fn add_to_collection(&self, caller: &Caller, name: &CollectionName, id: ImageId) -> Result<(Image, Links), Error> {
        let user = permissions::writer(caller)?;
        let collection = self.own_collection(&user.id, name).await?;
        let mut image = visible(store::images::find(&self.db, id).await?, &user.id)?;
        let mut signer = self.signer().await?;
        if !store::sharing::collection_items::contains(&self.db, collection.id, id).await? {
            image = self.insert_item(&user.id, name, id).await?;
        }
        let links = self.links(&mut signer, &image);
        Ok((image, links))
    }

    /// Repeats all checks under locks.
    async fn insert_item(&self, user: &UserId, name: &CollectionName, id: ImageId) -> Result<Image, Error> {
        let mut tx = self.db.begin().await?;
        let image = visible(store::images::lock(&mut tx, id).await?, user)?;
        let collection = lock(&mut tx, user, name).await?;
        if store::sharing::collection_items::insert(&mut tx, collection.id, &image, truncate_to_micros(self.clock.now())).await? {
            // Under the image's lock, so that two requests cannot both take the last item.
            if collection.user_id != image.user_id
                && store::sharing::collection_items::count_in_others_collections(&mut tx, id).await? > MAX_FOREIGN_COLLECTIONS
            {
                return Err(Error::Conflict {
                    message: format!(
                        "The image is in {MAX_FOREIGN_COLLECTIONS} collections of other users, which is the maximum."
                    ),
                });
            }
            let place = CollectionItem {
                collection: collection.id,
                image: id,
                owner: image.user_id.clone(),
                visibility: ItemVisibility::of(&image),
            };
            count(&mut tx, [(place, 1)]);
        }
        tx.commit().await?;
        Ok(image)
    }

    /// Removes an image from a collection.
    ///
    /// # Errors
    /// The caller is not authenticated, there is no such collection, it belongs to another user, or the image is not in it.
    pub async fn remove_from_collection(&self, caller: &Caller, name: &CollectionName, id: ImageId) -> Result<(), Error> {
        let user = permissions::writer(caller)?;
        let collection = self.own_collection(&user.id, name).await?;
        if !store::sharing::collection_items::contains(&self.db, collection.id, id).await? {
            return Err(Error::NotInCollection);
        }
        let mut tx = self.db.begin().await?;
        store::images::lock(&mut tx, id).await?.ok_or(Error::NotInCollection)?;
        let collection = lock(&mut tx, &user.id, name).await?;
        let place = store::sharing::collection_items::remove(&mut tx, collection.id, id).await?.ok_or(Error::NotInCollection)?;
        store::sharing::collections::touch(&mut tx, collection.id, truncate_to_micros(self.clock.now())).await?;
        count(&mut tx, [(place, -1)]);
        Ok(tx.commit().await?)
    }

    /// Removes some items of a deleted collection, or the collection once it is empty. Counters change in the same transaction,
    /// so they are always exact.
    ///
    /// # Errors
    /// The database is unavailable; nothing has changed.
    pub async fn remove_collections(&self) -> Result<Outcome, Error> {
        if store::sharing::collections::find_deleted(&self.db).await?.is_none() {
            return Ok(Outcome::NothingToDo);
        }
        let mut tx = self.db.begin().await?;
        store::sharing::collections::lock_cleanup(&mut tx).await?;
        let Some(id) = store::sharing::collections::find_deleted(&mut tx).await? else { return Ok(Outcome::NothingToDo) };
        let removed = store::sharing::collection_items::delete_batch(&mut tx, id, REMOVE_BATCH).await?;
        count(&mut tx, removed.into_iter().map(|place| (place, -1)));
        if store::sharing::collection_items::is_empty(&mut tx, id).await? {
            store::sharing::collections::delete(&mut tx, id).await?;
        }
        tx.commit().await?;
        Ok(Outcome::Done)
    }
}

/// Returns a page of these parts of a collection.
pub(super) async fn images_of(
    reader: &mut Reader,
    collection: &Collection,
    parts: &[Part],
    limit: u32,
    token: Option<&str>,
) -> Result<CollectedImages, Error> {
    let list = list_fingerprint("collection", &collection.id.to_string());
    // The first image that is moved to the beginning often enough has a negative position.
    let last = parse_page_token(token, &list)?.and_then(|token| i64::try_from(token.last.as_u128().cast_signed()).ok());
    let mut found = store::sharing::collection_items::page(reader, collection.id, parts, last, limit + 1).await?;
    let has_more = found.len() > limit as usize;
    found.truncate(limit as usize);
    let token = |position: i64| PageToken { last: Uuid::from_u128(i128::from(position).cast_unsigned()) };
    let next = found.last().filter(|_| has_more).map(|(position, _)| token(*position).encode(&list));
    let images = found.into_iter().map(|(_, image)| image);
    // Items have this state already. This hides images that a version without collections has hidden since.
    let images = images.filter(|image| parts.iter().any(|part| is_in(image, part))).collect();
    Ok(CollectedImages { images, next })
}

fn is_in(image: &Image, part: &Part) -> bool {
    match part {
        Part::Public => ItemVisibility::of(image) == ItemVisibility::Public,
        Part::PrivateOf(user) => ItemVisibility::of(image) == ItemVisibility::Private && image.user_id == *user,
    }
}

pub(super) fn visible(image: Option<Image>, user: &UserId) -> Result<Image, Error> {
    image.filter(|image| is_live(image) && image.is_visible_to(Some(user))).ok_or_else(Error::no_such_image)
}

/// Updates an image's items to its visibility, in the transaction that changes it and holds its lock.
pub(in crate::service) async fn sync_image(tx: &mut Tx, image: &Image) -> Result<(), Error> {
    // The previous state of each item is read, because not all items need have followed the image so far.
    let strays = store::sharing::collection_items::find_outdated(tx, image).await?;
    if strays.is_empty() {
        return Ok(());
    }
    let moved: BTreeSet<CollectionId> = store::sharing::collection_items::sync_with_image(tx, image).await?.into_iter().collect();
    let visibility = ItemVisibility::of(image);
    let changes = strays.into_iter().filter(|place| moved.contains(&place.collection));
    let changes = changes.flat_map(|place| [(CollectionItem { visibility, ..place.clone() }, 1), (place, -1)]);
    count(tx, changes);
    Ok(())
}

/// Removes the items of a purged image, in the transaction that holds its lock.
pub(in crate::service) async fn remove_image(tx: &mut Tx, id: ImageId) -> Result<(), Error> {
    let counted = store::sharing::collection_items::delete_of_image(tx, id).await?;
    count(tx, counted.into_iter().map(|place| (place, -1)));
    Ok(())
}

/// Appends an image that was just inserted to a collection, in the transaction that inserted it.
pub(super) async fn append(tx: &mut Tx, collection: CollectionId, image: &Image, now: DateTime<Utc>) -> Result<(), Error> {
    store::sharing::collection_items::insert(tx, collection, image, truncate_to_micros(now)).await?;
    let (owner, visibility) = (image.user_id.clone(), ItemVisibility::of(image));
    count(tx, [(CollectionItem { collection, image: image.id, owner, visibility }, 1)]);
    Ok(())
}

/// Updates the counters of collections for items that are added or removed.
fn count(tx: &mut Tx, places: impl IntoIterator<Item = (CollectionItem, i64)>) {
    for (place, difference) in places {
        let counter = Counter::of_item(&place);
        store::images::counters::add(tx, place.image, counter.map(|counter| (counter, difference)));
    }
}
