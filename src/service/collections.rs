//! Collections: images under a name, in the order in which they were added; made and filled by their owners, read by anybody
//! where they are public.
//!
//! What is in a collection follows its images: one that is deleted or made private goes out of sight in the transaction that
//! does so, and keeps its place.

use uuid::Uuid;

use super::Service;
use super::access;
use super::error::Error;
use super::images::{ImagePage, cut_to_micros, is_live, read_token};
use super::imports::{Page, list_fingerprint};
use crate::model::caller::{Caller, UserId};
use crate::model::collection::{Collection, CollectionId, CollectionName, Sight};
use crate::model::counter::Counter;
use crate::model::filter::Part;
use crate::model::id::ImageId;
use crate::model::image::{Image, Visibility};
use crate::model::page::PageToken;
use crate::store::{self, Tx};

/// Collections that a user may have.
const MAX_COLLECTIONS: u64 = 10_000;

/// Collections that an image may be in: all of them follow it in one transaction.
const MAX_OF_IMAGE: u64 = 1000;

impl Service {
    /// Makes an empty collection.
    ///
    /// # Errors
    /// No caller, the name is taken, or the caller has as many as can be.
    pub async fn create_collection(
        &self,
        caller: &Caller,
        name: CollectionName,
        visibility: Visibility,
    ) -> Result<Collection, Error> {
        let user = access::writer(caller)?;
        let (id, updated_at) = (CollectionId::new(&*self.clock), cut_to_micros(self.clock.now()));
        let collection = Collection { id, name, user_id: user.id.clone(), visibility, updated_at };
        let mut tx = self.db.begin().await?;
        if store::collections::count(&mut tx, &user.id).await? >= MAX_COLLECTIONS {
            return Err(Error::Conflict { message: format!("There are {MAX_COLLECTIONS} collections of yours already.") });
        }
        if !store::collections::insert(&mut tx, &collection).await? {
            return Err(Error::Conflict { message: format!("There is a collection {} already.", collection.name) });
        }
        tx.commit().await?;
        Ok(collection)
    }

