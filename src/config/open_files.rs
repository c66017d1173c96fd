//! The limit of open files. Every connection uses one. The default soft limit (usually 1024) is far below the hard limit: it
//! protects programs that use `select`, which this service does not.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::Config;
use crate::objects::embedded;

/// The log, listeners, the lock, and files of the runtime.
const RESERVE: u64 = 64;

/// The SDK's connections to an external S3 server.
const STORAGE_CONNECTIONS: u64 = 256;

/// Raises the limit to the maximum that the process may use and returns it; `None` means no limit.
pub fn raise() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    match setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        Ok(()) => limit.maximum,
        Err(error) => {
            tracing::warn!("the limit of open files could not be raised: {error}");
            limit.current
        }
    }
}

impl Config {
    /// Returns the maximum number of files that are open when all connections are in use.
    pub fn open_files_needed(&self) -> u64 {
        let database = match self.database_url {
            Some(_) => u64::from(self.database_connections),
            // The writer and the readers each open the database, the write-ahead log and its index.
            None => 3 * (1 + u64::from(self.database_connections)),
        };
        let storage = match self.s3_endpoint_url {
            Some(_) => STORAGE_CONNECTIONS,
            // A connection and the object it sends, and an object for each request of this process.
            None => {
                let limits = embedded::Limits::default();
                2 * limits.connections as u64 + limits.own_requests as u64
            }
        };
        // Each connection can have an upload that is spilled to a file.
        let spilled = if self.upload_disk_budget.0 > 0 { self.max_connections as u64 } else { 0 };
        self.max_connections as u64 + spilled + database + storage + RESERVE
    }
}
