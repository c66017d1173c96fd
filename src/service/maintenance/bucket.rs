//! The bucket: that it is there, and whether it keeps old versions of what is purged.

use super::readiness::cannot_be_used;
use crate::objects::{Error, OldVersions};
use crate::service::Service;
use crate::service::error::{Dependency, chain};

impl Service {
    /// Creates the bucket if it is missing and configured to be, and looks whether it keeps old versions. Returns whether the storage
    /// answered; logs what went wrong.
    pub async fn prepare_bucket(&self) -> bool {
        let looked = self.look_at_bucket().await;
        if let Err(error) = &looked {
            self.repeated.warn(cannot_be_used(Dependency::Storage, &chain(error)));
        }
        looked.is_ok()
    }

    async fn look_at_bucket(&self) -> Result<OldVersions, Error> {
        self.objects.prepare().await?;
        self.objects.check_versioning().await
    }
}
