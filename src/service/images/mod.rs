//! Images after their upload: look up, list, change, delete, restore.

pub mod idempotency;
pub(super) mod lost_objects;
pub(super) mod oversize;
pub mod presigned_urls;
pub mod resize_urls;
pub mod thumbnails;
pub mod total_count;
pub(super) mod trash;
pub mod upload;
pub(super) mod url_revocation;
pub mod variants;

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Days, Utc};

use self::presigned_urls::{Disposition, Links};
use self::total_count::of_set;
use self::trash::{count_trash, leave_lists, put_in_trash};
use super::Service;
use super::admission::fair_queue::TurnKey;
use super::error::{Error, Fields};
use super::identity::permissions;
use super::identity::quota::take_room;
use super::sharing::collection_items;
use crate::model::caller::Caller;
use crate::model::collection::CollectionName;
use crate::model::counter::Counter;
use crate::model::filter::{ImageFilter, Part, Search};
use crate::model::id::ImageId;
use crate::model::image::{Image, TakenDown, Visibility};
use crate::model::page::PageToken;
use crate::model::tag::Tag;
use crate::model::text::{Description, Title};
use crate::objects::layout;
use crate::store::{self, Reader, Tx};

/// A page of a list, newest first.
#[derive(Debug, Clone)]
pub struct ImagePage {
    pub images: Vec<(Image, Links)>,
    /// Exact number of images that match the filter.
    pub total: u64,
    /// Where the next page begins; `None` on the last page.
    pub next: Option<String>,
}

/// New texts; a field that is `None` stays as it is.
#[derive(Debug, Clone, Default)]
pub struct ImageChange {
    pub title: Option<Option<Title>>,
    pub description: Option<Option<Description>>,
    pub tags: Option<Vec<Tag>>,
    pub visibility: Option<Visibility>,
}

/// A link to an original.
#[derive(Debug, Clone)]
pub struct Download {
    pub image: Image,
    pub url: String,
}

impl Service {
    /// A page of the live images that match `filter`, are in `collection`, and that the caller may know of. Where they have to be
    /// counted, that happens when it is the turn of `key`.
    ///
    /// # Errors
    /// A key without the scope to read, a page token that is not ours or not for this filter, or the turn does not come in time.
    pub async fn list_images(
        &self,
        caller: &Caller,
        key: &TurnKey,
        mut filter: ImageFilter,
        collection: Option<&CollectionName>,
        limit: u32,
        token: Option<&str>,
    ) -> Result<ImagePage, Error> {
        let viewer = permissions::viewer(caller)?;
        let parts = filter.parts(viewer);
        if let Some(name) = collection {
            filter.collection = Some(self.visible_collection(viewer, name).await?.id);
        }
        let fingerprint = filter.fingerprint();
        let last = read_token(token, &fingerprint)?.map(|token| ImageId::from(token.last));
        let mut reader = self.db.reader().await?;
        let mut searches = Vec::with_capacity(parts.len());
        for part in &parts {
            searches.push(rarest_first(&mut reader, &filter, part).await?);
        }
        let mut images = store::images::lists::page(&mut reader, &filter, &searches, last, limit + 1).await?;
        let has_more = images.len() > limit as usize;
        images.truncate(limit as usize);
        let next = images.last().filter(|_| has_more).map(|image| PageToken { last: image.id.uuid() }.encode(&fingerprint));
        let total = self.count_images(key, reader, &filter, &parts).await?;
        let mut signer = self.signer().await?;
        let with_links = |image: Image| {
            let links = self.links(&mut signer, &image);
            (image, links)
        };
        Ok(ImagePage { images: images.into_iter().map(with_links).collect(), total, next })
    }

    /// A live image, and links to it if they are asked for.
    ///
    /// # Errors
    /// There is none, or it is deleted.
    pub async fn find_image(&self, caller: &Caller, id: ImageId, with_links: bool) -> Result<(Image, Option<Links>), Error> {
        let image = self.find_visible(caller, id).await?;
        let links = if with_links { Some(self.links(&mut self.signer().await?, &image)) } else { None };
        Ok((image, links))
    }

