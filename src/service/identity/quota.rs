//! What plans give and take: features of the owner of an image, and quotas, which are kept exactly.
//!
//! Usage is what the counters say, which move in the transactions that store, delete and restore. Whoever would add to it holds
//! the account's row from before it looks until it commits, so that two uploads cannot take the last place both.
//!
//! Resized images count for the quota of bytes too, but nobody is refused for their sake: they give way to originals, and to resized
//! images that were asked for later.

use super::permissions::require_enabled;
use crate::model::account::Account;
use crate::model::caller::UserId;
use crate::model::counter::Counter;
use crate::model::plan::{Features, Usage};
use crate::service::Service;
use crate::service::error::{Error, Fields};
use crate::service::images::trash::{require_trash_quota, trash_usage};
use crate::store::{self, Tx};

impl Service {
    /// What the plan of a user gives; `None` is everything.
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

    /// That another image has room, as far as can be seen now; so that what has none is not processed first.
    pub(in crate::service) async fn check_quota(
        &self,
        user: &UserId,
        features: Option<&Features>,
        bytes: u64,
    ) -> Result<(), Error> {
        let Some(features) = features.filter(|features| has_quota(features)) else { return Ok(()) };
        self.shrink_trash(user, features).await?;
        require_quota(features, self.usage(user).await?, bytes)
    }

    /// Images and bytes that a user has.
    pub(in crate::service) async fn usage(&self, user: &UserId) -> Result<Usage, Error> {
        let mut reader = self.db.reader().await?;
        let images = store::images::counters::read_sum(&mut reader, &of_images(user)).await?;
        let bytes = store::images::counters::read(&mut reader, &Counter::user_bytes(user)).await?;
        let variant_bytes = store::images::counters::read(&mut reader, &Counter::user_variant_bytes(user)).await?;
        Ok(Usage { images, bytes, variant_bytes })
    }
}

/// As [`take_room`], for an image that is new: none is taken while the trash is too full.
pub(in crate::service) async fn reserve_quota_for_upload(tx: &mut Tx, user: &UserId, bytes: u64) -> Result<(), Error> {
    match reserve_quota(tx, user, bytes).await? {
        Some(features) => require_trash_quota(&features, trash_usage(tx, user).await?),
        None => Ok(()),
    }
}

/// That a user has room for another image of so many bytes, until the transaction ends. To be asked before its counters move.
/// Returns what the plan gives, if it has a quota.
pub(in crate::service) async fn reserve_quota(tx: &mut Tx, user: &UserId, bytes: u64) -> Result<Option<Features>, Error> {
    let Some(account) = store::identity::accounts::lock_by_user(tx, user).await? else { return Ok(None) };
    if account.disabled_at.is_some() {
        return Err(Error::forbidden("The account of this user is disabled."));
    }
    let Some(features) = features(&mut *tx, &account).await?.filter(has_quota) else { return Ok(None) };
    let images = count_images_of(tx, user).await?;
    let used = store::images::counters::read_in(tx, &Counter::user_bytes(user)).await?;
    require_quota(&features, Usage { images, bytes: used, ..Usage::default() }, bytes)?;
    if let Some(max) = features.max_bytes {
        limit_variants(tx, user, max.saturating_sub(used + bytes)).await?;
    }
    Ok(Some(features))
}

/// Takes the account's lock, and returns the bytes that all variants of the user's images may have, until the transaction ends. `None` is
/// any number.
pub(in crate::service) async fn variant_allowance(tx: &mut Tx, user: &UserId) -> Result<Option<u64>, Error> {
    let Some(account) = store::identity::accounts::lock_by_user(tx, user).await? else { return Ok(None) };
    let Some(max) = features(&mut *tx, &account).await?.and_then(|features| features.max_bytes) else { return Ok(None) };
    let used = store::images::counters::read_in(tx, &Counter::user_bytes(user)).await?;
    Ok(Some(max.saturating_sub(used)))
}

/// Gives up variants of a user's images until they have at most `max` bytes, those first that were asked for longest ago; `false` if
/// those that are about to be put have more. The account is locked.
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

/// How many images a user has.
pub(in crate::service) async fn count_images_of(tx: &mut Tx, user: &UserId) -> Result<u64, store::Error> {
    store::images::counters::read_sum(tx, &of_images(user)).await
}

fn of_images(user: &UserId) -> [Counter; 2] {
    [Counter::user(user), Counter::private_user(user)]
}

fn require_quota(features: &Features, usage: Usage, bytes: u64) -> Result<(), Error> {
    let mut details = Fields::new();
    let mut check = |name: &str, used: u64, max: Option<u64>, wanted: u64| {
        if let Some(max) = max.filter(|max| used.saturating_add(wanted) > *max) {
            let left = max.saturating_sub(used);
            details.insert(name.to_owned(), format!("{used} of {max} are used, {left} are left, {wanted} are needed"));
        }
    };
    check("images", usage.images, features.max_images, 1);
    check("bytes", usage.bytes, features.max_bytes, bytes);
    if details.is_empty() { Ok(()) } else { Err(Error::QuotaExceeded(details)) }
}
