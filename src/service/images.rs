//! Images after their upload: look up, list, change, delete, restore.

use chrono::{DateTime, Days, Utc};

use super::Service;
use super::error::{Error, Fields};
use super::presign::{Disposition, Links};
use crate::model::caller::{Caller, UserId};
use crate::model::counter::Counter;
use crate::model::filter::ImageFilter;
use crate::model::id::ImageId;
use crate::model::image::Image;
use crate::model::page::PageToken;
use crate::model::tag::Tag;
use crate::model::text::{Description, Title};
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
}

/// A link to an original.
#[derive(Debug, Clone)]
pub struct Download {
    pub image: Image,
    pub url: String,
}

impl Service {
    /// A page of the live images that match `filter`.
    ///
    /// # Errors
    /// A page token that is not ours or not for this filter.
    pub async fn list_images(&self, mut filter: ImageFilter, limit: u32, token: Option<&str>) -> Result<ImagePage, Error> {
        let fingerprint = filter.fingerprint();
        let last = read_token(token, &fingerprint)?;
        let mut reader = self.db.reader().await?;
        put_rarest_tag_first(&mut reader, &mut filter).await?;
        let mut images =
            store::images::page(&mut reader, &filter, last.map(|token| ImageId::from(token.last)), limit + 1).await?;
        let has_more = images.len() > limit as usize;
        images.truncate(limit as usize);
        let next = images.last().filter(|_| has_more).map(|image| PageToken { last: image.id.uuid() }.encode(&fingerprint));
        let total = self.count_images(reader, &filter).await?;
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
    pub async fn find_image(&self, id: ImageId, with_links: bool) -> Result<(Image, Option<Links>), Error> {
        let image = self.find_live(id).await?;
        let links = if with_links { Some(self.links(&mut self.signer().await?, &image)) } else { None };
        Ok((image, links))
    }

    /// A link to the original that lives for `expires_in_seconds`.
    ///
    /// # Errors
    /// There is no such image, or it is deleted.
    pub async fn download(&self, id: ImageId, expires_in_seconds: u32, how: Disposition) -> Result<Download, Error> {
        let image = self.find_live(id).await?;
        let url = self.download_link(&image, expires_in_seconds, how).await?;
        Ok(Download { image, url })
    }

    /// Changes an image's texts.
    ///
    /// # Errors
    /// No caller, no such image, or the caller is not its owner.
    pub async fn update_image(&self, caller: &Caller, id: ImageId, change: ImageChange) -> Result<(Image, Links), Error> {
        let user = require_user(caller)?;
        let mut signer = self.signer().await?;
        let mut tx = self.db.begin().await?;
        let mut image = store::images::lock(&mut tx, id).await?.filter(is_live).ok_or_else(Error::no_such_image)?;
        require_owner(user, &image)?;
        if let Some(tags) = change.tags {
            retag(&mut tx, &image, &tags).await?;
            image.tags = tags;
        }
        image.title = change.title.unwrap_or(image.title);
        image.description = change.description.unwrap_or(image.description);
        image.updated_at = cut_to_micros(self.clock.now());
        store::images::set_texts(&mut tx, &image).await?;
        tx.commit().await?;
        let links = self.links(&mut signer, &image);
        Ok((image, links))
    }

    /// Takes an image out of sight. It can be restored until it is purged.
    ///
    /// # Errors
    /// No caller, no such image, the caller is not its owner, or it is deleted already.
    pub async fn delete_image(&self, caller: &Caller, id: ImageId) -> Result<(), Error> {
        let user = require_user(caller)?;
        let mut tx = self.db.begin().await?;
        let image = store::images::lock(&mut tx, id).await?.ok_or_else(Error::no_such_image)?;
        require_owner(user, &image)?;
        if !is_live(&image) {
            return Err(Error::Gone { id });
        }
        store::images::set_deleted_at(&mut tx, id, Some(self.clock.now())).await?;
        store::tags::delete_all(&mut tx, id).await?;
        count_live(&mut tx, &image, -1).await?;
        Ok(tx.commit().await?)
    }

    /// Brings a deleted image back to where it was.
    ///
    /// # Errors
    /// No caller, no such image, the caller is not its owner, or it is not deleted.
    pub async fn restore_image(&self, caller: &Caller, id: ImageId) -> Result<(Image, Links), Error> {
        let user = require_user(caller)?;
        let mut signer = self.signer().await?;
        let mut tx = self.db.begin().await?;
        let mut image = store::images::lock(&mut tx, id).await?.ok_or_else(Error::no_such_image)?;
        require_owner(user, &image)?;
        if is_live(&image) {
            return Err(Error::Conflict { message: format!("Image {id} is not deleted.") });
        }
        store::images::set_deleted_at(&mut tx, id, None).await?;
        store::tags::insert(&mut tx, &image.user_id, id, &image.tags).await?;
        count_live(&mut tx, &image, 1).await?;
        tx.commit().await?;
        image.deleted_at = None;
        let links = self.links(&mut signer, &image);
        Ok((image, links))
    }

    pub(super) async fn find_live(&self, id: ImageId) -> Result<Image, Error> {
        store::images::find(&self.db, id).await?.filter(is_live).ok_or_else(Error::no_such_image)
    }
}

/// The search walks the first tag's images, so that should be the one with the fewest.
async fn put_rarest_tag_first(reader: &mut Reader, filter: &mut ImageFilter) -> Result<(), Error> {
    if filter.tags.len() < 2 {
        return Ok(());
    }
    let mut counted = Vec::with_capacity(filter.tags.len());
    for tag in filter.tags.drain(..) {
        counted.push((store::counters::read(&mut *reader, &Counter::tag(&tag)).await?, tag));
    }
    counted.sort();
    filter.tags = counted.into_iter().map(|(_, tag)| tag).collect();
    Ok(())
}

/// The last moment of the day that begins at `start`.
pub fn day_end(start: DateTime<Utc>) -> DateTime<Utc> {
    start.checked_add_days(Days::new(1)).unwrap_or(start) - chrono::TimeDelta::microseconds(1)
}

pub(super) fn is_live(image: &Image) -> bool {
    image.deleted_at.is_none()
}

pub(super) fn require_user(caller: &Caller) -> Result<&UserId, Error> {
    caller.user().ok_or(Error::Unauthenticated)
}

fn require_owner(user: &UserId, image: &Image) -> Result<(), Error> {
    if *user == image.user_id { Ok(()) } else { Err(Error::NotOwner { id: image.id }) }
}

async fn count_live(tx: &mut Tx, image: &Image, difference: i64) -> Result<(), store::Error> {
    let changes = Counter::of_live(image).into_iter().map(|counter| (counter, difference)).collect();
    store::counters::add(tx, image.id, changes).await
}

/// Moves the counters of the tags that went and came, and writes the tags anew.
async fn retag(tx: &mut Tx, image: &Image, tags: &[Tag]) -> Result<(), store::Error> {
    let went: Vec<Tag> = image.tags.iter().filter(|tag| !tags.contains(tag)).cloned().collect();
    let came: Vec<Tag> = tags.iter().filter(|tag| !image.tags.contains(tag)).cloned().collect();
    let changes = |tags, difference| Counter::of_tags(&image.user_id, tags).map(move |counter| (counter, difference));
    store::counters::add(tx, image.id, changes(&went, -1).chain(changes(&came, 1)).collect()).await?;
    store::tags::delete_all(tx, image.id).await?;
    store::tags::insert(tx, &image.user_id, image.id, tags).await
}

/// What the database keeps, so that the answer to a change is the same as the next look.
fn cut_to_micros(time: DateTime<Utc>) -> DateTime<Utc> {
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
