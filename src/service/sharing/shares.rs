//! Shares: created, listed, changed and deleted by their owners. What visitors may do is in `share_access.rs`.
//!
//! The plan's feature for share links applies to shares too, because a share can lead to an original for a limited time.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};

use super::collections;
use crate::model::caller::{Caller, UserId};
use crate::model::collection::CollectionName;
use crate::model::id::ImageId;
use crate::model::page::PageToken;
use crate::model::plan::Features;
use crate::model::share::{Share, ShareId, ShareTarget, ShareTerms, ShareToken};
use crate::service::Service;
use crate::service::error::Error;
use crate::service::identity::passwords::Password;
use crate::service::identity::permissions;
use crate::service::identity::secrets;
use crate::service::images::live::is_live;
use crate::service::paging::{Page, list_fingerprint, parse_page_token};
use crate::service::time::truncate_to_micros;
use crate::store::{self, Tx};

/// The maximum number of shares per image and per collection, including expired ones that are not removed yet.
const MAX_SHARES: u64 = 100;

/// What to share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewShareTarget {
    Image(ImageId),
    Collection(CollectionName),
}

/// Changes to the terms of a share; a field that is `None` stays unchanged.
#[derive(Debug, Default)]
pub struct ShareChange {
    /// `Some(None)` means never.
    pub expires_in_seconds: Option<Option<u32>>,
    /// `Some(None)` removes the password.
    pub password: Option<Option<Password>>,
    /// `Some(None)` means that visitors may not add images.
    pub max_guest_images: Option<Option<u32>>,
}

impl Service {
    /// Shares an image or a collection of the caller.
    ///
    /// # Errors
    /// The caller is not authenticated, there is no such image or collection, the caller is not its owner, the caller's plan
    /// excludes share links, it has too many shares, or visitors are to add images to an image.
    pub async fn create_share(&self, caller: &Caller, target: &NewShareTarget, terms: ShareChange) -> Result<Share, Error> {
        let user = permissions::writer(caller)?;
        require_shares(self.features_of(&user.id).await?.as_ref())?;
        let token = new_token()?;
        let terms = self.prepare(terms).await?.apply_to(ShareTerms::default());
        let mut tx = self.db.begin().await?;
        let target = lock_target(&mut tx, &user.id, target).await?;
        require_fitting_terms(&target, &terms)?;
        let share = Share { id: ShareId::new(&*self.clock), token, owner: user.id.clone(), target, terms, guest_images: 0 };
        if store::sharing::shares::count(&mut tx, &share.target).await? >= MAX_SHARES {
            return Err(Error::Conflict { message: format!("There are already {MAX_SHARES} shares of this. Delete one first.") });
        }
        store::sharing::shares::insert(&mut tx, &share).await?;
        tx.commit().await?;
        Ok(share)
    }

    /// Lists a page of the caller's shares, newest first, including expired ones that are not removed yet: all, or those of an
    /// image or a collection.
    ///
    /// # Errors
    /// The caller is not authenticated, the page token is not of this list, or there is no such collection of the caller.
    pub async fn list_shares(
        &self,
        caller: &Caller,
        target: Option<&NewShareTarget>,
        limit: u32,
        token: Option<&str>,
    ) -> Result<Page<Share>, Error> {
        let user = permissions::authenticated_viewer(caller)?;
        let target = match target {
            None => None,
            // Only shares of the caller are listed, so it does not matter whether there is such an image.
            Some(NewShareTarget::Image(id)) => Some(ShareTarget::Image(*id)),
            Some(NewShareTarget::Collection(name)) => {
                let collection = self.own_collection(user, name).await?;
                Some(ShareTarget::Collection(collection.id, collection.name))
            }
        };
        let list = list_fingerprint("shares", &format!("{user} {target:?}"));
        let last = parse_page_token(token, &list)?.map(|token| ShareId::from(token.last));
        let found = store::sharing::shares::page_of_user(&self.db, user, target.as_ref(), last, limit + 1).await?;
        Ok(Page::new(found, limit, |share| PageToken { last: share.id.uuid() }.encode(&list)))
    }

    /// Finds a share of the caller.
    ///
    /// # Errors
    /// The caller is not authenticated, or has no such share.
    pub async fn find_share(&self, caller: &Caller, id: ShareId) -> Result<Share, Error> {
        let user = permissions::authenticated_viewer(caller)?;
        store::sharing::shares::find(&self.db, user, id).await?.ok_or_else(Error::no_such_share)
    }

