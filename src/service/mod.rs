//! The service layer: all business rules, one file per feature, each an `impl Service`.
//!
//! Permissions are decided here and nowhere else. Every failure that a client can act on is an [`Error`].

pub mod admission;
pub mod error;
mod fingerprint;
pub mod identity;
pub mod images;
pub mod jobs;
pub mod maintenance;
pub mod paging;
pub mod sharing;
pub mod time;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::fetch::Fetcher;
use crate::imaging;
use crate::metrics::Metrics;
use crate::model::clock::Clock;
use crate::objects::ObjectStore;
use crate::store::Db;
use crate::store::images::cache::{ImageCache, VariantCache};
use admission::downloads::Downloads;
use admission::spool::Spool;
use admission::{Admission, Budgets};
pub use error::Error;
use images::total_count::CountCache;

/// The metadata of images is cached in this fraction of the memory for cached files.
const IMAGE_CACHE_SHARE: u64 = 8;

/// The service: its adapters, its limits, and the work in progress.
#[derive(Debug)]
pub struct Service {
    db: Db,
    objects: Arc<ObjectStore>,
    downloads: Downloads,
    lost_objects: images::lost_objects::LostObjects,
    /// Failures that were logged already.
    pub repeated_failures: maintenance::repeated_failures::RepeatedFailures,
    admission: Admission,
    spool: Spool,
    auth: identity::authentication::Auth,
    pub rate_limiters: identity::rate_limits::RateLimiters,
    counts: CountCache,
    image_cache: ImageCache,
    variant_cache: VariantCache,
    clock: Arc<dyn Clock>,
    limits: Limits,
    pub metrics: Arc<Metrics>,
    /// Uploads and variants in progress.
    tasks: TaskTracker,
    variant_locks: images::variants::VariantLocks,
    /// Memory for resized images that are sent without being stored.
    unstored_variants: admission::fair_queue::FairQueue,
    tally: maintenance::stats::Tally,
    fetcher: Fetcher,
    import_state: jobs::import_queue::ImportQueueState,
    pub active_pieces: images::active_pieces::ActivePieces,
    /// Wakes the import worker.
    pub import_created: Notify,
    pub captions: jobs::captions::Captions,
    caption_state: jobs::caption_queue::CaptionQueueState,
    /// Cancelled when the service stops, so that long polls return.
    pub stopping: CancellationToken,
}

/// The default bounds of a file's size.
pub const DEFAULT_MIN_FILE_BYTES: u64 = 1024;
pub const DEFAULT_MAX_FILE_BYTES: u64 = 10 * 1024 * 1024;

/// The limits that an operator can configure.
#[derive(Debug, Clone)]
pub struct Limits {
    pub imaging: imaging::Limits,
    /// Whether an upload may keep its location metadata.
    pub allow_keep_location: bool,
    /// Bounds of a file's size, both inclusive.
    pub min_file_bytes: u64,
    pub max_file_bytes: u64,
    /// Memory for request bodies, and for files until they are stored.
    pub upload_memory_bytes: u64,
    pub spooling: admission::spool::SpoolLimits,
    /// Memory for decoded images, reserved before an image is decoded.
    pub decode_memory_bytes: u64,
    /// Images decoded concurrently.
    pub decode_threads: usize,
    /// How long a request waits for memory before it is refused.
    pub admission_wait: Duration,
    /// Files sent from the storage concurrently, and the lowest transfer rate that a client may have.
    pub max_downloads: usize,
    /// Memory for cached files.
    pub cache_bytes: u64,
    pub min_bytes_per_second: u64,
    /// How long a deleted image can be restored.
    pub retention: Duration,
    /// The minimum time since deletion before a full trash purges an image.
    pub trash_min_age: Duration,
    /// Whether deletion by the owner revokes an image's URLs. Takedown by an administrator always does.
    pub delete_revokes_urls: bool,
    /// The longest an upload can take: the sum of the time limits of its steps.
    pub longest_upload: Duration,
    pub adoption_sources: images::adoption_sources::AdoptionSources,
    pub drafts: images::drafts::DraftLimits,
    pub imports: jobs::import_queue::ImportLimits,
    pub captions: jobs::caption_queue::CaptionLimits,
    /// Secrets for access tokens. The first signs, all verify. If empty, the database keeps a generated one.
    pub jwt_secrets: Vec<String>,
    pub rates: identity::rate_limits::RateLimits,
    /// Whether the audit trail may contain client addresses.
    pub keep_client_addresses: bool,
    /// The maximum age of a session, however often it was renewed.
    pub session_max_age: Duration,
    /// How long the cleanup leaves an upload's intent alone. Longer than any upload takes.
    pub intent_grace: Duration,
    pub resizing: images::resize_urls::ResizeLimits,
    /// How long an unused variant is kept; `None` means without limit.
    pub variant_retention: Option<Duration>,
    /// The lifetime of presigned URLs in image objects.
    pub url_lifetime: Duration,
    /// How long presigned URLs in image objects stay the same.
    pub url_window: Duration,
}

