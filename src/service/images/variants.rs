//! Variants: rendered once, on the first request, by any instance, and then kept.
//!
//! A row names the object of a variant, and the lease of its renderer, before the object is put. So every object has a row.
//! Within a process, requests for the same variant take turns: one claims it and the others find it. Across processes they poll.
//! If a renderer dies its lease expires. The next renderer creates an object of its own, and the sweeper removes the first one's
//! object once no put can still be running.
//!
//! Clients can request any size. So variants are bounded in number and bytes per image, and they count towards the owner's quota:
//! the least recently used are removed first. A variant that does not fit is sent without being stored. Rendering takes memory
//! and a thread from the same budgets as uploads; variants may hold half of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest, Sha256};
use tokio::sync::OwnedMutexGuard;

use super::live::is_live;
use crate::imaging;
use crate::model::id::ImageId;
use crate::model::image::{Format, Image};
use crate::model::rendering::Rendering;
use crate::objects::layout;
use crate::service::Service;
use crate::service::admission::Admitted;
use crate::service::admission::fair_queue::{Amount, Class, Permit, Turn, TurnKey};
use crate::service::error::{Error, chain};
use crate::service::identity::quota::{limit_variants, variant_allowance};
use crate::service::time::after;
use crate::store;

/// A variant that is ready to be served.
pub(in crate::service) enum ReadyVariant {
    /// Stored under this object name.
    Stored(String),
    /// Just stored, and small enough to send from memory.
    JustStored { object: String, bytes: Bytes },
    /// Does not fit into the quota. It has no object name, so its entity tag is a hash of its bytes.
    NotStored { etag: String, bytes: Bytes, memory: Option<Permit> },
}

/// A renderer is considered dead after this time. A false alarm costs a second rendering and is harmless.
const LEASE: TimeDelta = TimeDelta::seconds(60);

/// A larger file is sent from the storage even just after rendering. Slow clients would otherwise hold many files in memory.
const MAX_SENT_FROM_MEMORY_BYTES: usize = 256 << 10;

/// Memory for larger files that are sent without being stored. It fits two of the largest, and one client holds at most half.
pub(in crate::service) const UNSTORED_VARIANT_BYTES: u64 = 32 << 20;

/// The minimum budget of all variants of an image, however small its original is: a few files of screen size.
const MIN_VARIANT_BYTES: u64 = 4 << 20;

/// How often to check whether another instance has finished a variant.
const POLL: Duration = Duration::from_millis(100);

/// Use of a variant is recorded once per interval, so that most reads do not write.
pub(in crate::service) const TOUCH_INTERVAL: TimeDelta = TimeDelta::days(1);

impl Service {
    /// Finds a variant, or renders it.
    pub(in crate::service) async fn find_or_render(
        self: &Arc<Self>,
        key: &TurnKey,
        image: &Image,
        rendering: &Rendering,
    ) -> Result<ReadyVariant, Error> {
        let name = rendering.name();
        if let Some(object) = self.find_ready(image.id, &name).await? {
            self.metrics.count_variant("hit");
            return Ok(ReadyVariant::Stored(object));
        }
        let deadline = tokio::time::Instant::now() + self.limits.admission_wait;
        let turn = tokio::time::timeout_at(deadline, self.variant_locks.lock((image.id, name)));
        let turn = turn.await.map_err(|_| Error::ResizeInProgress).inspect_err(|_| self.metrics.count_variant("failed"))?;
        let (service, image, rendering) = (Arc::clone(self), image.clone(), rendering.clone());
        let requested_by = Turn::new(key.clone(), Class::of_resize(key));
        // A claimed variant is rendered even if the client disconnects, because others wait for it.
        let task = self.tasks.spawn(async move {
            let made = service.wait_or_render(&requested_by, &image, &rendering, deadline).await;
            drop(turn);
            made.inspect_err(|_| service.metrics.count_variant("failed"))
        });
        task.await.unwrap_or_else(|panic| Err(Error::internal(panic)))
    }

