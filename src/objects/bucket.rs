//! The bucket itself: whether it is there, made where that is wanted, and the old versions that a versioned one keeps of what is deleted.
//!
//! Where versions are kept, a plain deletion only hides an object behind a marker: nobody lists it, and every byte stays. So all versions of
//! a purged object are deleted, by their ids. That takes rights that not every operator gives; without them the deletion stays the plain
//! one, and the log says once what remains.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration};

use super::error::{Error, chain};
use super::{DEFAULT_REGION, ObjectStore};

/// Whether the bucket keeps old versions, as far as is known. A deletion's own answer tells it too, so not knowing costs nothing.
#[derive(Debug, Default)]
pub(super) struct Versioning {
    state: AtomicU8,
    /// Whether the log has told that versions stay, and none could be deleted since.
    told: AtomicBool,
}

/// Not known, or none: an object is deleted plainly.
const PLAIN: u8 = 0;
/// Versions are kept, and those of what is deleted are to go.
const KEPT: u8 = 1;
/// Versions are kept, and the service may not delete them.
const REFUSED: u8 = 2;
/// The server has no versions.
const NEVER: u8 = 3;

impl Versioning {
    pub(super) fn never() -> Self {
        Self { state: AtomicU8::new(NEVER), told: AtomicBool::new(false) }
    }

    fn get(&self) -> u8 {
        self.state.load(Ordering::Relaxed)
    }

    /// Returns what was known before.
    fn set(&self, state: u8) -> u8 {
        self.state.swap(state, Ordering::Relaxed)
    }
}

/// What happens to old versions of objects that are deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OldVersions {
    /// There are none.
    #[default]
    None,
    /// They are deleted too.
    Deleted,
    /// They stay: the storage does not let the service list or delete them.
    Stay,
    /// The storage does not say whether it keeps any.
    Unknown,
}

impl ObjectStore {
    /// Asks whether the bucket answers.
    ///
    /// # Errors
    /// It does not, or there is no such bucket, or there are no credentials to ask with.
    pub async fn check(&self) -> Result<(), Error> {
        // Without any, the client's own error is three sentences long.
        self.credentials.current().await?;
        let request = self.client.head_bucket().bucket(&self.bucket);
        match request.send().await.map_err(|error| self.failed("head bucket", self.timeout, error)) {
            Err(Error::NotFound { .. }) => Err(self.no_bucket()),
            answer => answer.map(drop),
        }
    }

    /// As [`ObjectStore::check`], and makes a bucket that does not exist, where that is wanted.
    ///
    /// # Errors
    /// The bucket does not answer, or cannot be made.
    pub async fn prepare(&self) -> Result<(), Error> {
        match self.check().await {
            Err(Error::NoBucket { .. }) if self.create_bucket => {}
            answer => return answer,
        }
        if self.make_bucket().await? {
            tracing::info!("created the bucket {:?} at {}", self.bucket, self.endpoint);
        }
        Ok(())
    }

    /// `false` when another instance was first.
    async fn make_bucket(&self) -> Result<bool, Error> {
        let mut request = self.client.create_bucket().bucket(&self.bucket);
        // AWS takes every region by its name, other than the first one.
        if self.region != DEFAULT_REGION {
            let region = BucketLocationConstraint::from(self.region.as_str());
            request =
                request.create_bucket_configuration(CreateBucketConfiguration::builder().location_constraint(region).build());
        }
        match request.send().await {
            Ok(_) => Ok(true),
            Err(error) if error.code() == Some("BucketAlreadyOwnedByYou") => Ok(false),
            Err(error) => Err(self.failed("create bucket", self.timeout, error)),
        }
    }

    pub(super) fn no_bucket(&self) -> Error {
        Error::NoBucket { bucket: self.bucket.clone(), endpoint: self.endpoint.clone() }
    }

    /// Looks whether the bucket keeps old versions, and whether they may be listed. Deletions go by it from now on.
    ///
    /// # Errors
    /// The storage is unavailable.
    pub async fn look_at_versions(&self) -> Result<OldVersions, Error> {
        if self.versioning.get() == NEVER {
            return Ok(OldVersions::None);
        }
        let asked = self.client.get_bucket_versioning().bucket(&self.bucket).send().await;
        match asked.map_err(|error| self.failed("get bucket versioning", self.timeout, error)) {
            // Suspended or enabled: what was put while it was enabled has versions in either case.
            Ok(answer) if answer.status().is_some() => {}
            Ok(_) | Err(Error::NotImplemented { .. }) => {
                self.versioning.set(PLAIN);
                return Ok(OldVersions::None);
            }
            // What was learned from a deletion stays known.
            Err(Error::Refused { .. }) if self.versioning.get() == PLAIN => return Ok(OldVersions::Unknown),
            Err(Error::Refused { .. }) => {}
            Err(error) => return Err(error),
        }
        match self.list_versions("-", None).await {
            // Whether they may be deleted too, only a deletion tells.
            Ok(_) if self.versioning.get() == REFUSED => Ok(OldVersions::Stay),
            Ok(_) => {
                self.note_versions();
                Ok(OldVersions::Deleted)
            }
            Err(error) if is_refusal(&error) => {
                self.note_refusal(&error);
                Ok(OldVersions::Stay)
            }
            Err(error) => Err(error),
        }
    }