    /// A link to the original that lives for `expires_in_seconds`.
    ///
    /// # Errors
    /// There is no such image, it is deleted, or its owner's plan gives no originals.
    pub async fn download(
        &self,
        caller: &Caller,
        id: ImageId,
        expires_in_seconds: u32,
        how: Disposition,
    ) -> Result<Download, Error> {
        let image = self.find_visible(caller, id).await?;
        permissions::require_original(&image)?;
        let url = self.download_link(&image, expires_in_seconds, how).await?;
        Ok(Download { image, url })
    }

    /// Changes an image's texts, or who may see it.
    ///
    /// # Errors
    /// No caller, no such image, or the caller is not its owner.
    pub async fn update_image(&self, caller: &Caller, id: ImageId, change: ImageChange) -> Result<(Image, Links), Error> {
        let user = permissions::writer(caller)?;
        let mut signer = self.signer().await?;
        let mut tx = self.db.begin().await?;
        let mut image = store::images::lock(&mut tx, id).await?.filter(is_live).ok_or_else(Error::no_such_image)?;
        permissions::require_owner(&user.id, &image)?;
        let before = image.clone();
        image.tags = change.tags.unwrap_or(image.tags);
        image.visibility = change.visibility.unwrap_or(image.visibility);
        move_in_lists(&mut tx, &before, &image).await?;
        image.title = change.title.unwrap_or(image.title);
        image.description = change.description.unwrap_or(image.description);
        image.updated_at = cut_to_micros(self.clock.now());
        store::images::update(&mut tx, &image).await?;
        if image.visibility != before.visibility {
            collection_items::follow(&mut tx, &image).await?;
        }
        tx.commit().await?;
        let links = self.links(&mut signer, &image);
        Ok((image, links))
    }

    /// Takes an image out of sight. It can be restored until it is purged.
    ///
    /// # Errors
    /// No caller, no such image, the caller is neither its owner nor an administrator, or it is deleted already.
    pub async fn delete_image(self: &Arc<Self>, caller: &Caller, id: ImageId) -> Result<(), Error> {
        let user = permissions::remover(caller)?;
        let mut tx = self.db.begin().await?;
        let image = store::images::lock(&mut tx, id).await?.ok_or_else(Error::no_such_image)?;
        let admin = permissions::as_admin(caller).filter(|_| user.id != image.user_id);
        if admin.is_none() {
            permissions::require_owner(&user.id, &image)?;
            permissions::writer(caller)?;
        }
        // What its owner has deleted an administrator can still take down, so that it is not restored.
        let was_live = is_live(&image);
        if !was_live && (admin.is_none() || image.taken_down.is_some()) {
            return Err(Error::Gone { id });
        }
        if let Some(admin) = admin {
            self.note(&mut tx, admin, "image.deleted", id, owner_of(&image)).await?;
        }
        let now = self.clock.now();
        match (was_live, admin) {
            (true, None) => put_in_trash(&mut tx, &image, now).await?,
            (true, Some(_)) => {
                store::images::set_deleted_at(&mut tx, id, Some(now), Some(TakenDown::Live)).await?;
                leave_lists(&mut tx, &image, now).await?;
            }
            (false, _) => {
                store::images::set_deleted_at(&mut tx, id, image.deleted_at, Some(TakenDown::Deleted)).await?;
                count_trash(&mut tx, &image, -1);
            }
        }
        let revokes_urls = admin.is_some() || self.limits.delete_revokes_urls;
        if revokes_urls {
            self.announce_move(&mut tx, id).await?;
        }
        tx.commit().await?;
        if revokes_urls {
            self.revoke_urls(id).await;
        }
        Ok(())
    }

