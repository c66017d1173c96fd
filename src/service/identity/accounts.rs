//! Accounts: administrators create, list and change them; owners read their own and change its password.

use std::collections::{BTreeMap, BTreeSet};

use super::passwords::Password;
use super::permissions;
use super::quota::count_images_of;
use super::rate_limits::LoginCharge;
use super::registration::{NewAccount, Registry, no_such_account, plan_text, require_plan};
use crate::model::account::{Account, AccountId, Scope};
use crate::model::caller::Caller;
use crate::model::page::PageToken;
use crate::model::plan::{Plan, PlanName, Usage};
use crate::model::plural::counted;
use crate::service::Service;
use crate::service::error::Error;
use crate::service::images::trash::trash_usage;
use crate::service::paging::{Page, list_fingerprint, parse_page_token};
use crate::service::sharing::collections;
use crate::service::time::truncate_to_micros;
use crate::store::images::uploads::OpenUploads;
use crate::store::{self, Tx};

/// Changes to an account; a field that is `None` stays unchanged.
#[derive(Debug, Clone, Default)]
pub struct AccountChange {
    pub plan: Option<Option<PlanName>>,
    pub disabled: Option<bool>,
    pub admin: Option<bool>,
}

/// An account with its plan and usage.
#[derive(Debug, Clone)]
pub struct AccountState {
    pub account: Account,
    /// `None` means no restrictions.
    pub plan: Option<Plan>,
    pub usage: Usage,
    /// Deleted images that can still be restored.
    pub trash: Usage,
    /// What open uploads have reserved.
    pub reserved: OpenUploads,
}

impl Service {
    /// Creates an account. Administrators only.
    ///
    /// # Errors
    /// The caller is not an administrator, there is no such plan, or the e-mail address or the user already has an account.
    pub async fn create_account(&self, caller: &Caller, new: NewAccount) -> Result<Account, Error> {
        let admin = permissions::admin(caller)?;
        if new.admin {
            permissions::interactive_account(caller)?;
        }
        self.registry().insert(admin.email.as_str(), new).await
    }

    /// Lists a page of all accounts, newest first. Administrators only.
    ///
    /// # Errors
    /// The caller is not an administrator, or the page token is not of this list.
    pub async fn list_accounts(&self, caller: &Caller, limit: u32, token: Option<&str>) -> Result<Page<Account>, Error> {
        permissions::admin(caller)?;
        let list = list_fingerprint("accounts", "");
        let last = parse_page_token(token, &list)?.map(|token| AccountId::from(token.last));
        let accounts = store::identity::accounts::page(&self.db, last, limit + 1).await?;
        Ok(Page::new(accounts, limit, |account| PageToken { last: account.id.uuid() }.encode(&list)))
    }

    /// Returns the caller's own account.
    ///
    /// # Errors
    /// The caller has not authenticated with an account.
    pub async fn my_account(&self, caller: &Caller) -> Result<AccountState, Error> {
        let account = permissions::account(caller, Scope::Read)?;
        self.account_state(account.clone()).await
    }

    /// Finds an account. Administrators only.
    ///
    /// # Errors
    /// The caller is not an administrator, or there is no such account.
    pub async fn find_account(&self, caller: &Caller, id: AccountId) -> Result<AccountState, Error> {
        permissions::admin(caller)?;
        let account = store::identity::accounts::find(&self.db, id).await?.ok_or_else(no_such_account)?;
        self.account_state(account).await
    }

    async fn account_state(&self, account: Account) -> Result<AccountState, Error> {
        let plan = match &account.plan {
            Some(plan) => store::identity::plans::find(&self.db, plan).await?,
            None => None,
        };
        let usage = self.usage(&account.user_id).await?;
        let trash = trash_usage(&mut self.db.reader().await?, &account.user_id).await?;
        let reserved = store::images::uploads::open(&self.db, &account.user_id, None).await?;
        Ok(AccountState { account, plan, usage, trash, reserved })
    }

