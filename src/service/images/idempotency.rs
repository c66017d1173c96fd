//! Idempotency keys: a repeated request gets the first response again and stores nothing twice.
//!
//! A key belongs to a user for 24 hours. It is claimed before the image is decoded, and completed in the transaction that stores
//! the image. So there is no moment at which the image is stored but the key is not completed. A claim has a lease that the
//! running upload renews, so the key of a process that died is free again soon. If the old upload is still running after all, it
//! fails when it tries to complete.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use uuid::Uuid;

use super::idempotency_key::IdempotencyKey;
use super::upload_request::{Origin, Upload};
use crate::model::caller::UserId;
use crate::model::id::ImageId;
use crate::model::image::{Image, Visibility};
use crate::model::tag::Tag;
use crate::model::text::{Description, Title};
use crate::service::Service;
use crate::service::error::{Error, chain};
use crate::service::fingerprint::fingerprint_of;
use crate::service::jobs::queue::keep_lease;
use crate::store::images::idempotency::{Lease, Record};
use crate::store::{self, Tx};

/// What to do for a request that may have a key.
pub(in crate::service) enum Claim {
    Run,
    /// Return the image that the first request stored, as it was then.
    Replay(Box<Image>),
}

/// How long the first response is repeated.
const RETENTION: TimeDelta = TimeDelta::hours(24);

/// How long a key stays claimed without a renewal. A client waits this long if its first request died with its process.
pub const LEASE: TimeDelta = TimeDelta::seconds(15);

/// One renewal may fail, and the next may take as long as the database timeout.
const RENEWAL: Duration = Duration::from_secs(4);

impl Service {
    /// Claims the key of an upload, if it has one, for the image `id`.
    ///
    /// # Errors
    /// The key was used for another payload, or its first request is still running.
    pub(in crate::service) async fn claim_key(&self, upload: &Upload, id: ImageId) -> Result<Claim, Error> {
        let Some(key) = upload.idempotency_key().map(IdempotencyKey::as_str) else { return Ok(Claim::Run) };
        let fingerprint = fingerprint(upload).await?;
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        if let Some(record) = store::images::idempotency::find(&mut tx, &upload.user_id, key).await? {
            if let Some(lease_left) = self.remaining_lease(&record, now) {
                return Ok(Claim::Replay(Box::new(replay(&mut tx, record, &fingerprint, lease_left).await?)));
            }
            store::images::idempotency::forget(&mut tx, &upload.user_id, key, record.subject).await?;
        }
        let lease = Lease { now, until: now + LEASE };
        if !store::images::idempotency::claim(&mut tx, &upload.user_id, key, &fingerprint, id.uuid(), lease).await? {
            return Err(still_running(Duration::ZERO));
        }
        tx.commit().await?;
        Ok(Claim::Run)
    }

    /// Returns the image that the first request with the key of an upload has stored, as it was then. `None` if this is the first
    /// request.
    ///
    /// # Errors
    /// As for [`Service::claim_key`].
    pub(in crate::service) async fn find_replay(&self, upload: &Upload) -> Result<Option<Image>, Error> {
        let Some(key) = upload.idempotency_key().map(IdempotencyKey::as_str) else { return Ok(None) };
        let fingerprint = fingerprint(upload).await?;
        let mut tx = self.db.begin().await?;
        let record = store::images::idempotency::find(&mut tx, &upload.user_id, key).await?;
        let in_use =
            record.and_then(|record| self.remaining_lease(&record, self.clock.now()).map(|lease_left| (record, lease_left)));
        let Some((record, lease_left)) = in_use else { return Ok(None) };
        replay(&mut tx, record, &fingerprint, lease_left).await.map(Some)
    }

    /// Returns how long the lease of a key lasts whose request is running.
    pub(in crate::service) async fn key_lease(&self, user: &UserId, key: &IdempotencyKey) -> Result<Option<Duration>, Error> {
        let record = store::images::idempotency::find(&self.db, user, key.as_str()).await?;
        Ok(record.filter(|record| record.response.is_none()).and_then(|record| self.lease_left(&record, self.clock.now())))
    }

    /// Returns whether a request with this key is running, or was answered within the last 24 hours.
    pub(in crate::service) async fn is_key_in_use(&self, user: &UserId, key: &IdempotencyKey) -> Result<bool, Error> {
        let record = store::images::idempotency::find(&self.db, user, key.as_str()).await?;
        Ok(record.is_some_and(|record| self.remaining_lease(&record, self.clock.now()).is_some()))
    }

