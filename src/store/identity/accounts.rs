//! The `accounts` table.
//!
//! The row of a deleted account remains, so that its user stays locked out until another account has that user. Only look-ups by
//! user find it.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::model::account::{Account, AccountId, Email};
use crate::model::caller::UserId;
use crate::model::plan::PlanName;
use crate::store::database::db::{Run, Sql, Tx};
use crate::store::database::error::Error;
use crate::store::database::row::row;

/// The columns of [`Row`].
macro_rules! columns {
    () => {
        "accounts.id, accounts.user_id, accounts.email, accounts.plan, accounts.admin, accounts.updated_at, accounts.disabled_at"
    };
}
pub(in crate::store) use columns;

/// Inserts an account; returns `false` if its e-mail address, user or id exists.
pub async fn insert(tx: &mut Tx, account: &Account, password_hash: &str) -> Result<bool, Error> {
    let sql = Sql::new("delete from accounts where user_id = $1 and deleted_at is not null");
    tx.execute(sql.bind(account.user_id.as_str())).await?;
    let sql = Sql::new(
        "insert into accounts (id, user_id, email, password_hash, plan, admin, updated_at, disabled_at) \
         values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict do nothing",
    )
    .bind(account.id.uuid())
    .bind(account.user_id.as_str())
    .bind(account.email.as_str())
    .bind(password_hash)
    .bind(account.plan.as_ref().map(|plan| plan.as_str().to_owned()))
    .bind(account.admin)
    .bind(account.updated_at)
    .bind(account.disabled_at);
    Ok(tx.execute(sql).await? == 1)
}

pub async fn find(run: impl Run, id: AccountId) -> Result<Option<Account>, Error> {
    let sql = Sql::new(concat!("select ", columns!(), " from accounts where id = $1 and deleted_at is null")).bind(id.uuid());
    run.fetch_optional::<Row>(sql).await?.map(Account::try_from).transpose()
}

pub async fn find_by_user(run: impl Run, user: &UserId) -> Result<Option<Account>, Error> {
    let sql = Sql::new(concat!("select ", columns!(), " from accounts where user_id = $1")).bind(user.as_str());
    run.fetch_optional::<Row>(sql).await?.map(Account::try_from).transpose()
}

pub async fn find_by_email(run: impl Run, email: &Email) -> Result<Option<Account>, Error> {
    let sql = Sql::new(concat!("select ", columns!(), " from accounts where email = $1")).bind(email.as_str());
    run.fetch_optional::<Row>(sql).await?.map(Account::try_from).transpose()
}

/// Returns the account and its password hash as a PHC string.
pub async fn find_with_hash(run: impl Run, email: &Email) -> Result<Option<(Account, String)>, Error> {
    let sql = Sql::new(concat!("select ", columns!(), ", accounts.password_hash from accounts where email = $1"));
    let row = run.fetch_optional::<RowWithHash>(sql.bind(email.as_str())).await?;
    row.map(|RowWithHash { row, password_hash }| Ok((Account::try_from(row)?, password_hash))).transpose()
}

/// Returns up to `limit` accounts after `last`, newest first.
pub async fn page(run: impl Run, last: Option<AccountId>, limit: u32) -> Result<Vec<Account>, Error> {
    let mut sql = Sql::new(concat!("select ", columns!(), " from accounts where deleted_at is null"));
    if let Some(last) = last {
        sql.push(" and id < ").push_bind(last.uuid());
    }
    sql.push(" order by id desc").push_limit(limit);
    run.fetch::<Row>(sql).await?.into_iter().map(Account::try_from).collect()
}

/// Returns whether any account exists, and whether any administrator does.
pub async fn exist(run: impl Run) -> Result<(bool, bool), Error> {
    let sql =
        Sql::new("select exists (select 1 from accounts where deleted_at is null), exists (select 1 from accounts where admin)");
    Ok(run.fetch_optional::<(bool, bool)>(sql).await?.unwrap_or_default())
}

/// Locks the account until the transaction ends; returns it.
pub async fn lock(tx: &mut Tx, id: AccountId) -> Result<Option<Account>, Error> {
    let sql = Sql::new(concat!(
        "update accounts set updated_at = updated_at where id = $1 and deleted_at is null returning ",
        columns!()
    ));
    tx.fetch_optional::<Row>(sql.bind(id.uuid())).await?.map(Account::try_from).transpose()
}

/// As [`lock`], by user.
pub async fn lock_by_user(tx: &mut Tx, user: &UserId) -> Result<Option<Account>, Error> {
    let sql = Sql::new(concat!("update accounts set updated_at = updated_at where user_id = $1 returning ", columns!()));
    tx.fetch_optional::<Row>(sql.bind(user.as_str())).await?.map(Account::try_from).transpose()
}

/// Updates the fields that an administrator can change.
pub async fn update(tx: &mut Tx, account: &Account) -> Result<(), Error> {
    let sql = Sql::new("update accounts set plan = $2, admin = $3, disabled_at = $4, updated_at = $5 where id = $1")
        .bind(account.id.uuid())
        .bind(account.plan.as_ref().map(|plan| plan.as_str().to_owned()))
        .bind(account.admin)
        .bind(account.disabled_at)
        .bind(account.updated_at);
    tx.execute(sql).await.map(drop)
}

/// Deletes a disabled account that has neither sessions nor API keys.
pub async fn delete(tx: &mut Tx, id: AccountId, now: DateTime<Utc>) -> Result<(), Error> {
    // No e-mail address contains a colon, so this value is never taken.
    let sql = Sql::new("update accounts set deleted_at = $2, email = $3, password_hash = '', admin = $4 where id = $1");
    tx.execute(sql.bind(id.uuid()).bind(now).bind(format!("deleted:{id}")).bind(false)).await.map(drop)
}

pub async fn set_password_hash(tx: &mut Tx, id: AccountId, password_hash: &str, now: DateTime<Utc>) -> Result<(), Error> {
    let sql = Sql::new("update accounts set password_hash = $2, updated_at = $3 where id = $1");
    tx.execute(sql.bind(id.uuid()).bind(password_hash).bind(now)).await.map(drop)
}

row! {
    #[derive(Debug)]
    pub(in crate::store) struct Row {
        id: Uuid,
        user_id: String,
        email: String,
        plan: Option<String>,
        admin: bool,
        updated_at: DateTime<Utc>,
        disabled_at: Option<DateTime<Utc>>,
    }
}

row! {
    #[derive(Debug)]
    struct RowWithHash {
        password_hash: String,
        ..row: Row,
    }
}

impl TryFrom<Row> for Account {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        Ok(Self {
            id: AccountId::from(row.id),
            user_id: UserId::parse(&row.user_id).map_err(|_| Error::Unreadable { column: "user_id", value: row.user_id })?,
            email: Email::from_stored(row.email),
            plan: row.plan.map(PlanName::from_stored),
            admin: row.admin,
            updated_at: row.updated_at,
            disabled_at: row.disabled_at,
        })
    }
}