    /// Removes an object with all its versions; one that is not there is as good.
    ///
    /// # Errors
    /// The storage is unavailable or refuses.
    pub async fn delete(&self, key: &str) -> Result<(), Error> {
        if self.versioning.get() == KEPT && self.delete_versions(key).await? {
            return Ok(());
        }
        let request = self.client.delete_object().bucket(&self.bucket).key(key);
        let deleted = match request.send().await.map_err(|error| self.failed("delete object", self.timeout, error)) {
            Ok(deleted) => deleted,
            Err(Error::NotFound { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        let has_versions = deleted.delete_marker() == Some(true) || deleted.version_id().is_some();
        // Others may have learned it meanwhile.
        if has_versions && self.versioning.get() != REFUSED {
            self.note_versions();
            self.delete_versions(key).await?;
        }
        Ok(())
    }

    /// Deletes every version of an object, and what marks it as deleted; `false` if the storage does not let the service do that.
    async fn delete_versions(&self, key: &str) -> Result<bool, Error> {
        loop {
            let mut at = None;
            let mut found = Vec::new();
            // The markers hide the versions, so they go last.
            let mut markers = Vec::new();
            loop {
                let page = match self.list_versions(key, at.as_ref()).await {
                    Err(error) if is_refusal(&error) => return Ok(self.note_refusal(&error)),
                    page => page?,
                };
                found.extend(page.versions);
                markers.extend(page.markers);
                at = page.next;
                if at.is_none() || found.len() + markers.len() >= AT_ONCE {
                    break;
                }
            }
            for version in found.iter().chain(&markers) {
                let request = self.client.delete_object().bucket(&self.bucket).key(key).version_id(version);
                match request.send().await.map_err(|error| self.failed("delete object version", self.timeout, error)) {
                    Ok(_) | Err(Error::NotFound { .. }) => {}
                    Err(error) if is_refusal(&error) => return Ok(self.note_refusal(&error)),
                    Err(error) => return Err(error),
                }
            }
            if at.is_none() {
                self.versioning.told.store(false, Ordering::Relaxed);
                return Ok(true);
            }
        }
    }

    /// A page of the versions of one object.
    async fn list_versions(&self, key: &str, at: Option<&(String, String)>) -> Result<Page, Error> {
        let (key_marker, version_marker) = at.cloned().unzip();
        let request = self.client.list_object_versions().bucket(&self.bucket).prefix(key);
        let request = request.set_key_marker(key_marker).set_version_id_marker(version_marker);
        let listed = request.send().await.map_err(|error| self.failed("list object versions", self.timeout, error))?;
        let of_key = |found: Option<&str>, id: Option<&str>| id.filter(|_| found == Some(key)).map(str::to_owned);
        let versions = listed.versions().iter().filter_map(|version| of_key(version.key(), version.version_id()));
        let markers = listed.delete_markers().iter().filter_map(|marker| of_key(marker.key(), marker.version_id()));
        // Longer keys that begin with this one come after it.
        let next = listed.next_key_marker().filter(|next| listed.is_truncated() == Some(true) && *next == key);
        let next = next.map(|next| (next.to_owned(), listed.next_version_id_marker().unwrap_or_default().to_owned()));
        Ok(Page { versions: versions.collect(), markers: markers.collect(), next })
    }

    fn note_versions(&self) {
        if self.versioning.set(KEPT) == PLAIN {
            tracing::info!("the bucket {:?} keeps old versions: a purge deletes all versions of an object", self.bucket);
        }
    }

    /// Always `false`.
    fn note_refusal(&self, error: &Error) -> bool {
        self.versioning.set(REFUSED);
        if !self.versioning.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "purged images stay in the bucket {:?} as old versions: allow s3:ListBucketVersions and s3:DeleteObjectVersion, or set a \
                 lifecycle rule with NoncurrentVersionExpiration: {}",
                self.bucket,
                chain(error)
            );
        }
        false
    }
}

/// Versions of one object that are held in memory; there may be any number.
const AT_ONCE: usize = 10_000;

struct Page {
    versions: Vec<String>,
    markers: Vec<String>,
    next: Option<(String, String)>,
}

fn is_refusal(error: &Error) -> bool {
    matches!(error, Error::Refused { .. } | Error::NotImplemented { .. })
}
