//! Permissions: all rules about what callers may do.
//!
//! Anonymous callers may read public images, and behind a gateway write as the user that the request names. An API key with
//! scopes may do only what its scopes allow, and cannot create, change or delete keys.

use crate::model::account::{Account, Scope};
use crate::model::caller::{AuthMethod, Caller, User, UserId};
use crate::model::image::{Image, ThumbnailSize};
use crate::service::Service;
use crate::service::error::Error;

/// Returns the user of a caller that reads, if it is authenticated; it also sees its private images.
pub(in crate::service) fn viewer(caller: &Caller) -> Result<Option<&UserId>, Error> {
    let Some(user) = caller.authenticated_user() else { return Ok(None) };
    require_scope(user, Scope::Read)?;
    Ok(Some(&user.id))
}

/// Returns the user of a caller that reads its own data.
pub(in crate::service) fn authenticated_viewer(caller: &Caller) -> Result<&UserId, Error> {
    viewer(caller)?.ok_or(Error::Unauthenticated)
}

/// Returns the user of a caller that changes its own data.
pub(in crate::service) fn writer(caller: &Caller) -> Result<&User, Error> {
    let user = caller.authenticated_user().ok_or(Error::Unauthenticated)?;
    require_scope(user, Scope::Upload)?;
    Ok(user)
}

/// Returns the user of a caller that deletes or restores: an owner or an administrator. Which one it must be depends on the
/// image.
pub(in crate::service) fn deleter(caller: &Caller) -> Result<&User, Error> {
    match as_admin(caller).and(caller.authenticated_user()) {
        Some(admin) => Ok(admin),
        None => writer(caller),
    }
}

/// Returns the account of a caller that has authenticated as its owner.
pub(in crate::service) fn account(caller: &Caller, scope: Scope) -> Result<&Account, Error> {
    let user = caller.authenticated_user().ok_or(Error::AccountRequired)?;
    let account = user.own_account().ok_or(Error::AccountRequired)?;
    require_scope(user, scope)?;
    Ok(account)
}

/// Returns the account of a caller whose credentials are not restricted by scopes.
pub(in crate::service) fn unrestricted_account(caller: &Caller) -> Result<&Account, Error> {
    let user = caller.authenticated_user().ok_or(Error::AccountRequired)?;
    let account = user.own_account().ok_or(Error::AccountRequired)?;
    if user.is_restricted() {
        return Err(Error::forbidden(
            "An API key with scopes cannot do this. Use your password, an access token, or an API key without scopes.",
        ));
    }
    Ok(account)
}

/// Checks that a caller may read plans: authenticated callers and administrators.
pub(in crate::service) fn plan_viewer(caller: &Caller) -> Result<(), Error> {
    if as_admin(caller).is_some() { Ok(()) } else { authenticated_viewer(caller).map(drop) }
}

/// Like [`unrestricted_account`], but not with an API key.
pub(in crate::service) fn interactive_account(caller: &Caller) -> Result<&Account, Error> {
    match caller.authenticated_user().map(|user| &user.auth_method) {
        Some(AuthMethod::Password | AuthMethod::Token(_)) | None => unrestricted_account(caller),
        Some(AuthMethod::ApiKey(..)) => Err(Error::forbidden("An API key cannot do this. Use your password or an access token.")),
        Some(AuthMethod::GatewayHeader | AuthMethod::Job | AuthMethod::Share) => Err(Error::AccountRequired),
    }
}

/// Returns the account of an administrator.
pub(in crate::service) fn admin(caller: &Caller) -> Result<&Account, Error> {
    let account = account(caller, Scope::Admin)?;
    if account.admin { Ok(account) } else { Err(Error::forbidden("Only administrators can do this.")) }
}

/// Returns the account of a caller that is an administrator.
pub(in crate::service) fn as_admin(caller: &Caller) -> Option<&Account> {
    admin(caller).ok()
}

fn require_scope(user: &User, scope: Scope) -> Result<(), Error> {
    if user.has_scope(scope) {
        return Ok(());
    }
    Err(Error::forbidden(format!("This API key lacks the scope \"{}\", which this request requires.", scope.name())))
}

