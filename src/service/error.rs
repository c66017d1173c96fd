//! The one vocabulary of failures that a client can act on. `http/error.rs` turns it into statuses and bodies.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::{imaging, objects, store};

/// Field names and what is wrong with each.
pub type Fields = BTreeMap<String, String>;

/// Why a request was not fulfilled. `Display` is a sentence for the client; causes are for the log.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request cannot be read.
    #[error("{message}")]
    Malformed { message: String, details: Fields },
    /// The file is of an accepted format, but damaged or out of bounds.
    #[error("The file was refused: {reason}.")]
    InvalidFile { reason: String, details: Fields },
    #[error("{}", unsupported_message(*.found))]
    UnsupportedFormat {
        /// The name of the format that it is in, if it is known.
        found: Option<&'static str>,
    },
    /// Every field that breaks a rule, with the rule.
    #[error("{}", invalid_message(.0))]
    Invalid(Fields),
    /// Any credentials will do, and where a gateway vouches for callers, its header.
    #[error("{AUTHENTICATION_REQUIRED}")]
    Unauthenticated,
    /// Only an account will do, so that of a gateway's header nothing is said.
    #[error("{AUTHENTICATION_REQUIRED}")]
    AccountRequired,
    /// Credentials that are there, but no good.
    #[error("These credentials are not accepted: {0}.")]
    BadCredentials(&'static str),
    /// A known caller who may not do this.
    #[error("{message}")]
    Forbidden { message: String },
    #[error("The plan of this image's owner does not give {what}.")]
    NotInPlan { what: &'static str },
    /// With what is used of each quota that this would exceed, and what is left.
    #[error("The plan has no room for this: details say what is used and what is left.")]
    QuotaExceeded(Fields),
    #[error("Sorry, the link is expired.")]
    LinkExpired,
    #[error("Too many requests; try again in {} seconds.", retry_after.as_secs().max(1))]
    TooManyRequests { retry_after: Duration },
    #[error(
        "The user has {pending} URLs that wait to be imported, and with these more than the {limit} that IMPORT_MAX_PENDING allows; \
         try again when some of them are done."
    )]
    TooManyPending { pending: u64, limit: u64, retry_after: Duration },
    #[error("Only the owner of image {id} may do this.")]
    NotOwner { id: crate::model::id::ImageId },
    #[error("user_id is not the caller, and nobody may upload for another.")]
    OtherUser,
    #[error("There is no {what}.")]
    NotFound { what: String },
    #[error("This image is not in the collection.")]
    NotInCollection,
    #[error("The file has {length} bytes, and none of those that Range asks for.")]
    NoSuchRange { length: u64 },
    #[error("{message}")]
    Conflict { message: String },
    #[error("The first request with this Idempotency-Key is still running; try again in {} seconds.", retry_after.as_secs())]
    StillRunning { retry_after: Duration },
    #[error("Image {id} is deleted already.")]
    Gone { id: crate::model::id::ImageId },
    #[error("The request is larger than the {limit_bytes} bytes that this server reads.")]
    TooLarge { limit_bytes: u64 },
    /// Refused by its length, before anything is known of the file.
    #[error(
        "The upload is larger than {limit_bytes} bytes: the file may have {max_file_bytes} of them; the operator can raise MAX_FILE_SIZE."
    )]
    UploadTooLarge { limit_bytes: u64, max_file_bytes: u64 },
    #[error("The request's body did not arrive in time.")]
    BodyTooSlow,
    #[error("The service has more to do than it can hold; try again in {} seconds.", retry_after.as_secs())]
    Overloaded { retry_after: Duration },
    #[error("This picture is still being made; try again in a moment.")]
    StillMaking,
    /// The storage has lost it, or the database is of another backup.
    #[error("The file of this image is missing from the storage; only the operator can bring it back.")]
    FileMissing,
    #[error("The service cannot reach its {dependency} right now; try again in a moment.")]
    Unavailable { dependency: Dependency, source: BoxError },
    #[error("Something went wrong inside the service; nothing about the request is known to be wrong.")]
    Internal(#[source] BoxError),
}

pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What the service cannot work without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dependency {
    Database,
    Storage,
}

impl std::fmt::Display for Dependency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Database => "database",
            Self::Storage => "storage",
        })
    }
}

const AUTHENTICATION_REQUIRED: &str =
    "Authentication required: send an access token, an API key, or an e-mail address and password.";

