//! The schema migrations, built into the binary. Each migration exists for both databases; a test compares the resulting schemas.

use std::borrow::Cow;

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType};

use super::applied_migrations::{Applied, first_missing};
use super::db::{Db, Run, Sql};
use super::error::Error;

/// A migration: its version, its name, and its SQL for PostgreSQL and for SQLite.
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
            postgres: include_str!(concat!("../../../migrations/postgres/", $file)),
            sqlite: include_str!(concat!("../../../migrations/sqlite/", $file)),
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
    step!(7, "collections", "0007_collections.sql"),
    step!(8, "captions", "0008_captions.sql"),
    step!(9, "keep location", "0009_keep_location.sql"),
    step!(10, "clients", "0010_clients.sql"),
    step!(11, "pending imports", "0011_pending_imports.sql"),
    step!(12, "trash", "0012_trash.sql"),
    step!(13, "variant bytes", "0013_variant_bytes.sql"),
    step!(14, "object moves", "0014_object_moves.sql"),
    step!(15, "key leases", "0015_key_leases.sql"),
    step!(16, "key expiry", "0016_key_expiry.sql"),
    step!(17, "deleted accounts", "0017_deleted_accounts.sql"),
    step!(18, "adopted objects", "0018_adopted_objects.sql"),
    step!(19, "uploads", "0019_uploads.sql"),
    step!(20, "shares", "0020_shares.sql"),
    step!(21, "taken down", "0021_taken_down.sql"),
];

/// Migrates the schema to this version. Checks first, so that a role without schema privileges, or a standby, can serve a
/// database that is up to date.
///
/// # Errors
/// The database is unavailable, or a migration is not permitted, failed, or was altered after it was applied.
pub async fn run(db: &Db) -> Result<(), Error> {
    run_to(db, i64::MAX).await
}

/// As [`run`], up to and including `version`.
async fn run_to(db: &Db, version: i64) -> Result<(), Error> {
    let steps = match db.system() {
        "sqlite" => migrations(|step| step.sqlite, version),
        _ => migrations(|step| step.postgres, version),
    };
    match first_missing(&steps, &applied(db).await?)? {
        Some(_) => db.migrate(steps).await,
        None => Ok(()),
    }
}

/// Checks that the schema is that of this version, without changing it.
///
/// # Errors
/// The database is unavailable, or a migration has not been applied.
pub async fn check(db: &Db) -> Result<(), Error> {
    let applied = applied(db).await?;
    match STEPS.iter().find(|step| !applied.iter().any(|applied| applied.version == step.version && applied.success)) {
        Some(step) => Err(Error::NotMigrated { version: step.version, name: step.name }),
        None => Ok(()),
    }
}

async fn applied(db: &Db) -> Result<Vec<Applied>, Error> {
    match db.fetch(Sql::new(Applied::QUERY)).await {
        // A database that was never migrated does not have this table.
        Err(error) if error.code().is_some_and(|code| MISSING_TABLE.contains(&code)) => Ok(Vec::new()),
        applied => applied,
    }
}

/// PostgreSQL's `undefined_table`, and SQLite's generic `SQLITE_ERROR`: SQLite has no specific code.
const MISSING_TABLE: [&str; 2] = ["42P01", "1"];