    async fn wait_or_render(
        &self,
        requested_by: &Turn,
        image: &Image,
        rendering: &Rendering,
        deadline: tokio::time::Instant,
    ) -> Result<ReadyVariant, Error> {
        let name = rendering.name();
        loop {
            let found = store::images::variants::find(&self.db, image.id, &name).await?;
            match found {
                Some(found) if found.ready => {
                    self.metrics.count_variant("waited");
                    return Ok(ReadyVariant::Stored(found.object));
                }
                Some(found) if found.due_at > self.clock.now() => {}
                _ => {
                    if let Some(object) = self.claim_variant(image.id, &name).await? {
                        return self.render_and_store(requested_by, image, rendering, object).await;
                    }
                }
            }
            if tokio::time::Instant::now() + POLL > deadline {
                return Err(Error::ResizeInProgress);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Claims a variant for rendering. Returns `None` if another request has claimed it.
    async fn claim_variant(&self, id: ImageId, name: &str) -> Result<Option<String>, Error> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        // The lock of the image excludes purging and other claims, so that the count below is exact.
        let image = store::images::lock(&mut tx, id).await?.filter(is_live).ok_or_else(Error::no_such_image)?;
        if let Some(found) = store::images::variants::find(&mut tx, id, name).await? {
            if found.ready || found.due_at > now {
                return Ok(None);
            }
            store::identity::accounts::lock_by_user(&mut tx, &image.user_id).await?;
            store::images::variants::remove(&mut tx, id, &found.object, after(now, self.limits.intent_grace)).await?;
        }
        // Stored variants are evicted later, when the size of the new one is known.
        if store::images::variants::count_making(&mut tx, id).await? >= self.limits.resizing.max_variants.into() {
            return Err(Error::Overloaded { retry_after: Duration::from_secs(1) });
        }
        let object = layout::variant(name, &hex::encode(self.clock.random()));
        if !store::images::variants::claim(&mut tx, id, name, &object, now + LEASE, now).await? {
            return Ok(None);
        }
        tx.commit().await?;
        Ok(Some(object))
    }

    async fn render_and_store(
        &self,
        requested_by: &Turn,
        image: &Image,
        rendering: &Rendering,
        object: String,
    ) -> Result<ReadyVariant, Error> {
        let started = Instant::now();
        let (bytes, admitted) = match self.render(requested_by, image, rendering).await {
            Ok(rendered) => rendered,
            Err(error) => {
                self.abandon_variant(image.id, &object, None).await;
                return Err(error);
            }
        };
        match self.reserve_storage(image, &object, bytes.len() as u64).await {
            Ok(true) => {}
            Ok(false) => {
                self.metrics.count_variant("not_kept");
                return self.serve_unstored(requested_by, bytes).await;
            }
            Err(error) => {
                self.abandon_variant(image.id, &object, None).await;
                return Err(error);
            }
        }
        let key = layout::key(image.id, &object);
        if let Err(error) = self.objects.put(&key, bytes.clone(), rendering.format.content_type()).await {
            // The object may exist nevertheless, or appear later.
            self.abandon_variant(image.id, &object, Some(after(self.clock.now(), self.limits.intent_grace))).await;
            return Err(error.into());
        }
        drop(admitted);
        let mut tx = self.db.begin().await?;
        let finished = store::images::variants::finish(&mut tx, image.id, &object, self.clock.now()).await?;
        tx.commit().await?;
        if !finished {
            // Either the image is deleted, or another renderer took over; its bytes are equivalent.
            self.find_live(image.id).await?;
        }
        self.metrics.count_variant("made");
        self.metrics.observe_variant(started.elapsed());
        Ok(if bytes.len() <= MAX_SENT_FROM_MEMORY_BYTES {
            ReadyVariant::JustStored { object, bytes }
        } else {
            ReadyVariant::Stored(object)
        })
    }

    /// Evicts variants to fit a new one, and charges the owner for it. Returns `false` if it does not fit; then its row is
    /// removed.
    async fn reserve_storage(&self, image: &Image, object: &str, bytes: u64) -> Result<bool, Error> {
        let mut tx = self.db.begin().await?;
        let image = store::images::lock(&mut tx, image.id).await?.filter(is_live).ok_or_else(Error::no_such_image)?;
        let (bound, allowance) = (self.max_variant_bytes(&image), variant_allowance(&mut tx, &image.user_id).await?);
        let fits = bytes <= bound && allowance.is_none_or(|allowance| bytes <= allowance);
        let reserved = fits && {
            // The count includes this variant. More than one is evicted only after the limit was lowered.
            for _ in u64::from(self.limits.resizing.max_variants)..store::images::variants::count(&mut tx, image.id).await? {
                store::images::variants::remove_least_used(&mut tx, image.id, self.clock.now()).await?;
            }
            let excess = (store::images::variants::bytes_of(&mut tx, image.id).await? + bytes).saturating_sub(bound);
            store::images::variants::free_of_image(&mut tx, image.id, excess).await? >= excess
                && match allowance {
                    Some(allowance) => limit_variants(&mut tx, &image.user_id, allowance - bytes).await?,
                    None => true,
                }
                && store::images::variants::charge(&mut tx, image.id, object, &image.user_id, bytes).await?
        };
        if reserved {
            tx.commit().await?;
        } else {
            // The rollback keeps the variants that would have been evicted.
            drop(tx);
            let mut tx = self.db.begin().await?;
            store::images::variants::forget(&mut tx, image.id, object).await?;
            tx.commit().await?;
        }
        Ok(reserved)
    }

    /// Returns the maximum total size of an image's variants, in bytes.
    fn max_variant_bytes(&self, image: &Image) -> u64 {
        image.file_size.saturating_mul(self.limits.resizing.max_bytes_factor.into()).max(MIN_VARIANT_BYTES)
    }

    /// Serves a variant without storing it. A large file holds memory until it is sent. If no memory is free the request fails
    /// immediately, because waiting would depend on how fast other clients read.
    async fn serve_unstored(&self, requested_by: &Turn, bytes: Bytes) -> Result<ReadyVariant, Error> {
        let hashed = bytes.clone();
        let hashing = tokio::task::spawn_blocking(move || hex::encode(&Sha256::digest(&hashed)[..16]));
        let etag = hashing.await.map_err(Error::internal)?;
        if bytes.len() <= MAX_SENT_FROM_MEMORY_BYTES {
            return Ok(ReadyVariant::NotStored { etag, bytes, memory: None });
        }
        // All requests share this budget equally, so no class is limited to half.
        let turn = Turn::new(requested_by.key.clone(), Class::Request);
        let memory = self.unstored_variants.try_acquire(&turn, Amount::bytes(bytes.len() as u64));
        let memory = memory.ok_or(Error::Overloaded { retry_after: Duration::from_secs(1) })?;
        Ok(ReadyVariant::NotStored { etag, bytes, memory: Some(memory) })
    }

    /// Abandons a rendering. If its object may exist, it is removed after `due_at`. If this fails, the lease expires.
    async fn abandon_variant(&self, id: ImageId, object: &str, due_at: Option<DateTime<Utc>>) {
        let given_up = async {
            let mut tx = self.db.begin().await?;
            match due_at {
                Some(due_at) => store::images::variants::remove(&mut tx, id, object, due_at).await?,
                None => store::images::variants::forget(&mut tx, id, object).await?,
            }
            tx.commit().await
        };
        if let Err(error) = given_up.await {
            tracing::warn!(image_id = %id, "failed to abandon a variant: {}", chain(&error));
        }
    }

    /// Renders the file. Returns it with the memory for it and its source, which is held until it is stored.
    async fn render(&self, requested_by: &Turn, image: &Image, rendering: &Rendering) -> Result<(Bytes, Admitted), Error> {
        let (name, size_bytes) = source(image, rendering);
        let admitted = self.admission.reserve_file(requested_by, size_bytes + max_rendered_bytes(rendering)).await?;
        let key = layout::stored_key(image, &name);
        let bytes = match self.objects.get_bytes(&key).await {
            Ok(bytes) => bytes,
            Err(error) => return Err(self.explain_missing(image.id, &key, error).await),
        };
        let limits = self.limits.imaging.clone();
        // The image was accepted before, so a failure is not the client's fault.
        let header = imaging::inspect_stored(&bytes, &limits, rendering).map_err(Error::internal)?;
        let weight_bytes = header.weight_bytes;
        let rendering = rendering.clone();
        let rendering = move || imaging::render(&bytes, &header, &limits, &rendering);
        let mut rendered = self.admission.decode_stored(requested_by, weight_bytes, rendering).await?;
        // The cache counts the length, and keeps the whole allocation.
        rendered.shrink_to_fit();
        Ok((rendered.into(), admitted))
    }

    /// Returns the object of a variant that is ready, and records its use. Its row is cached until its use must be recorded again.
    /// A variant that has been removed meanwhile has the same bytes; without its object, the cached row is discarded, too.
    async fn find_ready(&self, id: ImageId, name: &str) -> Result<Option<String>, Error> {
        let now = self.clock.now();
        if let Some(known) = self.variant_cache.get(id, name).filter(|known| now - known.used_at < TOUCH_INTERVAL) {
            return Ok(Some(known.object));
        }
        let found = store::images::variants::find(&self.db, id, name).await?.filter(|found| found.ready);
        let Some(mut found) = found else { return Ok(None) };
        if now - found.used_at >= TOUCH_INTERVAL {
            self.touch(id, &found, now).await;
            found.used_at = now;
        }
        self.variant_cache.insert(id, name, found.clone());
        Ok(Some(found.object))
    }

    async fn touch(&self, id: ImageId, found: &store::images::variants::Variant, now: DateTime<Utc>) {
        let touched = async {
            let mut tx = self.db.begin().await?;
            store::images::variants::touch(&mut tx, id, &found.object, now).await?;
            tx.commit().await
        };
        if let Err(error) = touched.await {
            tracing::warn!(image_id = %id, "failed to record the use of a variant: {}", chain(&error));
        }
    }
}

/// Returns the object to render from, and its maximum size in bytes: the smallest stored thumbnail of at least twice the target
/// scale, at which JPEG artefacts are no longer visible; otherwise the original. Never another variant, because any client may
/// have chosen its quality.
fn source(image: &Image, rendering: &Rendering) -> (String, u64) {
    let scale = u64::from(rendering.scale((image.width, image.height)));
    let covers = image.thumbnails.iter().filter(|stored| u64::from(stored.width.max(stored.height)) >= 2 * scale);
    match covers.min_by_key(|stored| stored.width.max(stored.height)) {
        Some(stored) => (stored.size.name().into_owned(), u64::from(stored.width) * u64::from(stored.height) * 4),
        None => (layout::ORIGINAL.to_owned(), image.file_size),
    }
}

/// Returns the maximum size of a rendered file: PNG stores noise uncompressed, the other formats at best quality take half of
/// that.
fn max_rendered_bytes(rendering: &Rendering) -> u64 {
    let bytes_per_pixel = if rendering.format == Format::Png { 4 } else { 2 };
    u64::from(rendering.width) * u64::from(rendering.height) * bytes_per_pixel
}

/// Locks for concurrent renderings of the same variant within this process, first come, first served.
#[derive(Debug, Default)]
pub(in crate::service) struct VariantLocks(Mutex<HashMap<Key, Weak<tokio::sync::Mutex<()>>>>);

type Key = (ImageId, String);

impl VariantLocks {
    async fn lock(&self, key: Key) -> OwnedMutexGuard<()> {
        self.mutex(key).lock_owned().await
    }

    fn mutex(&self, key: Key) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = locks.get(&key).and_then(Weak::upgrade) {
            return turn;
        }
        // Drops unused locks.
        locks.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::default();
        locks.insert(key, Arc::downgrade(&turn));
        turn
    }
}
