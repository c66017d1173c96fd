//! What is in collections: put in and taken out by their owners, shown to them and to anybody.
//!
//! Places follow their images: one that is deleted or made private goes out of sight in the transaction that does so, and keeps
//! its position. Locks are taken in one order: the image, the collection, places, and last the counters of collections.

use std::collections::BTreeSet;

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
use crate::service::images::presigned_urls::Links;
use crate::service::images::{ImagePage, cut_to_micros, is_live, read_token};
use crate::service::jobs::imports::list_fingerprint;
use crate::service::maintenance::sweep::Outcome;
use crate::store::{self, Reader, Tx};

/// How often an image may be in collections of others than its owner: all its places follow it in one transaction. Those in its
/// owner's are bounded by how many collections a user may have; so nobody can take places from the owner.
const MAX_STRANGERS: u64 = 1000;

/// Places of a deleted collection that are removed at once. On SQLite nobody else writes meanwhile.
const REMOVED_AT_ONCE: u32 = 1000;

/// A page of a collection, in the order of adding.
#[derive(Debug, Clone)]
pub struct CollectedImages {
    pub images: Vec<Image>,
    /// Where the next page begins; `None` on the last page.
    pub next: Option<String>,
}

impl Service {
    /// A collection of the caller's, and a page of its images in the order of adding: public ones and the caller's own.
    ///
    /// # Errors
    /// No caller, no such collection, another's, or a page token that is not one of this list.
    pub async fn find_collection(
        &self,
        caller: &Caller,
        name: &CollectionName,
        limit: u32,
        token: Option<&str>,
    ) -> Result<(Collection, ImagePage), Error> {
        let user = permissions::known_viewer(caller)?;
        let collection = self.own_collection(user, name).await?;
        let parts = parts(user);
        let mut reader = self.db.reader().await?;
        let page = images_of(&mut reader, &collection, &parts, limit, token).await?;
        let total = store::images::counters::read_sum(&mut reader, &counters(collection.id, &parts)).await?;
        drop(reader);
        let mut signer = self.signer().await?;
        let with_links = |image: Image| {
            let links = self.links(&mut signer, &image);
            (image, links)
        };
        let images = page.images.into_iter().map(with_links).collect();
        Ok((collection, ImagePage { images, total, next: page.next }))
    }

    /// What anybody sees of a collection, or its owner of a private one: public images in the order of adding.
    ///
    /// # Errors
    /// No such collection, or a page token that is not one of this list.
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

    /// An image of a collection.
    ///
    /// # Errors
    /// No caller, no such collection, another's, or the image is not in it.
    pub async fn find_in_collection(&self, caller: &Caller, name: &CollectionName, id: ImageId) -> Result<(Image, Links), Error> {
        let user = permissions::known_viewer(caller)?;
        let collection = self.own_collection(user, name).await?;
        let image = self.find_visible(caller, id).await?;
        if !store::sharing::collection_items::contains(&self.db, collection.id, id).await? {
            return Err(Error::no_such_image());
        }
        let links = self.links(&mut self.signer().await?, &image);
        Ok((image, links))
    }

    /// Puts an image at the end of a collection; one that is in it stays where it is.
    ///
    /// # Errors
    /// No caller, no such collection, another's, no image that the caller may see, or it is in as many as can be.
    pub async fn add_to_collection(&self, caller: &Caller, name: &CollectionName, id: ImageId) -> Result<(Image, Links), Error> {
        let user = permissions::writer(caller)?;
        let collection = self.own_collection(&user.id, name).await?;
        let mut image = visible(store::images::find(&self.db, id).await?, &user.id)?;
        let mut signer = self.signer().await?;
        if !store::sharing::collection_items::contains(&self.db, collection.id, id).await? {
            image = self.put_in(&user.id, name, id).await?;
        }
        let links = self.links(&mut signer, &image);
        Ok((image, links))
    }

