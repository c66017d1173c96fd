//! Adoption of all objects with a prefix, for operators. It can be interrupted and repeated: objects that were adopted are
//! recognised by their entity tags in the listing, and are not read again.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, StreamExt};

use super::adoption::{Adopted, Adoption, Known, fingerprint_of_object};
use super::adoption_sources::ObjectAddress;
use crate::model::caller::UserId;
use crate::model::id::ImageId;
use crate::model::image::Visibility;
use crate::model::tag::Tag;
use crate::objects::{self, ListedObject};
use crate::service::Service;
use crate::service::admission::fair_queue::{Class, Turn, TurnKey};
use crate::service::error::Error;

/// The objects to adopt, and the properties of their images.
#[derive(Debug, Clone)]
pub struct BulkAdoption {
    pub bucket: String,
    pub prefix: String,
    pub user_id: UserId,
    pub tags: Vec<Tag>,
    pub visibility: Visibility,
    /// How many objects are adopted at the same time.
    pub concurrency: usize,
    /// Whether to check the objects without storing anything.
    pub dry_run: bool,
}

/// What became of an object.
#[derive(Debug)]
pub enum AdoptionResult {
    Adopted(ImageId),
    /// The user has an image of it.
    AlreadyAdopted(ImageId),
    /// It could be adopted.
    Valid,
    Rejected(Error),
}

/// Progress of the adoption.
#[derive(Debug)]
pub enum AdoptionEvent {
    /// So many more objects were found.
    Listed(usize),
    Finished {
        key: String,
        result: AdoptionResult,
    },
}

/// How often an object is tried while the database or the storage is unavailable.
const ATTEMPTS: u32 = 4;
/// The delay before the first retry; each further one is twice as long.
const RETRY_DELAY: Duration = Duration::from_secs(1);

impl Service {
    /// Adopts objects, and reports each to `report`. Objects that only the service writes, and folder markers, are left out.
    ///
    /// # Errors
    /// The bucket cannot be listed, or the database or the storage stays unavailable. Repeating the adoption continues it.
    pub async fn adopt_all(
        self: &Arc<Self>,
        adoption: &BulkAdoption,
        mut report: impl FnMut(AdoptionEvent),
    ) -> Result<(), Error> {
        let mut next = None;
        loop {
            let page = self.objects.list_source(&adoption.bucket, &adoption.prefix, next).await;
            let page = page.map_err(|error| match error {
                objects::Error::NotFound { .. } => Error::NotFound { what: format!("bucket named {:?}", adoption.bucket) },
                other => other.into(),
            })?;
            let objects: Vec<_> = page.objects.into_iter().filter(|object| self.is_candidate(adoption, object)).collect();
            report(AdoptionEvent::Listed(objects.len()));
            let adopting = objects.into_iter().map(|object| async move {
                let key = object.key.clone();
                self.adopt_listed(adoption, object).await.map(|result| AdoptionEvent::Finished { key, result })
            });
            let mut finished = stream::iter(adopting).buffer_unordered(adoption.concurrency);
            while let Some(event) = finished.next().await {
                report(event?);
            }
            next = page.next;
            if next.is_none() {
                return Ok(());
            }
        }
    }

    fn is_candidate(&self, adoption: &BulkAdoption, object: &ListedObject) -> bool {
        let address = ObjectAddress { bucket: adoption.bucket.clone(), key: object.key.clone() };
        let is_folder = object.size_bytes == 0 && object.key.ends_with('/');
        !is_folder && !self.is_own_object(&address)
    }

    /// Adopts an object, after some retries if necessary.
    async fn adopt_listed(self: &Arc<Self>, adoption: &BulkAdoption, object: ListedObject) -> Result<AdoptionResult, Error> {
        let mut delay = RETRY_DELAY;
        for _ in 1..ATTEMPTS {
            match self.try_to_adopt(adoption, &object).await {
                Err(Error::Unavailable { .. } | Error::Overloaded { .. }) => {}
                result => return Ok(result.unwrap_or_else(AdoptionResult::Rejected)),
            }
            tokio::time::sleep(delay).await;
            delay *= 2;
        }
        match self.try_to_adopt(adoption, &object).await {
            Err(error @ (Error::Unavailable { .. } | Error::Overloaded { .. })) => Err(error),
            result => Ok(result.unwrap_or_else(AdoptionResult::Rejected)),
        }
    }

    async fn try_to_adopt(self: &Arc<Self>, adoption: &BulkAdoption, object: &ListedObject) -> Result<AdoptionResult, Error> {
        let address = ObjectAddress { bucket: adoption.bucket.clone(), key: object.key.clone() };
        let fingerprint = object.etag.as_ref().map(|etag| fingerprint_of_object(&address, etag));
        if let Known::Image(image) = self.find_adopted(&adoption.user_id, fingerprint.as_deref()).await? {
            return Ok(AdoptionResult::AlreadyAdopted(image.id));
        }
        let turn = Turn::new(TurnKey::User(adoption.user_id.clone()), Class::Request);
        let one = Adoption {
            object: address,
            user_id: adoption.user_id.clone(),
            title: None,
            description: None,
            tags: adoption.tags.clone(),
            visibility: adoption.visibility,
            keep_location: false,
            idempotency_key: None,
        };
        if adoption.dry_run {
            return self.check_object(&turn, one).await.map(|()| AdoptionResult::Valid);
        }
        let Adopted { uploaded, existed } = self.adopt_object(turn, one).await?;
        let id = uploaded.image.id;
        Ok(if existed { AdoptionResult::AlreadyAdopted(id) } else { AdoptionResult::Adopted(id) })
    }
}
