//! Uploads: the single path by which requests and imports store images. `lib.rs` describes it in ten steps.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::try_join_all;
use tokio::sync::oneshot;

use super::idempotency::Claim;
use super::upload_request::{Origin, Upload, UploadMethod, Uploaded};
use crate::imaging::{self, Header, Processed};
use crate::model::caller::Caller;
use crate::model::caption::Caption;
use crate::model::counter::{Counter, CounterKind};
use crate::model::id::ImageId;
use crate::model::image::{Credentials, Image, Visibility};
use crate::model::plan::Features;
use crate::model::plural::counted;
use crate::model::text::FileName;
use crate::objects::layout;
use crate::service::Service;
use crate::service::admission::Admitted;
use crate::service::admission::fair_queue::Turn;
use crate::service::admission::threads;
use crate::service::error::{Error, Fields, chain};
use crate::service::identity::quota::reserve_quota_for_upload;
use crate::service::time::after;
use crate::store;
use crate::store::Tx;

impl Service {
    /// Validates and stores a file. When this returns `Ok`, the image is durable.
    ///
    /// A started upload completes even if the client disconnects: its own task holds it. It is either stored or refused, and a
    /// retry with the same idempotency key returns the result.
    ///
    /// # Errors
    /// The caller is another user, the file is refused, the key is taken, or the service cannot store right now. In these cases
    /// no image is listed.
    pub async fn upload(self: &Arc<Self>, caller: &Caller, admitted: Admitted, upload: Upload) -> Result<Uploaded, Error> {
        self.require_uploader_for(caller, &upload.user_id)?;
        self.store_upload(admitted, upload).await
    }

    /// As [`Service::upload`], for a caller that was checked.
    ///
    /// # Errors
    /// As for [`Service::upload`].
    pub(in crate::service) async fn store_upload(
        self: &Arc<Self>,
        admitted: Admitted,
        upload: Upload,
    ) -> Result<Uploaded, Error> {
        self.tally_stage(upload.properties.visibility, "admission", admitted.waited);
        let (service, method) = (Arc::clone(self), upload.method());
        let (answer, answered) = oneshot::channel();
        let task = self.tasks.spawn(async move {
            let result = service.run_upload(upload, &admitted.turn).await;
            drop(admitted);
            if let Err(Err(error)) = answer.send(result) {
                service.note_unanswered(method, &error);
            }
        });
        match answered.await {
            Ok(result) => result,
            Err(_) => Err(task.await.err().map_or_else(|| Error::internal("an upload returned no result"), Error::internal)),
        }
    }

    /// Counts and logs a failure that no request reports, because the client has disconnected.
    fn note_unanswered(&self, method: UploadMethod, error: &Error) {
        self.count_refusal(method, error);
        tracing::warn!("an upload failed after its client had disconnected: {}", chain(error));
    }

    async fn run_upload(&self, mut upload: Upload, turn: &Turn) -> Result<Uploaded, Error> {
        let header = self.inspect(&upload.bytes)?;
        let mut signer = self.signer().await?;
        let features = self.features_of(&upload.user_id).await?;
        let id = match &upload.origin {
            Origin::Form(_) | Origin::Object(_) | Origin::Draft(_) | Origin::Guest(_) => ImageId::new(&*self.clock),
            Origin::Import(claim) => claim.image_id,
        };
        let method = upload.method().name();
        let image = match self.claim_key(&upload, id).await? {
            Claim::Replay(image) => {
                self.metrics.count_upload(method, "replayed");
                *image
            }
            Claim::Run => {
                // Does not borrow `upload`: its file is freed when a smaller one replaces it.
                let key = upload.idempotency_key().map(|key| (upload.user_id.clone(), key.clone()));
                let storing = self.process_and_store(&mut upload, turn, id, &header, features);
                let stored = self.with_key_lease(key, id, storing).await;
                if stored.is_err() {
                    self.release_key(&upload, id).await;
                }
                let image = stored?;
                self.metrics.count_upload(method, "stored");
                image
            }
        };
        let links = self.links(&mut signer, &image);
        Ok(Uploaded { image, links })
    }

    /// Detects the format and checks the header against the limits, before any decoding.
    fn inspect(&self, bytes: &Bytes) -> Result<Header, Error> {
        let size = bytes.len() as u64;
        if size == 0 {
            return Err(invalid_file("the file is empty".to_owned()));
        }
        let limits = &self.limits.imaging;
        let header = match imaging::inspect(bytes, limits) {
            Err(imaging::Error::TooLarge { .. } | imaging::Error::TooManyImagePixels { .. }) if limits.shrink => {
                imaging::inspect_oversize(bytes, limits)
            }
            header => header,
        };
        if let Err(error @ imaging::Error::UnsupportedFormat { .. }) = header {
            return Err(error.into());
        }
        self.check_size(size)?;
        self.check_weight(header?)
    }