    /// A page of the caller's collections, newest first.
    ///
    /// # Errors
    /// No caller, or a page token that is not one of this list.
    pub async fn list_collections(
        &self,
        caller: &Caller,
        limit: u32,
        token: Option<&str>,
    ) -> Result<Page<(Collection, u64)>, Error> {
        let user = access::known_viewer(caller)?;
        let list = list_fingerprint("collections", user.as_str());
        let last = read_token(token, &list)?.map(|token| CollectionId::from(token.last));
        let mut reader = self.db.reader().await?;
        let found = store::collections::page_of_user(&mut reader, user, last, limit + 1).await?;
        let page = Page::new(found, limit, |collection| PageToken { last: collection.id.uuid() }.encode(&list));
        let mut items = Vec::with_capacity(page.items.len());
        for collection in page.items {
            let parts = parts(Some(user));
            let count = store::counters::read_sum(&mut reader, &counters(collection.id, &parts)).await?;
            items.push((collection, count));
        }
        Ok(Page { items, next: page.next })
    }

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
        let user = access::known_viewer(caller)?;
        let collection = self.own_collection(user, name).await?;
        let page = self.images_of(&collection, &parts(Some(user)), limit, token).await?;
        let mut signer = self.signer().await?;
        let with_links = |image: Image| {
            let links = self.links(&mut signer, &image);
            (image, links)
        };
        let images = page.images.into_iter().map(with_links).collect();
        Ok((collection, ImagePage { images, total: page.total, next: page.next }))
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
    ) -> Result<(Collection, CollectionPage), Error> {
        let viewer = access::viewer(caller)?;
        let collection = store::collections::find(&self.db, name).await?;
        let collection = collection.filter(|found| found.is_visible_to(viewer)).ok_or_else(no_such_collection)?;
        let page = self.images_of(&collection, &[Part::Public], limit, token).await?;
        Ok((collection, page))
    }

    async fn images_of(
        &self,
        collection: &Collection,
        parts: &[Part],
        limit: u32,
        token: Option<&str>,
    ) -> Result<CollectionPage, Error> {
        let id = collection.id;
        let list = list_fingerprint("collection", &id.to_string());
        let last = read_token(token, &list)?.and_then(|token| i64::try_from(token.last.as_u128()).ok());
        let mut reader = self.db.reader().await?;
        let mut places = store::collections::page_of_images(&mut reader, id, parts, last, limit + 1).await?;
        let has_more = places.len() > limit as usize;
        places.truncate(limit as usize);
        let token = |position: i64| PageToken { last: Uuid::from_u128(u128::try_from(position).unwrap_or_default()) };
        let next = places.last().filter(|_| has_more).map(|(position, _)| token(*position).encode(&list));
        let ids: Vec<ImageId> = places.iter().map(|(_, image)| *image).collect();
        let mut images = store::images::find_all(&mut reader, &ids).await?;
        // Read a moment later: what has gone out of sight since is not shown.
        images.retain(|image| parts.iter().any(|part| is_in(image, part)));
        images.sort_by_key(|image| ids.iter().position(|id| *id == image.id));
        let total = store::counters::read_sum(&mut reader, &counters(id, parts)).await?;
        Ok(CollectionPage { images, total, next })
    }

    /// Which of the images a filter by a collection shows.
    pub(super) async fn collection_of_filter(
        &self,
        viewer: Option<&UserId>,
        name: &CollectionName,
    ) -> Result<CollectionId, Error> {
        let collection = store::collections::find(&self.db, name).await?;
        let collection = collection.filter(|found| found.is_visible_to(viewer)).ok_or_else(no_such_collection)?;
        Ok(collection.id)
    }

    /// Says who may see a collection.
    ///
    /// # Errors
    /// No caller, no such collection, or another's.
    pub async fn change_collection(
        &self,
        caller: &Caller,
        name: &CollectionName,
        visibility: Visibility,
    ) -> Result<(Collection, u64), Error> {
        let user = access::writer(caller)?;
        let mut tx = self.db.begin().await?;
        let mut collection = lock(&mut tx, &user.id, name).await?;
        (collection.visibility, collection.updated_at) = (visibility, cut_to_micros(self.clock.now()));
        store::collections::set_visibility(&mut tx, collection.id, visibility, collection.updated_at).await?;
        let count = store::counters::read_sum(&mut tx, &counters(collection.id, &parts(Some(&user.id)))).await?;
        tx.commit().await?;
        Ok((collection, count))
    }

    /// Deletes a collection; its images stay.
    ///
    /// # Errors
    /// No caller, no such collection, or another's.
    pub async fn delete_collection(&self, caller: &Caller, name: &CollectionName) -> Result<(), Error> {
        let user = access::writer(caller)?;
        let mut tx = self.db.begin().await?;
        let collection = lock(&mut tx, &user.id, name).await?;
        store::collections::delete(&mut tx, collection.id).await?;
        Ok(tx.commit().await?)
    }

    /// An image of a collection.
    ///
    /// # Errors
    /// No caller, no such collection, another's, or the image is not in it.
    pub async fn find_in_collection(
        &self,
        caller: &Caller,
        name: &CollectionName,
        id: ImageId,
    ) -> Result<(Image, super::presign::Links), Error> {
        let user = access::known_viewer(caller)?;
        let collection = self.own_collection(user, name).await?;
        let image = self.find_visible(caller, id).await?;
        if !store::collections::contains(&self.db, collection.id, id).await? {
            return Err(Error::no_such_image());
        }
        let links = self.links(&mut self.signer().await?, &image);
        Ok((image, links))
    }

    /// Puts an image at the end of a collection; one that is in it stays where it is.
    ///
    /// # Errors
    /// No caller, no such collection, another's, no image that the caller may see, or it is in as many as can be.
    pub async fn add_to_collection(
        &self,
        caller: &Caller,
        name: &CollectionName,
        id: ImageId,
    ) -> Result<(Image, super::presign::Links), Error> {
        let user = access::writer(caller)?;
        let mut signer = self.signer().await?;
        let mut tx = self.db.begin().await?;
        // The image first, as whoever deletes it has it.
        let image = store::images::lock(&mut tx, id).await?.filter(is_live);
        let collection = lock(&mut tx, &user.id, name).await?;
        let image = image.filter(|image| image.is_visible_to(Some(&user.id))).ok_or_else(Error::no_such_image)?;
        if store::collections::count_of_image(&mut tx, id).await? >= MAX_OF_IMAGE
            && !store::collections::contains(&mut tx, collection.id, id).await?
        {
            return Err(Error::Conflict {
                message: format!("The image is in {MAX_OF_IMAGE} collections, and can be in no more."),
            });
        }
        if store::collections::add_image(&mut tx, collection.id, &image, self.clock.now()).await? {
            count(&mut tx, &image, &[collection.id], 1).await?;
        }
        tx.commit().await?;
        let links = self.links(&mut signer, &image);
        Ok((image, links))
    }

    /// Takes an image out of a collection.
    ///
    /// # Errors
    /// No caller, no such collection, another's, or the image is not in it.
    pub async fn remove_from_collection(&self, caller: &Caller, name: &CollectionName, id: ImageId) -> Result<(), Error> {
        let user = access::writer(caller)?;
        let mut tx = self.db.begin().await?;
        let image = store::images::lock(&mut tx, id).await?;
        let collection = lock(&mut tx, &user.id, name).await?;
        let image = image.ok_or_else(Error::no_such_image)?;
        if !store::collections::remove_image(&mut tx, collection.id, id).await? {
            return Err(Error::no_such_image());
        }
        count(&mut tx, &image, &[collection.id], -1).await?;
        Ok(tx.commit().await?)
    }

    async fn own_collection(&self, user: &UserId, name: &CollectionName) -> Result<Collection, Error> {
        let collection = store::collections::find(&self.db, name).await?.ok_or_else(no_such_collection)?;
        require_owner(user, &collection)?;
        Ok(collection)
    }
}

