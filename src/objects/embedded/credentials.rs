//! The server's only key pair: generated at random on the first start and stored in the directory.
//!
//! Only the file's owner can read it. Nothing here may log or print the secret.

use std::fmt;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use s3s::auth::{S3Auth, SecretKey};
use s3s::{S3Result, s3_error};
use serde::{Deserialize, Serialize};

use super::{Error, disk};

const FILE: &str = "credentials.json";

/// An access key and its secret for S3 clients.
#[derive(Clone, Serialize, Deserialize)]
pub struct Credentials {
    /// 20 letters and digits. Every presigned URL contains it, so it is not a secret.
    pub access_key_id: String,
    /// 40 characters.
    pub secret_access_key: String,
}

impl Credentials {
    /// Reads the directory's key pair, or generates and stores one.
    pub(super) fn load_or_create(directory: &Path) -> Result<Self, Error> {
        let path = directory.join(FILE);
        match std::fs::read(&path) {
            Ok(content) => {
                warn_if_readable_by_others(&path)?;
                parse(&content).ok_or(Error::Credentials { path })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let generated = generate().map_err(disk::at(&path))?;
                let content = serde_json::to_vec_pretty(&generated).map_err(|error| disk::at(&path)(error.into()))?;
                disk::replace_file(&path, &content)?;
                Ok(generated)
            }
            Err(error) => Err(disk::at(&path)(error)),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

/// Replaces `s3s`'s `SimpleAuth`, which answers an unknown key with `NotSignedUp` instead of S3's `InvalidAccessKeyId`.
#[async_trait::async_trait]
impl S3Auth for Credentials {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        if access_key == self.access_key_id {
            Ok(SecretKey::from(self.secret_access_key.as_str()))
        } else {
            Err(s3_error!(InvalidAccessKeyId, "The access key does not exist."))
        }
    }
}

fn generate() -> io::Result<Credentials> {
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut random = [0_u8; 48];
    getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
    let (id, secret) = random.split_at(18);
    let id: String = id.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect();
    Ok(Credentials { access_key_id: format!("EK{id}"), secret_access_key: STANDARD.encode(secret) })
}

fn parse(content: &[u8]) -> Option<Credentials> {
    let found: Credentials = serde_json::from_slice(content).ok()?;
    // A slash in the access key would separate parts of the credential scope, which could then not be parsed.
    let usable = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    let fits = usable(&found.access_key_id) && !found.access_key_id.contains('/') && usable(&found.secret_access_key);
    fits.then_some(found)
}

fn warn_if_readable_by_others(path: &Path) -> Result<(), Error> {
    let mode = std::fs::metadata(path).map_err(disk::at(path))?.permissions().mode();
    if mode & 0o077 != 0 {
        tracing::warn!(path = %path.display(), mode = format!("{:o}", mode & 0o777), "other users can read the S3 credentials");
    }
    Ok(())
}
