//! The format of an object's file: the data, followed by a trailer with checksums and metadata.
//!
//! ```text
//! data                     `length` bytes
//! block checksums          CRC-32C of each BLOCK_BYTES of data, u32 little endian
//! metadata                 JSON, see `ObjectMetadata`
//! footer                   64 bytes: u64 length, u32 bytes of JSON, u32 version (little endian),
//!                          SHA-256 of checksums, JSON and the 16 bytes before it, then MAGIC
//! ```
//!
//! The trailer is at the end because the checksums are known only after the data is written. The lengths of the parts add up to
//! the file's length, so any truncation is detected. A checksum per block allows verifying a range without reading the rest.

use std::collections::BTreeMap;

use s3s::crypto::{Checksum as _, Crc32c};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The size of a block: the unit of checksums, reads and writes.
pub(super) const BLOCK_BYTES: usize = 256 * 1024;

pub(super) const FOOTER_BYTES: usize = 64;

const VERSION: u32 = 1;
const MAGIC: &[u8; 16] = b"object trailer.\n";

/// The largest accepted metadata. Written metadata is far smaller: keys, headers and user metadata have their own limits.
const METADATA_BYTES_MAX: u32 = 256 * 1024;

/// An object's metadata.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ObjectMetadata {
    /// The key, so that listings can be built from the files and a file at the wrong path is detected.
    pub(super) key: String,
    /// Length of the data in bytes.
    pub(super) length: u64,
    /// The ETag: MD5 of the data in 32 hex digits, or a random one that is not of that form.
    #[serde(rename = "md5")]
    pub(super) etag: String,
    /// When the upload began, in milliseconds since 1970; returned as `Last-Modified`.
    pub(super) stored_at_ms: u64,
    #[serde(flatten)]
    pub(super) headers: Headers,
    /// User-defined metadata: the `x-amz-meta-*` headers, without that prefix.
    #[serde(default, rename = "metadata", skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) user_metadata: BTreeMap<String, String>,
    /// The checksums that the client sent with the upload, after verification: algorithm to base64.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) checksums: BTreeMap<String, String>,
}

/// Response headers that the client set at upload.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Headers {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) content_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) content_disposition: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) content_encoding: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) content_language: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) cache_control: Option<String>,
}

/// A decoded footer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Footer {
    /// Length of the data in bytes.
    pub(super) length: u64,
    json_bytes: u32,
    digest: [u8; 32],
}

/// Encodes the trailer. `block_checksums` are those of the data's blocks, in order.
pub(super) fn encode(metadata: &ObjectMetadata, block_checksums: &[u32]) -> serde_json::Result<Vec<u8>> {
    let json = serde_json::to_vec(metadata)?;
    let json_bytes = u32::try_from(json.len()).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(block_checksums.len() * 4 + json.len() + FOOTER_BYTES);
    for checksum in block_checksums {
        bytes.extend_from_slice(&checksum.to_le_bytes());
    }
    bytes.extend_from_slice(&json);
    bytes.extend_from_slice(&metadata.length.to_le_bytes());
    bytes.extend_from_slice(&json_bytes.to_le_bytes());
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    let digest = Sha256::digest(&bytes);
    bytes.extend_from_slice(&digest);
    bytes.extend_from_slice(MAGIC);
    Ok(bytes)
}

impl Footer {
    /// Decodes a file's last [`FOOTER_BYTES`].
    ///
    /// # Errors
    /// The reason why they are not a footer that fits a file of `file_bytes`.
    pub(super) fn decode(bytes: &[u8], file_bytes: u64) -> Result<Self, &'static str> {
        let bytes: &[u8; FOOTER_BYTES] = bytes.try_into().map_err(|_| "shorter than a footer")?;
        if &bytes[48..] != MAGIC {
            return Err("no footer at its end");
        }
        let number = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        if number(12) != VERSION {
            return Err("a format version that this release does not support");
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(&bytes[16..48]);
        let footer = Self { length: u64::from(number(4)) << 32 | u64::from(number(0)), json_bytes: number(8), digest };
        if footer.json_bytes > METADATA_BYTES_MAX || footer.length > file_bytes {
            return Err("a footer with impossible lengths");
        }
        if footer.length + footer.trailer_bytes() != file_bytes {
            return Err("a length that does not match its footer");
        }
        Ok(footer)
    }

    /// Returns the trailer's length in bytes, footer included.
    pub(super) fn trailer_bytes(&self) -> u64 {
        4 * self.length.div_ceil(BLOCK_BYTES as u64) + u64::from(self.json_bytes) + FOOTER_BYTES as u64
    }

    /// Decodes the trailer, which is [`Self::trailer_bytes`] long, into the metadata and the block checksums.
    ///
    /// # Errors
    /// The reason why its checksum or its content is wrong.
    pub(super) fn decode_trailer(&self, trailer: &[u8]) -> Result<(ObjectMetadata, Vec<u32>), &'static str> {
        let json_start = trailer.len().checked_sub(FOOTER_BYTES + self.json_bytes as usize);
        let json_start = json_start.ok_or("shorter than its trailer")?;
        let json_end = trailer.len() - FOOTER_BYTES;
        if Sha256::digest(&trailer[..json_end + 16])[..] != self.digest {
            return Err("a trailer with a wrong checksum");
        }
        let (checksums, _) = trailer[..json_start].as_chunks::<4>();
        let block_checksums = checksums.iter().map(|checksum| u32::from_le_bytes(*checksum)).collect();
        let metadata: ObjectMetadata =
            serde_json::from_slice(&trailer[json_start..json_end]).map_err(|_| "invalid metadata in its trailer")?;
        if metadata.length != self.length {
            return Err("two different lengths in its trailer");
        }
        Ok((metadata, block_checksums))
    }
}

/// Returns the CRC-32C of one block of data.
pub(super) fn block_checksum(block: &[u8]) -> u32 {
    u32::from_be_bytes(Crc32c::checksum(block))
}
