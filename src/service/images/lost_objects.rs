//! Objects that the database knows and the storage does not have: lost, or in another backup. Waiting does not bring them back, so
//! clients are told something else than that the storage is down, and the operator is told once.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::model::id::ImageId;
use crate::objects::{self, layout};
use crate::service::Service;
use crate::service::admission::downloads::DownloadError;
use crate::service::error::Error;

/// Keys that are remembered; of more than that the log tells again.
const MAX_KEYS: usize = 10_000;

/// The keys that were told of.
#[derive(Debug, Default)]
pub(in crate::service) struct LostObjects(Mutex<HashSet<String>>);

impl LostObjects {
    /// Whether this is the first that is heard of it.
    fn add(&self, key: &str) -> bool {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= MAX_KEYS {
            keys.clear();
        }
        keys.insert(key.to_owned())
    }
}

impl Service {
    /// Why an object of a live image cannot be read.
    pub(in crate::service) async fn explain_missing(&self, id: ImageId, key: &str, failed: impl Into<DownloadError>) -> Error {
        let failed = failed.into();
        if !matches!(failed, DownloadError::Storage(objects::Error::NotFound { .. })) {
            return failed.into();
        }
        // It may have been deleted and purged since it was looked up.
        let image = match self.find_live(id).await {
            Ok(image) => image,
            Err(error) => return error,
        };
        // Or deleted and restored, and its objects moved.
        if !layout::stored_names(&image).iter().any(|name| layout::key(id, name) == key) {
            return Error::Overloaded { retry_after: Duration::from_secs(1) };
        }
        if self.lost_objects.add(key) {
            self.metrics.lost_objects.inc();
            tracing::error!(image_id = %id, key, "the storage does not have this object; `image-service doctor` lists all that are missing");
        }
        Error::FileMissing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_object_is_told_of_once_and_few_are_remembered() {
        let lost = LostObjects::default();
        assert!(lost.add("a") && lost.add("b") && !lost.add("a"));
        (0..2 * MAX_KEYS).for_each(|number| assert!(lost.add(&number.to_string())));
        assert!(lost.0.lock().unwrap().len() <= MAX_KEYS);
    }
}
