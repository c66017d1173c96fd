//! Errors of fetching.

use std::io;
use std::time::Duration;

use crate::model::plural::counted;
use http::StatusCode;

/// Why a fetch failed. The user who ordered the import sees the text of `Display`, as the reason why the URL failed, so it must
/// not reveal addresses or anything else about the service's network. The causes are for the log.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The host has no address, or no allowed one. One error for both, so that users cannot probe for internal names.
    #[error("its host does not resolve to a public address")]
    NoPublicAddress {
        /// Whether the URL contains the address itself, so that a retry cannot succeed.
        literal: bool,
        #[source]
        source: Option<io::Error>,
    },
    #[error("its host refused the connection or did not respond")]
    Connect(#[source] io::Error),
    #[error("its host's TLS certificate is not valid")]
    Certificate(#[source] io::Error),
    #[error("the TLS handshake with its host failed")]
    Tls(#[source] io::Error),
    #[error("the service has no root certificates, so it cannot fetch https URLs")]
    NoRootCertificates(#[source] io::Error),
    #[error("its host did not respond in time")]
    TimedOut,
    #[error("its host's response is not HTTP, or its head is too large")]
    NotHttp(#[source] hyper::Error),
    #[error("its host closed the connection before the response was complete")]
    Incomplete(#[source] hyper::Error),
    #[error("it redirects to a URL that is not allowed: the URL {0}")]
    Redirect(String),
    #[error("it redirects without a Location")]
    NoLocation,
    #[error("it redirects more than {limit} times")]
    TooManyRedirects { limit: usize },
    #[error("its host responded with {status}")]
    Status {
        status: StatusCode,
        /// The time from `Retry-After`.
        retry_after: Option<Duration>,
    },
    #[error("it is larger than the limit of {}; the operator can raise MAX_FILE_SIZE", counted(*limit, "byte"))]
    TooLarge { limit: u64 },
    #[error("its response has a Content-Encoding that was not requested")]
    UnknownCompression,
    #[error("its response cannot be decompressed")]
    Compression(#[source] io::Error),
    #[error("the request failed inside the service")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    pub(super) fn internal(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal(source.into())
    }

    pub(super) fn from_hyper(error: hyper::Error) -> Self {
        if error.is_parse() { Self::NotHttp(error) } else { Self::Incomplete(error) }
    }

    /// Returns whether the fault is in this service, for its operator to fix.
    pub fn is_internal(&self) -> bool {
        matches!(self, Self::NoRootCertificates(_) | Self::Internal(_))
    }

    /// Returns whether a later retry may succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::NoPublicAddress { literal, .. } => !literal,
            Self::Connect(_) | Self::Tls(_) | Self::TimedOut | Self::Incomplete(_) | Self::Internal(_) => true,
            // 408 Request Timeout, 425 Too Early, 429 Too Many Requests.
            Self::Status { status, .. } => status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429),
            _ => false,
        }
    }

    /// Returns the label value for metrics, which never changes.
    pub fn name(&self) -> &'static str {
        match self {
            Self::NoPublicAddress { .. } => "no_public_address",
            Self::Connect(_) => "not_connected",
            Self::Certificate(_) | Self::Tls(_) => "tls",
            Self::NoRootCertificates(_) => "no_trust",
            Self::TimedOut => "timed_out",
            Self::NotHttp(_) => "not_http",
            Self::Incomplete(_) => "broken_off",
            Self::Redirect(_) | Self::NoLocation | Self::TooManyRedirects { .. } => "redirect",
            Self::Status { status, .. } if status.as_u16() == 429 => "status_429",
            Self::Status { status, .. } if status.is_client_error() => "status_4xx",
            Self::Status { status, .. } if status.is_server_error() => "status_5xx",
            Self::Status { .. } => "status_other",
            Self::TooLarge { .. } => "too_large",
            Self::UnknownCompression | Self::Compression(_) => "compression",
            Self::Internal(_) => "internal",
        }
    }
}
