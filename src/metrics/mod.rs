//! The service's metrics, in the OpenMetrics text format for Prometheus.
//!
//! Each service has its own registry, so that two services in one process do not mix. Labels must have few values:
//! the route template, never the path.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// The `Content-Type` of the text from [`Metrics::render`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics. The code that does the work updates them.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Family<RouteLabels, Histogram, fn() -> Histogram>,
    pub requests_in_flight: Gauge,
    callers: Family<CallerLabels, Counter>,
    uploads: Family<UploadLabels, Counter>,
    stage_seconds: Family<StageLabels, Histogram, fn() -> Histogram>,
    variants: Family<ResultLabels, Counter>,
    variant_seconds: Histogram,
    pub upload_memory_in_use_bytes: Gauge,
    pub upload_memory_budget_bytes: Gauge,
    pub receiving_memory_in_use_bytes: Gauge,
    pub receiving_memory_budget_bytes: Gauge,
    pub upload_disk_in_use_bytes: Gauge,
    pub upload_disk_budget_bytes: Gauge,
    pub spilled_uploads: Counter,
    /// Pieces of resumable uploads that were stored, and requests for the offset of one that is open.
    pub upload_pieces: Counter,
    pub upload_resumes: Counter,
    pub decode_memory_in_use_bytes: Gauge,
    pub decode_memory_budget_bytes: Gauge,
    pub cache_in_use_bytes: Gauge,
    pub cache_max_bytes: Gauge,
    cache_hits: Counter,
    cache_misses: Counter,
    pub database_connections: Family<StateLabels, Gauge>,
    pub intents: Family<StateLabels, Gauge>,
    pub import_queue: Family<StateLabels, Gauge>,
    pub import_oldest_waiting_seconds: Gauge<f64, AtomicU64>,
    import_items: Family<ResultLabels, Counter>,
    fetches: Family<ResultLabels, Counter>,
    pub import_retries: Counter,
    /// Objects of live images that are missing from the storage.
    pub lost_objects: Counter,
    captions: Family<ResultLabels, Counter>,
    caption_seconds: Histogram,
    pub caption_queue: Gauge,
    sweeps: Family<StepLabels, Counter>,
    pub sweeper_last_success_seconds: Gauge<f64, AtomicU64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: String,
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    method: String,
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallerLabels {
    class: &'static str,
    proof: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UploadLabels {
    method: &'static str,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabels {
    stage: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StateLabels {
    pub state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StepLabels {
    step: &'static str,
    result: &'static str,
}

impl Metrics {
    pub fn new(database: &'static str) -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("image_service"),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(request_histogram),
            requests_in_flight: Gauge::default(),
            callers: Family::default(),
            uploads: Family::default(),
            stage_seconds: Family::new_with_constructor(stage_histogram),
            variants: Family::default(),
            variant_seconds: stage_histogram(),
            upload_memory_in_use_bytes: Gauge::default(),
            upload_memory_budget_bytes: Gauge::default(),
            receiving_memory_in_use_bytes: Gauge::default(),
            receiving_memory_budget_bytes: Gauge::default(),
            upload_disk_in_use_bytes: Gauge::default(),
            upload_disk_budget_bytes: Gauge::default(),
            spilled_uploads: Counter::default(),
            upload_pieces: Counter::default(),
            upload_resumes: Counter::default(),
            decode_memory_in_use_bytes: Gauge::default(),
            decode_memory_budget_bytes: Gauge::default(),
            cache_in_use_bytes: Gauge::default(),
            cache_max_bytes: Gauge::default(),
            cache_hits: Counter::default(),
            cache_misses: Counter::default(),
            database_connections: Family::default(),
            intents: Family::default(),
            import_queue: Family::default(),
            import_oldest_waiting_seconds: Gauge::default(),
            import_items: Family::default(),
            fetches: Family::default(),
            import_retries: Counter::default(),
            lost_objects: Counter::default(),
            captions: Family::default(),
            caption_seconds: caption_histogram(),
            caption_queue: Gauge::default(),
            sweeps: Family::default(),
            sweeper_last_success_seconds: Gauge::default(),
        };
        metrics.register(database);
        metrics
    }

    fn register(&mut self, database: &'static str) {
        let info =
            prometheus_client::metrics::info::Info::new(vec![("version", env!("CARGO_PKG_VERSION")), ("database", database)]);
        let registry = &mut self.registry;
        registry.register("build", "Version and database of this process", info);
        registry.register("http_requests", "Completed requests, by method, route and status", self.requests.clone());
        registry.register_with_unit(
            "http_request_duration",
            "Time from the request head to the response head",
            Unit::Seconds,
            self.request_seconds.clone(),
        );
        registry.register("http_requests_in_flight", "Requests in progress", self.requests_in_flight.clone());
        registry.register(
            "callers",
            "Accepted requests, by rate limit class and by how the caller authenticated",
            self.callers.clone(),
        );
        registry.register(
            "uploads",
            "Uploads by method and result: stored, replayed, or the reason for the refusal",
            self.uploads.clone(),
        );
        registry.register_with_unit(
            "upload_stage_duration",
            "Duration of each stage of an upload, including waiting",
            Unit::Seconds,
            self.stage_seconds.clone(),
        );
        registry.register("variants", "Requests for resized images by result: hit, made, waited, failed", self.variants.clone());
        registry.register_with_unit(
            "variant_making_duration",
            "Time to create a resized image, including waiting",
            Unit::Seconds,
            self.variant_seconds.clone(),
        );
        for (name, help, gauge) in [
            ("upload_memory_in_use", "Memory reserved for request bodies", &self.upload_memory_in_use_bytes),
            ("upload_memory_budget", "Memory budget for request bodies", &self.upload_memory_budget_bytes),
            ("receiving_memory_in_use", "Memory reserved for bodies being received", &self.receiving_memory_in_use_bytes),
            ("receiving_memory_budget", "Memory budget for bodies being received", &self.receiving_memory_budget_bytes),
            ("upload_disk_in_use", "Disk space reserved for spilled uploads", &self.upload_disk_in_use_bytes),
            ("upload_disk_budget", "Disk space budget for spilled uploads", &self.upload_disk_budget_bytes),
            ("decode_memory_in_use", "Memory reserved for decoding", &self.decode_memory_in_use_bytes),
            ("decode_memory_budget", "Memory budget for decoding", &self.decode_memory_budget_bytes),
            ("cache_in_use", "Memory of cached files", &self.cache_in_use_bytes),
            ("cache_max", "Maximum memory for cached files", &self.cache_max_bytes),
        ] {
            registry.register_with_unit(name, help, Unit::Bytes, gauge.clone());
        }
        registry.register("cache_hits", "Files that were sent from the cache", self.cache_hits.clone());
        registry.register("cache_misses", "Files that were not in the cache", self.cache_misses.clone());
        registry.register("upload_pieces", "Pieces of resumable uploads that were stored", self.upload_pieces.clone());
        registry.register("upload_resumes", "Requests for the offset of an open resumable upload", self.upload_resumes.clone());
        registry.register("spilled_uploads", "Uploads spilled to disk", self.spilled_uploads.clone());
        registry.register(
            "database_connections",
            "Database connections in the pool, by state",
            self.database_connections.clone(),
        );
        registry.register("intents", "Intents (rows that announce objects before they exist), by state", self.intents.clone());
        registry.register("import_queue_items", "Import items of all instances, by state", self.import_queue.clone());
        registry.register_with_unit(
            "import_oldest_waiting",
            "Time that the oldest import item has waited",
            Unit::Seconds,
            self.import_oldest_waiting_seconds.clone(),
        );
        registry.register("import_items", "Import items by result: complete, failed, cancelled", self.import_items.clone());
        registry.register(
            "import_fetches",
            "Fetches of import items by result: fetched, or the reason for the failure",
            self.fetches.clone(),
        );
        registry.register("import_retries", "Import items scheduled for a retry", self.import_retries.clone());
        registry.register(
            "lost_objects",
            "Requested objects of images that are missing from the storage",
            self.lost_objects.clone(),
        );
        registry.register("captions", "Captions by result: ready, failed, retried, unable", self.captions.clone());
        registry.register_with_unit(
            "caption_making_duration",
            "Time from a caption's claim to its text, including reading the image",
            Unit::Seconds,
            self.caption_seconds.clone(),
        );
        registry.register("caption_queue_items", "Images of all instances that wait for a caption", self.caption_queue.clone());
        registry.register("sweeper_steps", "Sweeper steps, by step and result", self.sweeps.clone());
        registry.register_with_unit(
            "sweeper_last_success_timestamp",
            "Time when the sweeper last had nothing left to do",
            Unit::Seconds,
            self.sweeper_last_success_seconds.clone(),
        );
    }

    pub fn count_request(&self, method: &str, route: &str, status: u16, duration: Duration) {
        let route = RouteLabels { method: method.to_owned(), route: route.to_owned() };
        self.request_seconds.get_or_create(&route).observe(duration.as_secs_f64());
        let RouteLabels { method, route } = route;
        self.requests.get_or_create(&RequestLabels { method, route, status }).inc();
    }

    /// Counts a request by its rate limit class and by how the caller authenticated.
    pub fn count_caller(&self, class: &'static str, proof: &'static str) {
        self.callers.get_or_create(&CallerLabels { class, proof }).inc();
    }

    pub fn count_upload(&self, method: &'static str, result: &'static str) {
        self.uploads.get_or_create(&UploadLabels { method, result }).inc();
    }

    pub fn observe_stage(&self, stage: &'static str, duration: Duration) {
        self.stage_seconds.get_or_create(&StageLabels { stage }).observe(duration.as_secs_f64());
    }

    pub fn count_variant(&self, result: &'static str) {
        self.variants.get_or_create(&ResultLabels { result }).inc();
    }

    pub fn observe_variant(&self, duration: Duration) {
        self.variant_seconds.observe(duration.as_secs_f64());
    }

    pub fn count_import_items(&self, result: &'static str, items: u64) {
        if items > 0 {
            self.import_items.get_or_create(&ResultLabels { result }).inc_by(items);
        }
    }

    pub fn count_fetch(&self, result: &'static str) {
        self.fetches.get_or_create(&ResultLabels { result }).inc();
    }

    pub fn count_caption(&self, result: &'static str) {
        self.captions.get_or_create(&ResultLabels { result }).inc();
    }

    pub fn observe_caption(&self, duration: Duration) {
        self.caption_seconds.observe(duration.as_secs_f64());
    }

    pub fn count_sweep(&self, step: &'static str, result: &'static str) {
        self.sweeps.get_or_create(&StepLabels { step, result }).inc();
    }

    /// Sets the counters of the cache, which counts by itself.
    pub fn set_cache_counts(&self, hits: u64, misses: u64) {
        self.cache_hits.inner().store(hits, Ordering::Relaxed);
        self.cache_misses.inner().store(misses, Ordering::Relaxed);
    }

    pub fn set_state(family: &Family<StateLabels, Gauge>, state: &'static str, value: i64) {
        family.get_or_create(&StateLabels { state }).set(value);
    }

    /// Renders all metrics in the OpenMetrics text format.
    pub fn render(&self) -> String {
        let mut rendered = String::new();
        // Writing into a string cannot fail.
        if text::encode(&mut rendered, &self.registry).is_err() {
            rendered.clear();
        }
        rendered
    }
}

/// 1 ms to 16 s.
fn request_histogram() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 15))
}

/// 50 ms to 100 s.
fn caption_histogram() -> Histogram {
    Histogram::new(exponential_buckets(0.05, 2.0, 12))
}

/// 0.1 ms to 13 s.
fn stage_histogram() -> Histogram {
    Histogram::new(exponential_buckets(0.0001, 3.0, 12))
}
