//! The tables `uploads` and `upload_objects`: uploads in several requests, and their objects below `incoming/`.
//!
//! An object has a row from before anyone can write it until no one can write it any more.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sqlx::types::Json;
use uuid::Uuid;

use crate::model::caller::UserId;
use crate::model::draft::{Draft, DraftFailure, DraftMethod, DraftState, UploadId};
use crate::model::id::ImageId;
use crate::model::image::Visibility;
use crate::model::tag::Tag;
use crate::model::text::{Description, Title};
use crate::model::upload_properties::UploadProperties;
use crate::store::database::db::{Run, Sql, Tx};
use crate::store::database::error::Error;
use crate::store::database::row::row;

macro_rules! columns {
    () => {
        "id, user_id, method, state, length, length_known, received, content_type, sha256, properties, image_id, failure, expires_at"
    };
}

/// Number and announced bytes of uploads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OpenUploads {
    pub count: u64,
    pub bytes: u64,
}

impl OpenUploads {
    fn from_row(row: Option<(i64, i64)>) -> Self {
        let number = |value| u64::try_from(value).unwrap_or_default();
        row.map_or_else(Self::default, |(count, bytes)| Self { count: number(count), bytes: number(bytes) })
    }
}

/// An object whose bytes are part of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    pub name: String,
    /// The position of its first byte in the file.
    pub position: u64,
    pub length: u64,
}

/// Locks the open uploads of a user, so that their number can be limited, and ends those that have expired. Returns what counts
/// towards the limits: uploads that are open, and those that have ended although their file can still be sent.
pub async fn lock(tx: &mut Tx, user: &UserId, now: DateTime<Utc>) -> Result<OpenUploads, Error> {
    let lock = i64::from(Sha256::digest(user.as_str())[0] % LOCKS);
    tx.execute(Sql::new("update upload_locks set id = id where id = $1").bind(lock)).await?;
    let sql = Sql::new(
        "update uploads set counted = false, state = case when state = 'open' then 'expired' else state end \
         where user_id = $1 and counted and expires_at <= $2",
    );
    tx.execute(sql.bind(user.as_str()).bind(now)).await?;
    // PostgreSQL's sum of bigints is a numeric, hence the cast.
    let sql = Sql::new("select count(*), cast(coalesce(sum(length), 0) as bigint) from uploads where user_id = $1 and counted");
    let row = tx.fetch_optional::<(i64, i64)>(sql.bind(user.as_str())).await?;
    Ok(OpenUploads::from_row(row))
}

/// The number of rows of `upload_locks`.
const LOCKS: u8 = 32;

/// Inserts an open upload.
pub async fn insert(tx: &mut Tx, draft: &Draft) -> Result<(), Error> {
    let sql = Sql::new(
        "insert into uploads (id, user_id, method, state, counted, length, length_known, content_type, sha256, properties, expires_at, due_at) \
         values ($1, $2, $3, 'open', true, $4, $5, $6, $7, $8, $9, $9)",
    );
    let sql = sql.bind(draft.id.uuid()).bind(draft.user_id.as_str()).bind(draft.method.name());
    let sql = sql.bind(i64::try_from(draft.length).unwrap_or(i64::MAX)).bind(draft.is_length_known);
    let sql = sql.bind(draft.content_type.as_str()).bind(draft.sha256.map(hex::encode)).bind(to_json(draft));
    tx.execute(sql.bind(draft.expires_at)).await.map(drop)
}

pub async fn find(run: impl Run, id: UploadId) -> Result<Option<Draft>, Error> {
    let sql = Sql::new(concat!("select ", columns!(), " from uploads where id = $1 and user_id <> ''")).bind(id.uuid());
    run.fetch_optional::<Row>(sql).await?.map(Draft::try_from).transpose()
}

/// Returns up to `limit` uploads of a user after `last`, newest first, except cancelled and expired ones.
pub async fn page(
    run: impl Run,
    user: &UserId,
    last: Option<UploadId>,
    now: DateTime<Utc>,
    limit: u32,
) -> Result<Vec<Draft>, Error> {
    let mut sql =
        Sql::new(concat!("select ", columns!(), " from uploads where state in ('open', 'complete', 'failed') and user_id = "));
    sql.push_bind(user.as_str()).push(" and expires_at > ").push_bind(now);
    if let Some(last) = last {
        sql.push(" and id < ").push_bind(last.uuid());
    }
    sql.push(" order by id desc").push_limit(limit);
    run.fetch::<Row>(sql).await?.into_iter().map(Draft::try_from).collect()
}

