//! Creating accounts and setting passwords, for requests and for the command line.

use std::collections::BTreeMap;

use super::audit;
use super::passwords::{Password, Passwords};
use crate::model::account::{Account, AccountId, Email};
use crate::model::caller::UserId;
use crate::model::clock::Clock;
use crate::model::plan::PlanName;
use crate::service::Service;
use crate::service::error::Error;
use crate::service::time::truncate_to_micros;
use crate::store::{self, Db, Tx};

/// An account to create.
#[derive(Debug, Clone)]
pub struct NewAccount {
    pub email: Email,
    pub password: Password,
    /// The user id that its images will have; the default is the account's id.
    pub user_id: Option<UserId>,
    pub plan: Option<PlanName>,
    pub admin: bool,
}

/// What creating an account needs.
pub(in crate::service) struct Registry<'a> {
    pub db: &'a Db,
    pub clock: &'a dyn Clock,
    pub passwords: &'a Passwords,
}

/// The actor of operations from the command line.
const COMMAND_LINE: &str = "(command line)";

/// Creates an administrator, from the command line.
///
/// # Errors
/// The database is unavailable, or the e-mail address or the user already has an account.
pub async fn create_admin(
    db: &Db,
    clock: &dyn Clock,
    email: Email,
    password: Password,
    user_id: Option<UserId>,
) -> Result<Account, Error> {
    let passwords = Passwords::default();
    let new = NewAccount { email, password, user_id, plan: None, admin: true };
    Registry { db, clock, passwords: &passwords }.insert(COMMAND_LINE, new).await
}

/// Sets the password of an account, from the command line, and ends its sessions.
///
/// # Errors
/// The database is unavailable, or there is no such account.
pub async fn set_password(db: &Db, clock: &dyn Clock, email: &Email, password: &Password) -> Result<(), Error> {
    let passwords = Passwords::default();
    let account = store::identity::accounts::find_by_email(db, email).await?.ok_or_else(no_such_account)?;
    Registry { db, clock, passwords: &passwords }.replace_password(&account, password, Some(COMMAND_LINE)).await
}

impl Service {
    /// Returns whether any account exists.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn has_accounts(&self) -> Result<bool, Error> {
        Ok(store::identity::accounts::exist(&self.db).await?.0)
    }

    /// Returns whether an administrator exists.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn has_admin(&self) -> Result<bool, Error> {
        Ok(store::identity::accounts::exist(&self.db).await?.1)
    }

    /// Creates the first administrator. Returns `None` if there is one already.
    ///
    /// # Errors
    /// The database is unavailable, or the e-mail address belongs to an account that is not an administrator's.
    pub async fn create_first_admin(&self, email: Email, password: Password) -> Result<Option<Account>, Error> {
        if self.has_admin().await? {
            return Ok(None);
        }
        match create_admin(&self.db, &*self.clock, email, password, None).await {
            Ok(account) => Ok(Some(account)),
            // Another instance may have started at the same time.
            Err(Error::Conflict { .. }) if self.has_admin().await? => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Registry<'_> {
    /// Creates an account, and records `actor` in the audit trail.
    pub async fn insert(&self, actor: &str, new: NewAccount) -> Result<Account, Error> {
        let id = AccountId::new(self.clock);
        let user_id = match new.user_id {
            Some(user_id) => user_id,
            None => UserId::parse(&id.to_string()).map_err(Error::internal)?,
        };
        let (email, plan, admin, updated_at) = (new.email, new.plan, new.admin, truncate_to_micros(self.clock.now()));
        let account = Account { id, user_id, email, plan, admin, updated_at, disabled_at: None };
        let hash = self.passwords.hash(&new.password).await?;
        let mut tx = self.db.begin().await?;
        require_plan(&mut tx, account.plan.as_ref()).await?;
        if !store::identity::accounts::insert(&mut tx, &account, &hash).await? {
            return Err(Error::Conflict { message: "An account with this e-mail address or user_id already exists.".to_owned() });
        }
        let details = [
            ("email", account.email.to_string()),
            ("user_id", account.user_id.to_string()),
            ("plan", plan_text(account.plan.as_ref())),
            ("admin", account.admin.to_string()),
        ];
        let details = details.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        audit::record(&mut tx, self.clock, actor, "account.created", id, details).await?;
        tx.commit().await?;
        Ok(account)
    }

    /// Sets the password of an account and ends its sessions. `operator` is the actor if it is not the account's owner.
    pub async fn replace_password(&self, account: &Account, new: &Password, operator: Option<&str>) -> Result<(), Error> {
        let hash = self.passwords.hash(new).await?;
        let mut tx = self.db.begin().await?;
        let now = store::identity::accounts::lock(&mut tx, account.id).await?.ok_or_else(no_such_account)?;
        // The current password was checked before hashing; another request may have changed it since.
        if operator.is_none() && now.updated_at != account.updated_at {
            return Err(Error::Conflict {
                message: "The account was changed at the same time. Check its state and try again.".to_owned(),
            });
        }
        store::identity::accounts::set_password_hash(&mut tx, account.id, &hash, truncate_to_micros(self.clock.now())).await?;
        store::identity::sessions::delete_of(&mut tx, account.id, 0).await?;
        let actor = operator.unwrap_or(account.email.as_str());
        audit::record(&mut tx, self.clock, actor, "account.password_set", account.id, BTreeMap::new()).await?;
        Ok(tx.commit().await?)
    }
}

pub(in crate::service) async fn require_plan(tx: &mut Tx, plan: Option<&PlanName>) -> Result<(), Error> {
    let Some(plan) = plan else { return Ok(()) };
    match store::identity::plans::lock(tx, plan).await? {
        Some(_) => Ok(()),
        None => Err(Error::invalid("plan", "must be the name of an existing plan")),
    }
}

pub(in crate::service) fn plan_text(plan: Option<&PlanName>) -> String {
    plan.map_or_else(|| "none".to_owned(), PlanName::to_string)
}

pub(in crate::service) fn no_such_account() -> Error {
    Error::NotFound { what: "such account".to_owned() }
}