    /// Looks at everything once more, under locks.
    async fn put_in(&self, user: &UserId, name: &CollectionName, id: ImageId) -> Result<Image, Error> {
        let mut tx = self.db.begin().await?;
        let image = visible(store::images::lock(&mut tx, id).await?, user)?;
        let collection = lock(&mut tx, user, name).await?;
        if store::sharing::collection_items::insert(&mut tx, collection.id, &image, cut_to_micros(self.clock.now())).await? {
            // Under the image's lock, so that two cannot both be the last one.
            if collection.user_id != image.user_id
                && store::sharing::collection_items::count_in_others_collections(&mut tx, id).await? > MAX_STRANGERS
            {
                return Err(Error::Conflict {
                    message: format!(
                        "The image is in {MAX_STRANGERS} collections of others than its owner, and can be in no more."
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

    /// Takes an image out of a collection.
    ///
    /// # Errors
    /// No caller, no such collection, another's, or the image is not in it.
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
        store::sharing::collections::touch(&mut tx, collection.id, cut_to_micros(self.clock.now())).await?;
        count(&mut tx, [(place, -1)]);
        Ok(tx.commit().await?)
    }

    /// Takes a part of a deleted collection apart, or removes it where nothing is left of it. The counters move with each part, so
    /// that they are true at every moment.
    ///
    /// # Errors
    /// The database is unavailable; nothing has happened.
    pub async fn remove_collections(&self) -> Result<Outcome, Error> {
        if store::sharing::collections::find_deleted(&self.db).await?.is_none() {
            return Ok(Outcome::NothingToDo);
        }
        let mut tx = self.db.begin().await?;
        store::sharing::collections::lock_cleanup(&mut tx).await?;
        let Some(id) = store::sharing::collections::find_deleted(&mut tx).await? else { return Ok(Outcome::NothingToDo) };
        let removed = store::sharing::collection_items::delete_batch(&mut tx, id, REMOVED_AT_ONCE).await?;
        count(&mut tx, removed.into_iter().map(|place| (place, -1)));
        if store::sharing::collection_items::is_empty(&mut tx, id).await? {
            store::sharing::collections::delete(&mut tx, id).await?;
        }
        tx.commit().await?;
        Ok(Outcome::Done)
    }
}

async fn images_of(
    reader: &mut Reader,
    collection: &Collection,
    parts: &[Part],
    limit: u32,
    token: Option<&str>,
) -> Result<CollectedImages, Error> {
    let list = list_fingerprint("collection", &collection.id.to_string());
    let last = read_token(token, &list)?.and_then(|token| i64::try_from(token.last.as_u128()).ok());
    let mut found = store::sharing::collection_items::page(reader, collection.id, parts, last, limit + 1).await?;
    let has_more = found.len() > limit as usize;
    found.truncate(limit as usize);
    let token = |position: i64| PageToken { last: Uuid::from_u128(u128::try_from(position).unwrap_or_default()) };
    let next = found.last().filter(|_| has_more).map(|(position, _)| token(*position).encode(&list));
    let images = found.into_iter().map(|(_, image)| image);
    // As their places say already; what a version without collections has hidden since is not shown.
    let images = images.filter(|image| parts.iter().any(|part| is_in(image, part))).collect();
    Ok(CollectedImages { images, next })
}

fn is_in(image: &Image, part: &Part) -> bool {
    match part {
        Part::Public => ItemVisibility::of(image) == ItemVisibility::Public,
        Part::PrivateOf(user) => ItemVisibility::of(image) == ItemVisibility::Private && image.user_id == *user,
    }
}

fn visible(image: Option<Image>, user: &UserId) -> Result<Image, Error> {
    image.filter(|image| is_live(image) && image.is_visible_to(Some(user))).ok_or_else(Error::no_such_image)
}

/// Makes an image's places in collections follow it, in the transaction that changes it and has its lock.
pub(in crate::service) async fn follow(tx: &mut Tx, image: &Image) -> Result<(), Error> {
    // What each place was before is looked up: not all of them need have followed the image until now.
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

/// Forgets the places of an image that is purged, in the transaction that has its lock.
pub(in crate::service) async fn forget(tx: &mut Tx, id: ImageId) -> Result<(), Error> {
    let counted = store::sharing::collection_items::delete_of_image(tx, id).await?;
    count(tx, counted.into_iter().map(|place| (place, -1)));
    Ok(())
}

/// Moves the counters of collections that images come to or leave.
fn count(tx: &mut Tx, places: impl IntoIterator<Item = (CollectionItem, i64)>) {
    for (place, difference) in places {
        let counter = Counter::of_item(&place);
        store::images::counters::add(tx, place.image, counter.map(|counter| (counter, difference)));
    }
}
