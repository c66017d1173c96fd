//! Who may do what: every rule on callers, in one place.
//!
//! A caller that is not known may read what is public, and, behind a gateway, write in the name that the
//! request gives. A key with scopes may do what they say and no more, and makes, changes and deletes no keys.

use crate::model::account::{Account, Scope};
use crate::model::caller::{AuthMethod, Caller, User, UserId};
use crate::model::image::{Image, ThumbnailSize};
use crate::service::Service;
use crate::service::error::Error;

/// Whoever looks: their private images are shown to them.
pub(in crate::service) fn viewer(caller: &Caller) -> Result<Option<&UserId>, Error> {
    let Some(user) = caller.authenticated_user() else { return Ok(None) };
    require_scope(user, Scope::Read)?;
    Ok(Some(&user.id))
}

/// Whoever must be known to look at what is theirs.
pub(in crate::service) fn known_viewer(caller: &Caller) -> Result<&UserId, Error> {
    viewer(caller)?.ok_or(Error::Unauthenticated)
}

/// Whoever changes what is theirs.
pub(in crate::service) fn writer(caller: &Caller) -> Result<&User, Error> {
    let user = caller.authenticated_user().ok_or(Error::Unauthenticated)?;
    require_scope(user, Scope::Upload)?;
    Ok(user)
}

/// Whoever deletes or restores: an owner, or an administrator. Which one it must be is known once the image is.
pub(in crate::service) fn remover(caller: &Caller) -> Result<&User, Error> {
    match as_admin(caller).and(caller.authenticated_user()) {
        Some(admin) => Ok(admin),
        None => writer(caller),
    }
}

/// The account of a caller who has shown to be its owner.
pub(in crate::service) fn account(caller: &Caller, scope: Scope) -> Result<&Account, Error> {
    let user = caller.authenticated_user().ok_or(Error::AccountRequired)?;
    let account = user.own_account().ok_or(Error::AccountRequired)?;
    require_scope(user, scope)?;
    Ok(account)
}

/// The account of a caller who came in with all that it may do.
pub(in crate::service) fn whole_account(caller: &Caller) -> Result<&Account, Error> {
    let user = caller.authenticated_user().ok_or(Error::AccountRequired)?;
    let account = user.own_account().ok_or(Error::AccountRequired)?;
    if user.is_restricted() {
        return Err(Error::forbidden(
            "An API key with scopes cannot do this; come in with your password, a token, or a key without.",
        ));
    }
    Ok(account)
}

/// Whoever looks at plans: anybody who is known, and administrators for their own reasons.
pub(in crate::service) fn planner(caller: &Caller) -> Result<(), Error> {
    if as_admin(caller).is_some() { Ok(()) } else { known_viewer(caller).map(drop) }
}

/// As [`whole_account`], shown by what its owner knows, and not by a key.
pub(in crate::service) fn account_in_person(caller: &Caller) -> Result<&Account, Error> {
    let account = whole_account(caller)?;
    match caller.authenticated_user().map(|user| &user.auth_method) {
        Some(AuthMethod::Password | AuthMethod::Token(_)) => Ok(account),
        _ => Err(Error::forbidden("An API key cannot do this; come in with your password or a token.")),
    }
}

/// An administrator.
pub(in crate::service) fn admin(caller: &Caller) -> Result<&Account, Error> {
    let account = account(caller, Scope::Admin)?;
    if account.admin { Ok(account) } else { Err(Error::forbidden("Only administrators may do this.")) }
}

/// The administrator that a caller is, if it is one.
pub(in crate::service) fn as_admin(caller: &Caller) -> Option<&Account> {
    admin(caller).ok()
}

fn require_scope(user: &User, scope: Scope) -> Result<(), Error> {
    if user.has_scope(scope) {
        return Ok(());
    }
    Err(Error::forbidden(format!("This API key has no scope \"{}\", which this needs.", scope.name())))
}

impl Service {
    // What a handler asks before it reads a body or tells whether an id is one.

    /// # Errors
    /// The caller is no administrator.
    pub fn require_admin(&self, caller: &Caller) -> Result<(), Error> {
        admin(caller).map(drop)
    }

    /// # Errors
    /// The caller has not shown to have an account, or may not read.
    pub fn require_account(&self, caller: &Caller) -> Result<(), Error> {
        account(caller, Scope::Read).map(drop)
    }

    /// # Errors
    /// The caller has not shown to have an account, or came in with less than all that it may do.
    pub fn require_whole_account(&self, caller: &Caller) -> Result<(), Error> {
        whole_account(caller).map(drop)
    }

    /// # Errors
    /// The caller has not come in by a password or a token.
    pub fn require_in_person(&self, caller: &Caller) -> Result<(), Error> {
        account_in_person(caller).map(drop)
    }

    /// That a caller may upload and import at all, before anything of the request's body is read.
    ///
    /// # Errors
    /// No caller where one is needed, or one that may not.
    pub fn require_uploader(&self, caller: &Caller) -> Result<(), Error> {
        match caller.authenticated_user() {
            Some(user) => require_scope(user, Scope::Upload),
            // `user_id` is as good as a caller: nothing vouches for either but the gateway.
            None if *caller == Caller::Gateway => Ok(()),
            None => Err(Error::Unauthenticated),
        }
    }

    /// That a caller may upload and import for this user.
    pub(in crate::service) fn require_uploader_for(&self, caller: &Caller, user: &UserId) -> Result<(), Error> {
        self.require_uploader(caller)?;
        if caller.user().is_some_and(|caller| caller != user) { Err(Error::OtherUser) } else { Ok(()) }
    }
}

/// That an image is the caller's. Whoever may not know of it is told that there is none.
pub(in crate::service) fn require_owner(user: &UserId, image: &Image) -> Result<(), Error> {
    if *user == image.user_id {
        return Ok(());
    }
    if image.is_visible_to(Some(user)) { Err(Error::NotOwner { id: image.id }) } else { Err(Error::no_such_image()) }
}

/// That the plan of an image's owner gives its original.
pub(in crate::service) fn require_original(image: &Image) -> Result<(), Error> {
    if image.plan_includes_original() { Ok(()) } else { Err(Error::not_in_plan("originals")) }
}

pub(in crate::service) fn require_thumbnail(image: &Image, size: ThumbnailSize) -> Result<(), Error> {
    if image.plan_includes_thumbnail(size) { Ok(()) } else { Err(Error::not_in_plan("thumbnails of this size")) }
}

pub(in crate::service) fn require_custom_sizes(image: &Image) -> Result<(), Error> {
    let given = image.features.as_ref().is_none_or(|features| features.custom_sizes);
    if given { Ok(()) } else { Err(Error::not_in_plan("pictures of any size")) }
}
