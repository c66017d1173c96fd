//! The errors that a client can act on. `http/error.rs` maps them to statuses and response bodies.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::{imaging, objects, store};

/// Invalid fields: the name of each, and the rule that it breaks.
pub type Fields = BTreeMap<String, String>;

/// Why a request failed. `Display` is a sentence for the client; the causes (`source`) are for the log only.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request is malformed.
    #[error("{message}")]
    Malformed { message: String, details: Fields },
    /// The file has an accepted format, but is damaged or outside the limits.
    #[error("The file was rejected: {reason}.")]
    InvalidFile { reason: String, details: Fields },
    #[error("{}", unsupported_message(*.found))]
    UnsupportedFormat {
        /// The name of the file's actual format, if it was recognised.
        found: Option<&'static str>,
    },
    /// All invalid fields, each with the rule that it breaks.
    #[error("{}", invalid_message(.0))]
    Invalid(Fields),
    /// Credentials of any kind are required. A trusted gateway can send `X-User-Id` instead.
    #[error("{AUTHENTICATION_REQUIRED}")]
    Unauthenticated,
    /// Credentials of an account are required, so the message does not mention the gateway's header.
    #[error("{AUTHENTICATION_REQUIRED}")]
    AccountRequired,
    /// The request has credentials, but they are invalid.
    #[error("The credentials are invalid: {0}.")]
    BadCredentials(&'static str),
    /// The caller is authenticated but lacks the permission.
    #[error("{message}")]
    Forbidden { message: String },
    #[error("The plan of this image's owner does not include {what}.")]
    NotInPlan { what: &'static str },
    /// The quotas that this request would exceed; each value says how much is used and how much is left.
    #[error("This would exceed the quota of the plan. See details for what is used and what is left.")]
    QuotaExceeded(Fields),
    #[error("Sorry, the link is expired.")]
    LinkExpired,
    #[error("Too many requests. Try again in {} seconds.", retry_after.as_secs().max(1))]
    TooManyRequests { retry_after: Duration },
    #[error(
        "The user has {pending} URLs waiting to be imported. With this request there would be more than {limit}, the limit that \
         IMPORT_MAX_PENDING sets. Try again when some of them are finished."
    )]
    TooManyPending { pending: u64, limit: u64, retry_after: Duration },
    #[error("Only the owner of image {id} can do this.")]
    NotOwner { id: crate::model::id::ImageId },
    #[error("user_id must be the caller's own user id. Callers can upload only for themselves.")]
    OtherUser,
    #[error("There is no {what}.")]
    NotFound { what: String },
    #[error("This image is not in the collection.")]
    NotInCollection,
    #[error("The requested Range is outside the file, which has {length} bytes.")]
    NoSuchRange { length: u64 },
    #[error("{message}")]
    Conflict { message: String },
    #[error("The first request with this Idempotency-Key is still running. Try again in {} seconds.", retry_after.as_secs())]
    StillRunning { retry_after: Duration },
    #[error("Image {id} is already deleted.")]
    Gone { id: crate::model::id::ImageId },
    #[error("The request body is larger than the limit of {limit_bytes} bytes.")]
    TooLarge { limit_bytes: u64 },
    /// Rejected by its length, before the file is examined.
    #[error(
        "The request body is larger than {limit_bytes} bytes. The file can have at most {max_file_bytes} bytes; the operator can raise \
         MAX_FILE_SIZE."
    )]
    UploadTooLarge { limit_bytes: u64, max_file_bytes: u64 },
    #[error("The request body did not arrive in time.")]
    BodyTooSlow,
    #[error("The service is overloaded. Try again in {} seconds.", retry_after.as_secs())]
    Overloaded { retry_after: Duration },
    #[error("The resized image is still being created. Try again in a moment.")]
    ResizeInProgress,
    /// The storage has lost the file, or the database comes from another backup than the storage.
    #[error("The file of this image is missing from the storage. Only the operator can restore it.")]
    FileMissing,
    #[error("The service cannot reach its {dependency} right now. Try again in a moment.")]
    Unavailable { dependency: Dependency, source: BoxError },
    #[error("An internal error occurred. details.request_id identifies it in the service's log.")]
    Internal(#[source] BoxError),
}

pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A system that the service cannot work without.
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
        Some(name) => format!("The file is {name}, which is not accepted. Convert it to JPEG first."),
        None => "The file is not a JPEG, PNG, GIF or WebP image, whatever its name or declared type.".to_owned(),
    }
}

/// Maximum number of fields in `message`. `details` lists all of them.
const MAX_FIELDS_IN_MESSAGE: usize = 5;

/// The name under which `details` says that more fields are invalid than it lists.
pub const MORE_FIELDS: &str = "(more)";

/// Returns one sentence per field: its name, then the rule that it breaks.
fn invalid_message(fields: &Fields) -> String {
    let sentences: Vec<String> = fields
        .iter()
        .filter(|(name, _)| *name != MORE_FIELDS)
        .take(MAX_FIELDS_IN_MESSAGE)
        .map(|(name, rule)| format!("{name} {rule}."))
        .collect();
    let more = match fields.len().saturating_sub(MAX_FIELDS_IN_MESSAGE) {
        0 => "",
        _ => " See details for more.",
    };
    format!("{}{more}", sentences.join(" "))
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

    /// Rounds up to whole seconds, the unit of `Retry-After`.
    pub fn too_many_requests(wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        Self::TooManyRequests { retry_after: Duration::from_secs(seconds.max(1)) }
    }

    pub fn internal(source: impl Into<BoxError>) -> Self {
        Self::Internal(source.into())
    }

    /// Returns the error for a part of the request that cannot be parsed.
    pub fn malformed(name: &str, rule: &str) -> Self {
        Self::Malformed { message: format!("{name} {rule}."), details: Fields::from([(name.to_owned(), rule.to_owned())]) }
    }

    /// Returns the error for a single invalid field.
    pub fn invalid(field: &str, rule: impl Into<String>) -> Self {
        Self::Invalid(Fields::from([(field.to_owned(), rule.into())]))
    }

    /// Returns a stable label for metrics.
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
            Self::ResizeInProgress => "still_making",
            Self::FileMissing => "file_missing",
            Self::Internal(_) => "internal",
        }
    }
}

/// Returns the error and all its causes as one line for the log.
pub fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    // The messages for clients are whole sentences.
    causes.fold(error.to_string(), |text, cause| format!("{}: {cause}", text.trim_end_matches('.')))
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
    /// The operator must fix every storage error, never the client. So even a refused request counts as "unavailable".
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
