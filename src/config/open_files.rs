//! The limit of open files. Every connection is one, and what a process may open at first (1024, as a rule) is far less
//! than what it may ask for: the low number protects programs that use `select`, which this one does not.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::Config;
use crate::objects::embedded;

/// The log, listeners, the lock, files of the runtime.
const RESERVE: u64 = 64;

/// Connections of the SDK to an S3 server elsewhere.
const STORAGE_CONNECTIONS: u64 = 256;

/// Raises the limit as far as the process may, and returns it; `None` is no limit.
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
    /// The most files that are open at once when all connections are in use.
    pub fn open_files_needed(&self) -> u64 {
        let database = match self.database_url {
            Some(_) => u64::from(self.database_connections),
            // The writer and the readers each open the database, its log and the log's index.
            None => 3 * (1 + u64::from(self.database_connections)),
        };
        let storage = match self.s3_endpoint_url {
            Some(_) => STORAGE_CONNECTIONS,
            // Each connection, the object's file, and the SDK's end of those that are this process's own.
            None => {
                let limits = embedded::Limits::default();
                2 * limits.connections as u64 + 3 * limits.internal_connections as u64
            }
        };
        // Each connection can bring an upload that is spilled to a file.
        let spilled = if self.upload_disk_budget.0 > 0 { self.max_connections as u64 } else { 0 };
        self.max_connections as u64 + spilled + database + storage + RESERVE
    }
}
