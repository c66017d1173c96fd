//! The schema's history, built into the binary. Both databases have the same files; a test compares what they make.

use std::borrow::Cow;

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

use super::db::{Db, Run, Sql};
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

const STEPS: &[Step] = &[
    step!(1, "images", "0001_images.sql"),
    step!(2, "counter moves", "0002_counter_moves.sql"),
    step!(3, "variants", "0003_variants.sql"),
    step!(4, "imports", "0004_imports.sql"),
    step!(5, "visibility", "0005_visibility.sql"),
    step!(6, "accounts", "0006_accounts.sql"),
];

/// Brings the database's schema to this version's.
///
/// # Errors
/// The database is unavailable, or a migration failed or was altered since it ran.
pub async fn run(db: &Db) -> Result<(), Error> {
    db.migrate(&migrator(|step| step.postgres), &migrator(|step| step.sqlite)).await
}

/// Whether the database's schema is this version's, without touching it.
///
/// # Errors
/// The database is unavailable, or a migration has not run.
pub async fn check(db: &Db) -> Result<(), Error> {
    let applied = match db.fetch::<(i64,)>(Sql::new("select version from _sqlx_migrations where success")).await {
        // A database that was never migrated has no such table.
        Err(Error::Failed(_)) => Vec::new(),
        applied => applied?,
    };
    match STEPS.iter().find(|step| !applied.contains(&(step.version,))) {
        Some(step) => Err(Error::NotMigrated { version: step.version, name: step.name }),
        None => Ok(()),
    }
}

fn migrator(text: fn(&Step) -> &'static str) -> Migrator {
    let migration = |step: &Step| {
        let Step { version, name, .. } = step;
        Migration::new(*version, Cow::Borrowed(*name), MigrationType::Simple, text(step).into_sql_str(), false)
    };
    Migrator { migrations: STEPS.iter().map(migration).collect(), ..Migrator::DEFAULT }
}
