//! Databases with many images, filled by SQL with the same rows that real uploads create.
//!
//! The number of users (one per hundred images) and the number of images per tag and day grow with the database. The
//! proportions stay the same, so that every list in the benchmark is longer than a page at any size: the busiest user has a
//! fifth of the images, 30% have the tag `sea`, about 19% have the tag `tag-0`, and the uploads are spread evenly over 30
//! days. The other users and the 1000 other tags are skewed: a few have many images, and most have few.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::DateTime;
use image_service::model::caller::UserId;
use image_service::model::counter::{Counter, CounterKind};
use image_service::model::id::ImageId;
use image_service::model::image::{Format, Image, Visibility};
use image_service::model::tag::Tag;
use image_service::model::text::FileName;
use image_service::store::database::db::Location;
use image_service::store::{self, Db};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection, SqliteConnection};

use crate::Result;
use crate::backend::{Backend, Postgres, db_config};
use crate::random::Random;

pub const BUSY_USER: &str = "user-0";
pub const DAYS: u64 = 30;
/// 2026-01-01 00:00 UTC, in milliseconds since the Unix epoch.
const START: u64 = 1_767_225_600_000;

/// Returns the settings to serve a database of `rows` images, and its location. Reuses the database of an earlier run.
pub async fn filled_database(backend: &Backend, rows: u64) -> Result<(Vec<(&'static str, String)>, Location)> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("listing-{rows}"));
    let data_dir = ("DATA_DIR", folder.display().to_string());
    match backend {
        Backend::Embedded => {
            let file = sqlite(&folder, rows).await?;
            Ok((vec![data_dir], Location::Sqlite(file)))
        }
        Backend::Postgres(server) => {
            let url = postgres(server, rows).await?;
            Ok((vec![data_dir, ("DATABASE_URL", url.clone())], Location::Postgres(url)))
        }
    }
}

async fn sqlite(folder: &Path, rows: u64) -> Result<PathBuf> {
    let (file, unfinished) = (folder.join("images.sqlite"), folder.join("unfinished.sqlite"));
    if file.exists() {
        return Ok(file);
    }
    println!("filling SQLite with {rows} images");
    std::fs::create_dir_all(folder)?;
    if unfinished.exists() {
        std::fs::remove_file(&unfinished)?;
    }
    migrate(Location::Sqlite(unfinished.clone())).await?;
    let options = SqliteConnectOptions::new().filename(&unfinished).foreign_keys(false).pragma("cache_size", "-500000");
    let options = options.journal_mode(SqliteJournalMode::Off).synchronous(SqliteSynchronous::Off);
    let mut target = Target::Sqlite(options.connect().await?);
    fill(&mut target, rows).await?;
    target.close().await?;
    check_counters(Location::Sqlite(unfinished.clone())).await?;
    std::fs::rename(unfinished, &file)?;
    Ok(file)
}

async fn postgres(server: &Postgres, rows: u64) -> Result<String> {
    let (name, unfinished) = (format!("bench_listing_{rows}"), format!("bench_unfinished_{rows}"));
    if server.has_database(&name).await? {
        return Ok(server.url(&name));
    }
    println!("filling PostgreSQL with {rows} images");
    server.create_database(&unfinished).await?;
    migrate(Location::Postgres(server.url(&unfinished))).await?;
    let mut target = Target::Postgres(server.options(&unfinished).connect().await?);
    fill(&mut target, rows).await?;
    // Autovacuum would do this at an unpredictable time.
    target.execute("vacuum analyze".to_owned()).await?;
    target.close().await?;
    check_counters(Location::Postgres(server.url(&unfinished))).await?;
    server.execute(&format!("alter database {unfinished} rename to {name}")).await?;
    Ok(server.url(&name))
}

async fn migrate(location: Location) -> Result<()> {
    let db = Db::open(&db_config(location)).await?;
    store::database::migrate::run(&db).await?;
    db.close().await;
    Ok(())
}

/// Checks the counters with `doctor`'s queries.
async fn check_counters(location: Location) -> Result<()> {
    let db = Db::open(&db_config(location)).await?;
    for kind in [CounterKind::All, CounterKind::User, CounterKind::Tag, CounterKind::UserTag] {
        let wrong = store::images::counters::differences(&db, kind).await?;
        if !wrong.is_empty() {
            return Err(format!("{} `{}` counters are wrong", wrong.len(), kind.name()).into());
        }
    }
    db.close().await;
    Ok(())
}

enum Target {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Target {
    async fn execute(&mut self, statements: String) -> Result<()> {
        let sql = sqlx::raw_sql(AssertSqlSafe(statements));
        match self {
            Self::Sqlite(connection) => connection.execute(sql).await.map(drop)?,
            Self::Postgres(connection) => connection.execute(sql).await.map(drop)?,
        }
        Ok(())
    }

    async fn close(self) -> Result<()> {
        match self {
            Self::Sqlite(connection) => connection.close().await?,
            Self::Postgres(connection) => connection.close().await?,
        }
        Ok(())
    }

    fn bytes(&self, bytes: &[u8]) -> String {
        match self {
            Self::Sqlite(_) => format!("x'{}'", hex::encode(bytes)),
            Self::Postgres(_) => format!("'\\x{}'", hex::encode(bytes)),
        }
    }

    fn id(&self, id: ImageId) -> String {
        match self {
            Self::Sqlite(_) => self.bytes(id.uuid().as_bytes()),
            Self::Postgres(_) => format!("'{id}'"),
        }
    }
}

/// Images per statement.
const BATCH: u64 = 500;

async fn fill(target: &mut Target, rows: u64) -> Result<()> {
    let mut counters = BTreeMap::<(Counter, u8), i64>::new();
    target.execute("begin".to_owned()).await?;
    for first in (0..rows).step_by(BATCH as usize) {
        let (mut images, mut tags) = (Vec::new(), Vec::new());
        for number in first..rows.min(first + BATCH) {
            let image = image(number, rows)?;
            for (counter, count) in Counter::of_live(&image) {
                *counters.entry((counter, Counter::slot(image.id))).or_default() += count;
            }
            let id = target.id(image.id);
            tags.extend(image.tags.iter().map(|tag| format!("('{tag}', '{}', {id})", image.user_id)));
            images.push(image_values(target, &image));
        }
        target.execute(insert(IMAGES, &images)).await?;
        target.execute(insert("image_tags (tag, user_id, image_id)", &tags)).await?;
    }
    let counters: Vec<String> = counters
        .into_iter()
        .map(|((counter, slot), n)| format!("('{}', '{}', {slot}, {n})", counter.kind.name(), counter.key))
        .collect();
    for batch in counters.chunks(2000) {
        target.execute(insert("counters (kind, key, slot, n)", batch)).await?;
    }
    target.execute("commit".to_owned()).await
}

fn insert(into: &str, values: &[String]) -> String {
    format!("insert into {into} values {}", values.join(", "))
}

const IMAGES: &str = "images (id, user_id, title, description, tags, file_name, file_size, format, width, height, sha256, \
                      thumbnails, colors, placeholder, metadata, processing_us, updated_at, deleted_at)";

fn image_values(target: &Target, image: &Image) -> String {
    let tags: Vec<&str> = image.tags.iter().map(Tag::as_str).collect();
    let thumbnails = r#"[{"size":"small","width":128,"height":96,"format":"jpeg"},{"size":"medium","width":512,"height":384,"format":"jpeg"}]"#;
    let colors = r##"["#4f6d7a","#c0d6df","#eaeaea","#dd6e42","#e8dab2"]"##;
    let metadata = r#"{"created_at":"2025-12-24T18:19:50","modified_at":null,"camera":"Camera Maker One","orientation":1,"has_alpha":false,"animated":false,"frames":1}"#;
    format!(
        "({}, '{}', 'An image with a title of realistic length', null, '{}', '{}', {}, 'jpeg', 4000, 3000, {}, '{thumbnails}', \
         '{colors}', {}, '{metadata}', 21000, '{}', null)",
        target.id(image.id),
        image.user_id,
        serde_json::json!(tags),
        image.file_name,
        image.file_size,
        target.bytes(&image.sha256),
        target.bytes(&image.placeholder),
        image.updated_at.to_rfc3339(),
    )
}

/// The image at index `number` of `rows` images, oldest first.
pub fn image(number: u64, rows: u64) -> Result<Image> {
    let mut random = Random::new(number);
    let id = id(number, rows, &mut random);
    Ok(Image {
        object_prefix: String::new(),
        id,
        updated_at: id.created_at(),
        user_id: user(rows, &mut random)?,
        visibility: Visibility::Public,
        features: None,
        title: None,
        description: None,
        tags: tags(&mut random)?,
        file_name: FileName::from_stored(format!("IMG_{number}.jpg")),
        file_size: 1_000_000 + random.next() % 5_000_000,
        format: Format::Jpeg,
        width: 4000,
        height: 3000,
        sha256: random.bytes(),
        thumbnails: Vec::new(),
        colors: Vec::new(),
        placeholder: random.bytes::<25>().to_vec(),
        metadata: image_service::model::image::Metadata::default(),
        caption: image_service::model::caption::Caption::default(),
        processing_time: Duration::from_millis(21),
        deleted_at: None,
        taken_down: None,
    })
}

fn id(number: u64, rows: u64, random: &mut Random) -> ImageId {
    let millis = START + number * DAYS * 86_400_000 / rows;
    ImageId::from(uuid::Builder::from_unix_timestamp_millis(millis, &random.bytes()).into_uuid())
}

fn user(rows: u64, random: &mut Random) -> Result<UserId> {
    let users = (rows / 100).max(10);
    let name = if random.fraction() < 0.2 { BUSY_USER.to_owned() } else { format!("user-{}", 1 + random.skewed(users)) };
    Ok(UserId::parse(&name)?)
}

fn tags(random: &mut Random) -> Result<Vec<Tag>> {
    let mut names: Vec<String> = (0..random.next() % 5).map(|_| format!("tag-{}", random.skewed(1000))).collect();
    if random.fraction() < 0.3 {
        names.push("sea".to_owned());
    }
    names.sort();
    names.dedup();
    Ok(names.iter().map(|name| Tag::parse(name)).collect::<std::result::Result<_, _>>()?)
}

/// The date of a day in 2026; `number` is 1 for 1 January.
pub fn day(number: u64) -> String {
    let millis = i64::try_from(START + (number - 1) * 86_400_000).unwrap_or_default();
    DateTime::from_timestamp_millis(millis).unwrap_or_default().format("%Y-%m-%d").to_string()
}
