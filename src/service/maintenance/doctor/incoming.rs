//! The doctor's check of the objects of uploads in several requests.

use super::{Fix, MIN_AGE, Report};
use crate::model::draft::UploadId;
use crate::objects::{ListedObject, layout};
use crate::service::Service;
use crate::service::error::Error;
use crate::store;

impl Service {
    /// Reports objects that no row names. The row of an object exists before and after the object.
    pub(super) async fn check_incoming(&self, report: &mut Report, objects: Vec<ListedObject>, fix: Fix) -> Result<(), Error> {
        let cutoff = self.clock.now() - MIN_AGE;
        for object in objects.into_iter().filter(|object| object.modified_at <= cutoff) {
            let Some((id, name)) = layout::parse_incoming(&object.key) else { continue };
            if !self.is_orphan(id, name, &object.key).await? {
                continue;
            }
            if fix.rest {
                let mut tx = self.db.begin().await?;
                store::images::uploads::announce_removal(&mut tx, id, name, self.clock.now()).await?;
                tx.commit().await?;
            }
            report.orphans.push(object.key);
        }
        Ok(())
    }

    async fn is_orphan(&self, id: UploadId, name: &str, key: &str) -> Result<bool, Error> {
        if store::images::uploads::objects(&self.db, id).await?.iter().any(|known| known == name) {
            return Ok(false);
        }
        // The sweeper may have removed the object and then its row since the bucket was listed.
        match self.objects.size(key).await {
            Ok(_) => Ok(true),
            Err(crate::objects::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