impl Limits {
    fn budgets(&self) -> Budgets {
        Budgets {
            upload_memory_bytes: self.upload_memory_bytes,
            largest_file_bytes: self.max_file_bytes,
            spills: self.spooling.disk_bytes > 0,
            decode_memory_bytes: self.decode_memory_bytes,
            decode_threads: self.decode_threads,
            wait: self.admission_wait,
        }
    }
}

impl Service {
    pub fn new(
        db: Db,
        objects: ObjectStore,
        fetcher: Fetcher,
        captions: jobs::captions::Captions,
        clock: Arc<dyn Clock>,
        limits: Limits,
        metrics: Arc<Metrics>,
    ) -> Self {
        let admission = Admission::new(&limits.budgets());
        let spool = Spool::new(&limits.spooling, limits.max_file_bytes);
        let downloads = Downloads::new(limits.max_downloads, limits.admission_wait, limits.min_bytes_per_second);
        let auth = identity::authentication::Auth::new(&limits, &clock);
        let rate_limiters = identity::rate_limits::RateLimiters::new(&limits.rates, Arc::clone(&clock));
        Self {
            db,
            objects: Arc::new(objects),
            downloads,
            lost_objects: images::lost_objects::LostObjects::default(),
            repeated_failures: maintenance::repeated_failures::RepeatedFailures::default(),
            admission,
            spool,
            auth,
            rate_limiters,
            counts: CountCache::default(),
            image_cache: ImageCache::new(limits.cache_bytes / IMAGE_CACHE_SHARE),
            variant_cache: VariantCache::new(limits.cache_bytes > 0),
            clock,
            limits,
            metrics,
            tasks: TaskTracker::new(),
            variant_locks: images::variants::VariantLocks::default(),
            unstored_variants: admission::fair_queue::FairQueue::with_half_per_key(admission::fair_queue::Amount::bytes(
                images::variants::UNSTORED_VARIANT_BYTES,
            )),
            tally: maintenance::stats::Tally::default(),
            fetcher,
            import_state: jobs::import_queue::ImportQueueState::default(),
            active_pieces: images::active_pieces::ActivePieces::default(),
            import_created: Notify::new(),
            captions,
            caption_state: jobs::caption_queue::CaptionQueueState::default(),
            stopping: CancellationToken::new(),
        }
    }

    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The bucket of all objects.
    pub fn bucket(&self) -> &str {
        self.objects.bucket()
    }

    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Runs work to its end, even if the caller is dropped. The service waits for it when it stops.
    ///
    /// # Errors
    /// The work panicked.
    pub async fn run_to_end<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Result<T, Error> {
        self.tasks.spawn(work).await.map_err(Error::internal)
    }

    /// Waits for running uploads and variants, writes their statistics, then closes the database.
    pub async fn finish(&self) {
        self.tasks.close();
        self.tasks.wait().await;
        if let Err(error) = self.write_tally().await {
            tracing::warn!("failed to write the last statistics: {}", error::chain(&error));
        }
        self.db.close().await;
    }
}
