//! Bucket set-up: creation, and the check for versioning.

use super::readiness::cannot_be_used;
use crate::objects::{Error, OldVersions};
use crate::service::Service;
use crate::service::error::{Dependency, chain};

impl Service {
    /// Creates the bucket if it is missing and configured to be created, and checks whether it keeps old versions. Returns
    /// whether the storage is available; logs failures.
    pub async fn prepare_bucket(&self) -> bool {
        let looked = self.check_bucket().await;
        if let Err(error) = &looked {
            self.repeated_failures.warn(cannot_be_used(Dependency::Storage, &chain(error)));
        }
        looked.is_ok()
    }

    async fn check_bucket(&self) -> Result<OldVersions, Error> {
        self.objects.prepare().await?;
        self.objects.check_versioning().await
    }
}
