//! The format of an object's file: its data, then everything known about it, checksums included.
//!
//! ```text
//! data                     `length` bytes
//! block checksums          CRC-32C of each BLOCK_BYTES of data, u32 little endian
//! description              JSON, see `Description`
//! footer                   64 bytes: u64 length, u32 bytes of JSON, u32 version (little endian),
//!                          SHA-256 of checksums, JSON and the 16 bytes before it, then MAGIC
//! ```
//!
//! At the end rather than the start, because checksums are known only when the data has gone by. The parts add up
//! to the file's length exactly, so a file that was cut anywhere is found out; a checksum a block, rather
//! than one for all, lets a range be proved without reading the rest.

use std::collections::BTreeMap;

use s3s::crypto::{Checksum as _, Crc32c};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Bytes of data under one checksum, and read or written at a time.
pub(super) const BLOCK_BYTES: usize = 256 * 1024;

/// Bytes of the footer.
pub(super) const FOOTER_BYTES: usize = 64;

const VERSION: u32 = 1;
const MAGIC: &[u8; 16] = b"object trailer.\n";

/// No description that was written is near this: keys, headers and metadata have bounds of their own.
const DESCRIPTION_BYTES_MAX: u32 = 256 * 1024;

/// What is known of an object beside its data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Description {
    /// The key, so that a listing can be made from files, and a file in the wrong place noticed.
    pub(super) key: String,
    /// Bytes of data.
    pub(super) length: u64,
    /// Of the data, 32 hex digits: the ETag.
    pub(super) md5: String,
    /// When the upload began, in milliseconds since 1970: `Last-Modified`.
    pub(super) stored_at_ms: u64,
    #[serde(flatten)]
    pub(super) headers: Headers,
    /// The client's own `x-amz-meta-…`, names without that prefix.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) metadata: BTreeMap<String, String>,
    /// The checksums that came with the upload and were found true: algorithm to base64.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) checksums: BTreeMap<String, String>,
}

/// Response headers that the uploader chose.
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

/// The footer, read: how long the parts before it are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Footer {
    /// Bytes of data.
    pub(super) length: u64,
    json_bytes: u32,
    digest: [u8; 32],
}

/// The bytes that follow the data.
pub(super) fn encode(description: &Description, blocks: &[u32]) -> serde_json::Result<Vec<u8>> {
    let json = serde_json::to_vec(description)?;
    let json_bytes = u32::try_from(json.len()).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(blocks.len() * 4 + json.len() + FOOTER_BYTES);
    for block in blocks {
        bytes.extend_from_slice(&block.to_le_bytes());
    }
    bytes.extend_from_slice(&json);
    bytes.extend_from_slice(&description.length.to_le_bytes());
    bytes.extend_from_slice(&json_bytes.to_le_bytes());
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    let digest = Sha256::digest(&bytes);
    bytes.extend_from_slice(&digest);
    bytes.extend_from_slice(MAGIC);
    Ok(bytes)
}

impl Footer {
    /// Reads a file's last [`FOOTER_BYTES`].
    ///
    /// # Errors
    /// A reason, when they are not a footer that fits a file of `file_bytes`.
    pub(super) fn decode(bytes: &[u8], file_bytes: u64) -> Result<Self, &'static str> {
        let bytes: &[u8; FOOTER_BYTES] = bytes.try_into().map_err(|_| "shorter than a footer")?;
        if &bytes[48..] != MAGIC {
            return Err("no footer at its end");
        }
        let number = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        if number(12) != VERSION {
            return Err("a format version that this release does not know");
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(&bytes[16..48]);
        let footer = Self { length: u64::from(number(4)) << 32 | u64::from(number(0)), json_bytes: number(8), digest };
        if footer.json_bytes > DESCRIPTION_BYTES_MAX || footer.length > file_bytes {
            return Err("a footer with impossible lengths");
        }
        if footer.length + footer.trailer_bytes() != file_bytes {
            return Err("a length other than its footer says");
        }
        Ok(footer)
    }

    /// Bytes after the data, the footer included.
    pub(super) fn trailer_bytes(&self) -> u64 {
        4 * self.length.div_ceil(BLOCK_BYTES as u64) + u64::from(self.json_bytes) + FOOTER_BYTES as u64
    }

    /// Reads everything after the data, `trailer_bytes()` long.
    ///
    /// # Errors
    /// A reason, when its checksum or its content is wrong.
    pub(super) fn decode_trailer(&self, trailer: &[u8]) -> Result<(Description, Vec<u32>), &'static str> {
        let json_start = trailer.len().checked_sub(FOOTER_BYTES + self.json_bytes as usize);
        let json_start = json_start.ok_or("shorter than its trailer")?;
        let json_end = trailer.len() - FOOTER_BYTES;
        if Sha256::digest(&trailer[..json_end + 16])[..] != self.digest {
            return Err("a trailer whose checksum is wrong");
        }
        let (blocks, _) = trailer[..json_start].as_chunks::<4>();
        let blocks = blocks.iter().map(|block| u32::from_le_bytes(*block)).collect();
        let description: Description =
            serde_json::from_slice(&trailer[json_start..json_end]).map_err(|_| "a description that is not one")?;
        if description.length != self.length {
            return Err("two different lengths in its trailer");
        }
        Ok((description, blocks))
    }
}

/// The checksum of one block of data.
pub(super) fn block_checksum(block: &[u8]) -> u32 {
    u32::from_be_bytes(Crc32c::checksum(block))
}
