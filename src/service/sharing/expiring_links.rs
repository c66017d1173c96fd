//! Links that expire: an original to anybody who has one, also of a private image, until its time is over or it was opened often
//! enough. Every opening is checked against the database.

use chrono::TimeDelta;

use super::public_links::{Original, PartRequest};
use crate::model::account::{ExpiringLink, LinkId};
use crate::model::caller::Caller;
use crate::model::id::ImageId;
use crate::model::image::Image;
use crate::service::Service;
use crate::service::error::Error;
use crate::service::identity::permissions;
use crate::service::identity::secrets;
use crate::service::identity::secrets::Secret;
use crate::service::images::is_live;
use crate::service::images::thumbnails::{Content, Sending};
use crate::store;

/// Bytes of a link's file that are given for nothing, in all: clients ask for a byte or two to learn its size and whether they can have
/// parts. They tell what a file of any such size has.
const PROBE_BYTES: u64 = 64;

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
        let user = permissions::writer(caller)?;
        let mut tx = self.db.begin().await?;
        let image = store::images::lock(&mut tx, id).await?.filter(is_live).ok_or_else(Error::no_such_image)?;
        permissions::require_owner(&user.id, &image)?;
        require_links(&image)?;
        if store::sharing::expiring_links::count(&mut tx, id).await? >= MAX_LINKS {
            return Err(Error::Conflict { message: format!("The image has {MAX_LINKS} links: delete one, or let one expire.") });
        }
        let expires_at = crate::service::images::cut_to_micros(self.clock.now() + TimeDelta::seconds(expires_in_seconds.into()));
        let link = ExpiringLink { id: LinkId::new(&*self.clock), expires_at, max_views, views: 0, paid_bytes: 0 };
        let secret = Secret::new()?;
        store::sharing::expiring_links::insert(&mut tx, id, &link, &secret.hash).await?;
        tx.commit().await?;
        Ok((link, secret.text))
    }

    /// The links to an image, newest first; expired ones for as long as they are not forgotten.
    ///
    /// # Errors
    /// No caller, no such image, or the caller is not its owner.
    pub async fn list_expiring_links(&self, caller: &Caller, id: ImageId) -> Result<Vec<ExpiringLink>, Error> {
        let user = permissions::known_viewer(caller)?;
        let image = store::images::find(&self.db, id).await?.filter(is_live).ok_or_else(Error::no_such_image)?;
        permissions::require_owner(user, &image)?;
        Ok(store::sharing::expiring_links::of_image(&self.db, id).await?)
    }

    /// Takes a link back, by its token or its id.
    ///
    /// # Errors
    /// No caller, no such image or link, or the caller is not the owner.
    pub async fn delete_link(&self, caller: &Caller, id: ImageId, link: &str) -> Result<(), Error> {
        let user = permissions::writer(caller)?;
        let mut tx = self.db.begin().await?;
        let image = store::images::find(&mut tx, id).await?.filter(is_live).ok_or_else(Error::no_such_image)?;
        permissions::require_owner(&user.id, &image)?;
        if !store::sharing::expiring_links::delete(&mut tx, id, LinkId::parse(link), &secrets::hash(link)).await? {
            return Err(no_such_link());
        }
        Ok(tx.commit().await?)
    }

    /// The original that a link leads to, or a part of it. A look that sends bytes is a view, and counted before the first of them;
    /// a preview is none, and gets no bytes of what can be seen a limited number of times.
    ///
    /// # Errors
    /// There is no such link, it has expired, its image is deleted, the owner's plan has no such links any more, the file has none of
    /// the bytes that are asked for, or a preview asks for a link with a number of views.
    pub async fn open_link(
        &self,
        token: &str,
        part: &PartRequest,
        is_preview: bool,
        sending: &Sending<'_>,
    ) -> Result<Original, Error> {
        let (id, link) = store::sharing::expiring_links::find(&self.db, &secrets::hash(token)).await?.ok_or_else(no_such_link)?;
        let image = store::images::find(&self.db, id).await?.filter(is_live).ok_or_else(no_such_link)?;
        let now = self.clock.now();
        let may_go_on = link.expires_at > now && link.paid_bytes > 0 && part.range.is_some();
        if link.is_expired(now) && !may_go_on {
            return Err(Error::LinkExpired);
        }
        require_links(&image)?;
        let owner = store::identity::accounts::find_by_user(&self.db, &image.user_id).await?;
        if owner.is_some_and(|owner| owner.disabled_at.is_some()) {
            return Err(Error::LinkExpired);
        }
        let etag = hex::encode(image.sha256);
        if (sending.is_known)(&etag) {
            return Ok(Original { image, etag, part: None, content: Content::Unchanged });
        }
        let part = part.within(&image, &etag)?;
        let wanted = part.as_ref().map_or(image.file_size, |part| part.end() - part.start() + 1);
        if !sending.with_body {
            return Ok(Original { image, etag, part, content: Content::Length(wanted) });
        }
        if is_preview && link.max_views.is_some() {
            return Err(Error::forbidden("This link can be opened a limited number of times, and is not shown to previews."));
        }
        // First what may fail through no fault of the link's.
        let (stored, bytes) = self.send_original(sending.asked_by, &image, part.clone()).await?;
        if !is_preview {
            self.pay_for(&link, part.is_some(), wanted, image.file_size).await?;
        }
        Ok(Original { image, etag, part, content: Content::Stored(stored, bytes) })
    }

    /// Counts what is sent. A view pays for all bytes of the file, in one piece or in parts; beside that only [`PROBE_BYTES`] are given. So
    /// a link never sends more than its views times the file, and these few bytes.
    async fn pay_for(&self, link: &ExpiringLink, is_part: bool, sent_bytes: u64, file_bytes: u64) -> Result<(), Error> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let paid = if is_part {
            store::sharing::expiring_links::lock(&mut tx, link.id).await?;
            store::sharing::expiring_links::take_free(&mut tx, link.id, sent_bytes, PROBE_BYTES, now).await?
                || store::sharing::expiring_links::take_paid(&mut tx, link.id, sent_bytes, now).await?
                || store::sharing::expiring_links::count_view(&mut tx, link.id, file_bytes - sent_bytes.min(file_bytes), now)
                    .await?
        } else {
            store::sharing::expiring_links::count_view(&mut tx, link.id, 0, now).await?
        };
        if !paid {
            return Err(Error::LinkExpired);
        }
        Ok(tx.commit().await?)
    }
}

fn require_links(image: &Image) -> Result<(), Error> {
    let given = image.features.as_ref().is_none_or(|features| features.expiring_links);
    if given { Ok(()) } else { Err(Error::not_in_plan("links that expire")) }
}

fn no_such_link() -> Error {
    Error::NotFound { what: "such link".to_owned() }
}
