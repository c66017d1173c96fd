//! Features and quotas of plans. Quotas are exact.
//!
//! Usage is the sum of counters, which change in the transactions that store, delete and restore images. A transaction that adds
//! to the usage locks the account's row before it reads the counters, so that two uploads cannot both take the last place.
//!
//! Open uploads reserve their announced length. An upload that becomes an image is ended before its image takes the quota.
//!
//! Resized images count towards the quota of bytes as well, but they never cause a refusal: they are evicted for originals and
//! for newer resized images.

use super::permissions::require_enabled;
use crate::model::account::Account;
use crate::model::caller::UserId;
use crate::model::counter::Counter;
use crate::model::draft::UploadId;
use crate::model::plan::{Features, Usage};
use crate::service::Service;
use crate::service::error::{Error, Fields};
use crate::service::images::trash::{require_trash_quota, trash_usage};
use crate::store::images::uploads::OpenUploads;
use crate::store::{self, Tx};

impl Service {
    /// Returns the features of a user's plan; `None` means no restrictions.
    ///
    /// # Errors
    /// The user's account is disabled.
    pub(in crate::service) async fn features_of(&self, user: &UserId) -> Result<Option<Features>, Error> {
        let Some(account) = store::identity::accounts::find_by_user(&self.db, user).await? else { return Ok(None) };
        if require_enabled(&account).is_err() {
            return Err(Error::forbidden("The account of this user is disabled."));
        }
        let mut reader = self.db.reader().await?;
        Ok(features(&mut reader, &account).await?)
    }

    /// Checks the quota without a lock, so that an upload that exceeds it is refused before it is processed. `draft` is the upload
    /// itself, if it has reserved its quota.
    pub(in crate::service) async fn check_quota(
        &self,
        user: &UserId,
        features: Option<&Features>,
        bytes: u64,
        draft: Option<UploadId>,
    ) -> Result<(), Error> {
        let Some(features) = features.filter(|features| has_quota(features)) else { return Ok(()) };
        self.shrink_trash(user, features).await?;
        let open = store::images::uploads::open(&self.db, user, draft).await?;
        require_quota(features, with_open(self.usage(user).await?, open), bytes)
    }

    /// Returns the images and bytes that a user has.
    pub(in crate::service) async fn usage(&self, user: &UserId) -> Result<Usage, Error> {
        let mut reader = self.db.reader().await?;
        let images = store::images::counters::read_sum(&mut reader, &of_images(user)).await?;
        let bytes = store::images::counters::read(&mut reader, &Counter::user_bytes(user)).await?;
        let variant_bytes = store::images::counters::read(&mut reader, &Counter::user_variant_bytes(user)).await?;
        Ok(Usage { images, bytes, variant_bytes })
    }
}

/// Like [`reserve_quota`], for a new image: refused while the trash exceeds its limit.
pub(in crate::service) async fn reserve_quota_for_upload(tx: &mut Tx, user: &UserId, bytes: u64) -> Result<(), Error> {
    match reserve_quota(tx, user, bytes).await? {
        Some(features) => require_trash_quota(&features, trash_usage(tx, user).await?),
        None => Ok(()),
    }
}

/// Checks that a user's quota has space for another image of `bytes`, and keeps it until the transaction ends. Must be called
/// before the counters change. Returns the features of the plan if it has a quota.
pub(in crate::service) async fn reserve_quota(tx: &mut Tx, user: &UserId, bytes: u64) -> Result<Option<Features>, Error> {
    let Some(account) = store::identity::accounts::lock_by_user(tx, user).await? else { return Ok(None) };
    if account.disabled_at.is_some() {
        return Err(Error::forbidden("The account of this user is disabled."));
    }
    let Some(features) = features(&mut *tx, &account).await?.filter(has_quota) else { return Ok(None) };
    let images = count_images_of(tx, user).await?;
    let used = store::images::counters::read_in(tx, &Counter::user_bytes(user)).await?;
    let open = store::images::uploads::open(&mut *tx, user, None).await?;
    require_quota(&features, with_open(Usage { images, bytes: used, ..Usage::default() }, open), bytes)?;
    if let Some(max) = features.max_bytes {
        limit_variants(tx, user, max.saturating_sub(used + bytes)).await?;
    }
    Ok(Some(features))
}

/// Locks the account, and returns how many bytes all variants of the user's images may have until the transaction ends. `None`
/// means no limit.
pub(in crate::service) async fn variant_allowance(tx: &mut Tx, user: &UserId) -> Result<Option<u64>, Error> {
    let Some(account) = store::identity::accounts::lock_by_user(tx, user).await? else { return Ok(None) };
    let Some(max) = features(&mut *tx, &account).await?.and_then(|features| features.max_bytes) else { return Ok(None) };
    let used = store::images::counters::read_in(tx, &Counter::user_bytes(user)).await?;
    Ok(Some(max.saturating_sub(used)))
}

/// Evicts the least recently used variants of a user's images until they have at most `max` bytes. Returns `false` if variants
/// that are being stored exceed that. The account must be locked.
pub(in crate::service) async fn limit_variants(tx: &mut Tx, user: &UserId, max: u64) -> Result<bool, Error> {
    let used = store::images::counters::read_in(tx, &Counter::user_variant_bytes(user)).await?;
    let excess = used.saturating_sub(max);
    Ok(store::images::variants::free_of_user(tx, user, excess).await? >= excess)
}

async fn features(run: impl store::database::db::Run, account: &Account) -> Result<Option<Features>, store::Error> {
    let Some(plan) = &account.plan else { return Ok(None) };
    Ok(store::identity::plans::find(run, plan).await?.map(|plan| plan.features))
}

fn has_quota(features: &Features) -> bool {
    features.max_images.is_some() || features.max_bytes.is_some()
}

/// Returns how many images a user has.
pub(in crate::service) async fn count_images_of(tx: &mut Tx, user: &UserId) -> Result<u64, store::Error> {
    store::images::counters::read_sum(tx, &of_images(user)).await
}

fn of_images(user: &UserId) -> [Counter; 2] {
    [Counter::user(user), Counter::private_user(user)]
}

fn with_open(usage: Usage, open: OpenUploads) -> Usage {
    Usage { images: usage.images + open.count, bytes: usage.bytes + open.bytes, ..usage }
}

fn require_quota(features: &Features, usage: Usage, bytes: u64) -> Result<(), Error> {
    let mut details = Fields::new();
    let mut check = |name: &str, used: u64, max: Option<u64>, wanted: u64| {
        if let Some(max) = max.filter(|max| used.saturating_add(wanted) > *max) {
            let left = max.saturating_sub(used);
            details.insert(name.to_owned(), format!("{used} of {max} used, {left} left, {wanted} required"));
        }
    };
    check("images", usage.images, features.max_images, 1);
    check("bytes", usage.bytes, features.max_bytes, bytes);
    if details.is_empty() { Ok(()) } else { Err(Error::QuotaExceeded(details)) }
}