    /// Brings a deleted image back to where it was; returns it where the caller may see it. Where an administrator had taken down
    /// what its owner had deleted, it is back to that.
    ///
    /// # Errors
    /// No caller, no such image, the caller is not its owner, it is not deleted, its owner has no room for it, or it was an
    /// administrator who deleted it, and the caller is none.
    pub async fn restore_image(&self, caller: &Caller, id: ImageId) -> Result<Option<(Image, Links)>, Error> {
        let user = permissions::remover(caller)?;
        let mut signer = self.signer().await?;
        let mut tx = self.db.begin().await?;
        let mut image = store::images::lock(&mut tx, id).await?.ok_or_else(Error::no_such_image)?;
        let admin = permissions::as_admin(caller).filter(|_| image.taken_down.is_some());
        if admin.is_none() {
            permissions::require_owner(&user.id, &image)?;
            permissions::writer(caller)?;
        }
        if is_live(&image) {
            return Err(Error::Conflict { message: format!("Image {id} is not deleted.") });
        }
        match admin {
            Some(admin) => self.note(&mut tx, admin, "image.restored", id, owner_of(&image)).await?,
            None if image.taken_down.is_some() => return Err(Error::forbidden("An administrator has deleted this image.")),
            None => {}
        }
        if image.taken_down == Some(TakenDown::Deleted) {
            // As its owner left it, who can restore it now.
            store::images::set_deleted_at(&mut tx, id, image.deleted_at, None).await?;
            count_trash(&mut tx, &image, 1);
            tx.commit().await?;
            return Ok(None);
        }
        take_room(&mut tx, &image.user_id, image.file_size).await?;
        self.cancel_move(&mut tx, id, &layout::names_at_upload(&image)).await?;
        store::images::set_deleted_at(&mut tx, id, None, None).await?;
        if image.taken_down.is_none() {
            count_trash(&mut tx, &image, -1);
        }
        store::images::tags::insert(&mut tx, &image).await?;
        store::jobs::caption_jobs::resume(&mut tx, id, self.clock.now()).await?;
        count_live(&mut tx, &image, 1);
        (image.deleted_at, image.taken_down) = (None, None);
        collection_items::follow(&mut tx, &image).await?;
        tx.commit().await?;
        if !image.is_visible_to(Some(&user.id)) {
            return Ok(None);
        }
        let links = self.links(&mut signer, &image);
        Ok(Some((image, links)))
    }

    /// A live image that the caller may know of.
    pub(super) async fn find_visible(&self, caller: &Caller, id: ImageId) -> Result<Image, Error> {
        let viewer = permissions::viewer(caller)?;
        let image = self.find_live(id).await?;
        if image.is_visible_to(viewer) { Ok(image) } else { Err(Error::no_such_image()) }
    }

    pub(super) async fn find_live(&self, id: ImageId) -> Result<Image, Error> {
        store::images::find(&self.db, id).await?.filter(is_live).ok_or_else(Error::no_such_image)
    }
}

/// The search walks the first set's images, so that should be the one with the fewest.
async fn rarest_first(reader: &mut Reader, filter: &ImageFilter, part: &Part) -> Result<Search, Error> {
    let mut sets = filter.sets();
    if sets.len() > 1 {
        let mut counted = Vec::with_capacity(sets.len());
        for set in sets {
            counted.push((store::images::counters::read(&mut *reader, &of_set(filter, part, &set)).await?, set));
        }
        counted.sort();
        sets = counted.into_iter().map(|(_, set)| set).collect();
    }
    Ok(Search { part: part.clone(), sets })
}

/// The last moment of the day that begins at `start`.
pub fn day_end(start: DateTime<Utc>) -> DateTime<Utc> {
    start.checked_add_days(Days::new(1)).unwrap_or(start) - chrono::TimeDelta::microseconds(1)
}

pub(super) fn is_live(image: &Image) -> bool {
    image.deleted_at.is_none()
}

/// For the audit trail.
fn owner_of(image: &Image) -> BTreeMap<String, String> {
    BTreeMap::from([("user_id".to_owned(), image.user_id.to_string())])
}