fn migrations(text: fn(&Step) -> &'static str, last: i64) -> Vec<Migration> {
    let migration = |step: &Step| {
        let Step { version, name, .. } = step;
        Migration::new(*version, Cow::Borrowed(*name), MigrationType::Simple, text(step).into_sql_str(), false)
    };
    STEPS.iter().filter(|step| step.version <= last).map(migration).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::caller::UserId;
    use crate::model::counter::{Counter, CounterKind};
    use crate::model::filter::{ImageFilter, Part, Search};
    use crate::model::image::Visibility;
    use crate::store::database::db::{DbConfig, Location};
    use crate::store::images::{counters, lists};

    const IMAGE: &str = "insert into images (id, user_id, tags, file_name, file_size, format, width, height, sha256, thumbnails, \
        colors, placeholder, metadata, processing_us, updated_at, deleted_at) values ($1, $2, '[]', 'a.jpg', $3, 'jpeg', 64, 64, $4, \
        '[]', '[]', $4, '{\"orientation\": 1, \"has_alpha\": false, \"animated\": false, \"frames\": 1}', 1, $5, $6)";

    /// Migration 10 rewrites tags that were stored with the dot of the Turkish capital İ; they are found and counted without it.
    #[tokio::test]
    async fn turkish_tags_of_older_versions_are_found_and_counted() {
        let folder = tempfile::tempdir().unwrap();
        let (location, timeout) = (Location::Sqlite(folder.path().join("old.sqlite")), Duration::from_secs(30));
        let db = Db::open(&DbConfig { location, max_connections: 1, timeout, statement_timeout: timeout }).await.unwrap();
        run_to(&db, 8).await.unwrap();
        let now = chrono::DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let mut tx = db.begin().await.unwrap();
        for (number, tags) in [(1_u128, "sea,i\u{307}zmir"), (2, "i\u{307}zmir,izmir,sun"), (3, "izmir")] {
            let id = uuid::Uuid::from_u128(number);
            let sql = Sql::new(IMAGE).bind(id).bind("ann").bind(1000_u32).bind(vec![7_u8; 32]).bind(now);
            tx.execute(sql.bind(None::<chrono::DateTime<chrono::Utc>>)).await.unwrap();
            let list = serde_json::Value::from(tags.split(',').collect::<Vec<_>>());
            tx.execute(Sql::new("update images set tags = $2 where id = $1").bind(id).bind(list)).await.unwrap();
            for tag in tags.split(',') {
                let sql = Sql::new("insert into image_tags (tag, user_id, image_id) values ($1, 'ann', $2)");
                tx.execute(sql.bind(tag).bind(id)).await.unwrap();
                for (kind, key) in [("tag", tag.to_owned()), ("user_tag", format!("ann,{tag}"))] {
                    let sql = Sql::new(
                        "insert into counters (kind, key, slot, n, moves) values ($1, $2, $3, 1, 1) \
                         on conflict (kind, key, slot) do update set n = counters.n + 1",
                    );
                    tx.execute(sql.bind(kind).bind(key).bind(i64::try_from(number).unwrap())).await.unwrap();
                }
            }
        }
        tx.commit().await.unwrap();
        run(&db).await.unwrap();
        let tag = crate::model::tag::Tag::parse("İzmir").unwrap();
        let ann = UserId::parse("ann").unwrap();
        for (counter, n) in [(Counter::tag(&tag), 3), (Counter::user_tag(&ann, &tag), 3)] {
            assert_eq!(counters::read(&db, &counter).await.unwrap(), n, "{counter:?}");
        }
        for kind in [CounterKind::Tag, CounterKind::UserTag, CounterKind::PrivateUserTag] {
            assert_eq!(counters::differences(&db, kind).await.unwrap(), []);
        }
        let filter = ImageFilter { tags: vec![tag.clone()], ..ImageFilter::default() };
        let search = [Search { part: Part::Public, sets: filter.sets() }];
        let page = lists::page(&db, &filter, &search, None, 9).await.unwrap();
        let tags: Vec<Vec<&str>> = page.iter().map(|image| image.tags.iter().map(|tag| tag.as_str()).collect()).collect();
        assert_eq!(tags, [vec!["izmir"], vec!["izmir", "sun"], vec!["sea", "izmir"]]);
        db.close().await;
    }

    /// Images from before private images existed are public, and their bytes are counted.
    #[tokio::test]
    async fn images_of_older_versions_are_public_and_counted() {
        let folder = tempfile::tempdir().unwrap();
        let (location, timeout) = (Location::Sqlite(folder.path().join("old.sqlite")), Duration::from_secs(30));
        let db = Db::open(&DbConfig { location, max_connections: 1, timeout, statement_timeout: timeout }).await.unwrap();
        run_to(&db, 4).await.unwrap();
        let now = chrono::DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let mut tx = db.begin().await.unwrap();
        for (number, user, bytes, deleted_at) in
            [(1_u128, "ann", 1000_u32, None), (2, "ann", 500, None), (3, "ann", 70, Some(now)), (4, "bob", 3, None)]
        {
            let sql = Sql::new(IMAGE).bind(uuid::Uuid::from_u128(number)).bind(user).bind(bytes).bind(vec![7_u8; 32]);
            tx.execute(sql.bind(now).bind(deleted_at)).await.unwrap();
        }
        tx.commit().await.unwrap();
        run(&db).await.unwrap();
        check(&db).await.unwrap();
        for (user, bytes) in [("ann", 1500), ("bob", 3), ("eve", 0)] {
            let counter = Counter::user_bytes(&UserId::parse(user).unwrap());
            assert_eq!(counters::read(&db, &counter).await.unwrap(), bytes, "{user}");
        }
        assert_eq!(counters::differences(&db, CounterKind::UserBytes).await.unwrap(), []);
        let search = [Search { part: Part::Public, sets: Vec::new() }];
        let page = lists::page(&db, &ImageFilter::default(), &search, None, 9).await.unwrap();
        assert_eq!(page.len(), 3);
        assert!(page.iter().all(|image| image.visibility == Visibility::Public && image.features.is_none()));
        db.close().await;
    }
}
