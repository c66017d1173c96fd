//! Collections: made, listed, changed and deleted by their owners. What is in them is `service/sharing/collection_items.rs`.

use crate::model::caller::{Caller, UserId};
use crate::model::collection::{Collection, CollectionId, CollectionName};
use crate::model::counter::Counter;
use crate::model::filter::Part;
use crate::model::image::Visibility;
use crate::model::page::PageToken;
use crate::service::Service;
use crate::service::error::Error;
use crate::service::identity::permissions;
use crate::service::images::{cut_to_micros, read_token};
use crate::service::jobs::imports::{Page, list_fingerprint};
use crate::store::{self, Tx};

/// Collections that a user may have.
const MAX_COLLECTIONS: u64 = 10_000;

/// A user's collections have one counter, whose lock keeps them from being made at the same time.
const COUNTER_SLOT: u8 = 0;

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
        let user = permissions::writer(caller)?;
        let (id, updated_at) = (CollectionId::new(&*self.clock), cut_to_micros(self.clock.now()));
        let collection = Collection { id, name, user_id: user.id.clone(), visibility, updated_at };
        let mut tx = self.db.begin().await?;
        if !store::sharing::collections::insert(&mut tx, &collection).await? {
            return Err(Error::Conflict { message: format!("There is a collection {} already.", collection.name) });
        }
        count(&mut tx, &user.id, 1);
        // The counter is locked from here on, so that two cannot both be the last one.
        tx.write_counters().await?;
        if store::images::counters::read_in(&mut tx, &Counter::user_collections(&user.id)).await? > MAX_COLLECTIONS {
            return Err(Error::Conflict { message: format!("There are {MAX_COLLECTIONS} collections of yours already.") });
        }
        tx.commit().await?;
        Ok(collection)
    }

    /// A page of the caller's collections, newest first, with how many of its images the caller sees in each.
    ///
    /// # Errors
    /// No caller, or a page token that is not one of this list.
    pub async fn list_collections(
        &self,
        caller: &Caller,
        limit: u32,
        token: Option<&str>,
    ) -> Result<Page<(Collection, u64)>, Error> {
        let user = permissions::known_viewer(caller)?;
        let list = list_fingerprint("collections", user.as_str());
        let last = read_token(token, &list)?.map(|token| CollectionId::from(token.last));
        let found = store::sharing::collections::page_of_user(&self.db, user, last, limit + 1).await?;
        Ok(Page::new(found, limit, |(collection, _)| PageToken { last: collection.id.uuid() }.encode(&list)))
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
        let user = permissions::writer(caller)?;
        self.own_collection(&user.id, name).await?;
        let mut tx = self.db.begin().await?;
        let mut collection = lock(&mut tx, &user.id, name).await?;
        (collection.visibility, collection.updated_at) = (visibility, cut_to_micros(self.clock.now()));
        store::sharing::collections::set_visibility(&mut tx, collection.id, visibility, collection.updated_at).await?;
        let count = store::images::counters::read_sum(&mut tx, &counters(collection.id, &parts(&user.id))).await?;
        tx.commit().await?;
        Ok((collection, count))
    }

    /// Deletes a collection; its images stay. It is gone and its name free at once; what says which images were in it is removed
    /// some at a time, for a large one would take longer than a request may.
    ///
    /// # Errors
    /// No caller, no such collection, or another's.
    pub async fn delete_collection(&self, caller: &Caller, name: &CollectionName) -> Result<(), Error> {
        let user = permissions::writer(caller)?;
        self.own_collection(&user.id, name).await?;
        let mut tx = self.db.begin().await?;
        let collection = lock(&mut tx, &user.id, name).await?;
        store::sharing::collections::mark_deleted(&mut tx, collection.id, cut_to_micros(self.clock.now())).await?;
        count(&mut tx, &user.id, -1);
        Ok(tx.commit().await?)
    }

    /// The collection, if it is the user's. To be asked before anything is locked: who may not write makes nobody wait.
    pub(in crate::service) async fn own_collection(&self, user: &UserId, name: &CollectionName) -> Result<Collection, Error> {
        let collection = store::sharing::collections::find(&self.db, name).await?.ok_or_else(Error::no_such_collection)?;
        require_owner(user, &collection)?;
        Ok(collection)
    }

    /// The collection, if `viewer` may know of it.
    pub(in crate::service) async fn visible_collection(
        &self,
        viewer: Option<&UserId>,
        name: &CollectionName,
    ) -> Result<Collection, Error> {
        let collection = store::sharing::collections::find(&self.db, name).await?;
        collection.filter(|found| found.is_visible_to(viewer)).ok_or_else(Error::no_such_collection)
    }
}

/// Moves the number of a user's collections.
pub(in crate::service) fn count(tx: &mut Tx, user: &UserId, difference: i64) {
    store::images::counters::add_in_slot(tx, COUNTER_SLOT, [(Counter::user_collections(user), difference)]);
}

/// Takes the lock of a collection that is the user's.
pub(in crate::service) async fn lock(tx: &mut Tx, user: &UserId, name: &CollectionName) -> Result<Collection, Error> {
    let collection = store::sharing::collections::lock(tx, name).await?.ok_or_else(Error::no_such_collection)?;
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
    Err(Error::no_such_collection())
}

/// What a collection's owner sees of it.
pub(in crate::service) fn parts(owner: &UserId) -> [Part; 2] {
    [Part::Public, Part::PrivateOf(owner.clone())]
}

/// The counters of these parts of a collection.
pub(in crate::service) fn counters(id: CollectionId, parts: &[Part]) -> Vec<Counter> {
    parts.iter().map(|part| Counter::collection_part(id, part)).collect()
}
