//! DATA_DIR: one process at a time, and nobody else's to read. The database in it holds password hashes and the key that access tokens
//! are signed with.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::app::Error;
use crate::config::Config;

/// What SQLite writes beside the file itself; it gives them the file's mode.
const BESIDE_THE_DATABASE: [&str; 3] = ["", "-wal", "-shm"];

const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// Makes the directory, closes it to other users, and takes its lock: two processes would each believe that they alone write.
///
/// # Errors
/// Another process holds the lock, or the directory cannot be written.
pub fn lock(path: &Path) -> Result<File, Error> {
    let failed = |error| Error::DataDir(path.to_owned(), error);
    DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(path).map_err(failed)?;
    close_to_others(path, DIRECTORY_MODE);
    let lock = create(&path.join("lock")).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(Error::DataDirInUse(path.to_owned())),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// Makes SQLite's file, if there is none, and closes it to other users.
///
/// # Errors
/// The directory cannot be written.
pub fn prepare_database(path: &Path) -> Result<(), Error> {
    create(path).map_err(|error| Error::DataDir(path.to_owned(), error))?;
    for suffix in BESIDE_THE_DATABASE {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        close_to_others(&PathBuf::from(name), FILE_MODE);
    }
    Ok(())
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(false).write(true).mode(FILE_MODE).open(path)
}

/// Takes from other users what an earlier version or a copy has given them. A volume that belongs to somebody else stays as it is.
fn close_to_others(path: &Path, allowed: u32) {
    let Ok(found) = fs::metadata(path) else { return };
    let mode = found.permissions().mode() & 0o777;
    if mode & !allowed == 0 {
        return;
    }
    let (path_shown, mode_shown) = (path.display(), format!("{mode:o}"));
    match fs::set_permissions(path, Permissions::from_mode(mode & allowed)) {
        Ok(()) => {
            tracing::warn!(path = %path_shown, mode = mode_shown, "other users could read this; its mode is now {:o}", mode & allowed)
        }
        Err(error) => tracing::warn!(path = %path_shown, mode = mode_shown, "other users can read this: {error}"),
    }
}

/// Which database a command has used. `Display` is a sentence: a command that was run in another folder than the service has other accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UsedDatabase {
    /// PostgreSQL.
    Named,
    /// SQLite.
    File { path: PathBuf, is_new: bool },
}

impl UsedDatabase {
    /// To be asked before the database is opened, which makes its file.
    pub fn of(config: &Config) -> Self {
        match config.database_file() {
            None => Self::Named,
            Some(path) => Self::File { is_new: !path.exists(), path: std::path::absolute(&path).unwrap_or(path) },
        }
    }
}

impl fmt::Display for UsedDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named => f.write_str("The database is the one that DATABASE_URL names."),
            Self::File { path, is_new: false } => write!(f, "The database is {}.", path.display()),
            Self::File { path, is_new: true } => {
                let path = path.display();
                write!(
                    f,
                    "This made a new database at {path}: start the service with the same DATA_DIR, or it will not know this account."
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
    fn what_is_in_it_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("a/data");
        let lock = super::lock(&data).unwrap();
        prepare_database(&data.join("images.sqlite")).unwrap();
        assert_eq!((mode(&data), mode(&folder.path().join("a"))), (0o700, 0o700));
        assert_eq!((mode(&data.join("lock")), mode(&data.join("images.sqlite"))), (0o600, 0o600));
        assert!(matches!(super::lock(&data), Err(Error::DataDirInUse(_))));
        drop(lock);
    }

    #[test]
    fn what_was_open_to_others_is_closed_and_keeps_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("images.sqlite");
        for suffix in BESIDE_THE_DATABASE {
            let path = folder.path().join(format!("images.sqlite{suffix}"));
            fs::write(&path, suffix).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        }
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        drop(lock(folder.path()).unwrap());
        prepare_database(&database).unwrap();
        assert_eq!(mode(folder.path()), 0o700);
        for suffix in BESIDE_THE_DATABASE {
            let path = folder.path().join(format!("images.sqlite{suffix}"));
            assert_eq!((mode(&path), fs::read_to_string(&path).unwrap()), (0o600, suffix.to_owned()));
        }
    }
}
