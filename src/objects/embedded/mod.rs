//! The embedded S3 server, for deployments without another S3 server.
//!
//! It serves one bucket from a directory over plain HTTP. It implements the operations that this service uses with S3's rules for
//! them: SigV4, presigned URLs and forms, conditional writes, checksums, ranges. Every acknowledged write is durable: file and directory
//! are synced before the response.
//!
//! | file | owns |
//! |---|---|
//! | `server`, `request_filter`, `body`, `min_rate` | connections, checks and headers around S3, limits for slow or large bodies |
//! | `in_process` | this process's own requests |
//! | `api`, `read`, `write`, `receive`, `copy`, `list`, `checksums`, `blocking` | the operations: from S3's types to the storage's |
//! | `post_object`, `post_form`, `post_signature`, `post_policy`, `post_response` | uploads by HTML forms, without `s3s` |
//! | `storage`, `upload_file`, `object`, `trailer`, `index`, `disk`, `storage_error` | the directory and the file format |
//! | `credentials` | the key pair, generated on the first start |
//!
//! It listens for clients with presigned URLs. This process calls it without a connection, so clients that occupy all connections
//! without reading cannot block uploads, deletions or `/ready`.
//!
//! It must never build a path from a key, respond before a sync, or serve bytes whose checksum it has not verified.
//! Pitfall: `s3s` logs every refused request as an error and, at debug level, whole requests with their
//! signatures, so the process's log filter should contain `s3s=off`. This module logs what operators need.

mod api;
mod block_buffer;
mod blocking;
mod body;
mod checksums;
mod copy;
mod credentials;
mod disk;
mod in_process;
mod index;
mod list;
mod min_rate;
mod object;
mod page_cache;
mod post_form;
mod post_object;
mod post_policy;
mod post_response;
mod post_signature;
mod read;
mod receive;
mod request_filter;
mod server;
mod storage;
mod storage_error;
mod trailer;
mod upload_file;
mod write;

#[cfg(test)]
mod post_tests;
#[cfg(test)]
mod post_transfer_tests;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::config::SharedHttpClient;
use s3s::service::S3Service;

pub use self::credentials::Credentials;
use self::server::Server;
use self::storage::Storage;

/// A running server. Dropping it aborts all requests; [`Embedded::shutdown`] lets them finish.
pub struct Embedded {
    /// The public address: the configured one, with the actual port if that was 0.
    pub address: SocketAddr,
    /// The only key pair that the server accepts. It stays the same across restarts.
    pub credentials: Credentials,
    /// The HTTP client for this process's own requests.
    pub client: SharedHttpClient,
    server: Server,
    /// Serves `client` for as long as this exists.
    _own_requests: Arc<S3Service>,
}

/// Configuration of the server.
#[derive(Debug, Clone)]
pub struct EmbeddedConfig {
    /// The server's own directory, created if missing. Only one process at a time can use it.
    pub directory: PathBuf,
    /// The public address to listen on; port 0 selects any free port.
    pub address: SocketAddr,
    /// The only bucket. A new name creates another, empty bucket; the files of the old one stay.
    pub bucket: String,
    /// Whether pages of any origin may read and upload through presigned URLs and forms.
    pub cors: bool,
    /// Limits for requests and connections.
    pub limits: Limits,
}

/// Limits for requests and connections.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The size of the largest object in bytes.
    pub object_bytes: u64,
    /// Maximum number of public connections; further ones wait in the kernel's queue.
    pub connections: usize,
    /// Maximum number of this process's own requests; further ones wait.
    pub own_requests: usize,
    /// The time limit for a request's head. Idle keep-alive connections are closed after this time too.
    pub header_timeout: Duration,
    /// The time limit for each pause within a body, in either direction.
    pub idle_timeout: Duration,
    /// The time limit for a whole request body.
    pub body_timeout: Duration,
    /// The minimum rate at which a client must read, enforced after the server has waited 30 seconds for it; 0 for no minimum.
    pub min_bytes_per_second: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            object_bytes: 64 * 1024 * 1024,
            // A connection needs two file descriptors, an own request one; 1024 is a common limit for a process.
            connections: 192,
            own_requests: 256,
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(1800),
            idle_timeout: Duration::from_secs(30),
            min_bytes_per_second: 16 << 10,
        }
    }
}

impl EmbeddedConfig {
    /// Returns a configuration with CORS enabled and the default [`Limits`].
    pub fn new(directory: impl Into<PathBuf>, address: SocketAddr, bucket: impl Into<String>) -> Self {
        Self { directory: directory.into(), address, bucket: bucket.into(), cors: true, limits: Limits::default() }
    }
}

impl Embedded {
    /// Locks and prepares the directory, reads or generates the credentials, and starts serving on background tasks.
    ///
    /// # Errors
    /// See [`Error`]. After an error nothing keeps running.
    pub async fn start(config: EmbeddedConfig) -> Result<Self, Error> {
        if !s3s::path::check_bucket_name(&config.bucket) {
            return Err(Error::BucketName { bucket: config.bucket });
        }
        let (directory, bucket) = (config.directory.clone(), config.bucket.clone());
        let prepared = tokio::task::spawn_blocking(move || {
            let storage = Storage::open(&directory, &bucket)?;
            let credentials = Credentials::load_or_create(&directory)?;
            Ok::<_, Error>((Arc::new(storage), credentials))
        });
        let (storage, credentials) = prepared
            .await
            .map_err(|panicked| Error::Io { path: config.directory.clone(), source: io::Error::other(panicked) })??;
        let post_object = server::post_object(&config, Arc::clone(&storage), &credentials);
        let s3 = Arc::new(server::s3_service(&config, storage, &credentials));
        let client = in_process::client(&s3, config.limits.own_requests);
        let server = Server::start(&config, S3Service::clone(&s3), post_object).await?;
        Ok(Self { address: server.address(), credentials, client, server, _own_requests: s3 })
    }

    /// Stops accepting connections, waits at most `grace` for open requests, and aborts the rest.
    ///
    /// An aborted upload leaves nothing behind. The directory is unlocked when this returns, unless a write that has reached the
    /// disk is still being synced.
    pub async fn shutdown(self, grace: Duration) {
        self.server.shutdown(grace).await;
    }
}

/// Why the server could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{} is in use by another process", directory.display())]
    DirectoryLocked { directory: PathBuf },
    #[error("cannot listen on {address} (S3_EMBEDDED_PORT): the address is in use")]
    AddressInUse { address: SocketAddr },
    #[error("cannot listen on {address} (S3_EMBEDDED_PORT)")]
    Listen {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("{bucket:?} is not a valid bucket name: use 3 to 63 lower-case letters, digits, dots and hyphens")]
    BucketName { bucket: String },
    #[error(
        "{} does not contain an access key and its secret; restore the file, or delete it to generate a new key pair",
        path.display()
    )]
    Credentials { path: PathBuf },
    #[error("{}", path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}
