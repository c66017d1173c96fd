//! Variants: made once, by whoever asks first, on whichever instance; then kept.
//!
//! A row says who makes a variant, until when, and which object it will be, before that object is put; so no object is
//! ever there that no row knows. Within a process requests for the same variant take turns, so that one claims it and
//! the others find it; between processes they poll. A maker that dies leaves a lease, which ends: the next one makes an
//! object of its own, and the sweeper removes the first one's, when no put can still be under way.
//!
//! Anybody can ask for any size. So the variants of an image are bounded in number and bytes, and they count for the quota of its owner:
//! those that were asked for longest ago go. One that has no room is sent and not stored. Making takes memory and a thread from the
//! same admission as an upload, of which variants may have half.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest, Sha256};
use tokio::sync::OwnedMutexGuard;

use super::is_live;
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
use crate::service::maintenance::sweep::after;
use crate::store;

/// A variant that can be served.
pub(in crate::service) enum Made {
    /// The storage has it under this name.
    Stored(String),
    /// It was stored just now, and is small.
    Fresh { object: String, bytes: Bytes },
    /// It has no room in the storage. As it has no name of its own, its bytes say what it is.
    Passing { etag: String, bytes: Bytes, memory: Option<Permit> },
}

/// After this long a maker is taken for dead. One that is not costs a second rendering and does no harm.
const LEASE: TimeDelta = TimeDelta::seconds(60);

/// A larger file than this is sent from the storage even by who has just made it: clients that read slowly would keep
/// their number of them in memory.
const SENT_FROM_MEMORY: usize = 256 << 10;

/// Memory for larger files that are not stored, while they are sent. There is room for two of the largest, and one client holds at most
/// half.
pub(in crate::service) const PASSING_BYTES: u64 = 32 << 20;

/// An image's variants may have this many bytes, however small its original is: a few of a screen's size.
const LEAST_BYTES_OF_IMAGE: u64 = 4 << 20;

/// How often it is looked whether another instance has made a variant.
const POLL: Duration = Duration::from_millis(100);

/// That a variant was asked for is noted once in so long, for reading is not to write.
pub(in crate::service) const TOUCHED: TimeDelta = TimeDelta::days(1);

impl Service {
    /// Finds a variant, or makes it.
    pub(in crate::service) async fn find_or_make(
        self: &Arc<Self>,
        key: &TurnKey,
        image: &Image,
        rendering: &Rendering,
    ) -> Result<Made, Error> {
        let name = rendering.name();
        if let Some(found) = store::images::variants::find(&self.db, image.id, &name).await?.filter(|found| found.ready) {
            self.metrics.count_variant("hit");
            self.touch(image.id, &found).await;
            return Ok(Made::Stored(found.object));
        }
        let deadline = tokio::time::Instant::now() + self.limits.admission_wait;
        let turn = tokio::time::timeout_at(deadline, self.turns.take((image.id, name)));
        let turn = turn.await.map_err(|_| Error::ResizeInProgress).inspect_err(|_| self.metrics.count_variant("failed"))?;
        let (service, image, rendering) = (Arc::clone(self), image.clone(), rendering.clone());
        let asked_by = Turn::new(key.clone(), Class::of_resize(key));
        // Once claimed it is made, even when the client goes away: others wait for it.
        let task = self.tasks.spawn(async move {
            let made = service.wait_or_make(&asked_by, &image, &rendering, deadline).await;
            drop(turn);
            made.inspect_err(|_| service.metrics.count_variant("failed"))
        });
        task.await.unwrap_or_else(|panic| Err(Error::internal(panic)))
    }