/// Returns what the open uploads of a user reserve, except `without`.
pub async fn open(run: impl Run, user: &UserId, without: Option<UploadId>) -> Result<OpenUploads, Error> {
    // PostgreSQL's sum of bigints is a numeric, hence the cast.
    let mut sql = Sql::new(
        "select count(*), cast(coalesce(sum(length), 0) as bigint) from uploads where counted and state = 'open' and user_id = ",
    );
    sql.push_bind(user.as_str());
    if let Some(without) = without {
        sql.push(" and id <> ").push_bind(without.uuid());
    }
    Ok(OpenUploads::from_row(run.fetch_optional::<(i64, i64)>(sql).await?))
}

/// Ends an open upload that has received exactly `received` bytes with its image. The client can read the result until
/// `readable_until`. Returns `false` if it has received others, or is no longer open.
pub async fn complete(
    tx: &mut Tx,
    id: UploadId,
    received: u64,
    image: ImageId,
    readable_until: DateTime<Utc>,
) -> Result<bool, Error> {
    let sql = Sql::new(
        "update uploads set state = 'complete', counted = false, image_id = $2, \
         expires_at = case when expires_at < $3 then $3 else expires_at end where id = $1 and state = 'open' and received = $4",
    );
    let sql = sql.bind(id.uuid()).bind(image.uuid()).bind(readable_until);
    Ok(tx.execute(sql.bind(i64::try_from(received).unwrap_or(i64::MAX))).await? == 1)
}

/// Keeps an open upload from expiring before `until`. Returns `false` if it has ended.
pub async fn extend(tx: &mut Tx, id: UploadId, now: DateTime<Utc>, until: DateTime<Utc>) -> Result<bool, Error> {
    let sql = Sql::new(
        "update uploads set expires_at = case when expires_at < $3 then $3 else expires_at end \
         where id = $1 and state = 'open' and expires_at > $2",
    );
    Ok(tx.execute(sql.bind(id.uuid()).bind(now).bind(until)).await? == 1)
}

/// Records the length of an open upload that had none. Returns `false` if it has one, has not received exactly `received` bytes, or
/// has ended.
pub async fn set_length(tx: &mut Tx, id: UploadId, received: u64, length: u64) -> Result<bool, Error> {
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let sql = Sql::new(
        "update uploads set length = $2, length_known = true \
         where id = $1 and state = 'open' and not length_known and received = $3",
    );
    Ok(tx.execute(sql.bind(id.uuid()).bind(number(length)).bind(number(received))).await? == 1)
}

/// Ends an open upload whose file was refused. Returns `false` if it has received other bytes, or has ended.
pub async fn fail(tx: &mut Tx, draft: &Draft, failure: &DraftFailure) -> Result<bool, Error> {
    let failure = match failure {
        DraftFailure::InvalidFile { reason } => json!({"error": INVALID_FILE, "reason": reason}),
        DraftFailure::InvalidForm { reason } => json!({"error": INVALID_FORM, "reason": reason}),
        DraftFailure::UnsupportedFormat { found } => json!({"error": "unsupported_format", "found": found}),
    };
    let sql = Sql::new(
        "update uploads set state = 'failed', counted = $2, failure = $3 where id = $1 and state = 'open' and received = $4",
    );
    let sql = sql.bind(draft.id.uuid()).bind(draft.method.can_outlive_its_end()).bind(failure);
    Ok(tx.execute(sql.bind(i64::try_from(draft.received).unwrap_or(i64::MAX))).await? == 1)
}

/// Cancels an open upload. Returns `false` if it has received other bytes, or has ended.
pub async fn abandon(tx: &mut Tx, draft: &Draft) -> Result<bool, Error> {
    let sql = Sql::new(
        "update uploads set state = 'cancelled', counted = counted and $2 where id = $1 and state = 'open' and received = $3",
    );
    let sql = sql.bind(draft.id.uuid()).bind(draft.method.can_outlive_its_end());
    Ok(tx.execute(sql.bind(i64::try_from(draft.received).unwrap_or(i64::MAX))).await? == 1)
}

/// Cancels an upload in any state.
pub async fn cancel(tx: &mut Tx, draft: &Draft) -> Result<(), Error> {
    let sql = Sql::new("update uploads set state = 'cancelled', counted = counted and $2 where id = $1");
    tx.execute(sql.bind(draft.id.uuid()).bind(draft.method.can_outlive_its_end())).await.map(drop)
}

