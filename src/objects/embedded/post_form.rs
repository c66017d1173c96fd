//! The form of a `PostObject` request (RFC 7578): fields, then the file, then parts that are ignored.
//!
//! multer finds the boundaries of parts. Nothing but the fields before the file stays in memory, and their size is limited.

use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::BodyDataStream;
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};

use super::body::BoundedBody;
use crate::model::content_disposition::ContentDisposition;
use crate::model::header_parameters::HeaderParameters;
use crate::model::multipart_framing::{FramingLimit, UnparsedBytes};

/// S3's limit for the fields before the file: names, values and headers together.
const FIELDS_BYTES_MAX: usize = 20 * 1024;
/// The limit for the name of the file, which may replace `${filename}` many times. It is S3's limit for keys.
const FILE_NAME_BYTES_MAX: usize = 1024;
/// The variable that S3 replaces by the name of the file.
const FILE_NAME_VARIABLE: &str = "${filename}";
/// RFC 2046, 5.1.1.
const BOUNDARY_BYTES_MAX: usize = 70;

/// The body of a request with a form.
pub(super) struct FormBody {
    chunks: FramingLimit<BodyDataStream<BoundedBody>>,
    unparsed: UnparsedBytes,
}

impl FormBody {
    pub(super) fn new(body: BoundedBody) -> Self {
        let (chunks, unparsed) = FramingLimit::new(BodyDataStream::new(body));
        Self { chunks, unparsed }
    }

    /// Reads what follows the form. A client whose connection breaks before that did not send the whole body.
    pub(super) async fn read_to_end(mut self) -> S3Result<()> {
        while let Some(chunk) = self.chunks.next().await {
            chunk.map_err(|error| body_error(&error))?;
        }
        Ok(())
    }
}

/// A form that is being read.
pub(super) struct Form<'b> {
    parts: multer::Multipart<'b>,
    unparsed: UnparsedBytes,
}

/// The part with the file, whose content has not been read yet.
pub(super) struct FilePart<'b>(Part<'b>);

/// The fields before the file. Their names are in lower case, because S3 ignores case.
#[derive(Debug, Default)]
pub(super) struct Fields(BTreeMap<String, String>);

struct Part<'b> {
    /// In lower case.
    name: String,
    /// Without directories; empty if the client sent none.
    file_name: String,
    header_bytes: usize,
    field: multer::Field<'b>,
    unparsed: UnparsedBytes,
}

impl<'b> Form<'b> {
    /// Starts reading the form in a request's body.
    ///
    /// # Errors
    /// The request's `Content-Type` is not `multipart/form-data` or has no valid boundary.
    pub(super) fn open(headers: &HeaderMap, body: &'b mut FormBody) -> S3Result<Self> {
        let content_type = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
        let content_type = HeaderParameters::parse(content_type);
        if content_type.kind != "multipart/form-data" {
            let message = "Bucket POST must be of the enclosure-type multipart/form-data.";
            return Err(S3Error::with_message(S3ErrorCode::PreconditionFailed, message));
        }
        let boundary = content_type.text("boundary").unwrap_or_default();
        if !(1..=BOUNDARY_BYTES_MAX).contains(&boundary.len()) {
            return Err(malformed());
        }
        let unparsed = body.unparsed.clone();
        Ok(Self { parts: multer::Multipart::new(&mut body.chunks, boundary), unparsed })
    }

    /// Reads the fields up to the file, and replaces `${filename}` in their values. The file is missing if there is none.
    pub(super) async fn read_fields(&mut self) -> S3Result<(Fields, Option<FilePart<'b>>)> {
        let mut fields = BTreeMap::new();
        let mut left_bytes = FIELDS_BYTES_MAX;
        while let Some(mut part) = self.next_part().await? {
            if part.name == "file" {
                let fields = fields.into_iter().map(|(name, value)| (name, part.expand(value))).collect();
                return Ok((Fields(fields), Some(FilePart(part))));
            }
            let value = part.read_text(&mut left_bytes).await?;
            if fields.insert(part.name, value).is_some() {
                return Err(s3_error!(InvalidArgument, "The form must not have two fields with the same name."));
            }
        }
        Ok((Fields(fields), None))
    }

    /// Reads and ignores the parts after the file, up to the last boundary.
    pub(super) async fn finish(mut self) -> S3Result<()> {
        while let Some(mut part) = self.next_part().await? {
            if part.name == "file" {
                return Err(not_one_file());
            }
            while part.next_chunk().await?.is_some() {}
        }
        Ok(())
    }

    async fn next_part(&mut self) -> S3Result<Option<Part<'b>>> {
        let field = self.parts.next_field().await.map_err(|error| form_error(&error))?;
        self.unparsed.reset();
        field.map(|field| Part::new(field, self.unparsed.clone())).transpose()
    }
}