/// A page of a collection, in the order of adding.
#[derive(Debug, Clone)]
pub struct CollectionPage {
    pub images: Vec<Image>,
    /// Exact number of images of the collection that are shown, on all pages.
    pub total: u64,
    pub next: Option<String>,
}

/// Makes an image's places in collections follow it, in the transaction that changes it.
pub(super) async fn follow(tx: &mut Tx, before: &Image, after: &Image) -> Result<(), Error> {
    let collections = store::collections::follow_image(tx, after).await?;
    count(tx, before, &collections, -1).await?;
    count(tx, after, &collections, 1).await
}

/// Counters in one statement: each has four values, of which databases take some ten thousand.
const COUNTED_AT_ONCE: usize = 500;

/// Moves the counters of collections that an image comes to or leaves.
async fn count(tx: &mut Tx, image: &Image, collections: &[CollectionId], difference: i64) -> Result<(), Error> {
    let mut sorted = collections.to_vec();
    sorted.sort_unstable();
    for some in sorted.chunks(COUNTED_AT_ONCE) {
        let counter = |id: &CollectionId| match Sight::of(image) {
            Sight::Public => Some((Counter::collection(*id), difference)),
            Sight::Private => Some((Counter::private_collection(*id, &image.user_id), difference)),
            Sight::Hidden => None,
        };
        store::counters::add(tx, image.id, some.iter().filter_map(counter).collect()).await?;
    }
    Ok(())
}

async fn lock(tx: &mut Tx, user: &UserId, name: &CollectionName) -> Result<Collection, Error> {
    let collection = store::collections::lock(tx, name).await?.ok_or_else(no_such_collection)?;
    require_owner(user, &collection)?;
    Ok(collection)
}

/// Whoever may not know of a collection is told that there is none.
fn require_owner(user: &UserId, collection: &Collection) -> Result<(), Error> {
    if *user == collection.user_id {
        return Ok(());
    }
    if collection.is_visible_to(Some(user)) {
        return Err(Error::forbidden("Only the owner of this collection may do this."));
    }
    Err(no_such_collection())
}

fn parts(viewer: Option<&UserId>) -> Vec<Part> {
    std::iter::once(Part::Public).chain(viewer.cloned().map(Part::PrivateOf)).collect()
}

fn counters(id: CollectionId, parts: &[Part]) -> Vec<Counter> {
    let counter = |part: &Part| match part {
        Part::Public => Counter::collection(id),
        Part::PrivateOf(user) => Counter::private_collection(id, user),
    };
    parts.iter().map(counter).collect()
}

fn is_in(image: &Image, part: &Part) -> bool {
    match part {
        Part::Public => Sight::of(image) == Sight::Public,
        Part::PrivateOf(user) => Sight::of(image) == Sight::Private && image.user_id == *user,
    }
}

pub(super) fn no_such_collection() -> Error {
    Error::NotFound { what: "such collection".to_owned() }
}