/// Cancels all uploads of a user.
pub async fn cancel_all(tx: &mut Tx, user: &UserId) -> Result<(), Error> {
    tx.execute(Sql::new("update uploads set state = 'cancelled' where user_id = $1").bind(user.as_str())).await.map(drop)
}

/// An upload that the sweeper must look at.
#[derive(Debug, Clone, Copy)]
pub struct DueUpload {
    pub id: UploadId,
    pub expires_at: DateTime<Utc>,
    pub is_open: bool,
}

/// Returns up to `limit` uploads that the sweeper must look at.
pub async fn due(run: impl Run, now: DateTime<Utc>, limit: u32) -> Result<Vec<DueUpload>, Error> {
    let mut sql = Sql::new("select id, expires_at, state = 'open' from uploads where due_at <= ");
    sql.push_bind(now).push(" order by due_at").push_limit(limit);
    let rows = run.fetch::<(Uuid, DateTime<Utc>, bool)>(sql).await?;
    let due = |(id, expires_at, is_open)| DueUpload { id: UploadId::from(id), expires_at, is_open };
    Ok(rows.into_iter().map(due).collect())
}

/// Ends an upload that has expired, unless it has ended.
pub async fn expire(tx: &mut Tx, id: UploadId, now: DateTime<Utc>) -> Result<(), Error> {
    let sql = Sql::new(
        "update uploads set counted = false, state = case when state = 'open' then 'expired' else state end \
         where id = $1 and expires_at <= $2",
    );
    tx.execute(sql.bind(id.uuid()).bind(now)).await.map(drop)
}

/// Makes the sweeper look at an upload at `due_at`.
pub async fn postpone(tx: &mut Tx, id: UploadId, due_at: DateTime<Utc>) -> Result<(), Error> {
    tx.execute(Sql::new("update uploads set due_at = $2 where id = $1").bind(id.uuid()).bind(due_at)).await.map(drop)
}

/// Deletes an upload that is not open, with the rows of its objects.
pub async fn delete(tx: &mut Tx, id: UploadId) -> Result<(), Error> {
    tx.execute(Sql::new("delete from uploads where id = $1 and state <> 'open'").bind(id.uuid())).await.map(drop)
}

/// Announces an object.
pub async fn add_object(tx: &mut Tx, id: UploadId, name: &str) -> Result<(), Error> {
    let sql = Sql::new("insert into upload_objects (upload_id, name) values ($1, $2) on conflict (upload_id, name) do nothing");
    tx.execute(sql.bind(id.uuid()).bind(name)).await.map(drop)
}

/// Deletes the row of an object that does not exist and that nobody writes.
pub async fn forget_object(tx: &mut Tx, id: UploadId, name: &str) -> Result<(), Error> {
    let sql = Sql::new("delete from upload_objects where upload_id = $1 and name = $2");
    tx.execute(sql.bind(id.uuid()).bind(name)).await.map(drop)
}

/// Makes an object part of the file, in place of the last part if that is `replaced`: the upload has received the bytes up to the
/// end of the object. Returns `false` if it has not received exactly `received` bytes, would become longer than its length, or is no
/// longer open.
pub async fn append(
    tx: &mut Tx,
    id: UploadId,
    received: u64,
    part: &Part,
    replaced: Option<&str>,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let sql = Sql::new(
        "update uploads set received = $3 \
         where id = $1 and received = $2 and length >= $3 and state = 'open' and expires_at > $4",
    );
    let end = part.position + part.length;
    if tx.execute(sql.bind(id.uuid()).bind(number(received)).bind(number(end)).bind(now)).await? != 1 {
        return Ok(false);
    }
    if let Some(replaced) = replaced {
        let sql = Sql::new("update upload_objects set position = null, length = null where upload_id = $1 and name = $2");
        tx.execute(sql.bind(id.uuid()).bind(replaced)).await?;
    }
    let sql = Sql::new("update upload_objects set position = $3, length = $4 where upload_id = $1 and name = $2");
    let sql = sql.bind(id.uuid()).bind(part.name.as_str()).bind(number(part.position)).bind(number(part.length));
    Ok(tx.execute(sql).await? == 1)
}

/// Returns the parts of the file in order.
pub async fn parts(run: impl Run, id: UploadId) -> Result<Vec<Part>, Error> {
    let sql = Sql::new(
        "select name, position, length from upload_objects where upload_id = $1 and position is not null order by position",
    );
    let number = |value| u64::try_from(value).unwrap_or_default();
    let rows = run.fetch::<(String, i64, i64)>(sql.bind(id.uuid())).await?;
    let part = |(name, position, length)| Part { name, position: number(position), length: number(length) };
    Ok(rows.into_iter().map(part).collect())
}

