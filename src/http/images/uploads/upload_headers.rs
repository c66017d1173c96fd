//! The headers of Resumable Uploads for HTTP, which are structured fields (RFC 9651).

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Version, header};
use sfv::{BareItem, Item, Parser};

use super::form::max_bytes;
use crate::http::AppState;
use crate::http::server::interim::InterimResponses;
use crate::model::draft::Draft;

/// The media type of a piece.
pub const MEDIA_TYPE: &str = "application/partial-upload";

pub const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");
pub const UPLOAD_COMPLETE: HeaderName = HeaderName::from_static("upload-complete");
pub const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
pub const UPLOAD_LIMIT: HeaderName = HeaderName::from_static("upload-limit");
pub const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");

const INTEROP_VERSION: HeaderName = HeaderName::from_static("upload-draft-interop-version");

/// The versions of the draft whose 104 responses are like these. Version 6 is that of iOS 18.1.
const INTEROP_VERSIONS: [u64; 3] = [6, 7, 8];

/// Sends 104 responses to a client that supports them.
#[derive(Debug, Clone)]
pub struct Progress104 {
    responses: InterimResponses,
    version: u64,
}

impl Progress104 {
    /// Returns `None` if the client or the settings do not permit it.
    pub fn of(app: &AppState, parts: &Parts) -> Option<Self> {
        let version = integer(&parts.headers, &INTEROP_VERSION).filter(|version| INTEROP_VERSIONS.contains(version))?;
        let responses = parts.extensions.get::<InterimResponses>().filter(|responses| responses.is_possible())?.clone();
        (app.config.sends_104 && parts.version == Version::HTTP_11).then_some(Self { responses, version })
    }

    /// Sends the address of an upload.
    pub fn announce(&self, location: HeaderValue, limits: HeaderValue) {
        self.send_headers([(header::LOCATION, location), (UPLOAD_LIMIT, limits)]);
    }

    /// Sends how many bytes are stored.
    pub fn send(&self, offset: u64) {
        self.send_headers([(UPLOAD_OFFSET, HeaderValue::from(offset))]);
    }

    fn send_headers<const N: usize>(&self, headers: [(HeaderName, HeaderValue); N]) {
        let mut headers = HeaderMap::from_iter(headers);
        headers.insert(INTEROP_VERSION, HeaderValue::from(self.version));
        self.responses.send_104(&headers);
    }
}

/// Returns the value of a header that is an item; `None` if it is absent or malformed.
pub fn item(headers: &HeaderMap, name: &HeaderName) -> Option<BareItem> {
    let mut lines = headers.get_all(name).iter();
    let line = lines.next().filter(|_| lines.next().is_none())?;
    Parser::new(line.as_bytes()).parse::<Item>().ok().map(|item| item.bare_item)
}

/// Returns the value of a header that is a non-negative integer.
pub fn integer(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    u64::try_from(item(headers, name)?.as_integer()?).ok()
}

pub fn boolean(value: bool) -> HeaderValue {
    HeaderValue::from_static(if value { "?1" } else { "?0" })
}

/// Returns the value of `Upload-Limit` for an upload that expires in `seconds`.
fn limits(app: &AppState, seconds: u64) -> HeaderValue {
    HeaderValue::try_from(format!("max-size={}, max-age={seconds}", max_bytes(app)))
        .unwrap_or_else(|_| HeaderValue::from_static("min-size=0"))
}

/// Returns the value of `Upload-Limit` for uploads that are created later.
pub fn limits_of_new(app: &AppState) -> HeaderValue {
    limits(app, app.service.limits().drafts.resumable_lifetime.as_secs())
}

/// Returns the value of `Upload-Limit` for an upload.
pub fn limits_of(app: &AppState, draft: &Draft) -> HeaderValue {
    let left = (draft.expires_at - app.service.clock().now()).num_seconds();
    limits(app, u64::try_from(left).unwrap_or_default())
}
