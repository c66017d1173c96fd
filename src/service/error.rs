//! The errors that a client can act on. `http/error.rs` maps them to statuses and response bodies.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::plural::counted;
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
    #[error("{}.", capitalized(reason))]
    InvalidFile { reason: String, details: Fields },
    #[error("{}", unsupported_message(.found.as_deref()))]
    UnsupportedFormat {
        /// The name of the file's actual format, if it was recognised.
        found: Option<Cow<'static, str>>,
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
    /// The visitor of a share has not entered its password yet, or it has changed since.
    #[error("The password of this share is required: reload the page in a browser, or send it to POST /s/{{token}}/password.")]
    SharePasswordRequired,
    #[error("Too many requests. Try again in {}.", seconds(*retry_after))]
    TooManyRequests { retry_after: Duration },
    #[error(
        "The user has {} waiting to be imported. With this request there would be more than {limit}, the limit that \
         IMPORT_MAX_PENDING sets. Try again when some of them are finished.",
        counted(*pending, "URL")
    )]
    TooManyPending { pending: u64, limit: u64, retry_after: Duration },
    #[error(
        "The user has too many open uploads: there would be more than {limit}, the limit that {setting} sets. Complete some of them, or \
         wait until they expire."
    )]
    TooManyOpenUploads { limit: String, setting: &'static str },
    #[error("Only the owner of image {id} can do this.")]
    NotOwner { id: crate::model::id::ImageId },
    #[error("user_id must be the caller's own user id. Callers can upload only for themselves.")]
    OtherUser,
    #[error("There is no {what}.")]
    NotFound { what: String },
    #[error("This image is not in the collection.")]
    NotInCollection,
    #[error("The requested Range is outside the file, which has {}.", counted(*length, "byte"))]
    NoSuchRange { length: u64 },
    #[error("{message}")]
    Conflict { message: String },
    /// A piece of a resumable upload does not begin where the upload continues.
    #[error("The upload continues at byte {offset}.")]
    WrongOffset { offset: u64 },
    #[error("The checksum of the received bytes differs from the one in Upload-Checksum.")]
    WrongChecksum,
    #[error("The first request with this Idempotency-Key is still running. Try again in {}.", seconds(*retry_after))]
    StillRunning { retry_after: Duration },
    #[error("Another request is completing this upload. Try again in {}.", seconds(*retry_after))]
    UploadInUse { retry_after: Duration },
    #[error("Image {id} is already deleted.")]
    Gone { id: crate::model::id::ImageId },
    #[error("The request body is larger than the limit of {limit_bytes} bytes.")]
    TooLarge { limit_bytes: u64 },
    /// Rejected by its length, before the file is examined.
    #[error(
        "The upload is larger than {limit_bytes} bytes. The file can have at most {}; the operator can raise MAX_FILE_SIZE.",
        counted(*max_file_bytes, "byte")
    )]
    UploadTooLarge { limit_bytes: u64, max_file_bytes: u64 },
    #[error("The request body did not arrive in time.")]
    BodyTooSlow,
    #[error("The service is overloaded. Try again in {}.", seconds(*retry_after))]
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

