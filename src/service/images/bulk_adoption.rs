//! Adoption of all objects with a prefix, for operators. It can be interrupted and repeated: objects that were adopted are
//! recognised by their entity tags in the listing, and are not read again.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::stream::{self, StreamExt};

use super::adoption::{Adopted, Adoption, Known, fingerprint_of_object};
use super::adoption_sources::ObjectAddress;
use crate::model::caller::UserId;
use crate::model::id::ImageId;
use crate::model::image::Visibility;
use crate::model::tag::Tag;
use crate::model::upload_properties::UploadProperties;
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

/// How often an object is tried if the database or the storage is unavailable, and how long before each further attempt.
const RETRY_DELAYS: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

impl Service {
    /// Adopts objects, and reports each to `report`, until it breaks. Objects that only the service writes, and folder markers, are
    /// left out.
    ///
    /// # Errors
    /// The bucket cannot be listed, or the database or the storage stays unavailable. Repeating the adoption continues it.
    pub async fn adopt_all(
        self: &Arc<Self>,
        adoption: &BulkAdoption,
        mut report: impl FnMut(AdoptionEvent) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let mut next = None;
        loop {
            let page = self.objects.list_source(&adoption.bucket, &adoption.prefix, next).await;
            let page = page.map_err(|error| match error {
                objects::Error::NotFound { .. } => Error::NotFound { what: format!("bucket named {:?}", adoption.bucket) },
                other => other.into(),
            })?;
            let objects: Vec<_> = page.objects.into_iter().filter(|object| self.is_candidate(adoption, object)).collect();
            if report(AdoptionEvent::Listed(objects.len())).is_break() {
                return Ok(());
            }
            if self.adopt_page(adoption, objects, &mut report).await?.is_break() {
                return Ok(());
            }
            next = page.next;
            if next.is_none() {
                return Ok(());
            }
        }
    }

    /// Adopts the objects of a page. After a failure, no further object is started, but those that are running are finished and
    /// reported.
    async fn adopt_page(
        self: &Arc<Self>,
        adoption: &BulkAdoption,
        objects: Vec<ListedObject>,
        report: &mut impl FnMut(AdoptionEvent) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, Error> {
        let is_stopping = &AtomicBool::new(false);
        let adopting = objects.into_iter().map(|object| async move {
            if is_stopping.load(Ordering::Relaxed) {
                return None;
            }
            let key = object.key.clone();
            Some(self.adopt_listed(adoption, object).await.map(|result| AdoptionEvent::Finished { key, result }))
        });
        let mut finished = stream::iter(adopting).buffer_unordered(adoption.concurrency);
        let mut outcome = Ok(ControlFlow::Continue(()));
        while let Some(event) = finished.next().await {
            match event {
                None => {}
                Some(Err(error)) => outcome = outcome.and(Err(error)),
                Some(Ok(event)) => {
                    let is_break = report(event).is_break();
                    outcome = outcome.map(|before| if is_break { ControlFlow::Break(()) } else { before });
                }
            }
            let is_going_on = matches!(outcome, Ok(ControlFlow::Continue(())));
            is_stopping.store(!is_going_on, Ordering::Relaxed);
        }
        outcome
    }

    fn is_candidate(&self, adoption: &BulkAdoption, object: &ListedObject) -> bool {
        let address = ObjectAddress { bucket: adoption.bucket.clone(), key: object.key.clone() };
        let is_folder = object.size_bytes == 0 && object.key.ends_with('/');
        !is_folder && !self.is_own_object(&address)
    }

    /// Adopts an object, after some retries if necessary. Nobody waits, so it can wait for memory as often as necessary.
    async fn adopt_listed(self: &Arc<Self>, adoption: &BulkAdoption, object: ListedObject) -> Result<AdoptionResult, Error> {
        let mut delays = RETRY_DELAYS.into_iter();
        loop {
            match self.try_to_adopt(adoption, &object).await {
                Err(Error::Overloaded { .. }) => {}
                Err(error @ Error::Unavailable { .. }) => match delays.next() {
                    Some(delay) => tokio::time::sleep(delay).await,
                    None => {
                        // If it is only this object, the others may be adopted nevertheless.
                        self.db.ping().await?;
                        self.objects.check().await?;
                        return Ok(AdoptionResult::Rejected(error));
                    }
                },
                result => return Ok(result.unwrap_or_else(AdoptionResult::Rejected)),
            }
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
            properties: UploadProperties {
                tags: adoption.tags.clone(),
                visibility: adoption.visibility,
                ..UploadProperties::default()
            },
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
