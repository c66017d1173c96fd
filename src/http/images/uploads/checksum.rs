//! Checksums of pieces: the header `Upload-Checksum` of the tus protocol, and `Content-Digest` (RFC 9530).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::service::error::Error;

/// The supported algorithms, as the protocol lists them.
pub const ALGORITHMS: &str = "sha1,sha256,md5";

/// The announced checksum of a piece, and that of the bytes that have arrived.
#[derive(Debug, Clone)]
pub struct Checksum {
    announced: Vec<u8>,
    hasher: Hasher,
}

#[derive(Debug, Clone)]
enum Hasher {
    Sha1(Sha1),
    Sha256(Sha256),
    Md5(Md5),
}

/// Returns the SHA-256 in `Content-Digest` or `Repr-Digest`. RFC 9530 says to ignore other algorithms.
///
/// # Errors
/// The header is malformed.
pub fn digest(headers: &HeaderMap, name: &str) -> Result<Option<[u8; 32]>, Error> {
    let malformed = || Error::malformed(name, "must be like sha-256=:…:, with the digest in base64");
    let mut digests = sfv::Dictionary::new();
    for line in headers.get_all(name) {
        digests = sfv::Parser::new(line.as_bytes()).parse_dictionary_with_visitor(digests).map_err(|_| malformed())?;
    }
    let Some(entry) = digests.get("sha-256") else { return Ok(None) };
    let sfv::ListEntry::Item(digest) = entry else { return Err(malformed()) };
    let digest = digest.bare_item.as_byte_sequence().and_then(|digest| digest.try_into().ok());
    digest.map(Some).ok_or_else(malformed)
}

impl Checksum {
    /// Reads the header, if the request has it.
    ///
    /// # Errors
    /// The algorithm is not supported, or the value is not in base64.
    pub fn of(headers: &HeaderMap) -> Result<Option<Self>, Error> {
        let Some(value) = headers.get("upload-checksum").map(HeaderValue::as_bytes) else { return Ok(None) };
        let malformed =
            || Error::malformed("Upload-Checksum", "must be sha1, sha256 or md5, a space, and the checksum in base64");
        let value = str::from_utf8(value).ok().and_then(|text| text.split_once(' '));
        let (algorithm, announced) = value.ok_or_else(malformed)?;
        let announced = STANDARD.decode(announced.trim()).map_err(|_| malformed())?;
        let hasher = match algorithm {
            "sha1" => Hasher::Sha1(Sha1::new()),
            "sha256" => Hasher::Sha256(Sha256::new()),
            "md5" => Hasher::Md5(Md5::new()),
            _ => return Err(malformed()),
        };
        Ok(Some(Self { announced, hasher }))
    }

    /// Reads the header `Content-Digest`, if the request has one with a supported algorithm.
    ///
    /// # Errors
    /// As for [`digest`].
    pub fn of_content(headers: &HeaderMap) -> Result<Option<Self>, Error> {
        let announced = digest(headers, "Content-Digest")?;
        Ok(announced.map(|announced| Self { announced: announced.to_vec(), hasher: Hasher::Sha256(Sha256::new()) }))
    }

    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.hasher {
            Hasher::Sha1(hasher) => hasher.update(bytes),
            Hasher::Sha256(hasher) => hasher.update(bytes),
            Hasher::Md5(hasher) => hasher.update(bytes),
        }
    }

    /// # Errors
    /// The checksums differ.
    pub fn finish(self) -> Result<(), Error> {
        let found = match self.hasher {
            Hasher::Sha1(hasher) => hasher.finalize().to_vec(),
            Hasher::Sha256(hasher) => hasher.finalize().to_vec(),
            Hasher::Md5(hasher) => hasher.finalize().to_vec(),
        };
        if found == self.announced { Ok(()) } else { Err(Error::WrongChecksum) }
    }
}
