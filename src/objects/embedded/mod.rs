//! The S3 server inside the process: what answers when no other S3 is configured.
//!
//! It serves one bucket from a directory, over plain HTTP, with the operations that this product uses and
//! S3's own rules for them: SigV4 and presigned URLs, conditional writes, checksums, ranges. What it has
//! acknowledged is on the disk: file and directory are synced before the answer.
//!
//! | file | owns |
//! |---|---|
//! | `server`, `door`, `body`, `pace` | connections, what is refused or added around S3, bounds on slow and big bodies |
//! | `api`, `read`, `write`, `copy`, `list`, `checksums` | the operations, from S3's types to the storage's |
//! | `storage`, `draft`, `object`, `trailer`, `index`, `disk` | the directory: writing, reading, the file format |
//! | `credentials` | the key pair, made on the first start |
//!
//! It listens twice: where clients with presigned URLs come, and on a port that only this process is told of. So clients that hold all
//! their connections and read nothing take none from uploads, deletions and `/ready`.
//!
//! It must never build a path from a key, answer before a sync, or serve bytes whose checksum it has not seen.
//! Pitfall: `s3s` logs every refused request as an error and, at debug level, whole requests with their
//! signatures; the process's log filter should say `s3s=off`. What is worth a line is logged here.

mod api;
mod body;
mod checksums;
mod copy;
mod credentials;
mod disk;
mod door;
mod draft;
mod index;
mod list;
mod object;
mod pace;
mod read;
mod server;
mod storage;
mod trailer;
mod write;

#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use self::credentials::Credentials;
use self::server::Server;
use self::storage::Storage;

/// A running server. Dropping it stops it at once; [`Embedded::shutdown`] lets requests finish.
pub struct Embedded {
    /// Where it listens for clients: the configured address, with the real port where that was 0.
    pub address: SocketAddr,
    /// Where it listens for this process, on a port that nobody else is told of.
    pub own_address: SocketAddr,
    /// The only key pair that it accepts; the same again at the next start.
    pub credentials: Credentials,
    server: Server,
    own_server: Server,
}

/// What the server needs to know.
#[derive(Debug, Clone)]
pub struct EmbeddedConfig {
    /// The server's own directory; made if absent. One process at a time may use it.
    pub directory: PathBuf,
    /// The address to listen on; port 0 means any free one.
    pub address: SocketAddr,
    /// The one bucket that exists. Another name later means another, empty bucket; the old one's files stay.
    pub bucket: String,
    /// Whether pages of any origin may read through presigned URLs (GET and HEAD; never writes).
    pub cors: bool,
    /// The bounds on what clients may ask for.
    pub limits: Limits,
}

/// Bounds on what clients may ask for.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The largest object, in bytes.
    pub object_bytes: u64,
    /// Clients' connections served at a time; further ones wait in the kernel's queue.
    pub connections: usize,
    /// As many again for this process.
    pub own_connections: usize,
    /// How long a connection may take over a request's head, which is also how long an unused one stays open.
    pub header_timeout: Duration,
    /// How long a body may stand still, in either direction.
    pub idle_timeout: Duration,
    /// What a client must take of an answer, once it has been waited for for 30 seconds; 0 is any.
    pub min_bytes_per_second: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            object_bytes: 64 * 1024 * 1024,
            // Each needs two file descriptors, and this process's own a third; 1024 is a common limit for a process.
            connections: 192,
            own_connections: 256,
            header_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(30),
            min_bytes_per_second: 16 << 10,
        }
    }
}

impl EmbeddedConfig {
    /// A configuration with CORS on and the default [`Limits`].
    pub fn new(directory: impl Into<PathBuf>, address: SocketAddr, bucket: impl Into<String>) -> Self {
        Self { directory: directory.into(), address, bucket: bucket.into(), cors: true, limits: Limits::default() }
    }
}

impl Embedded {
    /// Locks and prepares the directory, reads or makes the credentials, and serves on a task of its own.
    ///
    /// # Errors
    /// See [`Error`]; nothing is left running then.
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
        let own = SocketAddr::new(config.address.ip(), 0);
        let own_server = Server::start(&config, own, config.limits.own_connections, Arc::clone(&storage), &credentials).await?;
        let server = Server::start(&config, config.address, config.limits.connections, storage, &credentials).await?;
        Ok(Self { address: server.address(), own_address: own_server.address(), credentials, server, own_server })
    }

    /// Accepts nothing more, lets requests that have begun finish for at most `grace`, and cuts the rest off.
    ///
    /// An upload that is cut off leaves nothing. The directory is unlocked when this returns, except while
    /// a write that had reached the disk by then is still being synced.
    pub async fn shutdown(self, grace: Duration) {
        tokio::join!(self.server.shutdown(grace), self.own_server.shutdown(grace));
    }
}

/// Why the server could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{} is in use by another process", directory.display())]
    DirectoryLocked { directory: PathBuf },
    #[error("cannot listen on {address}: the address is in use")]
    AddressInUse { address: SocketAddr },
    #[error("cannot listen on {address}")]
    Listen {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("{bucket:?} cannot be a bucket's name: 3 to 63 lower-case letters, digits, dots and hyphens")]
    BucketName { bucket: String },
    #[error("{} does not hold an access key and its secret; restore it, or remove it to have a new one made", path.display())]
    Credentials { path: PathBuf },
    #[error("{}", path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}
