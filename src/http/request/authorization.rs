//! Extractors for callers that may use an operation. A handler declares its caller before its body, so that others are rejected
//! before the body is read.

use axum::extract::FromRequestParts;
use http::request::Parts;

use super::extractors::CallerOf;
use crate::http::AppState;
use crate::http::error::ApiError;
use crate::model::caller::Caller;
use crate::service::Service;
use crate::service::error::Error;

macro_rules! authorized_callers {
    ($($(#[$meta:meta])* $name:ident: $require:expr;)*) => {
        $(
            $(#[$meta])*
            #[derive(Debug, Clone)]
            pub struct $name(pub Caller);

            impl FromRequestParts<AppState> for $name {
                type Rejection = ApiError;

                async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, ApiError> {
                    let CallerOf(caller) = CallerOf::from_request_parts(parts, app).await?;
                    let require: fn(&Service, &Caller) -> Result<(), Error> = $require;
                    require(&app.service, &caller)?;
                    Ok(Self(caller))
                }
            }
        )*
    };
}

authorized_callers! {
    /// A caller with a user id: authenticated by credentials, or named by a trusted gateway.
    User: |_, caller| caller.user().map(drop).ok_or(Error::Unauthenticated);
    /// A caller with an account.
    AccountHolder: Service::require_account;
    /// A caller with an account whose credentials are not limited to scopes.
    UnrestrictedAccountHolder: Service::require_unrestricted_account;
    /// A caller with an account who has logged in, rather than sent an API key.
    LoggedInAccountHolder: Service::require_interactive_account;
    /// An administrator.
    Admin: Service::require_admin;
}