impl<'b> Part<'b> {
    fn new(field: multer::Field<'b>, unparsed: UnparsedBytes) -> S3Result<Self> {
        let disposition = field.headers().get(header::CONTENT_DISPOSITION).map(HeaderValue::as_bytes).unwrap_or_default();
        let disposition = ContentDisposition::parse(disposition);
        let name = disposition.name().ok_or_else(malformed)?.to_ascii_lowercase();
        let path = disposition.file_name(None).unwrap_or_default();
        let file_name = path.rsplit(['/', '\\']).next().unwrap_or_default().to_owned();
        if file_name.len() > FILE_NAME_BYTES_MAX {
            return Err(s3_error!(InvalidArgument, "The name of the file may have at most {FILE_NAME_BYTES_MAX} bytes."));
        }
        let header_bytes = field.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        Ok(Self { name, file_name, header_bytes, field, unparsed })
    }

    /// Reads the value of a field. Subtracts the size of the part from `left_bytes`.
    async fn read_text(&mut self, left_bytes: &mut usize) -> S3Result<String> {
        let mut bytes = Vec::new();
        *left_bytes = left_bytes.checked_sub(self.header_bytes).ok_or_else(fields_too_large)?;
        while let Some(chunk) = self.next_chunk().await? {
            *left_bytes = left_bytes.checked_sub(chunk.len()).ok_or_else(fields_too_large)?;
            bytes.extend_from_slice(&chunk);
        }
        String::from_utf8(bytes).map_err(|_| s3_error!(InvalidArgument, "The fields of the form must be UTF-8."))
    }

    fn expand(&self, value: String) -> String {
        if value.contains(FILE_NAME_VARIABLE) { value.replace(FILE_NAME_VARIABLE, &self.file_name) } else { value }
    }

    async fn next_chunk(&mut self) -> S3Result<Option<Bytes>> {
        let chunk = self.field.chunk().await.map_err(|error| form_error(&error))?;
        self.unparsed.reset();
        Ok(chunk)
    }
}

impl<'b> FilePart<'b> {
    /// Returns the content of the file. It must be read to its end before the rest of the form.
    pub(super) fn into_chunks(self) -> impl Stream<Item = S3Result<Bytes>> + use<'b> {
        futures::stream::try_unfold(self.0, |mut part| async move {
            let chunk = part.next_chunk().await?;
            Ok(chunk.map(|chunk| (chunk, part)))
        })
    }
}

impl Fields {
    /// Returns the value of a field. The name must be in lower case.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Returns the value of a field that every form must have before the file.
    pub(super) fn required(&self, name: &str) -> S3Result<&str> {
        self.get(name).ok_or_else(|| {
            s3_error!(
                InvalidArgument,
                "Bucket POST must contain a field named '{name}'. If it is specified, please check the order of the fields."
            )
        })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

#[cfg(test)]
impl<const N: usize> From<[(&str, &str); N]> for Fields {
    fn from(fields: [(&str, &str); N]) -> Self {
        Self(fields.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }
}

/// The error of a form without a file, or with several.
pub(super) fn not_one_file() -> S3Error {
    s3_error!(InvalidArgument, "POST requires exactly one file upload per request.")
}

fn malformed() -> S3Error {
    s3_error!(MalformedPOSTRequest, "The body of your POST request is not well-formed multipart/form-data.")
}

/// S3's code differs from the one in its documentation, which `s3s` has.
fn fields_too_large() -> S3Error {
    let message = format!("The fields before the file may have at most {FIELDS_BYTES_MAX} bytes.");
    let mut error = S3Error::with_message(S3ErrorCode::Custom("MaxPostPreDataLengthExceeded".into()), message);
    error.set_status_code(StatusCode::BAD_REQUEST);
    error
}

/// Returns the error of the body, if that is why reading failed; otherwise the error for an invalid form.
fn form_error(error: &multer::Error) -> S3Error {
    match error {
        multer::Error::StreamReadFailed(cause) => cause.downcast_ref().map_or_else(malformed, body_error),
        _ => malformed(),
    }
}

fn body_error(error: &io::Error) -> S3Error {
    match error.kind() {
        io::ErrorKind::TimedOut => timed_out(),
        io::ErrorKind::FileTooLarge => s3_error!(EntityTooLarge, "The body exceeds the maximum size."),
        io::ErrorKind::InvalidData => malformed(),
        _ => s3_error!(IncompleteBody, "The connection was interrupted before the whole body arrived."),
    }
}

pub(super) fn timed_out() -> S3Error {
    s3_error!(RequestTimeout, "The client did not send the form within the time limit.")
}