pub(super) fn count_live(tx: &mut Tx, image: &Image, difference: i64) {
    let changes = Counter::of_live(image).into_iter().map(|(counter, number)| (counter, number * difference));
    store::images::counters::add(tx, image.id, changes);
}

/// Moves the counters that an image went from and came to, and writes its tags anew, where that is something else.
async fn move_in_lists(tx: &mut Tx, before: &Image, after: &Image) -> Result<(), store::Error> {
    if before.tags == after.tags && before.visibility == after.visibility {
        return Ok(());
    }
    let (went, came) = (Counter::of_visibility(before), Counter::of_visibility(after));
    let changes = |from: &[Counter], but: &[Counter], difference| {
        let moved: Vec<(Counter, i64)> =
            from.iter().filter(|counter| !but.contains(counter)).map(|counter| (counter.clone(), difference)).collect();
        moved
    };
    store::images::counters::add(tx, after.id, [changes(&went, &came, -1), changes(&came, &went, 1)].concat());
    store::images::tags::delete_all(tx, before.id).await?;
    store::images::tags::insert(tx, after).await
}

/// What the database keeps, so that the answer to a change is the same as the next look.
pub(super) fn cut_to_micros(time: DateTime<Utc>) -> DateTime<Utc> {
    use chrono::SubsecRound;
    time.trunc_subsecs(6)
}

/// Where a list with this fingerprint goes on.
pub(super) fn read_token(token: Option<&str>, fingerprint: &[u8; 32]) -> Result<Option<PageToken>, Error> {
    token.map(|token| PageToken::decode(token, fingerprint).ok_or_else(bad_token)).transpose()
}

fn bad_token() -> Error {
    let rule = "is not a token of this list: take next_page_token as it was given, with the same filters";
    Error::Malformed {
        message: format!("page_token {rule}."),
        details: Fields::from([("page_token".to_owned(), rule.to_owned())]),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uuid::Uuid;

    use super::*;
    use crate::model::caller::UserId;
    use crate::model::collection::CollectionId;
    use crate::model::filter::Set;
    use crate::store::database::db::{Db, DbConfig, Location};

    #[tokio::test]
    async fn a_search_begins_with_the_set_that_has_the_fewest_images_of_the_part() {
        let folder = tempfile::tempdir().unwrap();
        let (location, timeout) = (Location::Sqlite(folder.path().join("sets.sqlite")), Duration::from_secs(30));
        let db = Db::open(&DbConfig { location, max_connections: 1, timeout, statement_timeout: timeout }).await.unwrap();
        store::database::migrate::run(&db).await.unwrap();
        let (sea, sun) = (Tag::parse("sea").unwrap(), Tag::parse("sun").unwrap());
        let (collection, alice) = (CollectionId::from(Uuid::from_u128(7)), UserId::parse("alice").unwrap());
        let counters = vec![
            (Counter::tag(&sea), 400_000),
            (Counter::tag(&sun), 5),
            (Counter::collection(collection), 10),
            (Counter::private_user_tag(&alice, &sea), 3),
            (Counter::private_user_tag(&alice, &sun), 9),
            (Counter::private_collection(collection, &alice), 2),
        ];
        let mut tx = db.begin().await.unwrap();
        store::images::counters::add_in_slot(&mut tx, 0, counters);
        tx.commit().await.unwrap();
        let mut reader = db.reader().await.unwrap();
        let filter = ImageFilter { tags: vec![sea.clone(), sun.clone()], collection: Some(collection), ..ImageFilter::default() };
        let (few, [sea, sun]) = (Set::Collection(collection), [sea, sun].map(Set::Tag));
        for (part, order) in [(Part::Public, [&sun, &few, &sea]), (Part::PrivateOf(alice), [&few, &sea, &sun])] {
            let search = rarest_first(&mut reader, &filter, &part).await.unwrap();
            assert_eq!(search.sets.iter().collect::<Vec<_>>(), order);
        }
        drop(reader);
        db.close().await;
    }
}
