//! `multipart/form-data` (RFC 7578): the parts of a form, one after the other, each with a size limit.
//!
//! multer finds the boundaries of parts. Their headers and the request's `Content-Type` are parsed here, because multer searches
//! for the strings `name=` and `filename=`, and so mistakes a file's name for the name of its field.

use base64::Engine;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use encoding_rs::{Encoding, UTF_8};
use http::{HeaderMap, header};

use super::body::{BodyError, BoundedBody, ServerDelay};
use crate::http::error::ApiError;
use crate::model::content_disposition::ContentDisposition;
use crate::model::header_parameters::HeaderParameters;
use crate::model::multipart_framing::{FramingLimit, UnparsedBytes};
use crate::service::admission::body_buffer::ArrivingFile;
use crate::service::error::{Error, Fields};

/// A form that is being read.
#[derive(Debug)]
pub struct Multipart {
    parts: multer::Multipart<'static>,
    unparsed: UnparsedBytes,
    server_delay: ServerDelay,
}

/// A part whose content has not been read yet.
#[derive(Debug)]
pub struct Part {
    /// The name of the field; `None` if the part has none.
    pub name: Option<String>,
    /// The client's name for the file.
    pub file_name: Option<String>,
    charset: Charset,
    encoding: TransferEncoding,
    field: multer::Field<'static>,
    unparsed: UnparsedBytes,
    server_delay: ServerDelay,
}

/// The content of a file part.
#[derive(Debug)]
pub struct File {
    /// `None` for a file that is too large.
    pub content: Option<ArrivingFile>,
    pub length: u64,
}

/// The character encoding of a part, from its `Content-Type`.
#[derive(Debug, Clone, Copy)]
enum Charset {
    Known(&'static Encoding),
    Unknown,
}

/// The transfer encoding of a part, from its `Content-Transfer-Encoding`. RFC 7578, 4.7 deprecates the header, but mail libraries
/// still send it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TransferEncoding {
    Plain,
    Base64,
    QuotedPrintable,
    Unknown,
}

impl Multipart {
    /// Starts reading a form.
    ///
    /// # Errors
    /// The request's `Content-Type` is not `multipart/form-data` or has no valid boundary.
    pub fn open(headers: &HeaderMap, body: BoundedBody) -> Result<Self, ApiError> {
        let boundary = Self::boundary(headers)?;
        let server_delay = body.server_delay();
        let (body, unparsed) = FramingLimit::new(body);
        Ok(Self { parts: multer::Multipart::new(body, boundary), unparsed, server_delay })
    }

    /// Returns the boundary of a form.
    ///
    /// # Errors
    /// As for [`Multipart::open`].
    pub fn boundary(headers: &HeaderMap) -> Result<String, ApiError> {
        let content_type = headers.get(header::CONTENT_TYPE).map(http::HeaderValue::as_bytes).unwrap_or_default();
        let content_type = HeaderParameters::parse(content_type);
        if content_type.kind != "multipart/form-data" {
            return Err(ApiError::wrong_media_type("multipart/form-data, or application/json to adopt an object"));
        }
        let boundary = content_type.text("boundary").ok_or_else(|| bad_multipart("the Content-Type has no boundary"))?;
        // RFC 2046, 5.1.1. With an empty boundary, multer would find no parts, and the errors would blame the fields.
        if !(1..=70).contains(&boundary.len()) {
            return Err(bad_multipart("the boundary must have 1 to 70 characters"));
        }
        Ok(boundary.to_owned())
    }

    /// Returns the next part. The previous one must have been read to its end.
    ///
    /// # Errors
    /// The body exceeds a limit or is not valid multipart.
    pub async fn next_part(&mut self) -> Result<Option<Part>, ApiError> {
        let field = self.parts.next_field().await.map_err(|error| malformed(&error))?;
        self.unparsed.reset();
        Ok(field.map(|field| Part::new(field, self.unparsed.clone(), self.server_delay.clone())))
    }
}