pub(in crate::service) fn require_enabled(account: &Account) -> Result<(), Error> {
    match account.disabled_at {
        None => Ok(()),
        Some(_) => Err(Error::BadCredentials("the account is disabled")),
    }
}

impl Service {
    // Handlers call these before they read a body or reveal whether an id exists.

    /// # Errors
    /// The caller is not an administrator.
    pub fn require_admin(&self, caller: &Caller) -> Result<(), Error> {
        admin(caller).map(drop)
    }

    /// # Errors
    /// The caller has not authenticated with an account, or may not read.
    pub fn require_account(&self, caller: &Caller) -> Result<(), Error> {
        account(caller, Scope::Read).map(drop)
    }

    /// # Errors
    /// The caller has not authenticated with an account, or its credentials are restricted.
    pub fn require_unrestricted_account(&self, caller: &Caller) -> Result<(), Error> {
        unrestricted_account(caller).map(drop)
    }

    /// # Errors
    /// The caller has not authenticated with a password or an access token.
    pub fn require_interactive_account(&self, caller: &Caller) -> Result<(), Error> {
        interactive_account(caller).map(drop)
    }

    /// Checks that a caller may upload and import at all, before the body of the request is read.
    ///
    /// # Errors
    /// The caller is not authenticated although it must be, or may not upload.
    pub fn require_uploader(&self, caller: &Caller) -> Result<(), Error> {
        require_user_or_gateway(caller, Scope::Upload)
    }

    /// Checks that a caller may adopt objects at all, before the body of the request is read.
    ///
    /// # Errors
    /// As for [`Service::require_uploader`].
    pub fn require_adopter(&self, caller: &Caller) -> Result<(), Error> {
        require_user_or_gateway(caller, Scope::Adopt)
    }

    /// Checks that a caller may adopt objects for this user.
    pub(in crate::service) fn require_adopter_for(&self, caller: &Caller, user: &UserId) -> Result<(), Error> {
        self.require_adopter(caller)?;
        require_same_user(caller, user)
    }

    /// Checks that a caller may upload and import for this user.
    pub(in crate::service) fn require_uploader_for(&self, caller: &Caller, user: &UserId) -> Result<(), Error> {
        self.require_uploader(caller)?;
        require_same_user(caller, user)
    }
}

fn require_user_or_gateway(caller: &Caller, scope: Scope) -> Result<(), Error> {
    match caller.authenticated_user() {
        Some(user) => require_scope(user, scope),
        // Behind a gateway `user_id` is as trustworthy as a caller: the gateway guarantees both.
        None if *caller == Caller::Gateway => Ok(()),
        None => Err(Error::Unauthenticated),
    }
}

fn require_same_user(caller: &Caller, user: &UserId) -> Result<(), Error> {
    if caller.user().is_some_and(|caller| caller != user) { Err(Error::OtherUser) } else { Ok(()) }
}

/// Checks that an image belongs to the caller. Callers who may not see it learn nothing of its existence.
pub(in crate::service) fn require_owner(user: &UserId, image: &Image) -> Result<(), Error> {
    if *user == image.user_id {
        return Ok(());
    }
    if image.is_visible_to(Some(user)) { Err(Error::NotOwner { id: image.id }) } else { Err(Error::no_such_image()) }
}

/// Checks that the plan of an image's owner includes the original.
pub(in crate::service) fn require_original(image: &Image) -> Result<(), Error> {
    if image.plan_includes_original() { Ok(()) } else { Err(Error::not_in_plan("originals")) }
}

pub(in crate::service) fn require_thumbnail(image: &Image, size: ThumbnailSize) -> Result<(), Error> {
    if image.plan_includes_thumbnail(size) { Ok(()) } else { Err(Error::not_in_plan("thumbnails of this size")) }
}

pub(in crate::service) fn require_custom_sizes(image: &Image) -> Result<(), Error> {
    let given = image.features.as_ref().is_none_or(|features| features.custom_sizes);
    if given { Ok(()) } else { Err(Error::not_in_plan("resized images")) }
}
