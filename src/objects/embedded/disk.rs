//! Durable changes to files and directories.
//!
//! A new or renamed file is durable only after a sync of its directory; a sync of the file is not enough.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::Error;

/// Creates a directory and its missing parents with mode 0700, durably.
pub(super) fn create_directory(path: &Path) -> Result<(), Error> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        create_directory(parent)?;
    }
    create_missing(path).map_err(at(path))?;
    let parent = parent_of(path);
    sync_directory(&parent).map_err(at(&parent))
}

/// Replaces a small file atomically: after a crash it has either the old or the new content.
pub(super) fn replace_file(path: &Path, content: &[u8]) -> Result<(), Error> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    match std::fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(&temporary)(error)),
        _ => {}
    }
    let mut file = create_new(&temporary).map_err(at(&temporary))?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(at(&temporary))?;
    std::fs::rename(&temporary, path).map_err(at(path))?;
    let parent = parent_of(path);
    sync_directory(&parent).map_err(at(&parent))
}

/// Creates a directory with mode 0700, not durably. Returns whether it did not exist.
pub(super) fn create_missing(path: &Path) -> io::Result<bool> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// Opens a file for writing, and creates it with mode 0600 if it does not exist.
pub(super) fn open_or_create(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)
}

/// Creates a file with mode 0600. Fails if it exists.
pub(super) fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
}

/// Makes new, renamed and removed entries of a directory durable.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Adds the path to an I/O error.
pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { path, source }
}

fn parent_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}