/// Formats the time to wait, in whole seconds and at least one, as `Retry-After` does.
fn seconds(wait: Duration) -> String {
    counted(wait.as_secs().max(1), "second")
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Maximum number of fields in `message`. `details` lists all of them.
const MAX_FIELDS_IN_MESSAGE: usize = 5;

/// The name under which `details` says that more fields are invalid than it lists.
pub const MORE_FIELDS: &str = "(more)";

/// The first words of rules that are clauses.
const CLAUSE_STARTS: [&str; 4] = ["a ", "each ", "it ", "the "];

/// Returns the name of a field and the rule that it breaks, as one clause. A rule is a predicate ("must be true or false"), or
/// a clause of its own ("each tag must have 1 to 50 characters", "the connection was interrupted").
pub fn broken_rule(name: &str, rule: &str) -> String {
    let separator = if CLAUSE_STARTS.iter().any(|start| rule.starts_with(start)) { ": " } else { " " };
    format!("{name}{separator}{rule}")
}

/// Returns one sentence per field: its name, then the rule that it breaks.
fn invalid_message(fields: &Fields) -> String {
    let sentences: Vec<String> = fields
        .iter()
        .filter(|(name, _)| *name != MORE_FIELDS)
        .take(MAX_FIELDS_IN_MESSAGE)
        .map(|(name, rule)| format!("{}.", broken_rule(name, rule)))
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

    pub fn no_such_upload() -> Self {
        Self::NotFound { what: "such upload".to_owned() }
    }

    pub fn no_such_collection() -> Self {
        Self::NotFound { what: "such collection".to_owned() }
    }

    pub fn no_such_share() -> Self {
        Self::NotFound { what: "such share".to_owned() }
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
            Self::SharePasswordRequired => "share_password_required",
            Self::TooManyRequests { .. } => "too_many_requests",
            Self::TooManyPending { .. } => "too_many_pending",
            Self::TooManyOpenUploads { .. } => "too_many_open_uploads",
            Self::NotOwner { .. } => "not_owner",
            Self::OtherUser => "other_user",
            Self::NotFound { .. } | Self::NotInCollection => "not_found",
            Self::NoSuchRange { .. } => "no_such_range",
            Self::Conflict { .. } | Self::StillRunning { .. } | Self::UploadInUse { .. } => "conflict",
            Self::WrongOffset { .. } => "wrong_offset",
            Self::WrongChecksum => "wrong_checksum",
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
            imaging::Error::UnsupportedFormat { found } => Self::UnsupportedFormat { found: found.map(Cow::Borrowed) },
            imaging::Error::Internal { .. } => Self::internal(error),
            refused => {
                let reason = refused.to_string();
                Self::InvalidFile { details: Fields::from([("file".to_owned(), reason.clone())]), reason }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_the_right_number() {
        let (one, two) = (Duration::from_secs(1), Duration::from_secs(2));
        for (error, message) in [
            (Error::TooManyRequests { retry_after: one }, "Too many requests. Try again in 1 second."),
            (Error::TooManyRequests { retry_after: two }, "Too many requests. Try again in 2 seconds."),
            (Error::Overloaded { retry_after: Duration::ZERO }, "The service is overloaded. Try again in 1 second."),
            (
                Error::StillRunning { retry_after: one },
                "The first request with this Idempotency-Key is still running. Try again in 1 second.",
            ),
            (
                Error::TooManyPending { pending: 1, limit: 100, retry_after: one },
                "The user has 1 URL waiting to be imported. With this request there would be more than 100, the limit that \
                 IMPORT_MAX_PENDING sets. Try again when some of them are finished.",
            ),
            (Error::NoSuchRange { length: 1 }, "The requested Range is outside the file, which has 1 byte."),
        ] {
            assert_eq!(error.to_string(), message);
        }
    }

    #[test]
    fn a_rejected_image_is_described_once() {
        let error = Error::from(imaging::Error::Corrupt { reason: "the PNG data ends too early".to_owned() });
        assert_eq!(error.to_string(), "The image is damaged: the PNG data ends too early.");
    }

    #[test]
    fn a_rule_follows_the_name_of_its_field() {
        let rules = [
            ("body", "the connection was interrupted"),
            ("limit", "must be a whole number from 1 to 100"),
            ("tags", "each tag must have 1 to 50 characters"),
        ];
        let fields = rules.into_iter().map(|(name, rule)| (name.to_owned(), rule.to_owned())).collect();
        let message = "body: the connection was interrupted. limit must be a whole number from 1 to 100. tags: each tag must have 1 to 50 characters.";
        assert_eq!(Error::Invalid(fields).to_string(), message);
    }
}