    /// Completes the key of an upload, if it has one, for an image that exists.
    ///
    /// # Errors
    /// As for [`Service::claim_key`].
    pub(in crate::service) async fn complete_key_of_existing(&self, upload: &Upload, image: &Image) -> Result<(), Error> {
        let Some(key) = upload.idempotency_key() else { return Ok(()) };
        let (fingerprint, answer) = (fingerprint(upload).await?, (image.id.uuid(), snapshot(image)));
        let mut tx = self.db.begin().await?;
        self.claim_completed_key(&mut tx, &upload.user_id, key, &fingerprint, answer).await?;
        Ok(tx.commit().await?)
    }

    /// Returns how long the lease of a key lasts, zero if its request has been answered. `None` if the key is free.
    fn remaining_lease(&self, record: &Record, now: DateTime<Utc>) -> Option<Duration> {
        let lease_left = self.lease_left(record, now);
        let in_use = now - record.created_at < RETENTION && (record.response.is_some() || lease_left.is_some());
        in_use.then(|| lease_left.unwrap_or_default())
    }

    /// Returns an image as it was when a request with this key stored it. After 24 hours, returns the image as it is now.
    ///
    /// # Errors
    /// The image was deleted.
    pub(in crate::service) async fn replay_key(&self, user: &UserId, key: &IdempotencyKey, id: ImageId) -> Result<Image, Error> {
        let mut tx = self.db.begin().await?;
        let record = store::images::idempotency::find(&mut tx, user, key.as_str()).await?;
        let mut image = find_stored(&mut tx, id).await?;
        if let Some(response) = record.and_then(|record| record.response) {
            restore_snapshot(&mut image, &response);
        }
        Ok(image)
    }

    /// Returns how long the lease of an unanswered request still lasts.
    fn lease_left(&self, record: &Record, now: DateTime<Utc>) -> Option<Duration> {
        // A version without leases renews nothing. No upload runs longer, because each of its steps has a time limit.
        let until = record.leased_until.or_else(|| {
            TimeDelta::from_std(self.limits.longest_upload).ok().and_then(|longest| record.created_at.checked_add_signed(longest))
        })?;
        (until - now).to_std().ok().filter(|left| !left.is_zero())
    }

    /// Runs `work` while renewing the lease of its key.
    pub(in crate::service) async fn with_key_lease<T>(
        &self,
        key: Option<(UserId, IdempotencyKey)>,
        id: ImageId,
        work: impl Future<Output = T>,
    ) -> T {
        let Some((user, key)) = key.as_ref().map(|(user, key)| (user, key.as_str())) else { return work.await };
        let renew = || async {
            let mut tx = self.db.begin().await?;
            let holds = store::images::idempotency::renew(&mut tx, user, key, id.uuid(), self.clock.now() + LEASE).await?;
            tx.commit().await.map(|()| holds)
        };
        let holding = keep_lease(RENEWAL, renew, |error| {
            self.repeated_failures.warn(format!("failed to renew the lease of an idempotency key: {}", chain(error)));
        });
        tokio::pin!(work);
        tokio::select! {
            done = &mut work => done,
            // Another request holds the key now. This one fails when it tries to complete.
            () = holding => work.await,
        }
    }

    /// Stores the response, in the transaction that stores the image.
    pub(in crate::service) async fn complete_key(&self, tx: &mut Tx, upload: &Upload, image: &Image) -> Result<(), Error> {
        let Some(key) = upload.idempotency_key().map(IdempotencyKey::as_str) else { return Ok(()) };
        if store::images::idempotency::complete(tx, &upload.user_id, key, image.id.uuid(), snapshot(image)).await? {
            return Ok(());
        }
        // Another request has taken the key over.
        Err(still_running(Duration::ZERO))
    }

    /// Claims the key of a request that runs in one transaction, and stores its response. Returns `Some` with the first response
    /// if the request is a repetition.
    ///
    /// # Errors
    /// The key was used for another payload, or its first request is still running.
    pub(in crate::service) async fn claim_completed_key(
        &self,
        tx: &mut Tx,
        user: &UserId,
        key: &IdempotencyKey,
        fingerprint: &[u8],
        (subject, response): (Uuid, serde_json::Value),
    ) -> Result<Option<serde_json::Value>, Error> {
        let (key, now) = (key.as_str(), self.clock.now());
        if let Some(record) = store::images::idempotency::find(&mut *tx, user, key).await? {
            if now - record.created_at < RETENTION {
                return match record.response {
                    _ if record.fingerprint != fingerprint => Err(key_reused()),
                    None => Err(still_running(self.lease_left(&record, now).unwrap_or_default())),
                    known => Ok(known),
                };
            }
            store::images::idempotency::forget(tx, user, key, record.subject).await?;
        }
        let lease = Lease { now, until: now + LEASE };
        let claimed = store::images::idempotency::claim(tx, user, key, fingerprint, subject, lease).await?;
        if claimed && store::images::idempotency::complete(tx, user, key, subject, response).await? {
            return Ok(None);
        }
        Err(still_running(Duration::ZERO))
    }

