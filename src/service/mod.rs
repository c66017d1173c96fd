//! Floor 3: what the product does, and the only floor with rules. One file a feature, each an `impl Service`.
//!
//! Who may do what is decided here and nowhere else. Everything a client can act on is an [`Error`].

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
use admission::downloads::Downloads;
use admission::spool::Spool;
use admission::{Admission, Budgets};
pub use error::Error;
use images::total_count::CountCache;

/// The product: its adapters, its bounds, and the work in flight.
#[derive(Debug)]
pub struct Service {
    db: Db,
    objects: Arc<ObjectStore>,
    downloads: Downloads,
    lost_objects: images::lost_objects::LostObjects,
    /// Failures that are in the log already.
    pub repeated_failures: maintenance::repeated_failures::RepeatedFailures,
    admission: Admission,
    spool: Spool,
    auth: identity::authentication::Auth,
    pub rate_limiters: identity::rate_limits::RateLimiters,
    counts: CountCache,
    clock: Arc<dyn Clock>,
    limits: Limits,
    pub metrics: Arc<Metrics>,
    /// Uploads and variants that have begun.
    tasks: TaskTracker,
    variant_locks: images::variants::VariantLocks,
    /// Memory for resized images that are sent and not stored.
    unstored_variants: admission::fair_queue::FairQueue,
    tally: maintenance::stats::Tally,
    fetcher: Fetcher,
    import_state: jobs::import_queue::ImportQueueState,
    /// Wakes the importer.
    pub import_created: Notify,
    pub captions: jobs::captions::Captions,
    caption_state: jobs::caption_queue::CaptionQueueState,
    /// Cancelled when the service is to stop: whoever only waits is to wait no longer.
    pub stopping: CancellationToken,
}

/// The sizes of a file that are accepted unless the operator says otherwise.
pub const DEFAULT_MIN_FILE_BYTES: u64 = 1024;
pub const DEFAULT_MAX_FILE_BYTES: u64 = 10 * 1024 * 1024;

/// The rules that an operator can set.
#[derive(Debug, Clone)]
pub struct Limits {
    pub imaging: imaging::Limits,
    /// Whether an upload may ask to keep its location.
    pub allow_keep_location: bool,
    /// Of a file, both ends included.
    pub min_file_bytes: u64,
    pub max_file_bytes: u64,
    /// Memory for request bodies, and for files until they are stored.
    pub upload_memory_bytes: u64,
    pub spooling: admission::spool::SpoolLimits,
    /// Memory for decoded pictures; taken before a picture is decoded.
    pub decode_memory_bytes: u64,
    /// Pictures decoded at once.
    pub decode_threads: usize,
    /// How long a request waits for either memory before it is refused.
    pub admission_wait: Duration,
    /// Files sent from the storage at once, and the slowest client that is waited for.
    pub max_downloads: usize,
    pub min_bytes_per_second: u64,
    /// How long a deleted image can be restored.
    pub retention: Duration,
    /// No image is purged because its owner's trash is full before it has been deleted for so long.
    pub trash_min_age: Duration,
    /// Whether URLs of an image end when its owner deletes it. An administrator's deletion always ends them.
    pub delete_revokes_urls: bool,
    /// No upload takes longer than this: the sum of its steps' bounds.
    pub longest_upload: Duration,
    pub imports: jobs::import_queue::ImportLimits,
    pub captions: jobs::caption_queue::CaptionLimits,
    /// What access tokens are signed with; the first signs, all are read. None: the database keeps one.
    pub jwt_secrets: Vec<String>,
    pub rates: identity::rate_limits::RateLimits,
    /// Whether the audit trail may tell the addresses of clients.
    pub keep_client_addresses: bool,
    /// A session ends when it is so old, however often it was renewed.
    pub session_max_age: Duration,
    /// How long an upload's intent is left alone; longer than any upload takes.
    pub intent_grace: Duration,
    pub resizing: images::resize_urls::ResizeLimits,
    /// How long a variant is kept that nobody asks for; `None` is for ever.
    pub variant_retention: Option<Duration>,
    /// The life of presigned URLs in image objects.
    pub url_lifetime: Duration,
    /// Presigned URLs in image objects stay the same for this long.
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
            import_created: Notify::new(),
            captions,
            caption_state: jobs::caption_queue::CaptionQueueState::default(),
            stopping: CancellationToken::new(),
        }
    }

    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Waits for the uploads and variants that have begun, writes their statistics, then closes the database.
    pub async fn finish(&self) {
        self.tasks.close();
        self.tasks.wait().await;
        if let Err(error) = self.write_tally().await {
            tracing::warn!("the last statistics could not be written: {}", error::chain(&error));
        }
        self.db.close().await;
    }
}
