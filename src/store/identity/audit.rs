//! The `audit` table: the audit trail. Entries are never changed.

use std::collections::BTreeMap;

use sqlx::types::Json;
use uuid::Uuid;

use crate::model::account::{Entry, EntryId};
use crate::store::database::db::{Run, Sql, Tx};
use crate::store::database::error::Error;
use crate::store::database::row::row;

pub async fn insert(tx: &mut Tx, entry: &Entry) -> Result<(), Error> {
    let details: serde_json::Map<String, serde_json::Value> =
        entry.details.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    let sql = Sql::new("insert into audit (id, actor, action, subject, details) values ($1, $2, $3, $4, $5)")
        .bind(entry.id.uuid())
        .bind(entry.actor.as_str())
        .bind(entry.action.as_str())
        .bind(entry.subject.as_str())
        .bind(serde_json::Value::Object(details));
    tx.execute(sql).await.map(drop)
}

/// Returns up to `limit` entries after `last`, newest first.
pub async fn page(run: impl Run, last: Option<EntryId>, limit: u32) -> Result<Vec<Entry>, Error> {
    let mut sql = Sql::new("select id, actor, action, subject, details from audit");
    if let Some(last) = last {
        sql.push(" where id < ").push_bind(last.uuid());
    }
    sql.push(" order by id desc").push_limit(limit);
    Ok(run.fetch::<Row>(sql).await?.into_iter().map(Entry::from).collect())
}

row! {
    #[derive(Debug)]
    struct Row {
        id: Uuid,
        actor: String,
        action: String,
        subject: String,
        details: Json<BTreeMap<String, String>>,
    }
}

impl From<Row> for Entry {
    fn from(row: Row) -> Self {
        let Row { id, actor, action, subject, details: Json(details) } = row;
        Self { id: id.into(), actor, action, subject, details }
    }
}
