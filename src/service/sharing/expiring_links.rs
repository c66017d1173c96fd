//! Expiring links: they give access to an original, even of a private image, until they expire or reach their maximum number of
//! views. Every request is checked against the database.

use chrono::TimeDelta;

use super::public_links::{Original, RangeRequest, length_of};
use crate::model::account::{ExpiringLink, LinkId};
use crate::model::caller::Caller;
use crate::model::id::ImageId;
use crate::model::image::Image;
use crate::service::Service;
use crate::service::error::Error;
use crate::service::identity::permissions;
use crate::service::identity::secrets;
use crate::service::identity::secrets::Secret;
use crate::service::images::live::is_live;
use crate::service::images::thumbnails::{Content, SendOptions};
use crate::store;
use crate::store::sharing::expiring_links::Opened;

/// Bytes of a link's file that are sent without counting a view, in total. Clients request a byte or two to learn the size of a
/// file and whether it supports ranges. So few bytes reveal no more than the header of any such file.
const PROBE_BYTES: u64 = 64;

/// The maximum number of links per image, including expired ones that are not removed yet.
const MAX_LINKS: u64 = 1000;

impl Service {
    /// Creates a link to an image. Returns it with its token, which is shown only once.
    ///
    /// # Errors
    /// The caller is not authenticated, there is no such image, the caller is not its owner, the owner's plan excludes expiring
    /// links, or the image has too many links.
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
            return Err(Error::Conflict { message: format!("The image already has {MAX_LINKS} links. Delete one first.") });
        }
        let expires_at =
            crate::service::time::truncate_to_micros(self.clock.now() + TimeDelta::seconds(expires_in_seconds.into()));
        let link = ExpiringLink { id: LinkId::new(&*self.clock), expires_at, max_views, views: 0, paid_bytes: 0 };
        let secret = Secret::new()?;
        store::sharing::expiring_links::insert(&mut tx, id, &link, &secret.hash).await?;
        tx.commit().await?;
        Ok((link, secret.text))
    }

    /// Lists the links to an image, newest first, including expired ones that are not removed yet.
    ///
    /// # Errors
    /// The caller is not authenticated, there is no such image, or the caller is not its owner.
    pub async fn list_expiring_links(&self, caller: &Caller, id: ImageId) -> Result<Vec<ExpiringLink>, Error> {
        let user = permissions::authenticated_viewer(caller)?;
        let image = store::images::find(&self.db, id).await?.filter(is_live).ok_or_else(Error::no_such_image)?;
        permissions::require_owner(user, &image)?;
        Ok(store::sharing::expiring_links::of_image(&self.db, id).await?)
    }

    /// Revokes a link, by its token or its id.
    ///
    /// # Errors
    /// The caller is not authenticated, there is no such image or link, or the caller is not the owner.
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

    /// Opens a link: serves the original or a part of it. A request that sends bytes is a view, which is counted before the first
    /// byte. A preview is not a view, and gets no bytes from a link with a maximum number of views.
    ///
    /// # Errors
    /// There is no such link, it has expired, its image is deleted, the owner's plan no longer includes expiring links, the range
    /// is not satisfiable, or a preview requests a link with a maximum number of views.
    pub async fn open_link(
        &self,
        token: &str,
        part: &RangeRequest,
        is_preview: bool,
        sending: &SendOptions<'_>,
    ) -> Result<Original, Error> {
        let found = store::sharing::expiring_links::find(&self.db, &secrets::hash(token)).await?;
        let Opened { image, link, owner_is_disabled } = found.ok_or_else(no_such_link)?;
        let image = self.image_cache.find(&self.db, image).await?.filter(|image| is_live(image)).ok_or_else(no_such_link)?;
        let now = self.clock.now();
        let may_resume = link.expires_at > now && link.paid_bytes > 0 && part.range.is_some();
        if link.is_expired(now) && !may_resume {
            return Err(Error::LinkExpired);
        }
        require_links(&image)?;
        if owner_is_disabled {
            return Err(Error::LinkExpired);
        }
        let etag = hex::encode(image.sha256);
        if (sending.is_known)(&etag) {
            return Ok(Original { image, etag, part: None, content: Content::Unchanged });
        }
        let part = part.resolve(&image, &etag)?;
        let wanted = length_of(&image, part.as_ref());
        if !sending.with_body {
            return Ok(Original { image, etag, part, content: Content::Length(wanted) });
        }
        if is_preview && link.max_views.is_some() {
            return Err(Error::forbidden("Previews are not available for links with a maximum number of views."));
        }
        // Started first, because failures of the storage must not count as a view.
        let body = self.send_original(sending.requested_by, &image, part.clone()).await?;
        if !is_preview {
            self.charge_views(&link, part.is_some(), wanted, image.file_size).await?;
        }
        Ok(Original { image, etag, part, content: Content::Body(body) })
    }

    /// Counts a view. One view covers all bytes of the file, in one piece or in parts. Only [`PROBE_BYTES`] more are free. So a
    /// link never sends more than its views times the file size, plus these few bytes.
    async fn charge_views(&self, link: &ExpiringLink, is_part: bool, sent_bytes: u64, file_bytes: u64) -> Result<(), Error> {
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
    if given { Ok(()) } else { Err(Error::not_in_plan("share links")) }
}

fn no_such_link() -> Error {
    Error::NotFound { what: "such link".to_owned() }
}