    /// # Errors
    /// Decoding the image would exceed the memory budget.
    pub(in crate::service) fn check_weight(&self, header: Header) -> Result<Header, Error> {
        let limit = self.admission.max_decode_bytes();
        if header.weight_bytes <= limit {
            return Ok(header);
        }
        let (width, height) = (header.width, header.height);
        let (needed_mib, limit_mib) = (header.weight_bytes.div_ceil(1 << 20), limit >> 20);
        Err(imaging::Error::TooMuchMemory { width, height, needed_mib, limit_mib }.into())
    }

    /// # Errors
    /// The file is too small or too large.
    pub fn check_size(&self, size: u64) -> Result<(), Error> {
        let (min, max) = (self.limits.min_file_bytes, self.limits.max_file_bytes);
        if size > max {
            return Err(self.file_too_large());
        }
        if size < min {
            return Err(invalid_file(format!(
                "the file has {}, but needs at least {min}; the operator can lower MIN_FILE_SIZE",
                counted(size, "byte")
            )));
        }
        Ok(())
    }

    pub(in crate::service) fn file_too_large(&self) -> Error {
        let max = counted(self.limits.max_file_bytes, "byte");
        invalid_file(format!("the file is larger than the limit of {max}; the operator can raise MAX_FILE_SIZE"))
    }

    /// Checks whether an upload may keep its location metadata.
    ///
    /// # Errors
    /// The rule, worded for the client.
    pub fn may_keep_location(&self, keep: bool) -> Result<bool, String> {
        if keep && !self.limits.allow_keep_location && !self.limits.imaging.keep_location {
            return Err(
                "must be false: this service removes location metadata from every image (ALLOW_KEEP_LOCATION is off)".to_owned()
            );
        }
        Ok(keep)
    }

    async fn process_and_store(
        &self,
        upload: &mut Upload,
        turn: &Turn,
        id: ImageId,
        header: &Header,
        features: Option<Features>,
    ) -> Result<Image, Error> {
        let shrunk = if header.oversize { Some(self.shrink(upload, turn, header).await?) } else { None };
        let header = shrunk.as_ref().map_or(header, |shrunk| &shrunk.header);
        self.check_quota(&upload.user_id, features.as_ref(), upload.bytes.len() as u64, upload.draft()).await?;
        let mut processed = self.decode(upload, turn, header.clone()).await?;
        if let Some(shrunk) = &shrunk {
            processed.metadata.shrunk_from = Some(shrunk.from);
            if shrunk.dropped_credentials {
                processed.metadata.credentials = Some(Credentials::Removed);
            }
        }
        if let Some(without_location) = processed.without_location.take() {
            // Replaces the received file, because memory is reserved for one file.
            upload.bytes = without_location.into();
        }
        let image = Image { features, caption: self.initial_caption(), ..describe(upload, id, header, &processed) };
        self.announce(&image).await?;
        self.put_objects(&image, upload.bytes.clone(), processed).await?;
        self.record(upload, &image).await?;
        Ok(image)
    }

    /// Checks a file as its upload would, without storing anything.
    pub(in crate::service) async fn check_upload(&self, mut upload: Upload, turn: &Turn) -> Result<(), Error> {
        let header = self.inspect(&upload.bytes)?;
        let header = if header.oversize { self.shrink(&mut upload, turn, &header).await?.header } else { header };
        self.decode(&upload, turn, header).await.map(drop)
    }

    /// Decodes on a separate thread, within the memory budget.
    async fn decode(&self, upload: &Upload, turn: &Turn, header: Header) -> Result<Processed, Error> {
        let (started, bytes) = (Instant::now(), upload.bytes.clone());
        let slot = self.admission.reserve_decode(turn, header.weight_bytes).await?;
        self.observe_stage(upload.properties.visibility, "decode_wait", started.elapsed());
        let mut limits = self.limits.imaging.clone();
        limits.keep_location |= upload.properties.keep_location && self.limits.allow_keep_location;
        let decoding = move || {
            let processed = imaging::process(&bytes, &header, &limits);
            drop(slot);
            processed
        };
        let processed = threads::run(turn.class.priority(), decoding).await??;
        for (stage, duration) in &processed.stages {
            self.observe_stage(upload.properties.visibility, stage, *duration);
        }
        Ok(processed)
    }

    /// Commits the intent: objects of this image may exist from now on.
    async fn announce(&self, image: &Image) -> Result<(), Error> {
        let started = Instant::now();
        store::images::intents::announce(&self.db, image.id, &layout::names_at_upload(image), self.clock.now()).await?;
        self.observe_stage(image.visibility, "intent", started.elapsed());
        Ok(())
    }

