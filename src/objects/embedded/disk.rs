//! Files and directories that outlive a power cut: the few steps that the rest builds on.
//!
//! A rename or a new name is on the disk only when its directory has been synced, not when the file has.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::Error;

/// Makes a directory and those above it, private to the user, each one's name synced.
pub(super) fn make_directory(path: &Path) -> Result<(), Error> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        make_directory(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(at(path)(error)),
        _ => {}
    }
    let parent = parent_of(path);
    sync_directory(&parent).map_err(at(&parent))
}

/// Writes a small file so that it has either the old content or the new, whatever happens.
pub(super) fn replace_file(path: &Path, content: &[u8]) -> Result<(), Error> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(".new");
    let draft = PathBuf::from(draft);
    match std::fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(&draft)(error)),
        _ => {}
    }
    let mut file = create_new(&draft).map_err(at(&draft))?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(at(&draft))?;
    std::fs::rename(&draft, path).map_err(at(path))?;
    let parent = parent_of(path);
    sync_directory(&parent).map_err(at(&parent))
}

/// Creates a file that must not exist yet, readable and writable by the user alone.
pub(super) fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
}

/// Puts a directory's names on the disk.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Names the path in an error.
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
