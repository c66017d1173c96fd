//! The bucket: its existence and creation, and the deletion of objects with all their versions.
//!
//! In a versioned bucket, a plain deletion only adds a delete marker: the object disappears from listings, but every byte stays.
//! So all versions of a purged object are deleted by their ids. This needs permissions that some operators do not grant. Without
//! them, the deletion remains a plain one, and the log reports once that the versions stay.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration};

use super::error::Error;
use super::error_chain::error_chain;
use super::{DEFAULT_REGION, ObjectStore};

/// What is known about the bucket's versioning. The response to a deletion reveals it too, so an unknown state costs nothing.
#[derive(Debug, Default)]
pub(super) struct Versioning {
    state: AtomicU8,
    /// Whether the log has reported that versions stay; cleared when a version is deleted.
    warned: AtomicBool,
}

/// The bucket is not versioned, or its versioning is unknown: objects are deleted without a version id.
const UNVERSIONED: u8 = 0;
/// The bucket is versioned: all versions of a deleted object are deleted.
const VERSIONED: u8 = 1;
/// The bucket is versioned, but the service has no permission to list or delete versions.
const DELETION_REFUSED: u8 = 2;
/// The server has no versioning.
const UNSUPPORTED: u8 = 3;

impl Versioning {
    pub(super) fn unsupported() -> Self {
        Self { state: AtomicU8::new(UNSUPPORTED), warned: AtomicBool::new(false) }
    }

    fn get(&self) -> u8 {
        self.state.load(Ordering::Relaxed)
    }

    /// Returns the previous state.
    fn set(&self, state: u8) -> u8 {
        self.state.swap(state, Ordering::Relaxed)
    }
}

/// What happens to the old (noncurrent) versions of deleted objects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OldVersions {
    /// The bucket keeps none.
    #[default]
    None,
    /// They are deleted too.
    Deleted,
    /// They stay, because the service has no permission to list or delete them.
    Kept,
    /// The storage does not reveal whether the bucket is versioned.
    Unknown,
}

impl ObjectStore {
    /// Checks that the bucket exists and can be accessed.
    ///
    /// # Errors
    /// The storage is unavailable or refuses the request, the bucket does not exist, or there are no credentials.
    pub async fn check(&self) -> Result<(), Error> {
        // Without credentials, the SDK's own error is three sentences long.
        self.credentials.current().await?;
        let request = self.client.head_bucket().bucket(&self.bucket);
        match request.send().await.map_err(|error| self.sdk_error("head bucket", self.timeout, error)) {
            Err(Error::NotFound { .. }) => Err(self.no_bucket()),
            answer => answer.map(drop),
        }
    }

    /// Checks the bucket as [`ObjectStore::check`] does, and creates it if it does not exist and the configuration permits that.
    ///
    /// # Errors
    /// The bucket cannot be accessed or created.
    pub async fn prepare(&self) -> Result<(), Error> {
        match self.check().await {
            Err(Error::NoBucket { .. }) if self.create_bucket => {}
            answer => return answer,
        }
        if self.create_bucket().await? {
            tracing::info!("created the bucket {:?} at {}", self.bucket, self.endpoint);
        }
        Ok(())
    }

    /// Returns `false` if another instance has created the bucket first.
    async fn create_bucket(&self) -> Result<bool, Error> {
        let mut request = self.client.create_bucket().bucket(&self.bucket);
        // AWS refuses us-east-1 as a location constraint: it is the default.
        if self.region != DEFAULT_REGION {
            let region = BucketLocationConstraint::from(self.region.as_str());
            request =
                request.create_bucket_configuration(CreateBucketConfiguration::builder().location_constraint(region).build());
        }
        match request.send().await {
            Ok(_) => Ok(true),
            Err(error) if error.code() == Some("BucketAlreadyOwnedByYou") => Ok(false),
            Err(error) => Err(self.sdk_error("create bucket", self.timeout, error)),
        }
    }

    pub(super) fn no_bucket(&self) -> Error {
        Error::NoBucket { bucket: self.bucket.clone(), endpoint: self.endpoint.clone() }
    }

    /// Checks whether the bucket is versioned and whether the service may list versions. Later deletions use the result.
    ///
    /// # Errors
    /// The storage is unavailable.
    pub async fn check_versioning(&self) -> Result<OldVersions, Error> {
        if self.versioning.get() == UNSUPPORTED {
            return Ok(OldVersions::None);
        }
        let result = self.client.get_bucket_versioning().bucket(&self.bucket).send().await;
        match result.map_err(|error| self.sdk_error("get bucket versioning", self.timeout, error)) {
            // Enabled or suspended: objects that were uploaded while versioning was enabled have versions in either case.
            Ok(response) if response.status().is_some() => {}
            Ok(_) | Err(Error::NotImplemented { .. }) => {
                self.versioning.set(UNVERSIONED);
                return Ok(OldVersions::None);
            }
            // A state that an earlier deletion revealed remains valid.
            Err(Error::Refused { .. }) if self.versioning.get() == UNVERSIONED => return Ok(OldVersions::Unknown),
            Err(Error::Refused { .. }) => {}
            Err(error) => return Err(error),
        }
        match self.list_versions("-", None).await {
            // Only a deletion reveals whether versions may be deleted too.
            Ok(_) if self.versioning.get() == DELETION_REFUSED => Ok(OldVersions::Kept),
            Ok(_) => {
                self.set_versioned();
                Ok(OldVersions::Deleted)
            }
            Err(error) if is_refused(&error) => {
                self.set_deletion_refused(&error);
                Ok(OldVersions::Kept)
            }
            Err(error) => Err(error),
        }
    }

