//! The schema's history, built into the binary. Both databases have the same files; a test compares what they make.

use std::borrow::Cow;

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

use super::db::Db;
use super::error::Error;

/// A step of the schema: its version, its name, and its text for PostgreSQL and for SQLite.
struct Step {
    version: i64,
    name: &'static str,
    postgres: &'static str,
    sqlite: &'static str,
}

macro_rules! step {
    ($version:literal, $name:literal, $file:literal) => {
        Step {
            version: $version,
            name: $name,
            postgres: include_str!(concat!("../../migrations/postgres/", $file)),
            sqlite: include_str!(concat!("../../migrations/sqlite/", $file)),
        }
    };
}

const STEPS: &[Step] = &[step!(1, "images", "0001_images.sql")];

/// Brings the database's schema to this version's.
///
/// # Errors
/// The database is unavailable, or a migration failed or was altered since it ran.
pub async fn run(db: &Db) -> Result<(), Error> {
    db.migrate(&migrator(|step| step.postgres), &migrator(|step| step.sqlite)).await
}

fn migrator(text: fn(&Step) -> &'static str) -> Migrator {
    let migration = |step: &Step| {
        let Step { version, name, .. } = step;
        Migration::new(*version, Cow::Borrowed(*name), MigrationType::Simple, text(step).into_sql_str(), false)
    };
    Migrator { migrations: STEPS.iter().map(migration).collect(), ..Migrator::DEFAULT }
}