    /// Changes the terms of a share. Visitors must enter the password again if it changes.
    ///
    /// # Errors
    /// The caller is not authenticated, has no such share, or visitors are to add images to an image.
    pub async fn change_share(&self, caller: &Caller, id: ShareId, change: ShareChange) -> Result<Share, Error> {
        let user = permissions::writer(caller)?;
        store::sharing::shares::find(&self.db, &user.id, id).await?.ok_or_else(Error::no_such_share)?;
        let change = self.prepare(change).await?;
        let mut tx = self.db.begin().await?;
        store::sharing::shares::lock(&mut tx, id).await?;
        let mut share = store::sharing::shares::find(&mut tx, &user.id, id).await?.ok_or_else(Error::no_such_share)?;
        share.terms = change.apply_to(share.terms);
        require_fitting_terms(&share.target, &share.terms)?;
        store::sharing::shares::set_terms(&mut tx, id, &share.terms).await?;
        tx.commit().await?;
        Ok(share)
    }

    /// Deletes a share; it stops working immediately.
    ///
    /// # Errors
    /// The caller is not authenticated, or has no such share.
    pub async fn delete_share(&self, caller: &Caller, id: ShareId) -> Result<(), Error> {
        let user = permissions::writer(caller)?;
        let mut tx = self.db.begin().await?;
        if !store::sharing::shares::delete(&mut tx, &user.id, id).await? {
            return Err(Error::no_such_share());
        }
        Ok(tx.commit().await?)
    }

    /// Hashes the password, before anything is locked, because it takes long.
    async fn prepare(&self, change: ShareChange) -> Result<TermsChange, Error> {
        let expires_at = |seconds: u32| truncate_to_micros(self.clock.now() + TimeDelta::seconds(seconds.into()));
        let password_hash = match &change.password {
            None => None,
            Some(None) => Some(None),
            Some(Some(password)) => Some(Some(self.auth.passwords.hash(password).await?)),
        };
        Ok(TermsChange {
            expires_at: change.expires_in_seconds.map(|seconds| seconds.map(expires_at)),
            password_hash,
            max_guest_images: change.max_guest_images,
        })
    }
}

/// A [`ShareChange`] as it is stored.
struct TermsChange {
    expires_at: Option<Option<DateTime<Utc>>>,
    password_hash: Option<Option<String>>,
    max_guest_images: Option<Option<u32>>,
}

impl TermsChange {
    fn apply_to(self, terms: ShareTerms) -> ShareTerms {
        ShareTerms {
            expires_at: self.expires_at.unwrap_or(terms.expires_at),
            password_hash: self.password_hash.unwrap_or(terms.password_hash),
            max_guest_images: self.max_guest_images.unwrap_or(terms.max_guest_images),
        }
    }
}

fn new_token() -> Result<ShareToken, Error> {
    Ok(ShareToken::from_generated(URL_SAFE_NO_PAD.encode(secrets::random_bytes::<16>()?)))
}

/// Locks what the user wants to share, and checks that the user owns it.
async fn lock_target(tx: &mut Tx, user: &UserId, target: &NewShareTarget) -> Result<ShareTarget, Error> {
    match target {
        NewShareTarget::Image(id) => {
            let image = store::images::lock(tx, *id).await?.filter(is_live).ok_or_else(Error::no_such_image)?;
            permissions::require_owner(user, &image)?;
            Ok(ShareTarget::Image(*id))
        }
        NewShareTarget::Collection(name) => {
            let collection = collections::lock(tx, user, name).await?;
            Ok(ShareTarget::Collection(collection.id, collection.name))
        }
    }
}

/// Checks that a user's plan includes shares.
pub(super) fn require_shares(features: Option<&Features>) -> Result<(), Error> {
    if features.is_none_or(|features| features.expiring_links) { Ok(()) } else { Err(Error::not_in_plan("share links")) }
}

fn require_fitting_terms(target: &ShareTarget, terms: &ShareTerms) -> Result<(), Error> {
    match target {
        ShareTarget::Image(_) if terms.max_guest_images.is_some() => {
            Err(Error::invalid("max_guest_images", "must be null for an image; visitors can add images only to a collection"))
        }
        _ => Ok(()),
    }
}
