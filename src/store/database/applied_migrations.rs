//! The migrations that a database has, and which one it needs next.

use sqlx::migrate::Migration;

use super::error::Error;
use super::row::row;

row! {
    /// A migration that was applied.
    #[derive(Debug)]
    pub struct Applied {
        pub(super) version: i64,
        checksum: Vec<u8>,
        pub(super) success: bool,
    }
}

impl Applied {
    pub const QUERY: &str = "select version, checksum, success from _sqlx_migrations order by version";
}

/// Returns the first migration that has not been applied.
///
/// # Errors
/// An applied migration is unknown, incomplete or different from this version's.
pub fn first_missing<'a>(steps: &'a [Migration], applied: &[Applied]) -> Result<Option<&'a Migration>, Error> {
    for Applied { version, checksum, success } in applied {
        let step = steps.iter().find(|step| step.version == *version).ok_or(Error::MigrationUnknown(*version))?;
        if !success {
            return Err(Error::MigrationUnfinished(*version));
        }
        if *step.checksum != **checksum {
            return Err(Error::MigrationAltered(*version));
        }
    }
    Ok(steps.iter().find(|step| !applied.iter().any(|applied| applied.version == step.version)))
}
