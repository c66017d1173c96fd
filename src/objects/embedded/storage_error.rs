//! The errors of the storage and of the files below it.

use std::io;
use std::path::{Path, PathBuf};

/// Why an operation on the storage failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum StorageError {
    #[error("{}", path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// `reason` completes "the file has …".
    #[error("{} is damaged: it has {reason}", path.display())]
    Damaged { path: PathBuf, reason: &'static str },
}

impl StorageError {
    /// Adds the path to an I/O error.
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        |source| Self::Io { path: path.to_owned(), source }
    }

    /// Whether a read from the page cache failed because something is not there.
    pub(super) fn is_not_cached(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::WouldBlock)
    }
}
