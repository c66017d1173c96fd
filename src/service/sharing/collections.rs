//! Collections: created, listed, changed and deleted by their owners. Their contents are in `collection_items.rs`.

use crate::model::caller::{Caller, UserId};
use crate::model::collection::{Collection, CollectionId, CollectionName};
use crate::model::counter::Counter;
use crate::model::filter::Part;
use crate::model::image::Visibility;
use crate::model::page::PageToken;
use crate::service::Service;
use crate::service::error::Error;
use crate::service::identity::permissions;
use crate::service::paging::{Page, list_fingerprint, parse_page_token};
use crate::service::time::truncate_to_micros;
use crate::store::{self, Tx};

/// The maximum number of collections per user.
const MAX_COLLECTIONS: u64 = 10_000;

/// All collections of a user share one counter row, whose lock prevents concurrent creation.
const COUNTER_SLOT: u8 = 0;

impl Service {
    /// Creates an empty collection.
    ///
    /// # Errors
    /// The caller is not authenticated, the name is taken, or the caller has too many collections.
    pub async fn create_collection(
        &self,
        caller: &Caller,
        name: CollectionName,
        visibility: Visibility,
    ) -> Result<Collection, Error> {
        let user = permissions::writer(caller)?;
        let (id, updated_at) = (CollectionId::new(&*self.clock), truncate_to_micros(self.clock.now()));
        let collection = Collection { id, name, user_id: user.id.clone(), visibility, updated_at };
        let mut tx = self.db.begin().await?;
        if !store::sharing::collections::insert(&mut tx, &collection).await? {
            return Err(Error::Conflict { message: format!("There is already a collection named \"{}\".", collection.name) });
        }
        count(&mut tx, &user.id, 1);
        // The counter is locked from here on, so that two requests cannot both create the last one.
        tx.write_counters().await?;
        if store::images::counters::read_in(&mut tx, &Counter::user_collections(&user.id)).await? > MAX_COLLECTIONS {
            return Err(Error::Conflict {
                message: format!("You already have {MAX_COLLECTIONS} collections. Delete one first."),
            });
        }
        tx.commit().await?;
        Ok(collection)
    }

    /// Lists a page of the caller's collections, newest first, each with the number of its images that the caller can see.
    ///
    /// # Errors
    /// The caller is not authenticated, or the page token is not of this list.
    pub async fn list_collections(
        &self,
        caller: &Caller,
        limit: u32,
        token: Option<&str>,
    ) -> Result<Page<(Collection, u64)>, Error> {
        let user = permissions::authenticated_viewer(caller)?;
        let list = list_fingerprint("collections", user.as_str());
        let last = parse_page_token(token, &list)?.map(|token| CollectionId::from(token.last));
        let found = store::sharing::collections::page_of_user(&self.db, user, last, limit + 1).await?;
        Ok(Page::new(found, limit, |(collection, _)| PageToken { last: collection.id.uuid() }.encode(&list)))
    }

    /// Changes the visibility of a collection.
    ///
    /// # Errors
    /// The caller is not authenticated, there is no such collection, or it belongs to another user.
    pub async fn change_collection(
        &self,
        caller: &Caller,
        name: &CollectionName,
        visibility: Visibility,
    ) -> Result<(Collection, u64), Error> {
        let user = permissions::writer(caller)?;
        self.own_collection(&user.id, name).await?;
        let mut tx = self.db.begin().await?;
        let mut collection = lock(&mut tx, &user.id, name).await?;
        (collection.visibility, collection.updated_at) = (visibility, truncate_to_micros(self.clock.now()));
        store::sharing::collections::set_visibility(&mut tx, collection.id, visibility, collection.updated_at).await?;
        let count = store::images::counters::read_sum(&mut tx, &counters(collection.id, &parts(&user.id))).await?;
        tx.commit().await?;
        Ok((collection, count))
    }

    /// Deletes a collection; its images stay. The collection disappears and its name is free immediately. Its items are removed
    /// in the background, because a large collection would exceed the time limit of a request.
    ///
    /// # Errors
    /// The caller is not authenticated, there is no such collection, or it belongs to another user.
    pub async fn delete_collection(&self, caller: &Caller, name: &CollectionName) -> Result<(), Error> {
        let user = permissions::writer(caller)?;
        self.own_collection(&user.id, name).await?;
        let mut tx = self.db.begin().await?;
        let collection = lock(&mut tx, &user.id, name).await?;
        store::sharing::collections::mark_deleted(&mut tx, collection.id, truncate_to_micros(self.clock.now())).await?;
        count(&mut tx, &user.id, -1);
        Ok(tx.commit().await?)
    }

    /// Finds a collection of the user. Called before anything is locked, so that requests without permission delay no other.
    pub(in crate::service) async fn own_collection(&self, user: &UserId, name: &CollectionName) -> Result<Collection, Error> {
        let collection = store::sharing::collections::find(&self.db, name).await?.ok_or_else(Error::no_such_collection)?;
        require_owner(user, &collection)?;
        Ok(collection)
    }

    /// Finds a collection that `viewer` may see.
    pub(in crate::service) async fn visible_collection(
        &self,
        viewer: Option<&UserId>,
        name: &CollectionName,
    ) -> Result<Collection, Error> {
        let collection = store::sharing::collections::find(&self.db, name).await?;
        collection.filter(|found| found.is_visible_to(viewer)).ok_or_else(Error::no_such_collection)
    }
}

/// Changes the number of a user's collections.
pub(in crate::service) fn count(tx: &mut Tx, user: &UserId, difference: i64) {
    store::images::counters::add_in_slot(tx, COUNTER_SLOT, [(Counter::user_collections(user), difference)]);
}

/// Locks a collection of the user.
pub(in crate::service) async fn lock(tx: &mut Tx, user: &UserId, name: &CollectionName) -> Result<Collection, Error> {
    let collection = store::sharing::collections::lock(tx, name).await?.ok_or_else(Error::no_such_collection)?;
    require_owner(user, &collection)?;
    Ok(collection)
}

/// Callers who may not see a collection learn nothing of its existence.
fn require_owner(user: &UserId, collection: &Collection) -> Result<(), Error> {
    if *user == collection.user_id {
        return Ok(());
    }
    if collection.is_visible_to(Some(user)) {
        return Err(Error::forbidden("Only the owner of this collection can do this."));
    }
    Err(Error::no_such_collection())
}

/// Returns the parts of a collection that its owner sees.
pub(in crate::service) fn parts(owner: &UserId) -> [Part; 2] {
    [Part::Public, Part::PrivateOf(owner.clone())]
}

/// Returns the counters of these parts of a collection.
pub(in crate::service) fn counters(id: CollectionId, parts: &[Part]) -> Vec<Counter> {
    parts.iter().map(|part| Counter::collection_part(id, part)).collect()
}
