//! The checksums that a client sends with an upload, in headers or in trailing headers after the body, and their verification.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use s3s::checksum::ChecksumHasher;
use s3s::dto::{Checksum, PutObjectInput};
use s3s::{S3Result, TrailingHeaders, s3_error};

use super::upload_file::Digests;

/// S3's algorithms, named as in `x-amz-checksum-*`, with the lengths of their checksums in bytes.
const ALGORITHMS: [(&str, usize); 5] = [("crc32", 4), ("crc32c", 4), ("crc64nvme", 8), ("sha1", 20), ("sha256", 32)];

/// The checksums that the client declares for an upload.
#[derive(Debug, Default)]
pub(super) struct DeclaredChecksums {
    md5: Option<[u8; 16]>,
    /// Algorithm to base64.
    values: BTreeMap<&'static str, String>,
    /// Algorithms whose values follow in trailing headers.
    trailing: Vec<&'static str>,
}

impl DeclaredChecksums {
    /// Reads the checksums from the request's headers. `trailer` is the value of `x-amz-trailer`.
    ///
    /// # Errors
    /// `InvalidDigest` or `InvalidRequest` if a value is not a valid checksum of its algorithm.
    pub(super) fn from_headers(input: &PutObjectInput, trailer: Option<&str>) -> S3Result<Self> {
        let mut declared = Self::default();
        if let Some(md5) = &input.content_md5 {
            let bytes = STANDARD.decode(md5).ok().and_then(|bytes| bytes.try_into().ok());
            declared.md5 = Some(bytes.ok_or_else(|| s3_error!(InvalidDigest, "Content-MD5 must be 16 bytes in base64."))?);
        }
        let values = [
            &input.checksum_crc32,
            &input.checksum_crc32c,
            &input.checksum_crc64nvme,
            &input.checksum_sha1,
            &input.checksum_sha256,
        ];
        for ((name, bytes), value) in ALGORITHMS.into_iter().zip(values) {
            if let Some(value) = value {
                declared.values.insert(name, parse_value(name, bytes, value)?);
            }
        }
        for name in trailer.unwrap_or_default().split(',') {
            let name = name.trim().to_ascii_lowercase();
            let algorithm = name.strip_prefix("x-amz-checksum-");
            let known = ALGORITHMS.into_iter().find(|(known, _)| Some(*known) == algorithm);
            match known {
                Some((known, _)) => declared.trailing.push(known),
                None if name.is_empty() => {}
                None => return Err(s3_error!(InvalidRequest, "x-amz-trailer may name only x-amz-checksum-* headers.")),
            }
        }
        Ok(declared)
    }

    pub(super) fn has_md5(&self) -> bool {
        self.md5.is_some()
    }

    /// Returns a hasher for the declared algorithms only.
    pub(super) fn hasher(&self) -> ChecksumHasher {
        let mut hasher = ChecksumHasher::default();
        for name in self.values.keys().chain(&self.trailing) {
            match *name {
                "crc32" => hasher.crc32 = Some(Default::default()),
                "crc32c" => hasher.crc32c = Some(Default::default()),
                "crc64nvme" => hasher.crc64nvme = Some(Default::default()),
                "sha1" => hasher.sha1 = Some(Default::default()),
                _ => hasher.sha256 = Some(Default::default()),
            }
        }
        hasher
    }

    /// Compares all declared checksums, trailing ones included, with the digests of the data. Returns the declared checksums.
    ///
    /// # Errors
    /// `BadDigest` if one does not match; `IncompleteBody` if a trailing header is missing.
    pub(super) fn verify(mut self, trailers: Option<&TrailingHeaders>, actual: &Digests) -> S3Result<BTreeMap<String, String>> {
        for (name, bytes) in ALGORITHMS.into_iter().filter(|(name, _)| self.trailing.contains(name)) {
            let header = format!("x-amz-checksum-{name}");
            let value = trailers.and_then(|trailers| {
                trailers.read(|map| map.get(&header).and_then(|value| value.to_str().ok()).map(str::to_owned))
            });
            let value = value.flatten().ok_or_else(|| s3_error!(IncompleteBody, "The trailing header {header} is missing."))?;
            self.values.insert(name, parse_value(name, bytes, &value)?);
        }
        if self.md5.is_some() && self.md5 != actual.md5 {
            return Err(s3_error!(BadDigest, "Content-MD5 does not match the body."));
        }
        for (name, value) in &self.values {
            if by_name(&actual.checksums, name) != Some(value) {
                return Err(s3_error!(BadDigest, "x-amz-checksum-{name} does not match the body."));
            }
        }
        Ok(self.values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }
}

/// Converts the checksums of an object's metadata to S3's type.
pub(super) fn to_dto(checksums: &BTreeMap<String, String>) -> Checksum {
    let value = |name| checksums.get(name).cloned();
    Checksum {
        checksum_crc32: value("crc32"),
        checksum_crc32c: value("crc32c"),
        checksum_crc64nvme: value("crc64nvme"),
        checksum_sha1: value("sha1"),
        checksum_sha256: value("sha256"),
        ..Checksum::default()
    }
}

fn by_name<'a>(checksums: &'a Checksum, name: &str) -> Option<&'a String> {
    match name {
        "crc32" => checksums.checksum_crc32.as_ref(),
        "crc32c" => checksums.checksum_crc32c.as_ref(),
        "crc64nvme" => checksums.checksum_crc64nvme.as_ref(),
        "sha1" => checksums.checksum_sha1.as_ref(),
        _ => checksums.checksum_sha256.as_ref(),
    }
}

/// Checks that a value is `bytes` long in base64.
fn parse_value(name: &str, bytes: usize, value: &str) -> S3Result<String> {
    match STANDARD.decode(value) {
        Ok(decoded) if decoded.len() == bytes => Ok(value.to_owned()),
        _ => Err(s3_error!(InvalidRequest, "x-amz-checksum-{name} must be {bytes} bytes in base64.")),
    }
}