    /// Changes an account. Administrators only; they cannot lock themselves out. Disabling an account ends all its sessions.
    ///
    /// # Errors
    /// The caller is not an administrator, there is no such account or plan, or the caller would disable or demote itself.
    pub async fn change_account(&self, caller: &Caller, id: AccountId, change: AccountChange) -> Result<AccountState, Error> {
        let admin = permissions::admin(caller)?;
        if change.admin == Some(true) {
            permissions::interactive_account(caller)?;
        }
        let mut tx = self.db.begin().await?;
        let mut account = lock_with_admin(&mut tx, admin, id).await?.ok_or_else(no_such_account)?;
        if admin.id == id && (change.disabled == Some(true) || change.admin == Some(false)) {
            return Err(Error::Conflict { message: "Administrators cannot disable or demote themselves.".to_owned() });
        }
        let now = truncate_to_micros(self.clock.now());
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
            self.audit(&mut tx, admin, "account.changed", id, changed).await?;
        }
        tx.commit().await?;
        self.account_state(account).await
    }

    /// Deletes a disabled account, with its sessions and API keys. Administrators only. Images and collections of its user are
    /// kept only on request, because they cannot be managed until the same user has an account again. Until then the user is
    /// locked out, like the user of a disabled account.
    ///
    /// # Errors
    /// The caller is not an administrator, there is no such account, it is not disabled, or its user has images or imports.
    pub async fn delete_account(&self, caller: &Caller, id: AccountId, keep_images: bool) -> Result<(), Error> {
        let admin = permissions::admin(caller)?;
        let mut tx = self.db.begin().await?;
        let account = lock_with_admin(&mut tx, admin, id).await?.ok_or_else(no_such_account)?;
        if account.disabled_at.is_none() {
            return Err(Error::Conflict { message: "Disable the account first.".to_owned() });
        }
        let (user, now) = (&account.user_id, truncate_to_micros(self.clock.now()));
        let (images, trash) = (count_images_of(&mut tx, user).await?, trash_usage(&mut tx, user).await?.images);
        if images + trash > 0 && !keep_images {
            let message = format!(
                "The user of this account has {}, and {trash} in the trash. Delete them first, or pass keep_images=true.",
                counted(images, "image")
            );
            return Err(Error::Conflict { message });
        }
        let imports = store::jobs::imports::count_pending(&mut tx, user).await?;
        if imports > 0 {
            let message = format!(
                "The account has {}. Imports of a disabled account fail shortly. Try again then.",
                counted(imports, "unfinished import")
            );
            return Err(Error::Conflict { message });
        }
        if !keep_images {
            let given_up = store::sharing::collections::mark_all_deleted(&mut tx, user, now).await?;
            collections::count(&mut tx, user, -given_up);
        }
        // They must not pass to another account with the same user.
        store::images::uploads::cancel_all(&mut tx, user).await?;
        store::sharing::shares::delete_of_user(&mut tx, user).await?;
        store::identity::sessions::delete_of(&mut tx, id, 0).await?;
        store::identity::api_keys::delete_of(&mut tx, id).await?;
        store::identity::accounts::delete(&mut tx, id, now).await?;
        let details = BTreeMap::from([("user_id".to_owned(), user.to_string()), ("images".to_owned(), images.to_string())]);
        self.audit(&mut tx, admin, "account.deleted", id, details).await?;
        Ok(tx.commit().await?)
    }

    /// Changes the password of the caller's account, and ends its sessions.
    ///
    /// # Errors
    /// The caller authenticated with an API key, or `current` is not the password, which counts as a login attempt.
    pub async fn change_my_password(
        &self,
        caller: &Caller,
        current: &str,
        new: &Password,
        address: Option<std::net::IpAddr>,
    ) -> Result<(), Error> {
        let account = permissions::interactive_account(caller)?;
        let account =
            self.check_password(account.email.as_str(), current, address, LoginCharge::Now).await.map_err(
                |error| match error {
                    Error::BadCredentials(_) => Error::invalid("current_password", "is not the password of this account"),
                    other => other,
                },
            )?;
        self.registry().replace_password(&account, new, None).await
    }

    fn registry(&self) -> Registry<'_> {
        Registry { db: &self.db, clock: &*self.clock, passwords: &self.auth.passwords }
    }
}

/// Locks the account of an administrator, who must still be one, and another account. So if two administrators demote each other,
/// one remains.
async fn lock_with_admin(tx: &mut Tx, admin: &Account, id: AccountId) -> Result<Option<Account>, Error> {
    let mut locked = None;
    for each in BTreeSet::from([admin.id, id]) {
        let account = store::identity::accounts::lock(tx, each).await?;
        if each == admin.id && !account.as_ref().is_some_and(|now| now.admin && now.disabled_at.is_none()) {
            return Err(Error::forbidden("Only administrators can do this."));
        }
        if each == id {
            locked = account;
        }
    }
    Ok(locked)
}