/// Returns the names of the objects that may exist.
pub async fn objects(run: impl Run, id: UploadId) -> Result<Vec<String>, Error> {
    let sql = Sql::new("select name from upload_objects where upload_id = $1").bind(id.uuid());
    Ok(run.fetch::<(String,)>(sql).await?.into_iter().map(|(name,)| name).collect())
}

/// Makes the sweeper remove an object that no row names.
pub async fn announce_removal(tx: &mut Tx, id: UploadId, name: &str, now: DateTime<Utc>) -> Result<(), Error> {
    let sql = Sql::new(
        "insert into uploads (id, user_id, method, state, counted, length, length_known, content_type, properties, expires_at, due_at) \
         values ($1, '', 'direct', 'cancelled', false, 0, true, '', $2, $3, $3) on conflict (id) do nothing",
    );
    tx.execute(sql.bind(id.uuid()).bind(json!({})).bind(now)).await?;
    add_object(tx, id, name).await
}

const INVALID_FILE: &str = "invalid_file";
const INVALID_FORM: &str = "invalid_form";

fn to_json(draft: &Draft) -> Value {
    let UploadProperties { title, description, tags, visibility, keep_location, file_name } = &draft.properties;
    json!({
        "title": title.as_ref().map(Title::as_str),
        "description": description.as_ref().map(Description::as_str),
        "tags": tags.iter().map(Tag::as_str).collect::<Vec<_>>(),
        "visibility": visibility.name(),
        "keep_location": keep_location,
        "file_name": file_name,
        "tus_metadata": draft.tus_metadata,
    })
}

fn properties_from(json: &Value) -> UploadProperties {
    let text = |name: &str| json[name].as_str().map(str::to_owned);
    let tags = json["tags"].as_array().map(Vec::as_slice).unwrap_or_default();
    UploadProperties {
        title: text("title").map(Title::from_stored),
        description: text("description").map(Description::from_stored),
        tags: tags.iter().filter_map(|tag| Some(Tag::from_stored(tag.as_str()?.to_owned()))).collect(),
        // The stricter one, if a later version has stored another.
        visibility: text("visibility")
            .map_or(Visibility::Private, |name| Visibility::parse(&name).unwrap_or(Visibility::Private)),
        keep_location: json["keep_location"].as_bool().unwrap_or_default(),
        file_name: text("file_name"),
    }
}

fn failure_from(json: &Value) -> DraftFailure {
    let text = |name: &str| json[name].as_str().map(str::to_owned);
    if json["error"] == INVALID_FILE {
        return DraftFailure::InvalidFile { reason: text("reason").unwrap_or_default() };
    }
    if json["error"] == INVALID_FORM {
        return DraftFailure::InvalidForm { reason: text("reason").unwrap_or_default() };
    }
    DraftFailure::UnsupportedFormat { found: text("found").map(Into::into) }
}

row! {
    #[derive(Debug)]
    struct Row {
        id: Uuid,
        user_id: String,
        method: String,
        state: String,
        length: i64,
        length_known: bool,
        received: i64,
        content_type: String,
        sha256: Option<String>,
        properties: Json<Value>,
        image_id: Option<Uuid>,
        failure: Option<Json<Value>>,
        expires_at: DateTime<Utc>,
    }
}

impl TryFrom<Row> for Draft {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let state = match (row.state.as_str(), row.image_id) {
            ("open", _) => DraftState::Open,
            ("complete", Some(image)) => DraftState::Complete(ImageId::from(image)),
            ("failed", _) => DraftState::Failed(failure_from(&row.failure.unwrap_or_default())),
            ("expired", _) => DraftState::Expired,
            _ => DraftState::Cancelled,
        };
        let method = DraftMethod::parse(&row.method);
        Ok(Self {
            id: UploadId::from(row.id),
            user_id: UserId::parse(&row.user_id).map_err(|_| Error::Unreadable { column: "user_id", value: row.user_id })?,
            method: method.ok_or(Error::Unreadable { column: "method", value: row.method })?,
            state,
            length: u64::try_from(row.length).unwrap_or_default(),
            is_length_known: row.length_known,
            received: u64::try_from(row.received).unwrap_or_default(),
            content_type: row.content_type,
            sha256: row.sha256.and_then(|text| hex::decode(text).ok()?.try_into().ok()),
            properties: properties_from(&row.properties),
            tus_metadata: row.properties["tus_metadata"].as_str().map(str::to_owned),
            expires_at: row.expires_at,
        })
    }
}
