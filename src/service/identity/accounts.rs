//! Accounts: made, looked at and changed by administrators; looked at, and given another password, by their owners.

use std::collections::{BTreeMap, BTreeSet};

use super::authentication::Charge;
use super::passwords::Password;
use super::permissions;
use super::quota::images_of;
use super::registration::Registry;
use crate::model::account::{Account, AccountId, Email, Scope};
use crate::model::caller::{Caller, UserId};
use crate::model::page::PageToken;
use crate::model::plan::{Plan, PlanName, Usage};
use crate::service::Service;
use crate::service::error::Error;
use crate::service::images::trash::trash_of;
use crate::service::images::{cut_to_micros, read_token};
use crate::service::jobs::imports::{Page, list_fingerprint};
use crate::service::sharing::collections;
use crate::store::{self, Tx};

/// An account to be made.
#[derive(Debug, Clone)]
pub struct NewAccount {
    pub email: Email,
    pub password: Password,
    /// What its images are to know their owner by; without one, the account's id.
    pub user_id: Option<UserId>,
    pub plan: Option<PlanName>,
    pub admin: bool,
}

/// What of an account is to be changed; a field that is `None` stays as it is.
#[derive(Debug, Clone, Default)]
pub struct AccountChange {
    pub plan: Option<Option<PlanName>>,
    pub disabled: Option<bool>,
    pub admin: Option<bool>,
}

/// An account with what it has.
#[derive(Debug, Clone)]
pub struct AccountState {
    pub account: Account,
    /// `None` gives everything.
    pub plan: Option<Plan>,
    pub usage: Usage,
    /// What can still be restored.
    pub trash: Usage,
}

impl Service {
    /// Makes an account. Administrators only.
    ///
    /// # Errors
    /// The caller is none, there is no such plan, or the e-mail address or the user has an account.
    pub async fn create_account(&self, caller: &Caller, new: NewAccount) -> Result<Account, Error> {
        let admin = permissions::admin(caller)?;
        if new.admin {
            permissions::account_in_person(caller)?;
        }
        self.registry().insert(admin.email.as_str(), new).await
    }

    /// A page of all accounts, newest first. Administrators only.
    ///
    /// # Errors
    /// The caller is none, or the page token is not one of this list.
    pub async fn list_accounts(&self, caller: &Caller, limit: u32, token: Option<&str>) -> Result<Page<Account>, Error> {
        permissions::admin(caller)?;
        let list = list_fingerprint("accounts", "");
        let last = read_token(token, &list)?.map(|token| AccountId::from(token.last));
        let accounts = store::identity::accounts::page(&self.db, last, limit + 1).await?;
        Ok(Page::new(accounts, limit, |account| PageToken { last: account.id.uuid() }.encode(&list)))
    }

    /// The caller's own account.
    ///
    /// # Errors
    /// The caller has not shown to have one.
    pub async fn my_account(&self, caller: &Caller) -> Result<AccountState, Error> {
        let account = permissions::account(caller, Scope::Read)?;
        self.state_of(account.clone()).await
    }

    /// Any account. Administrators only.
    ///
    /// # Errors
    /// The caller is none, or there is no such account.
    pub async fn find_account(&self, caller: &Caller, id: AccountId) -> Result<AccountState, Error> {
        permissions::admin(caller)?;
        let account = store::identity::accounts::find(&self.db, id).await?.ok_or_else(no_such_account)?;
        self.state_of(account).await
    }

    async fn state_of(&self, account: Account) -> Result<AccountState, Error> {
        let plan = match &account.plan {
            Some(plan) => store::identity::plans::find(&self.db, plan).await?,
            None => None,
        };
        let usage = self.usage(&account.user_id).await?;
        let trash = trash_of(&mut self.db.reader().await?, &account.user_id).await?;
        Ok(AccountState { account, plan, usage, trash })
    }

    /// Changes an account. Administrators only, and none can shut themself out. Disabling ends all sessions of the account.
    ///
    /// # Errors
    /// The caller is none, there is no such account or plan, or it is the caller's own that would be disabled or demoted.
    pub async fn change_account(&self, caller: &Caller, id: AccountId, change: AccountChange) -> Result<AccountState, Error> {
        let admin = permissions::admin(caller)?;
        if change.admin == Some(true) {
            permissions::account_in_person(caller)?;
        }
        let mut tx = self.db.begin().await?;
        let mut account = lock_beside(&mut tx, admin, id).await?.ok_or_else(no_such_account)?;
        if admin.id == id && (change.disabled == Some(true) || change.admin == Some(false)) {
            return Err(Error::Conflict { message: "Administrators cannot disable or demote themselves.".to_owned() });
        }
        let now = cut_to_micros(self.clock.now());
        let mut changed = BTreeMap::new();
        if let Some(plan) = change.plan.filter(|plan| *plan != account.plan) {
            require_plan(&mut tx, plan.as_ref()).await?;
            changed.insert("plan".to_owned(), plan_text(plan.as_ref()));
            account.plan = plan;
        }
        if let Some(disabled) = change.disabled.filter(|disabled| *disabled != account.disabled_at.is_some()) {
            changed.insert("disabled".to_owned(), disabled.to_string());
            account.disabled_at = disabled.then_some(now);
            if disabled {
                store::identity::sessions::delete_of(&mut tx, id, 0).await?;
            }
        }
        if let Some(admin) = change.admin.filter(|admin| *admin != account.admin) {
            changed.insert("admin".to_owned(), admin.to_string());
            account.admin = admin;
        }
        if !changed.is_empty() {
            account.updated_at = now;
            store::identity::accounts::update(&mut tx, &account).await?;
            self.note(&mut tx, admin, "account.changed", id, changed).await?;
        }
        tx.commit().await?;
        self.state_of(account).await
    }