    /// Deletes an object with all its versions. Succeeds if the object does not exist.
    ///
    /// # Errors
    /// The storage is unavailable or refuses the request.
    pub async fn delete(&self, key: &str) -> Result<(), Error> {
        self.cache.remove(key);
        if self.versioning.get() == VERSIONED && self.delete_versions(key).await? {
            return Ok(());
        }
        let request = self.client.delete_object().bucket(&self.bucket).key(key);
        let deleted = match request.send().await.map_err(|error| self.sdk_error("delete object", self.timeout, error)) {
            Ok(deleted) => deleted,
            Err(Error::NotFound { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        let has_versions = deleted.delete_marker() == Some(true) || deleted.version_id().is_some();
        // A concurrent deletion may have been refused meanwhile.
        if has_versions && self.versioning.get() != DELETION_REFUSED {
            self.set_versioned();
            self.delete_versions(key).await?;
        }
        Ok(())
    }

    /// Deletes every version and delete marker of an object. Returns `false` if the service has no permission to do so.
    async fn delete_versions(&self, key: &str) -> Result<bool, Error> {
        loop {
            let mut position = None;
            let mut found = Vec::new();
            // Delete markers hide the versions, so they are deleted last.
            let mut markers = Vec::new();
            loop {
                let page = match self.list_versions(key, position.as_ref()).await {
                    Err(error) if is_refused(&error) => return Ok(self.set_deletion_refused(&error)),
                    page => page?,
                };
                found.extend(page.versions);
                markers.extend(page.markers);
                position = page.next;
                if position.is_none() || found.len() + markers.len() >= VERSIONS_PER_BATCH {
                    break;
                }
            }
            for version in found.iter().chain(&markers) {
                let request = self.client.delete_object().bucket(&self.bucket).key(key).version_id(version);
                match request.send().await.map_err(|error| self.sdk_error("delete object version", self.timeout, error)) {
                    Ok(_) | Err(Error::NotFound { .. }) => {}
                    Err(error) if is_refused(&error) => return Ok(self.set_deletion_refused(&error)),
                    Err(error) => return Err(error),
                }
            }
            if position.is_none() {
                self.versioning.warned.store(false, Ordering::Relaxed);
                return Ok(true);
            }
        }
    }

    /// Lists a page of the versions of one object.
    async fn list_versions(&self, key: &str, position: Option<&(String, String)>) -> Result<VersionPage, Error> {
        let (key_marker, version_marker) = position.cloned().unzip();
        let request = self.client.list_object_versions().bucket(&self.bucket).prefix(key);
        let request = request.set_key_marker(key_marker).set_version_id_marker(version_marker);
        let listed = request.send().await.map_err(|error| self.sdk_error("list object versions", self.timeout, error))?;
        let of_key = |found: Option<&str>, id: Option<&str>| id.filter(|_| found == Some(key)).map(str::to_owned);
        let versions = listed.versions().iter().filter_map(|version| of_key(version.key(), version.version_id()));
        let markers = listed.delete_markers().iter().filter_map(|marker| of_key(marker.key(), marker.version_id()));
        // The listing is by prefix: longer keys that begin with this one come after it.
        let next = listed.next_key_marker().filter(|next| listed.is_truncated() == Some(true) && *next == key);
        let next = next.map(|next| (next.to_owned(), listed.next_version_id_marker().unwrap_or_default().to_owned()));
        Ok(VersionPage { versions: versions.collect(), markers: markers.collect(), next })
    }

    fn set_versioned(&self) {
        if self.versioning.set(VERSIONED) == UNVERSIONED {
            tracing::info!("the bucket {:?} is versioned: a purge deletes all versions of an object", self.bucket);
        }
    }

    /// Always returns `false`, the result of a refused deletion.
    fn set_deletion_refused(&self, error: &Error) -> bool {
        self.versioning.set(DELETION_REFUSED);
        if !self.versioning.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "purged images stay in the bucket {:?} as old versions: allow s3:ListBucketVersions and s3:DeleteObjectVersion, \
                 or set a lifecycle rule with NoncurrentVersionExpiration: {}",
                self.bucket,
                error_chain(error)
            );
        }
        false
    }
}

/// Versions of one object that are kept in memory at a time; an object can have any number.
const VERSIONS_PER_BATCH: usize = 10_000;

struct VersionPage {
    versions: Vec<String>,
    markers: Vec<String>,
    next: Option<(String, String)>,
}

fn is_refused(error: &Error) -> bool {
    matches!(error, Error::Refused { .. } | Error::NotImplemented { .. })
}
