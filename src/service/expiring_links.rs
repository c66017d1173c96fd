//! Links that expire: an original to anybody who has one, also of a private image, until its time is over or it was opened often
//! enough. Every opening is checked against the database.

use chrono::TimeDelta;

use super::Service;
use super::access;
use super::error::Error;
use super::images::is_live;
use super::links::Original;
use super::secrets::{self, Secret};
use super::thumbnails::{Content, Sending};
use crate::model::account::{ExpiringLink, LinkId};
use crate::model::caller::Caller;
use crate::model::id::ImageId;
use crate::model::image::Image;
use crate::objects::layout;
use crate::store;

/// Links that an image may have, expired ones that are not forgotten yet among them.
const MAX_LINKS: u64 = 1000;

impl Service {
    /// Makes a link to an image; returns the token that opens it, which is told now and never again.
    ///
    /// # Errors
    /// No caller, no such image, the caller is not its owner, the owner's plan has no such links, or there are too many.
    pub async fn create_link(
        &self,
        caller: &Caller,
        id: ImageId,
        expires_in_seconds: u32,
        max_views: Option<u32>,
    ) -> Result<(ExpiringLink, String), Error> {
        let user = access::writer(caller)?;
        let mut tx = self.db.begin().await?;
        let image = store::images::lock(&mut tx, id).await?.filter(is_live).ok_or_else(Error::no_such_image)?;
        access::require_owner(&user.id, &image)?;
        require_links(&image)?;
        if store::image_links::count(&mut tx, id).await? >= MAX_LINKS {
            return Err(Error::Conflict { message: format!("The image has {MAX_LINKS} links: delete one, or let one expire.") });
        }
        let expires_at = super::images::cut_to_micros(self.clock.now() + TimeDelta::seconds(expires_in_seconds.into()));
        let link = ExpiringLink { id: LinkId::new(&*self.clock), expires_at, max_views, views: 0 };
        let secret = Secret::new()?;
        store::image_links::insert(&mut tx, id, &link, &secret.hash).await?;
        tx.commit().await?;
        Ok((link, secret.text))
    }

    /// The links to an image, newest first; expired ones for as long as they are not forgotten.
    ///
    /// # Errors
    /// No caller, no such image, or the caller is not its owner.
    pub async fn list_expiring_links(&self, caller: &Caller, id: ImageId) -> Result<Vec<ExpiringLink>, Error> {
        let user = access::known_viewer(caller)?;
        let image = store::images::find(&self.db, id).await?.filter(is_live).ok_or_else(Error::no_such_image)?;
        access::require_owner(user, &image)?;
        Ok(store::image_links::of_image(&self.db, id).await?)
    }

    /// Takes a link back, by its token or its id.
    ///
    /// # Errors
    /// No caller, no such image or link, or the caller is not the owner.
    pub async fn delete_link(&self, caller: &Caller, id: ImageId, link: &str) -> Result<(), Error> {
        let user = access::writer(caller)?;
        let mut tx = self.db.begin().await?;
        let image = store::images::find(&mut tx, id).await?.filter(is_live).ok_or_else(Error::no_such_image)?;
        access::require_owner(&user.id, &image)?;
        if !store::image_links::delete(&mut tx, id, LinkId::parse(link), &secrets::hash(link)).await? {
            return Err(no_such_link());
        }
        Ok(tx.commit().await?)
    }

    /// The original that a link leads to. A look that sends bytes is a view, and counted before the first of them.
    ///
    /// # Errors
    /// There is no such link, it has expired, its image is deleted, or the owner's plan has no such links any more.
    pub async fn open_link(&self, token: &str, sending: &Sending<'_>) -> Result<Original, Error> {
        let (id, link) = store::image_links::find(&self.db, &secrets::hash(token)).await?.ok_or_else(no_such_link)?;
        let image = store::images::find(&self.db, id).await?.filter(is_live).ok_or_else(no_such_link)?;
        if link.is_expired(self.clock.now()) {
            return Err(Error::LinkExpired);
        }
        require_links(&image)?;
        let owner = store::accounts::find_by_user(&self.db, &image.user_id).await?;
        if owner.is_some_and(|owner| owner.disabled_at.is_some()) {
            return Err(Error::LinkExpired);
        }
        let etag = hex::encode(image.sha256);
        if (sending.is_known)(&etag) {
            return Ok(Original { image, etag, part: None, content: Content::Unchanged });
        }
        if !sending.with_body {
            let content = Content::Length(image.file_size);
            return Ok(Original { image, etag, part: None, content });
        }
        // First what may fail through no fault of the link's.
        let (stored, bytes) = self.objects.get(&layout::key(id, layout::ORIGINAL), None).await?;
        let mut tx = self.db.begin().await?;
        if !store::image_links::count_view(&mut tx, link.id, self.clock.now()).await? {
            return Err(Error::LinkExpired);
        }
        tx.commit().await?;
        Ok(Original { image, etag, part: None, content: Content::Stored(stored, bytes) })
    }
}

fn require_links(image: &Image) -> Result<(), Error> {
    let given = image.features.as_ref().is_none_or(|features| features.expiring_links);
    if given { Ok(()) } else { Err(Error::not_in_plan("links that expire")) }
}

fn no_such_link() -> Error {
    Error::NotFound { what: "such link".to_owned() }
}
