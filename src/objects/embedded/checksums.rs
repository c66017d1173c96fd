//! The checksums that a client sends with an upload, in headers or after the body, and whether they are true.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use s3s::checksum::ChecksumHasher;
use s3s::dto::{Checksum, PutObjectInput};
use s3s::{S3Result, TrailingHeaders, s3_error};

use super::draft::Digests;

/// S3's algorithms, as in `x-amz-checksum-…`, and the bytes of their results.
const ALGORITHMS: [(&str, usize); 5] = [("crc32", 4), ("crc32c", 4), ("crc64nvme", 8), ("sha1", 20), ("sha256", 32)];

/// What an upload says of its data.
#[derive(Debug, Default)]
pub(super) struct Claims {
    md5: Option<[u8; 16]>,
    /// Algorithm to base64.
    sent: BTreeMap<&'static str, String>,
    /// Algorithms whose value is announced to follow the body.
    announced: Vec<&'static str>,
}

impl Claims {
    /// Takes the claims that come before the body. `announced` is the header `x-amz-trailer`.
    ///
    /// # Errors
    /// `InvalidDigest` or `InvalidRequest` for one that cannot be a checksum of its kind.
    pub(super) fn of(input: &PutObjectInput, announced: Option<&str>) -> S3Result<Self> {
        let mut claims = Self::default();
        if let Some(md5) = &input.content_md5 {
            let bytes = STANDARD.decode(md5).ok().and_then(|bytes| bytes.try_into().ok());
            claims.md5 = Some(bytes.ok_or_else(|| s3_error!(InvalidDigest, "Content-MD5 is not 16 bytes in base64"))?);
        }
        let sent = [
            &input.checksum_crc32,
            &input.checksum_crc32c,
            &input.checksum_crc64nvme,
            &input.checksum_sha1,
            &input.checksum_sha256,
        ];
        for ((name, bytes), value) in ALGORITHMS.into_iter().zip(sent) {
            if let Some(value) = value {
                claims.sent.insert(name, well_formed(name, bytes, value)?);
            }
        }
        for name in announced.unwrap_or_default().split(',') {
            let name = name.trim().to_ascii_lowercase();
            let algorithm = name.strip_prefix("x-amz-checksum-");
            let known = ALGORITHMS.into_iter().find(|(known, _)| Some(*known) == algorithm);
            match known {
                Some((known, _)) => claims.announced.push(known),
                None if name.is_empty() => {}
                None => return Err(s3_error!(InvalidRequest, "x-amz-trailer names what is no checksum")),
            }
        }
        Ok(claims)
    }

    /// A hasher for just the algorithms that are claimed.
    pub(super) fn hasher(&self) -> ChecksumHasher {
        let mut hasher = ChecksumHasher::default();
        for name in self.sent.keys().chain(&self.announced) {
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

    /// Compares the claims, those after the body included, with what arrived. Gives those that hold.
    ///
    /// # Errors
    /// `BadDigest` for one that does not; `IncompleteBody` for one that was announced and did not come.
    pub(super) fn verify(mut self, trailers: Option<&TrailingHeaders>, found: &Digests) -> S3Result<BTreeMap<String, String>> {
        for (name, bytes) in ALGORITHMS.into_iter().filter(|(name, _)| self.announced.contains(name)) {
            let header = format!("x-amz-checksum-{name}");
            let value = trailers.and_then(|trailers| {
                trailers.read(|map| map.get(&header).and_then(|value| value.to_str().ok()).map(str::to_owned))
            });
            let value = value.flatten().ok_or_else(|| s3_error!(IncompleteBody, "{header} did not follow the body"))?;
            self.sent.insert(name, well_formed(name, bytes, &value)?);
        }
        if self.md5.is_some_and(|md5| md5 != found.md5) {
            return Err(s3_error!(BadDigest, "Content-MD5 is not that of the body"));
        }
        for (name, value) in &self.sent {
            if by_name(&found.checksums, name) != Some(value) {
                return Err(s3_error!(BadDigest, "x-amz-checksum-{name} is not that of the body"));
            }
        }
        Ok(self.sent.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }
}

/// The checksums of a description, as S3's types hold them.
pub(super) fn stored(checksums: &BTreeMap<String, String>) -> Checksum {
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

fn well_formed(name: &str, bytes: usize, value: &str) -> S3Result<String> {
    match STANDARD.decode(value) {
        Ok(decoded) if decoded.len() == bytes => Ok(value.to_owned()),
        _ => Err(s3_error!(InvalidRequest, "x-amz-checksum-{name} is not {bytes} bytes in base64")),
    }
}
