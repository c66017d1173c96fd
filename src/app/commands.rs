//! The commands that do not serve: each opens what it needs, does its work and closes it.

use std::fs::File;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use super::Error;
use super::components::{Components, Purpose, build, open_database};
use crate::config::Config;
use crate::data_dir::{self, DataDirError, UsedDatabase};
use crate::fetch::SystemNetwork;
use crate::model::account::{Account, Email};
use crate::model::caller::UserId;
use crate::model::clock::Clock;
use crate::service;
use crate::service::identity::passwords::Password;
use crate::service::identity::registration;
use crate::service::images::bulk_adoption::{AdoptionEvent, BulkAdoption};
use crate::service::maintenance::doctor::{Fix, Report};
use crate::store::Db;

/// Runs the migrations.
///
/// # Errors
/// The database is unavailable, or a migration failed.
pub async fn migrate(config: Config) -> Result<(), Error> {
    let config = config.validate()?;
    let _data_dir = if config.database_url.is_none() { Some(data_dir::lock(&config.data_dir)?) } else { None };
    open_database(&config, Purpose::Prepare).await?.close().await;
    Ok(())
}

/// Creates an administrator. A running service may use the same database.
///
/// # Errors
/// The database is unavailable, or the e-mail address or the user already has an account.
pub async fn create_admin(
    config: Config,
    clock: Arc<dyn Clock>,
    email: Email,
    password: Password,
    user_id: Option<UserId>,
) -> Result<(Account, UsedDatabase), Error> {
    let used = UsedDatabase::of(&config);
    let (db, _lock) = open_for_accounts(config, Purpose::Prepare).await?;
    let account = registration::create_admin(&db, &*clock, email, password, user_id).await;
    db.close().await;
    Ok((account?, used))
}

/// Changes the password of an account. A running service may use the same database.
///
/// # Errors
/// The database is unavailable, or there is no such account.
pub async fn set_password(
    config: Config,
    clock: Arc<dyn Clock>,
    email: Email,
    password: Password,
) -> Result<UsedDatabase, Error> {
    let used = UsedDatabase::of(&config);
    if let Some(missing) = config.clone().validate()?.database_file().filter(|path| !path.exists()) {
        return Err(Error::MissingData(missing));
    }
    let (db, _lock) = open_for_accounts(config, Purpose::Examine).await?;
    let set = registration::set_password(&db, &*clock, &email, &password).await;
    db.close().await;
    match set {
        Ok(()) => Ok(used),
        Err(service::Error::NotFound { .. }) => Err(Error::NoAccount { email, database: used }),
        Err(error) => Err(error.into()),
    }
}

/// Opens the database. If a running service holds DATA_DIR, it has already migrated the SQLite file, which both can use.
async fn open_for_accounts(config: Config, purpose: Purpose) -> Result<(Db, Option<File>), Error> {
    let config = config.validate()?;
    if config.database_url.is_some() {
        return Ok((open_database(&config, purpose).await?, None));
    }
    match data_dir::lock(&config.data_dir) {
        Ok(lock) => Ok((open_database(&config, purpose).await?, Some(lock))),
        Err(DataDirError::InUse(_)) => Ok((open_database(&config, Purpose::Examine).await?, None)),
        Err(error) => Err(error.into()),
    }
}

/// Adopts all objects with a prefix as images of a user.
///
/// # Errors
/// The database or the storage is unavailable, or was never used by a service, or the bucket cannot be listed.
pub async fn adopt(
    config: Config,
    clock: Arc<dyn Clock>,
    adoption: &BulkAdoption,
    report: impl FnMut(AdoptionEvent) -> ControlFlow<()>,
) -> Result<(), Error> {
    let components = open_existing(config, clock).await?;
    let adopted = components.service.adopt_all(adoption, report).await;
    components.close().await;
    Ok(adopted?)
}

/// Compares the database with the bucket, and repairs what `fix` selects.
///
/// # Errors
/// The database or the storage is unavailable, or was never used by a service.
pub async fn doctor(config: Config, clock: Arc<dyn Clock>, fix: Fix) -> Result<Report, Error> {
    let components = open_existing(config, clock).await?;
    let report = components.service.examine(fix).await;
    components.close().await;
    Ok(report?)
}

/// Opens the database and the storage of a service that has run before.
async fn open_existing(config: Config, clock: Arc<dyn Clock>) -> Result<Components, Error> {
    let config = config.validate()?;
    if let Some(missing) = config.state_files().into_iter().find(|path| !path.exists()) {
        return Err(Error::MissingData(missing));
    }
    build(&config, clock, Arc::new(SystemNetwork::default()), Purpose::Examine).await
}

impl Components {
    async fn close(self) {
        self.service.finish().await;
        if let Some(embedded) = self.embedded {
            embedded.shutdown(Duration::from_secs(5)).await;
        }
    }
}