impl Part {
    fn new(field: multer::Field<'static>, unparsed: UnparsedBytes, server_delay: ServerDelay) -> Self {
        let value = |name| field.headers().get(name).map(http::HeaderValue::as_bytes).unwrap_or_default();
        let disposition = ContentDisposition::parse(value(header::CONTENT_DISPOSITION.as_str()));
        let charset = match HeaderParameters::parse(value(header::CONTENT_TYPE.as_str())).get("charset") {
            None => Charset::Known(UTF_8),
            Some(label) => Encoding::for_label(label).map_or(Charset::Unknown, Charset::Known),
        };
        let declared = match charset {
            Charset::Known(encoding) if encoding != UTF_8 => Some(encoding),
            _ => None,
        };
        let encoding = TransferEncoding::parse(value("content-transfer-encoding"));
        Self {
            name: disposition.name(),
            file_name: disposition.file_name(declared),
            charset,
            encoding,
            field,
            unparsed,
            server_delay,
        }
    }

    /// Reads a file of up to `max_bytes` into `file`; a larger one is counted and discarded.
    ///
    /// # Errors
    /// As for [`Multipart::next_part`], or the budget for files is used up. The inner error is the rule that the part breaks.
    pub async fn read_file(mut self, max_bytes: u64, file: ArrivingFile) -> Result<Result<File, String>, ApiError> {
        let (mut content, mut length) = (Some(file), 0);
        while let Some(piece) = self.next_piece().await? {
            length += piece.len() as u64;
            content.take_if(|_| length > max_bytes);
            if let Some(file) = &mut content {
                self.server_delay.measure(file.push(&piece)).await?;
            }
        }
        if self.encoding != TransferEncoding::Plain {
            return Ok(Err("must be sent without a Content-Transfer-Encoding".to_owned()));
        }
        Ok(Ok(File { content, length }))
    }

    /// Reads a text of at most `max_bytes`, in the encoding that the part declares.
    ///
    /// # Errors
    /// As for [`Part::read_file`].
    pub async fn read_text(mut self, max_bytes: usize) -> Result<Result<String, String>, ApiError> {
        let mut bytes = Vec::new();
        while let Some(piece) = self.next_piece().await? {
            // One byte more than the limit is enough to detect that the text is too long.
            let missing_bytes = (max_bytes + 1).saturating_sub(bytes.len());
            bytes.extend_from_slice(&piece[..piece.len().min(missing_bytes)]);
        }
        if bytes.len() > max_bytes {
            return Ok(Err(format!("must have at most {max_bytes} bytes")));
        }
        Ok(self.encoding.decode(bytes).and_then(|bytes| self.charset.decode(&bytes)))
    }

    /// Reads and discards the content.
    ///
    /// # Errors
    /// As for [`Multipart::next_part`].
    pub async fn discard(mut self) -> Result<(), ApiError> {
        while self.next_piece().await?.is_some() {}
        Ok(())
    }

    async fn next_piece(&mut self) -> Result<Option<Bytes>, ApiError> {
        let piece = self.field.chunk().await.map_err(|error| malformed(&error))?;
        self.unparsed.reset();
        Ok(piece)
    }
}

impl Charset {
    fn decode(self, bytes: &[u8]) -> Result<String, String> {
        let Self::Known(encoding) = self else { return Err("has an unknown charset; send it as UTF-8".to_owned()) };
        let text = encoding.decode_without_bom_handling_and_without_replacement(bytes);
        text.map(std::borrow::Cow::into_owned).ok_or_else(|| format!("must be {}", encoding.name()))
    }
}

/// Accepts missing padding.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&ALPHABET, GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent));

impl TransferEncoding {
    fn parse(header: &[u8]) -> Self {
        match header.trim_ascii().to_ascii_lowercase().as_slice() {
            b"" | b"7bit" | b"8bit" | b"binary" => Self::Plain,
            b"base64" => Self::Base64,
            b"quoted-printable" => Self::QuotedPrintable,
            _ => Self::Unknown,
        }
    }