    /// Uploads the original and the thumbnails concurrently.
    async fn put_objects(&self, image: &Image, original: Bytes, processed: Processed) -> Result<(), Error> {
        let started = Instant::now();
        let mut objects = vec![(layout::ORIGINAL.into(), original, image.format)];
        for (thumbnail, made) in image.thumbnails.iter().zip(processed.thumbnails) {
            objects.push((thumbnail.size.name(), Bytes::from(made.bytes), thumbnail.format));
        }
        try_join_all(objects.into_iter().map(|(name, bytes, format)| async move {
            self.objects.put(&layout::key(image.id, &name), bytes, format.content_type()).await
        }))
        .await?;
        self.observe_stage(image.visibility, "objects", started.elapsed());
        Ok(())
    }

    /// Inserts the image and everything that depends on it, in one transaction.
    async fn record(&self, upload: &Upload, image: &Image) -> Result<(), Error> {
        let started = Instant::now();
        let mut tx = self.db.begin().await?;
        if !store::images::intents::fulfil(&mut tx, image.id).await? {
            return Err(Error::internal("the upload took too long, and the cleanup has claimed its objects"));
        }
        match &upload.origin {
            Origin::Form(_) | Origin::Object(_) | Origin::Guest(_) => self.complete_key(&mut tx, upload, image).await?,
            Origin::Draft(draft) => {
                self.complete_key(&mut tx, upload, image).await?;
                // Releases what it has reserved.
                let readable_until = after(self.clock.now(), READABLE);
                if !store::images::uploads::complete(&mut tx, draft.id, draft.received, image.id, readable_until).await? {
                    drop(tx);
                    return Err(self.wrong_offset(draft.id).await?);
                }
            }
            Origin::Import(claim) => self.complete_import(&mut tx, *claim).await?,
        }
        reserve_quota_for_upload(&mut tx, &image.user_id, image.file_size).await?;
        store::images::insert(&mut tx, image).await?;
        match &upload.origin {
            Origin::Form(_) | Origin::Draft(_) => {}
            Origin::Object(object) => self.complete_adoption(&mut tx, object, image).await?,
            Origin::Guest(guest) => self.record_guest_image(&mut tx, guest, image).await?,
            Origin::Import(_) => store::images::mark_imported(&mut tx, image.id).await?,
        }
        store::images::tags::insert(&mut tx, image).await?;
        self.enqueue_first_caption(&mut tx, image).await?;
        count_stored(&mut tx, image);
        // If the commit fails, the image may or may not exist. The sweeper checks, and then keeps or removes the objects.
        tx.commit().await?;
        self.caption_state.requested.notify_one();
        self.observe_stage(image.visibility, "record", started.elapsed());
        Ok(())
    }
}

/// How long the client of an upload in several requests can read the result, in case it has lost the response.
const READABLE: Duration = Duration::from_secs(24 * 3600);

fn count_stored(tx: &mut Tx, image: &Image) {
    let micros = i64::try_from(image.processing_time.as_micros()).unwrap_or(i64::MAX);
    let of_format = |kind| Counter { kind, key: image.format.name().to_owned() };
    let (stored, time) = match image.visibility {
        Visibility::Public => (CounterKind::Stored, CounterKind::ProcessingMicros),
        Visibility::Private => (CounterKind::StoredPrivate, CounterKind::ProcessingMicrosPrivate),
    };
    let mut changes = Counter::of_live(image);
    changes.push((of_format(stored), 1));
    changes.push((of_format(time), micros));
    store::images::counters::add(tx, image.id, changes);
}

/// The file name that browsers send for a `Blob` without a name (XMLHttpRequest, "create an entry").
const NAME_OF_BLOBS: &str = "blob";

fn describe(upload: &Upload, id: ImageId, header: &Header, processed: &Processed) -> Image {
    let processing_time: Duration = processed.stages.iter().map(|(_, duration)| *duration).sum();
    let fallback = format!("image.{}", header.format.extension());
    Image {
        id,
        updated_at: id.created_at(),
        user_id: upload.user_id.clone(),
        visibility: upload.properties.visibility,
        features: None,
        title: upload.properties.title.clone(),
        description: upload.properties.description.clone(),
        tags: upload.properties.tags.clone(),
        file_name: FileName::clean(
            upload.properties.file_name.as_deref().filter(|name| *name != NAME_OF_BLOBS).unwrap_or_default(),
            &fallback,
        ),
        file_size: upload.bytes.len() as u64,
        format: header.format,
        width: header.width,
        height: header.height,
        sha256: processed.sha256,
        thumbnails: processed.thumbnails.iter().map(|made| made.info.clone()).collect(),
        colors: processed.colors.clone(),
        placeholder: processed.placeholder.clone(),
        metadata: processed.metadata.clone(),
        caption: Caption::default(),
        // The database stores microseconds, and the first response must equal later ones.
        processing_time: Duration::from_micros(u64::try_from(processing_time.as_micros()).unwrap_or(u64::MAX)),
        deleted_at: None,
        taken_down: None,
        object_prefix: String::new(),
    }
}

fn invalid_file(reason: String) -> Error {
    Error::InvalidFile { details: Fields::from([("file".to_owned(), reason.clone())]), reason }
}
