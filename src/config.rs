//! The settings. Each is an environment variable and a flag of `serve`; a test generates the table of the README from here.

pub mod access;
pub mod captions;
pub mod environment;
pub mod error;
pub mod imports;
pub mod open_files;
pub mod pages;
pub mod pictures;
pub mod resizing;
pub mod rules;
pub mod units;
pub mod uploads;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use access::AccessConfig;
use captions::CaptionConfig;
pub use error::ConfigError;
use imports::ImportConfig;
use pages::PageConfig;
use pictures::PictureConfig;
use resizing::ResizeConfig;
use units::{Bytes, Heights, Seconds, read_host};
use uploads::UploadConfig;

use crate::http::HttpConfig;
use crate::http::identity::gateway::{Gateway, host_name, is_local};
use crate::http::request::body::{BODY_RATE_GRACE, BodyLimits};
use crate::http::server::ServerLimits;
use crate::imaging;
use crate::service::Limits;
use crate::service::admission::spool::SpoolLimits;
use crate::store::DbConfig;
use crate::store::database::db::Location;

/// All settings, as given.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Settings")]
pub struct Config {
    /// IP address to listen on, or `localhost`.
    #[arg(long, help_heading = "Basics", env = "HOST", default_value = "127.0.0.1", value_parser = read_host)]
    pub host: IpAddr,
    /// Port to listen on. 0 picks a free port, which is printed at startup.
    #[arg(long, help_heading = "Basics", env = "PORT", default_value_t = 8000)]
    pub port: u16,
    /// Directory in which SQLite and the embedded S3 server keep their files.
    #[arg(long, help_heading = "Basics", env = "DATA_DIR", default_value = "./data")]
    pub data_dir: PathBuf,
    /// Base URL at which clients reach the service. Public links start with it. Unset: HOST and PORT, with `localhost` in place
    /// of a loopback or wildcard address.
    #[arg(long, help_heading = "Basics", env = "PUBLIC_URL")]
    pub public_url: Option<String>,
    /// PostgreSQL 14 or newer, as `postgres://user:password@host/database`. It can name several hosts. Unset: SQLite in
    /// DATA_DIR.
    #[arg(long, help_heading = "Database and storage", env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// Maximum number of database connections. Those of all instances together must fit into PostgreSQL's `max_connections`.
    #[arg(long, help_heading = "Database and storage", env = "DATABASE_CONNECTIONS", default_value_t = 20)]
    pub database_connections: u32,
    /// Maximum time in seconds to wait for a database connection, and for each statement.
    #[arg(long, help_heading = "Database and storage", env = "DATABASE_TIMEOUT", default_value_t = Seconds(5))]
    pub database_timeout: Seconds,
    /// Bucket for all objects. It must exist unless S3_CREATE_BUCKET is `true` or the embedded S3 server is used.
    #[arg(long, help_heading = "Database and storage", env = "S3_BUCKET", default_value = "images")]
    pub s3_bucket: String,
    /// Whether to create the bucket if it does not exist.
    #[arg(long, help_heading = "Database and storage", env = "S3_CREATE_BUCKET", default_value_t = false, action = clap::ArgAction::Set)]
    pub s3_create_bucket: bool,
    /// S3 server, as `http(s)://host[:port]`. `aws` selects AWS, at the endpoint that the AWS SDK chooses. Unset: the S3 server
    /// embedded in the process.
    #[arg(long, help_heading = "Database and storage", env = "S3_ENDPOINT_URL")]
    pub s3_endpoint_url: Option<String>,
    /// S3 address to use in presigned URLs, if clients reach the storage at a different address than the service does. Unset: the
    /// address that the service uses.
    #[arg(long, help_heading = "Database and storage", env = "S3_PUBLIC_ENDPOINT_URL")]
    pub s3_public_endpoint_url: Option<String>,
    /// Port of the embedded S3 server on 127.0.0.1. 0 picks a free port, which is printed at startup.
    #[arg(long, help_heading = "Database and storage", env = "S3_EMBEDDED_PORT", default_value_t = 4566)]
    pub s3_embedded_port: u16,
    /// Maximum time in seconds for a storage operation, including retries. Each MiB of the object adds one second.
    #[arg(long, help_heading = "Database and storage", env = "S3_TIMEOUT", default_value_t = Seconds(15))]
    pub s3_timeout: Seconds,
    /// Memory for request bodies: half for those that are arriving, half for those that are being processed.
    #[arg(long, help_heading = "Memory and concurrency", env = "UPLOAD_MEMORY_BUDGET", default_value_t = Bytes(128 << 20))]
    pub upload_memory_budget: Bytes,
    /// Disk space for uploads that arrive while there is no memory for them. 0: uploads wait for memory before they are read.
    #[arg(long, help_heading = "Memory and concurrency", env = "UPLOAD_DISK_BUDGET", default_value_t = Bytes(1 << 30))]
    pub upload_disk_budget: Bytes,
    /// Directory for uploads that are spilled to disk, created when first needed. Unset: `spool` in DATA_DIR.
    #[arg(long, help_heading = "Memory and concurrency", env = "UPLOAD_DISK_DIR")]
    pub upload_disk_dir: Option<PathBuf>,
    /// Memory for decoded images. Images that do not fit wait before they are decoded.
    #[arg(long, help_heading = "Memory and concurrency", env = "DECODE_MEMORY_BUDGET", default_value_t = Bytes(256 << 20))]
    pub decode_memory_budget: Bytes,
    /// Memory for thumbnails and other files that were requested recently. Files above 1/32 of it are not cached. Metadata and JSON
    /// of images take up to 3/8 of it in addition. 0 turns the cache off.
    #[arg(long, help_heading = "Memory and concurrency", env = "CACHE_MEMORY", default_value_t = Bytes(64 << 20))]
    pub cache_memory: Bytes,
    /// Number of images that are decoded at the same time. 0 uses one per processor.
    #[arg(long, help_heading = "Memory and concurrency", env = "DECODE_THREADS", default_value_t = 0)]
    pub decode_threads: usize,
    /// Maximum time in seconds that an upload waits for memory before it is rejected with 503.
    #[arg(long, help_heading = "Memory and concurrency", env = "ADMISSION_TIMEOUT", default_value_t = Seconds(10))]
    pub admission_timeout: Seconds,
    #[command(flatten)]
    pub pictures: PictureConfig,
    /// Maximum number of pixels of an animation (frames × width × height).
    #[arg(long, help_heading = "File limits", env = "MAX_ANIMATION_PIXELS", default_value_t = 200_000_000)]
    pub max_animation_pixels: u64,
    /// Whether originals keep their location metadata. If `false`, GPS and other location metadata is removed before an
    /// original is stored.
    #[arg(long, help_heading = "File limits", env = "KEEP_LOCATION", default_value_t = false, action = clap::ArgAction::Set)]
    pub keep_location: bool,
    /// Whether clients may keep the location metadata of an image by sending `keep_location=true`.
    #[arg(long, help_heading = "File limits", env = "ALLOW_KEEP_LOCATION", default_value_t = false, action = clap::ArgAction::Set)]
    pub allow_keep_location: bool,
    /// Comma-separated heights in pixels of thumbnails to create in addition to `small` and `medium`: up to 8 heights, each
    /// from 16 to 2000. `none` creates no others.
    #[arg(long, help_heading = "Thumbnails and resized images", env = "THUMBNAIL_HEIGHTS", default_value = "200,400")]
    pub thumbnail_heights: Heights,
    #[command(flatten)]
    pub resizing: ResizeConfig,
    /// Minimum lifetime in seconds of the presigned URLs in image objects.
    #[arg(long, help_heading = "Links and caching", env = "URL_LIFETIME", default_value_t = Seconds(3600))]
    pub url_lifetime: Seconds,
    /// Seconds for which the presigned URLs in image objects stay the same, so that the files can be cached.
    #[arg(long, help_heading = "Links and caching", env = "URL_WINDOW", default_value_t = Seconds(900))]
    pub url_window: Seconds,
    /// Seconds for which caches may keep the file behind a public link. A cache that has the file does not notice a deletion.
    #[arg(long, help_heading = "Links and caching", env = "LINK_MAX_AGE", default_value_t = Seconds(31_536_000))]
    pub link_max_age: Seconds,
    #[command(flatten)]
    pub pages: PageConfig,
    #[command(flatten)]
    pub uploads: UploadConfig,
    #[command(flatten)]
    pub imports: ImportConfig,
    #[command(flatten)]
    pub captions: CaptionConfig,
    #[command(flatten)]
    pub access: AccessConfig,
    /// Days for which a deleted image can be restored. After that it is purged; 0 purges it at the next cleanup.
    #[arg(long, help_heading = "Deletion and cleanup", env = "RETENTION_DAYS", default_value_t = 30)]
    pub retention_days: u32,
    /// Minimum time in seconds for which a deleted image is kept, even if its owner's trash is full. The trash holds as many
    /// images and bytes as the owner's plan allows; beyond that, the oldest are purged.
    #[arg(long, help_heading = "Deletion and cleanup", env = "TRASH_MIN_AGE", default_value_t = Seconds(3600))]
    pub trash_min_age: Seconds,
    /// Whether the presigned URLs of an image stop working when its owner deletes it. For this, its objects are copied to new
    /// keys and removed from the old ones. A deletion by an administrator always revokes them.
    #[arg(long, help_heading = "Deletion and cleanup", env = "DELETE_REVOKES_URLS", default_value_t = true, action = clap::ArgAction::Set)]
    pub delete_revokes_urls: bool,
    /// Seconds after which the objects of an unfinished upload are removed. Must exceed the time that any upload can take.
    #[arg(long, help_heading = "Deletion and cleanup", env = "INTENT_GRACE", default_value_t = Seconds(3600))]
    pub intent_grace: Seconds,
    /// Seconds between two cleanups, which purge deleted images and remove objects that are no longer needed.
    #[arg(long, help_heading = "Deletion and cleanup", env = "SWEEP_INTERVAL", default_value_t = Seconds(60))]
    pub sweep_interval: Seconds,
    /// Comma-separated origins whose web pages may use the API. `*` allows any origin. With AUTH_MODE=trusted on a loopback
    /// address, `*` allows only reading: list the origins whose pages may write.
    #[arg(long, help_heading = "Access and accounts", env = "CORS_ORIGINS", value_delimiter = ',')]
    pub cors_origins: Vec<String>,
    /// Maximum number of open connections. The limit on open files (`ulimit -Hn`) must leave room for them.
    #[arg(long, help_heading = "Connections and timeouts", env = "MAX_CONNECTIONS", default_value_t = 1024)]
    pub max_connections: usize,
    /// Maximum number of open connections from one address (for IPv6, a /64 network) that is not in TRUSTED_PROXIES. A further
    /// connection replaces one that is idle or whose client does not read. 0 disables the limit.
    #[arg(long, help_heading = "Connections and timeouts", env = "MAX_CONNECTIONS_PER_ADDRESS", default_value_t = 256)]
    pub max_connections_per_address: usize,
    /// Maximum number of originals and thumbnails that are read from the storage for clients at the same time. Clients that do not read
    /// do not count. At most half may be files of which the client has received less than 1.75 MiB, and at most 6 of those for
    /// one caller.
    #[arg(long, help_heading = "Connections and timeouts", env = "MAX_DOWNLOADS", default_value_t = 128)]
    pub max_downloads: usize,
    /// Port on HOST that serves `/health`, `/ready` and `/metrics`, and nothing else. Unset: PORT serves them.
    #[arg(long, help_heading = "Basics", env = "ADMIN_PORT")]
    pub admin_port: Option<u16>,
    /// Maximum time in seconds to receive the headers of a request, from their first byte or from the opening of the
    /// connection.
    #[arg(long, help_heading = "Connections and timeouts", env = "HEAD_TIMEOUT", default_value_t = Seconds(10))]
    pub head_timeout: Seconds,
    /// Seconds for which a connection stays open without a request. Must exceed the keep-alive timeout of a load balancer in
    /// front (60 at AWS and nginx); otherwise requests arrive on connections that are being closed.
    #[arg(long, help_heading = "Connections and timeouts", env = "KEEP_ALIVE_TIMEOUT", default_value_t = Seconds(75))]
    pub keep_alive_timeout: Seconds,
    /// Maximum pause in seconds within a request or response body.
    #[arg(long, help_heading = "Connections and timeouts", env = "BODY_IDLE_TIMEOUT", default_value_t = Seconds(15))]
    pub body_idle_timeout: Seconds,
    /// Maximum time in seconds to receive a request body. Unset: the time that the largest upload takes at BODY_MIN_RATE, and
    /// at least 120.
    #[arg(long, help_heading = "Connections and timeouts", env = "BODY_TIMEOUT")]
    pub body_timeout: Option<Seconds>,
    /// Minimum average transfer rate in bytes per second, for uploads after 5 seconds and for downloads after 30 seconds. 0
    /// disables the check.
    #[arg(long, help_heading = "Connections and timeouts", env = "BODY_MIN_RATE", default_value_t = Bytes(16 << 10))]
    pub body_min_rate: Bytes,
    /// Maximum time in seconds for requests in flight to finish when the service is stopped.
    #[arg(long, help_heading = "Connections and timeouts", env = "SHUTDOWN_TIMEOUT", default_value_t = Seconds(30))]
    pub shutdown_timeout: Seconds,
    /// Format of log lines.
    #[arg(long, help_heading = "Basics", env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// Log level such as `warn`, or filter directives in the syntax of `EnvFilter` from the `tracing-subscriber` crate.
    #[arg(long, help_heading = "Basics", env = "LOG_LEVEL", default_value = "info")]
    pub log_level: String,
    /// Whether to log the client address of each request, and to record the addresses of failed logins in the audit trail.
    #[arg(long, help_heading = "Basics", env = "LOG_CLIENT_ADDRESS", default_value_t = true, action = clap::ArgAction::Set)]
    pub log_client_address: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

impl Config {
    /// Returns whether DATA_DIR is used.
    pub fn uses_data_dir(&self) -> bool {
        self.database_url.is_none() || self.s3_endpoint_url.is_none()
    }

