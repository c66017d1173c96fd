//! Why a URL gave no file.

use std::io;
use std::time::Duration;

use http::StatusCode;

/// `Display` goes on from "…could not be imported: " and is told to whoever ordered the import, so it names neither addresses
/// nor anything else of the network that the service is in. Causes are for the log.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// One answer for a host that has none and for one that has only addresses which are refused: which names exist inside
    /// is nobody's business.
    #[error("its host does not resolve to a public address")]
    NoPublicAddress {
        /// Whether the URL names the address itself, so that there is nothing to wait for.
        literal: bool,
        #[source]
        source: Option<io::Error>,
    },
    #[error("its host cannot be connected to")]
    NotConnected(#[source] io::Error),
    #[error("its host's certificate is not valid for it")]
    Certificate(#[source] io::Error),
    #[error("no secure connection to its host can be made")]
    Tls(#[source] io::Error),
    #[error("the service has no certificates to trust, so it cannot fetch https URLs")]
    NoTrust(#[source] io::Error),
    #[error("its host did not answer in time")]
    TimedOut,
    #[error("its host's answer is not HTTP, or has too long a head")]
    NotHttp(#[source] hyper::Error),
    #[error("its host broke the answer off")]
    BrokenOff(#[source] hyper::Error),
    #[error("it leads on to a URL that {0}")]
    Redirect(String),
    #[error("it leads on more than {limit} times")]
    TooManyRedirects { limit: usize },
    #[error("its host answered {status}")]
    Status {
        status: StatusCode,
        /// When it asks to be asked again.
        retry_after: Option<Duration>,
    },
    #[error("it has more than the {limit} bytes that are accepted; the operator can raise MAX_FILE_SIZE")]
    TooLarge { limit: u64 },
    #[error("its answer is compressed in a way that was not asked for")]
    UnknownCompression,
    #[error("its answer cannot be decompressed")]
    Compression(#[source] io::Error),
    #[error("it could not be asked for")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    pub(super) fn internal(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal(source.into())
    }

    pub(super) fn of_http(error: hyper::Error) -> Self {
        if error.is_parse() { Self::NotHttp(error) } else { Self::BrokenOff(error) }
    }

    /// Whether it is this service's fault, and its operator's to mend.
    pub fn is_ours(&self) -> bool {
        matches!(self, Self::NoTrust(_) | Self::Internal(_))
    }

    /// Whether asking again later may help.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::NoPublicAddress { literal, .. } => !literal,
            Self::NotConnected(_) | Self::Tls(_) | Self::TimedOut | Self::BrokenOff(_) | Self::Internal(_) => true,
            // Request Timeout, Too Early, Too Many Requests.
            Self::Status { status, .. } => status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429),
            _ => false,
        }
    }

    /// A stable word for metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::NoPublicAddress { .. } => "no_public_address",
            Self::NotConnected(_) => "not_connected",
            Self::Certificate(_) | Self::Tls(_) => "tls",
            Self::NoTrust(_) => "no_trust",
            Self::TimedOut => "timed_out",
            Self::NotHttp(_) => "not_http",
            Self::BrokenOff(_) => "broken_off",
            Self::Redirect(_) | Self::TooManyRedirects { .. } => "redirect",
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