    /// Deletes an account that is disabled, with its sessions and API keys. Administrators only. Images and collections of its user
    /// stay only if that is said, as nobody can manage them until there is another account of the same user; until then the user is
    /// locked out, as that of a disabled account is.
    ///
    /// # Errors
    /// The caller is none, there is no such account, it is not disabled, or its user has images or imports.
    pub async fn delete_account(&self, caller: &Caller, id: AccountId, keep_images: bool) -> Result<(), Error> {
        let admin = permissions::admin(caller)?;
        let mut tx = self.db.begin().await?;
        let account = lock_beside(&mut tx, admin, id).await?.ok_or_else(no_such_account)?;
        if account.disabled_at.is_none() {
            return Err(Error::Conflict { message: "Disable the account first.".to_owned() });
        }
        let (user, now) = (&account.user_id, cut_to_micros(self.clock.now()));
        let (images, trash) = (images_of(&mut tx, user).await?, trash_of(&mut tx, user).await?.images);
        if images + trash > 0 && !keep_images {
            let message = format!(
                "The account's user has {images} images, and {trash} in the trash. Delete them first, or pass keep_images=true."
            );
            return Err(Error::Conflict { message });
        }
        let imports = store::jobs::imports::count_pending(&mut tx, user).await?;
        if imports > 0 {
            let message = format!(
                "The account has {imports} unfinished imports. They will fail shortly, as it is disabled; then try again."
            );
            return Err(Error::Conflict { message });
        }
        if !keep_images {
            let given_up = store::sharing::collections::mark_all_deleted(&mut tx, user, now).await?;
            collections::count(&mut tx, user, -given_up);
        }
        store::identity::sessions::delete_of(&mut tx, id, 0).await?;
        store::identity::api_keys::delete_of(&mut tx, id).await?;
        store::identity::accounts::delete(&mut tx, id, now).await?;
        let details = BTreeMap::from([("user_id".to_owned(), user.to_string()), ("images".to_owned(), images.to_string())]);
        self.note(&mut tx, admin, "account.deleted", id, details).await?;
        Ok(tx.commit().await?)
    }

    /// Gives the caller's account another password, and ends its sessions.
    ///
    /// # Errors
    /// The caller came in by a key, or `current` is not the password; that counts as an attempt to log in.
    pub async fn change_my_password(
        &self,
        caller: &Caller,
        current: &str,
        new: &Password,
        address: Option<std::net::IpAddr>,
    ) -> Result<(), Error> {
        let account = permissions::account_in_person(caller)?;
        let account =
            self.check_password(account.email.as_str(), current, address, Charge::Now).await.map_err(|error| match error {
                Error::BadCredentials(_) => Error::invalid("current_password", "is not the password of this account"),
                other => other,
            })?;
        self.registry().replace_password(&account, new, None).await
    }

    fn registry(&self) -> Registry<'_> {
        Registry { db: &self.db, clock: &*self.clock, passwords: &self.auth.passwords }
    }
}

/// Takes the locks of an administrator, who must still be one, and of another account: so of two that shut each other out one
/// is left.
async fn lock_beside(tx: &mut Tx, admin: &Account, id: AccountId) -> Result<Option<Account>, Error> {
    let mut locked = None;
    for each in BTreeSet::from([admin.id, id]) {
        let account = store::identity::accounts::lock(tx, each).await?;
        if each == admin.id && !account.as_ref().is_some_and(|now| now.admin && now.disabled_at.is_none()) {
            return Err(Error::forbidden("Only administrators may do this."));
        }
        if each == id {
            locked = account;
        }
    }
    Ok(locked)
}

pub(in crate::service) async fn require_plan(tx: &mut Tx, plan: Option<&PlanName>) -> Result<(), Error> {
    let Some(plan) = plan else { return Ok(()) };
    match store::identity::plans::lock(tx, plan).await? {
        Some(_) => Ok(()),
        None => Err(Error::invalid("plan", "is not the name of a plan")),
    }
}

pub(in crate::service) fn plan_text(plan: Option<&PlanName>) -> String {
    plan.map_or_else(|| "none".to_owned(), PlanName::to_string)
}

pub(in crate::service) fn no_such_account() -> Error {
    Error::NotFound { what: "such account".to_owned() }
}
