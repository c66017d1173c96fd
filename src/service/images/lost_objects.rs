//! Objects that the database references and the storage does not have: lost, or in another backup. Retrying does not help, so
//! clients get a different error than for an unavailable storage, and each object is logged once.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::model::id::ImageId;
use crate::objects::{self, layout};
use crate::service::Service;
use crate::service::admission::downloads::DownloadError;
use crate::service::error::Error;

/// Keys that are remembered. Beyond this number they are logged again.
const MAX_KEYS: usize = 10_000;

/// The keys that were logged.
#[derive(Debug, Default)]
pub(in crate::service) struct LostObjects(Mutex<HashSet<String>>);

impl LostObjects {
    /// Returns whether the key is new.
    fn add(&self, key: &str) -> bool {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= MAX_KEYS {
            keys.clear();
        }
        keys.insert(key.to_owned())
    }
}

impl Service {
    /// Returns the error for an object of a live image that cannot be read.
    pub(in crate::service) async fn explain_missing(&self, id: ImageId, key: &str, failed: impl Into<DownloadError>) -> Error {
        let failed = failed.into();
        if !matches!(failed, DownloadError::Storage(objects::Error::NotFound { .. })) {
            return failed.into();
        }
        // The image may have been deleted and purged since the look-up.
        let image = match self.find_live(id).await {
            Ok(image) => image,
            Err(error) => return error,
        };
        // Or it was deleted and restored, and its objects have moved.
        if !layout::stored_names(&image).iter().any(|name| layout::key(id, name) == key) {
            return Error::Overloaded { retry_after: Duration::from_secs(1) };
        }
        if self.lost_objects.add(key) {
            self.metrics.lost_objects.inc();
            tracing::error!(
                image_id = %id,
                key,
                "an object is missing from the storage; run `image-service doctor` to list all missing objects"
            );
        }
        Error::FileMissing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_object_is_logged_once_and_memory_is_bounded() {
        let lost = LostObjects::default();
        assert!(lost.add("a") && lost.add("b") && !lost.add("a"));
        (0..2 * MAX_KEYS).for_each(|number| assert!(lost.add(&number.to_string())));
        assert!(lost.0.lock().unwrap().len() <= MAX_KEYS);
    }
}