    /// Returns the files that a service has created in DATA_DIR once it has run.
    pub fn state_files(&self) -> Vec<PathBuf> {
        let database = self.database_file();
        let objects = self.s3_endpoint_url.is_none().then(|| self.objects_dir());
        database.into_iter().chain(objects).collect()
    }

    /// Returns the path of the SQLite file, if SQLite is used.
    pub fn database_file(&self) -> Option<PathBuf> {
        self.database_url.is_none().then(|| self.sqlite_file())
    }

    pub fn objects_dir(&self) -> PathBuf {
        self.data_dir.join("objects")
    }

    fn spool_dir(&self) -> PathBuf {
        self.upload_disk_dir.clone().unwrap_or_else(|| self.data_dir.join("spool"))
    }

    fn sqlite_file(&self) -> PathBuf {
        self.data_dir.join("images.sqlite")
    }

    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.host, self.port)
    }

    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin_port.map(|port| SocketAddr::new(self.host, port))
    }

    pub fn db(&self) -> DbConfig {
        let location = match &self.database_url {
            Some(url) => Location::Postgres(url.clone()),
            None => Location::Sqlite(self.sqlite_file()),
        };
        let timeout = self.database_timeout.duration();
        DbConfig { location, max_connections: self.database_connections, timeout, statement_timeout: timeout }
    }

    pub fn limits(&self) -> Limits {
        let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Limits {
            imaging: imaging::Limits {
                max_frame_pixels: self.max_animation_pixels,
                thumbnail_heights: self.thumbnail_heights.0.clone(),
                keep_location: self.keep_location,
                ..self.pictures.limits()
            },
            allow_keep_location: self.allow_keep_location,
            min_file_bytes: self.pictures.min_file_size.0,
            max_file_bytes: self.pictures.max_file_size.0,
            upload_memory_bytes: self.upload_memory_budget.0,
            spooling: SpoolLimits { disk_bytes: self.upload_disk_budget.0, directory: self.spool_dir() },
            decode_memory_bytes: self.decode_memory_budget.0,
            decode_threads: if self.decode_threads == 0 { cores() } else { self.decode_threads },
            admission_wait: self.admission_timeout.duration(),
            max_downloads: self.max_downloads,
            cache_bytes: self.cache_memory.0,
            min_bytes_per_second: self.body_min_rate.0,
            retention: days(self.retention_days),
            trash_min_age: self.trash_min_age.duration(),
            delete_revokes_urls: self.delete_revokes_urls,
            longest_upload: self.longest_upload(),
            resizing: self.resizing.limits(),
            adoption_sources: self.uploads.adopt_sources(&self.s3_bucket),
            drafts: self.uploads.draft_limits(self.pictures.max_file_size.0),
            imports: self.imports.limits(),
            captions: self.captions.limits(),
            jwt_secrets: self.access.jwt_secret.clone(),
            rates: self.access.rates(),
            keep_client_addresses: self.log_client_address,
            session_max_age: days(self.access.session_max_days),
            variant_retention: (self.resizing.variant_retention_days > 0).then(|| days(self.resizing.variant_retention_days)),
            intent_grace: self.intent_grace.duration(),
            url_lifetime: self.url_lifetime.duration(),
            url_window: self.url_window.duration(),
        }
    }

    /// Returns the settings of the HTTP layer. `address` is the address that the service listens on.
    pub fn http(&self, address: SocketAddr) -> HttpConfig {
        let body = BodyLimits {
            fields_bytes: FIELDS_BYTES,
            drain_bytes: DRAIN_BYTES.max(3 * self.pictures.max_file_size.0),
            idle_timeout: self.body_idle_timeout.duration(),
            total_timeout: self.longest_body(),
            min_bytes_per_second: self.body_min_rate.0,
        };
        HttpConfig {
            cors_origins: self.cors_origins.clone(),
            body,
            public_url: self.public_url.clone(),
            link_base: self.link_base(address),
            link_max_age_seconds: self.link_max_age.0,
            gateway: Gateway {
                mode: self.access.mode(),
                on_loopback: address.ip().is_loopback(),
                proxies: self.access.proxies(),
                public_host: self.public_host(),
                origins: self.cors_origins.clone(),
            },
            has_admin_port: self.admin_port.is_some(),
            log_client_address: self.log_client_address,
            sends_104: self.uploads.send_104_responses,
            serves_pages: self.pages.pages,
            noindex: self.pages.noindex,
        }
    }

    /// Returns the time limit for a body: long enough for the largest upload at the minimum rate.
    fn longest_body(&self) -> Duration {
        if let Some(timeout) = self.body_timeout {
            return timeout.duration();
        }
        let largest_upload = self.limits().max_file_bytes + FIELDS_BYTES;
        match largest_upload.checked_div(self.body_min_rate.0) {
            Some(seconds) => MIN_BODY_TIME.max(BODY_RATE_GRACE + Duration::from_secs(seconds + 1)),
            None => MAX_BODY_TIME,
        }
    }

    /// Returns the base of public links, without a trailing slash.
    fn link_base(&self, address: SocketAddr) -> String {
        match &self.public_url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None if address.ip().is_loopback() || address.ip().is_unspecified() => format!("http://localhost:{}", address.port()),
            None => format!("http://{address}"),
        }
    }

    fn public_host(&self) -> Option<String> {
        let url = self.public_url.as_deref()?.parse::<http::Uri>().ok()?;
        host_name(url.authority()?.as_str())
    }

    /// Returns whether PUBLIC_URL refers to the machine of the client itself.
    fn is_public_url_local(&self) -> bool {
        self.public_host().is_some_and(|host| is_local(&host))
    }

    pub fn server(&self) -> ServerLimits {
        ServerLimits {
            max_connections: self.max_connections,
            max_per_address: self.max_connections_per_address,
            proxies: self.access.proxies(),
            head_timeout: self.head_timeout.duration(),
            keep_alive_timeout: self.keep_alive_timeout.duration(),
            write_timeout: self.body_idle_timeout.duration(),
            shutdown_timeout: self.shutdown_timeout.duration(),
        }
    }
}

/// Allowance for an upload's other fields and the multipart framing.
const FIELDS_BYTES: u64 = 64 * 1024;
/// Minimum number of bytes that are read of a rejected body, so that the client receives the response; more than most size
/// mistakes.
const DRAIN_BYTES: u64 = 32 << 20;

/// Time limit for a body if nothing requires more, and if any rate is accepted.
const MIN_BODY_TIME: Duration = Duration::from_secs(120);
const MAX_BODY_TIME: Duration = Duration::from_secs(3600);

fn days(number: u32) -> Duration {
    Duration::from_secs(u64::from(number) * 86_400)
}

#[cfg(test)]
mod tests;