    async fn wait_or_make(
        &self,
        asked_by: &Turn,
        image: &Image,
        rendering: &Rendering,
        deadline: tokio::time::Instant,
    ) -> Result<Made, Error> {
        let name = rendering.name();
        loop {
            let found = store::images::variants::find(&self.db, image.id, &name).await?;
            match found {
                Some(found) if found.ready => {
                    self.metrics.count_variant("waited");
                    return Ok(Made::Stored(found.object));
                }
                Some(found) if found.due_at > self.clock.now() => {}
                _ => {
                    if let Some(object) = self.claim_variant(image.id, &name).await? {
                        return self.make(asked_by, image, rendering, object).await;
                    }
                }
            }
            if tokio::time::Instant::now() + POLL > deadline {
                return Err(Error::ResizeInProgress);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Takes it on to make a variant; `None` when another has done so.
    async fn claim_variant(&self, id: ImageId, name: &str) -> Result<Option<String>, Error> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        // The image's lock keeps purging away, and other claims, which the number is counted for.
        let image = store::images::lock(&mut tx, id).await?.filter(is_live).ok_or_else(Error::no_such_image)?;
        if let Some(found) = store::images::variants::find(&mut tx, id, name).await? {
            if found.ready || found.due_at > now {
                return Ok(None);
            }
            store::identity::accounts::lock_by_user(&mut tx, &image.user_id).await?;
            store::images::variants::remove(&mut tx, id, &found.object, after(now, self.limits.intent_grace)).await?;
        }
        // Those that are stored make room when it is known that another one is.
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

    async fn make(&self, asked_by: &Turn, image: &Image, rendering: &Rendering, object: String) -> Result<Made, Error> {
        let started = Instant::now();
        let (bytes, admitted) = match self.render(asked_by, image, rendering).await {
            Ok(rendered) => rendered,
            Err(error) => {
                self.give_up(image.id, &object, None).await;
                return Err(error);
            }
        };
        match self.reserve(image, &object, bytes.len() as u64).await {
            Ok(true) => {}
            Ok(false) => {
                self.metrics.count_variant("not_kept");
                return self.pass_on(asked_by, bytes).await;
            }
            Err(error) => {
                self.give_up(image.id, &object, None).await;
                return Err(error);
            }
        }
        let key = layout::key(image.id, &object);
        if let Err(error) = self.objects.put(&key, bytes.clone(), rendering.format.content_type()).await {
            // It may be there nevertheless, or come to be.
            self.give_up(image.id, &object, Some(after(self.clock.now(), self.limits.intent_grace))).await;
            return Err(error.into());
        }
        drop(admitted);
        let mut tx = self.db.begin().await?;
        let finished = store::images::variants::finish(&mut tx, image.id, &object, self.clock.now()).await?;
        tx.commit().await?;
        if !finished {
            // The image is gone, or another has taken this one's place: then these bytes are as good.
            self.find_live(image.id).await?;
        }
        self.metrics.count_variant("made");
        self.metrics.observe_variant(started.elapsed());
        Ok(if bytes.len() <= SENT_FROM_MEMORY { Made::Fresh { object, bytes } } else { Made::Stored(object) })
    }

    /// Makes room for a variant that is about to be put, and charges the owner for it; `false` if there is no room, and then its making
    /// is forgotten.
    async fn reserve(&self, image: &Image, object: &str, bytes: u64) -> Result<bool, Error> {
        let mut tx = self.db.begin().await?;
        let image = store::images::lock(&mut tx, image.id).await?.filter(is_live).ok_or_else(Error::no_such_image)?;
        let (bound, allowance) = (self.max_bytes_of(&image), variant_allowance(&mut tx, &image.user_id).await?);
        let fits = bytes <= bound && allowance.is_none_or(|allowance| bytes <= allowance);
        let reserved = fits && {
            // Itself is among them. More than one goes only after the limit was lowered.
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
            // What made room, stays.
            drop(tx);
            let mut tx = self.db.begin().await?;
            store::images::variants::forget(&mut tx, image.id, object).await?;
            tx.commit().await?;
        }
        Ok(reserved)
    }

    /// Bytes that all variants of an image may have.
    fn max_bytes_of(&self, image: &Image) -> u64 {
        image.file_size.saturating_mul(self.limits.resizing.max_bytes_factor.into()).max(LEAST_BYTES_OF_IMAGE)
    }

    /// A large file holds memory until it is sent. Whoever finds none is not kept waiting: it would depend on how fast others read.
    async fn pass_on(&self, asked_by: &Turn, bytes: Bytes) -> Result<Made, Error> {
        let hashed = bytes.clone();
        let hashing = tokio::task::spawn_blocking(move || hex::encode(&Sha256::digest(&hashed)[..16]));
        let etag = hashing.await.map_err(Error::internal)?;
        if bytes.len() <= SENT_FROM_MEMORY {
            return Ok(Made::Passing { etag, bytes, memory: None });
        }
        // Among these all are alike: no class is held to half.
        let turn = Turn::new(asked_by.key.clone(), Class::Request);
        let memory = self.passing.take_at_once(&turn, Amount::bytes(bytes.len() as u64));
        let memory = memory.ok_or(Error::Overloaded { retry_after: Duration::from_secs(1) })?;
        Ok(Made::Passing { etag, bytes, memory: Some(memory) })
    }

    /// Gives a making up; its object, if there can be one, goes after `due_at`. What fails here ends with the lease.
    async fn give_up(&self, id: ImageId, object: &str, due_at: Option<DateTime<Utc>>) {
        let given_up = async {
            let mut tx = self.db.begin().await?;
            match due_at {
                Some(due_at) => store::images::variants::remove(&mut tx, id, object, due_at).await?,
                None => store::images::variants::forget(&mut tx, id, object).await?,
            }
            tx.commit().await
        };
        if let Err(error) = given_up.await {
            tracing::warn!(image_id = %id, "a variant could not be given up: {}", chain(&error));
        }
    }

    /// The picture's file, and the memory that it and its source take until it is stored.
    async fn render(&self, asked_by: &Turn, image: &Image, rendering: &Rendering) -> Result<(Bytes, Admitted), Error> {
        let (name, size_bytes) = source(image, rendering);
        let admitted = self.admission.file(asked_by, size_bytes + largest_file(rendering)).await?;
        let key = layout::stored_key(image, &name);
        let bytes = match self.objects.get_bytes(&key).await {
            Ok(bytes) => bytes,
            Err(error) => return Err(self.explain_missing(image.id, &key, error).await),
        };
        let limits = self.limits.imaging.clone();
        // What was accepted once is no client's fault.
        let header = imaging::inspect_stored(&bytes, &limits, rendering).map_err(Error::internal)?;
        let weight_bytes = header.weight_bytes;
        let rendering = rendering.clone();
        let rendering = move || imaging::render(&bytes, &header, &limits, &rendering);
        let rendered = self.admission.decode_stored(asked_by, weight_bytes, rendering).await?;
        Ok((rendered.into(), admitted))
    }

    /// Reading succeeds even if this does not.
    async fn touch(&self, id: ImageId, found: &store::images::variants::Variant) {
        let now = self.clock.now();
        if now - found.used_at < TOUCHED {
            return;
        }
        let touched = async {
            let mut tx = self.db.begin().await?;
            store::images::variants::touch(&mut tx, id, &found.object, now).await?;
            tx.commit().await
        };
        if let Err(error) = touched.await {
            tracing::warn!(image_id = %id, "a variant's use was not noted: {}", chain(&error));
        }
    }
}

/// What a variant is made from, and at most how many bytes that has: the smallest stored thumbnail of at least twice its
/// scale, where what JPEG has taken away is no longer seen; else the original. Never another variant, whose quality
/// anybody may have chosen.
fn source(image: &Image, rendering: &Rendering) -> (String, u64) {
    let scale = u64::from(rendering.scale((image.width, image.height)));
    let covers = image.thumbnails.iter().filter(|stored| u64::from(stored.width.max(stored.height)) >= 2 * scale);
    match covers.min_by_key(|stored| stored.width.max(stored.height)) {
        Some(stored) => (stored.size.name().into_owned(), u64::from(stored.width) * u64::from(stored.height) * 4),
        None => (layout::ORIGINAL.to_owned(), image.file_size),
    }
}

/// Bytes that a rendering's file may have: PNG keeps noise as it is, the others at their best take half of it.
fn largest_file(rendering: &Rendering) -> u64 {
    let bytes_per_pixel = if rendering.format == Format::Png { 4 } else { 2 };
    u64::from(rendering.width) * u64::from(rendering.height) * bytes_per_pixel
}

/// Turns of requests for the same thing within this process, first come, first served.
#[derive(Debug, Default)]
pub(in crate::service) struct Turns(Mutex<HashMap<Key, Weak<tokio::sync::Mutex<()>>>>);

type Key = (ImageId, String);

impl Turns {
    async fn take(&self, key: Key) -> OwnedMutexGuard<()> {
        self.of(key).lock_owned().await
    }

    fn of(&self, key: Key) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = turns.get(&key).and_then(Weak::upgrade) {
            return turn;
        }
        // Those that nobody holds or waits for.
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::default();
        turns.insert(key, Arc::downgrade(&turn));
        turn
    }
}