fn unsupported_message(found: Option<&str>) -> String {
    match found {
        Some(name) => format!("The file is {name}, which is not accepted; convert it to JPEG first."),
        None => "The file is no JPEG, PNG, GIF or WebP picture, whatever its name or declared type says.".to_owned(),
    }
}

/// Fields whose rules stand in the message; the details have them all.
const MAX_FIELDS_IN_MESSAGE: usize = 5;

/// Stands among the fields for those that are not told.
pub const MORE_FIELDS: &str = "(more)";

/// A sentence for each field: its name, then its rule.
fn invalid_message(fields: &Fields) -> String {
    let told: Vec<String> = fields
        .iter()
        .filter(|(name, _)| *name != MORE_FIELDS)
        .take(MAX_FIELDS_IN_MESSAGE)
        .map(|(name, rule)| format!("{name} {rule}."))
        .collect();
    let more = match fields.len().saturating_sub(MAX_FIELDS_IN_MESSAGE) {
        0 => "",
        _ => " There is more: see details.",
    };
    format!("{}{more}", told.join(" "))
}

impl Error {
    pub fn no_such_image() -> Self {
        Self::NotFound { what: "such image".to_owned() }
    }

    pub fn no_such_collection() -> Self {
        Self::NotFound { what: "such collection".to_owned() }
    }

    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::Forbidden { message: message.into() }
    }

    pub fn not_in_plan(what: &'static str) -> Self {
        Self::NotInPlan { what }
    }

    /// In whole seconds, for that is how clients are told.
    pub fn too_many(wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        Self::TooManyRequests { retry_after: Duration::from_secs(seconds.max(1)) }
    }

    pub fn internal(source: impl Into<BoxError>) -> Self {
        Self::Internal(source.into())
    }

    /// A part of the request that cannot be read.
    pub fn malformed(name: &str, rule: &str) -> Self {
        Self::Malformed { message: format!("{name} {rule}."), details: Fields::from([(name.to_owned(), rule.to_owned())]) }
    }

    /// One broken field.
    pub fn invalid(field: &str, rule: impl Into<String>) -> Self {
        Self::Invalid(Fields::from([(field.to_owned(), rule.into())]))
    }

    /// A stable word for metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "malformed",
            Self::InvalidFile { .. } => "invalid_file",
            Self::UnsupportedFormat { .. } => "unsupported_format",
            Self::Invalid(_) => "invalid",
            Self::Unauthenticated | Self::AccountRequired => "unauthenticated",
            Self::BadCredentials(_) => "bad_credentials",
            Self::Forbidden { .. } => "forbidden",
            Self::NotInPlan { .. } => "not_in_plan",
            Self::QuotaExceeded(_) => "quota_exceeded",
            Self::LinkExpired => "link_expired",
            Self::TooManyRequests { .. } => "too_many_requests",
            Self::TooManyPending { .. } => "too_many_pending",
            Self::NotOwner { .. } => "not_owner",
            Self::OtherUser => "other_user",
            Self::NotFound { .. } | Self::NotInCollection => "not_found",
            Self::NoSuchRange { .. } => "no_such_range",
            Self::Conflict { .. } | Self::StillRunning { .. } => "conflict",
            Self::Gone { .. } => "gone",
            Self::TooLarge { .. } | Self::UploadTooLarge { .. } => "too_large",
            Self::BodyTooSlow => "body_too_slow",
            Self::Overloaded { .. } => "overloaded",
            Self::Unavailable { .. } => "unavailable",
            Self::StillMaking => "still_making",
            Self::FileMissing => "file_missing",
            Self::Internal(_) => "internal",
        }
    }
}

/// An error with all its causes, for the log.
pub fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        if error.is_transient() {
            Self::Unavailable { dependency: Dependency::Database, source: error.into() }
        } else {
            Self::internal(error)
        }
    }
}

impl From<objects::Error> for Error {
    /// Every failure of the storage is the operator's to mend, not the client's: even a refusal is "unavailable".
    fn from(error: objects::Error) -> Self {
        Self::Unavailable { dependency: Dependency::Storage, source: error.into() }
    }
}

impl From<imaging::Error> for Error {
    fn from(error: imaging::Error) -> Self {
        match error {
            imaging::Error::UnsupportedFormat { found } => Self::UnsupportedFormat { found },
            imaging::Error::Internal { .. } => Self::internal(error),
            refused => {
                let reason = refused.to_string();
                Self::InvalidFile { details: Fields::from([("file".to_owned(), reason.clone())]), reason }
            }
        }
    }
}
