//! Who may do what: every rule on callers, in one place.
//!
//! A caller that is not known may read what is public, and, behind a gateway, write in the name that the
//! request gives. A key with scopes may do what they say and no more, and makes, changes and deletes no keys.

use crate::model::account::{Account, Scope};
use crate::model::caller::{Caller, Proof, User, UserId};
use crate::model::image::{Image, ThumbnailSize};
use crate::service::Service;
use crate::service::error::Error;

/// Whoever looks: their private images are shown to them.
pub(in crate::service) fn viewer(caller: &Caller) -> Result<Option<&UserId>, Error> {
    let Some(user) = caller.known() else { return Ok(None) };
    require_scope(user, Scope::Read)?;
    Ok(Some(&user.id))
}

/// Whoever must be known to look at what is theirs.
pub(in crate::service) fn authenticated_viewer(caller: &Caller) -> Result<&UserId, Error> {
    viewer(caller)?.ok_or(Error::Unauthenticated)
}

/// Whoever changes what is theirs.
pub(in crate::service) fn writer(caller: &Caller) -> Result<&User, Error> {
    let user = caller.known().ok_or(Error::Unauthenticated)?;
    require_scope(user, Scope::Upload)?;
    Ok(user)
}

/// Whoever deletes or restores: an owner, or an administrator. Which one it must be is known once the image is.
pub(in crate::service) fn deleter(caller: &Caller) -> Result<&User, Error> {
    match as_admin(caller).and(caller.known()) {
        Some(admin) => Ok(admin),
        None => writer(caller),
    }
}

/// The account of a caller who has shown to be its owner.
pub(in crate::service) fn account(caller: &Caller, scope: Scope) -> Result<&Account, Error> {
    let user = caller.known().ok_or(Error::AccountRequired)?;
    let account = user.own_account().ok_or(Error::AccountRequired)?;
    require_scope(user, scope)?;
    Ok(account)
}

/// The account of a caller who came in with all that it may do.
pub(in crate::service) fn unrestricted_account(caller: &Caller) -> Result<&Account, Error> {
    let user = caller.known().ok_or(Error::AccountRequired)?;
    let account = user.own_account().ok_or(Error::AccountRequired)?;
    if user.is_restricted() {
        return Err(Error::forbidden(
            "An API key with scopes cannot do this; come in with your password, a token, or a key without.",
        ));
    }
    Ok(account)
}

/// Whoever looks at plans: anybody who is known, and administrators for their own reasons.
pub(in crate::service) fn plan_viewer(caller: &Caller) -> Result<(), Error> {
    if as_admin(caller).is_some() { Ok(()) } else { authenticated_viewer(caller).map(drop) }
}

/// As [`whole_account`], shown by what its owner knows, and not by a key.
pub(in crate::service) fn interactive_account(caller: &Caller) -> Result<&Account, Error> {
    let account = unrestricted_account(caller)?;
    match caller.known().map(|user| &user.proof) {
        Some(Proof::Password | Proof::Token(_)) => Ok(account),
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

pub(in crate::service) fn require_enabled(account: &Account) -> Result<(), Error> {
    match account.disabled_at {
        None => Ok(()),
        Some(_) => Err(Error::BadCredentials("the account is disabled")),
    }
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
    pub fn require_unrestricted_account(&self, caller: &Caller) -> Result<(), Error> {
        unrestricted_account(caller).map(drop)
    }

    /// # Errors
    /// The caller has not come in by a password or a token.
    pub fn require_interactive_account(&self, caller: &Caller) -> Result<(), Error> {
        interactive_account(caller).map(drop)
    }

    /// That a caller may upload and import at all, before anything of the request's body is read.
    ///
    /// # Errors
    /// No caller where one is needed, or one that may not.
    pub fn require_uploader(&self, caller: &Caller) -> Result<(), Error> {
        match caller.known() {
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
    if image.gives_original() { Ok(()) } else { Err(Error::not_in_plan("originals")) }
}

pub(in crate::service) fn require_thumbnail(image: &Image, size: ThumbnailSize) -> Result<(), Error> {
    if image.gives_thumbnail(size) { Ok(()) } else { Err(Error::not_in_plan("thumbnails of this size")) }
}

pub(in crate::service) fn require_custom_sizes(image: &Image) -> Result<(), Error> {
    let given = image.features.as_ref().is_none_or(|features| features.custom_sizes);
    if given { Ok(()) } else { Err(Error::not_in_plan("pictures of any size")) }
}
