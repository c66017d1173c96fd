//! DATA_DIR: used by one process at a time, and readable only by its owner. Its database contains password hashes and the key
//! that signs access tokens.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::config::Config;

/// Suffixes of the files that SQLite writes: the database and the files beside it, which get its mode.
const DATABASE_SUFFIXES: [&str; 3] = ["", "-wal", "-shm"];

const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// Why DATA_DIR cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    #[error("invalid DATA_DIR: another process is using {}", .0.display())]
    InUse(PathBuf),
    #[error("invalid DATA_DIR: {}", .0.display())]
    Io(PathBuf, #[source] io::Error),
}

/// Creates the directory, restricts it to its owner, and locks it. Two processes would both assume that they are the only writer.
///
/// # Errors
/// Another process holds the lock, or the directory is not writable.
pub fn lock(path: &Path) -> Result<File, DataDirError> {
    let failed = |error| DataDirError::Io(path.to_owned(), error);
    DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(path).map_err(failed)?;
    restrict_permissions(path, DIRECTORY_MODE);
    let lock_path = path.join("lock");
    let lock = create(&lock_path).map_err(failed)?;
    restrict_permissions(&lock_path, FILE_MODE);
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(DataDirError::InUse(path.to_owned())),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// Creates the SQLite file, if it is missing, and restricts it to its owner.
///
/// # Errors
/// The directory is not writable.
pub fn prepare_database(path: &Path) -> Result<(), DataDirError> {
    create(path).map_err(|error| DataDirError::Io(path.to_owned(), error))?;
    for suffix in DATABASE_SUFFIXES {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        restrict_permissions(&PathBuf::from(name), FILE_MODE);
    }
    Ok(())
}

/// Restricts the directory of the embedded S3 server, and the files in it that are not objects, to their owner.
pub fn restrict_objects(directory: &Path) {
    restrict_permissions(directory, DIRECTORY_MODE);
    for name in ["lock", "credentials.json"] {
        restrict_permissions(&directory.join(name), FILE_MODE);
    }
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(false).write(true).mode(FILE_MODE).open(path)
}

/// Removes permissions of other users that an earlier version or a copy has granted. A volume that belongs to another user stays
/// unchanged.
fn restrict_permissions(path: &Path, allowed: u32) {
    let Ok(found) = fs::metadata(path) else { return };
    let mode = found.permissions().mode() & 0o777;
    if mode & !allowed == 0 {
        return;
    }
    let restricted = mode & allowed;
    let (path_text, mode_text) = (path.display(), format!("{mode:o}"));
    match fs::set_permissions(path, Permissions::from_mode(restricted)) {
        Ok(()) => {
            tracing::warn!(path = %path_text, mode = mode_text, "other users could read this path: changed its mode to {restricted:o}");
        }
        Err(error) => {
            tracing::warn!(path = %path_text, mode = mode_text, "other users can read this path: cannot change its mode: {error}");
        }
    }
}

/// The database that a command has used. `Display` is a sentence for the user: a command that runs in another directory than the
/// service uses another database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UsedDatabase {
    Postgres,
    Sqlite { path: PathBuf, is_new: bool },
}

impl UsedDatabase {
    /// Returns the database in use. Must be called before it is opened, which creates the file.
    pub fn of(config: &Config) -> Self {
        match config.database_file() {
            None => Self::Postgres,
            Some(path) => Self::Sqlite { is_new: !path.exists(), path: std::path::absolute(&path).unwrap_or(path) },
        }
    }
}

impl fmt::Display for UsedDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postgres => f.write_str("The database is the one in DATABASE_URL."),
            Self::Sqlite { path, is_new: false } => write!(f, "The database is {}.", path.display()),
            Self::Sqlite { path, is_new: true } => {
                let path = path.display();
                write!(
                    f,
                    "This created a new database at {path}: start the service with the same DATA_DIR, or it will not find this account."
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn new_files_are_accessible_only_to_their_owner() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("a/data");
        let lock = super::lock(&data).unwrap();
        prepare_database(&data.join("images.sqlite")).unwrap();
        assert_eq!((mode(&data), mode(&folder.path().join("a"))), (0o700, 0o700));
        assert_eq!((mode(&data.join("lock")), mode(&data.join("images.sqlite"))), (0o600, 0o600));
        assert!(matches!(super::lock(&data), Err(DataDirError::InUse(_))));
        drop(lock);
    }

    #[test]
    fn files_readable_by_others_are_restricted_and_keep_their_contents() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("images.sqlite");
        for suffix in DATABASE_SUFFIXES {
            let path = folder.path().join(format!("images.sqlite{suffix}"));
            fs::write(&path, suffix).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        }
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        drop(lock(folder.path()).unwrap());
        prepare_database(&database).unwrap();
        assert_eq!(mode(folder.path()), 0o700);
        for suffix in DATABASE_SUFFIXES {
            let path = folder.path().join(format!("images.sqlite{suffix}"));
            assert_eq!((mode(&path), fs::read_to_string(&path).unwrap()), (0o600, suffix.to_owned()));
        }
    }
}