    /// Releases the key of a failed upload. If that fails, the key is free when its lease expires.
    pub(in crate::service) async fn release_key(&self, upload: &Upload, id: ImageId) {
        let Some(key) = upload.idempotency_key().map(IdempotencyKey::as_str) else { return };
        let released = async {
            let mut tx = self.db.begin().await?;
            store::images::idempotency::release(&mut tx, &upload.user_id, key, id.uuid()).await?;
            tx.commit().await
        };
        if let Err(error) = released.await {
            tracing::warn!(image_id = %id, "failed to release an idempotency key: {}", chain(&error));
        }
    }
}

/// Uses the connection of the transaction: if replays needed a second one, a few of them could deadlock the pool.
async fn replay(tx: &mut Tx, record: Record, fingerprint: &[u8], lease_left: Duration) -> Result<Image, Error> {
    if record.fingerprint != fingerprint {
        return Err(key_reused());
    }
    let Some(response) = record.response else { return Err(still_running(lease_left)) };
    let mut image = find_stored(tx, ImageId::from(record.subject)).await?;
    restore_snapshot(&mut image, &response);
    Ok(image)
}

/// Finds an image that an earlier request has stored.
async fn find_stored(tx: &mut Tx, id: ImageId) -> Result<Image, Error> {
    let Some(image) = store::images::find(tx, id).await? else {
        // Purged.
        return Err(Error::Gone { id });
    };
    if image.taken_down.is_some() {
        return Err(Error::forbidden("An administrator has deleted this image."));
    }
    if image.deleted_at.is_some() {
        return Err(Error::Gone { id });
    }
    Ok(image)
}

fn key_reused() -> Error {
    let rule = "was used for a different request within the last 24 hours; use a new key for a new request";
    Error::invalid("Idempotency-Key", rule)
}

/// Rounds up to whole seconds, the unit of `Retry-After`.
fn still_running(lease_left: Duration) -> Error {
    let seconds = lease_left.as_secs() + u64::from(lease_left.subsec_nanos() > 0);
    Error::StillRunning { retry_after: Duration::from_secs(seconds.max(1)) }
}

/// Hashes everything that the client sent: the file, or the address of the object to adopt.
async fn fingerprint(upload: &Upload) -> Result<Vec<u8>, Error> {
    let upload = upload.clone();
    let hash = move || {
        // The key of an upload in several requests has its id.
        if let Origin::Draft(_) = upload.origin {
            return Vec::new();
        }
        let object = if let Origin::Object(object) = &upload.origin { Some(&object.address) } else { None };
        let mut parts = vec![
            if object.is_some() { b"\0object" } else { &*upload.bytes },
            upload.properties.file_name.as_deref().unwrap_or_default().as_bytes(),
            upload.properties.title.as_ref().map_or("", Title::as_str).as_bytes(),
            upload.properties.description.as_ref().map_or("", Description::as_str).as_bytes(),
        ];
        // Defaults add nothing, so that keys from versions without these options still match. Visitors of a share do not send the
        // visibility: it is that of the collection, which may have changed since.
        if upload.properties.visibility == Visibility::Private && !matches!(upload.origin, Origin::Guest(_)) {
            parts.push(b"\0private");
        }
        if upload.properties.keep_location {
            parts.push(b"\0keep_location");
        }
        parts.extend(object.iter().flat_map(|object| [object.bucket.as_bytes(), object.key.as_bytes()]));
        parts.extend(upload.properties.tags.iter().map(|tag| tag.as_str().as_bytes()));
        fingerprint_of(&parts)
    };
    tokio::task::spawn_blocking(hash).await.map_err(Error::internal)
}

/// Returns the fields of an image that can change after its upload.
fn snapshot(image: &Image) -> serde_json::Value {
    json!({
        "title": image.title.as_ref().map(Title::as_str),
        "description": image.description.as_ref().map(Description::as_str),
        "tags": image.tags.iter().map(Tag::as_str).collect::<Vec<_>>(),
        "visibility": image.visibility.name(),
    })
}

/// Restores the fields of an image as they were in the first response.
fn restore_snapshot(image: &mut Image, snapshot: &serde_json::Value) {
    let text = |name: &str| snapshot[name].as_str().map(str::to_owned);
    image.title = text("title").map(Title::from_stored);
    image.description = text("description").map(Description::from_stored);
    let tags = snapshot["tags"].as_array().map(Vec::as_slice).unwrap_or_default();
    image.tags = tags.iter().filter_map(|tag| tag.as_str().map(|tag| Tag::from_stored(tag.to_owned()))).collect();
    // Responses of older versions have no visibility; they expire within a day.
    image.visibility = snapshot["visibility"].as_str().and_then(|name| Visibility::parse(name).ok()).unwrap_or_default();
    image.updated_at = image.id.created_at();
}