    fn decode(self, bytes: Vec<u8>) -> Result<Vec<u8>, String> {
        match self {
            Self::Plain => Ok(bytes),
            Self::Base64 => {
                // Lines have at most 76 characters (RFC 2045, 6.8).
                let digits: Vec<u8> = bytes.into_iter().filter(|byte| !byte.is_ascii_whitespace()).collect();
                BASE64.decode(digits).map_err(|_| "must be base64, as its Content-Transfer-Encoding says".to_owned())
            }
            Self::QuotedPrintable => Ok(quoted_printable(&bytes)),
            Self::Unknown => Err("has an unknown Content-Transfer-Encoding; send it without one".to_owned()),
        }
    }
}

/// Decodes quoted-printable text (RFC 2045, 6.7): `=3D` is a byte, and `=` at the end of a line joins it with the next one.
/// Invalid escapes stay unchanged.
fn quoted_printable(text: &[u8]) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        rest = after;
        match (*first, after) {
            (b'=', [b'\r', b'\n', next @ ..] | [b'\n', next @ ..]) => rest = next,
            (b'=', [high, low, next @ ..]) if let (Some(high), Some(low)) = (digit(*high), digit(*low)) => {
                bytes.push(high << 4 | low);
                rest = next;
            }
            (byte, _) => bytes.push(byte),
        }
    }
    bytes
}

/// Returns the error of the body, if that is why reading failed; otherwise an error for invalid multipart.
fn malformed(error: &multer::Error) -> ApiError {
    if let multer::Error::StreamReadFailed(cause) = error
        && let Some(cause) = cause.downcast_ref::<BodyError>()
    {
        return match cause {
            BodyError::TooLarge { limit_bytes } => Error::TooLarge { limit_bytes: *limit_bytes }.into(),
            BodyError::TooSlow => Error::BodyTooSlow.into(),
            BodyError::Broken => bad_multipart("the connection was interrupted"),
            BodyError::NoBoundary => {
                bad_multipart("it has 64 KiB without the boundary from the Content-Type, or a part whose headers do not end")
            }
        };
    }
    bad_multipart(match error {
        multer::Error::IncompleteStream | multer::Error::IncompleteFieldData { .. } => {
            "it ends before its last boundary, or does not contain the boundary from the Content-Type"
        }
        multer::Error::IncompleteHeaders
        | multer::Error::ReadHeaderFailed(_)
        | multer::Error::DecodeHeaderName { .. }
        | multer::Error::DecodeHeaderValue { .. } => "a part's headers are malformed",
        _ => "it is not multipart/form-data",
    })
}

fn bad_multipart(reason: &str) -> ApiError {
    let details = Fields::from([("body".to_owned(), reason.to_owned())]);
    Error::Malformed { message: "The multipart body is malformed; see details.".to_owned(), details }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_printable_is_decoded_and_invalid_escapes_stay() {
        for (text, meant) in [
            ("Gr=C3=B6=c3=9fe", "Größe"),
            ("soft =\r\nbreak=\n", "soft break"),
            ("a=zz=", "a=zz="),
            ("1 =3D 1", "1 = 1"),
            ("", ""),
        ] {
            assert_eq!(String::from_utf8(quoted_printable(text.as_bytes())).unwrap(), meant, "{text}");
        }
    }

    #[test]
    fn base64_can_have_line_breaks_and_no_padding() {
        for text in ["R3LDtsOfZQ==", "R3LD\r\ntsOf\r\nZQ", " R3LDtsOfZQ= = "] {
            assert_eq!(TransferEncoding::parse(b" Base64").decode(text.into()).unwrap(), "Größe".as_bytes(), "{text}");
        }
        for bad in ["R3LDtsOfZQ!", "R"] {
            assert!(TransferEncoding::Base64.decode(bad.into()).is_err(), "{bad}");
        }
    }
}
