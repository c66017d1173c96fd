//! Adoption: an object that is already in the storage becomes an image.
//!
//! The object is read once. The bytes that were checked are stored under a key of the service, so that the image does not change
//! when the object does. The object stays as it is.

use std::sync::Arc;

use bytes::Bytes;

use super::adoption_sources::ObjectAddress;
use super::idempotency_key::IdempotencyKey;
use super::live::is_live;
use super::upload_request::{AdoptedObject, Origin, Upload, UploadMethod, Uploaded};
use crate::model::caller::{Caller, UserId};
use crate::model::id::ImageId;
use crate::model::image::Image;
use crate::model::upload_properties::UploadProperties;
use crate::objects::source_object::SourceObject;
use crate::objects::{self, layout};
use crate::service::Service;
use crate::service::admission::Admitted;
use crate::service::admission::fair_queue::{Class, Turn, TurnKey};
use crate::service::error::Error;
use crate::service::fingerprint::fingerprint_of;
use crate::store::{self, Tx};

/// An object, and the properties of the image to make of it.
#[derive(Debug, Clone)]
pub struct Adoption {
    pub object: ObjectAddress,
    pub user_id: UserId,
    /// Without a file name, which is the end of the key.
    pub properties: UploadProperties,
    pub idempotency_key: Option<IdempotencyKey>,
}

/// The image of an object.
#[derive(Debug, Clone)]
pub struct Adopted {
    pub uploaded: Uploaded,
    /// Whether the object was adopted before.
    pub existed: bool,
}

/// What is known about an object.
pub(in crate::service) enum Known {
    New,
    /// Its image is live.
    Image(Box<Image>),
    /// Its image was deleted.
    Deleted(ImageId),
}

impl Service {
    /// Makes an image of an object that `ADOPT_SOURCES` permits. If the user already has an image of the same contents of this
    /// object, returns that image as it is now.
    ///
    /// # Errors
    /// The caller is another user or lacks the scope, the object is not permitted or does not exist, or its file is refused as
    /// that of an upload.
    pub async fn adopt(self: &Arc<Self>, caller: &Caller, key: TurnKey, adoption: Adoption) -> Result<Adopted, Error> {
        self.require_adopter_for(caller, &adoption.user_id)?;
        if !self.limits.adoption_sources.permit(&adoption.object, &adoption.user_id) || self.is_own_object(&adoption.object) {
            return Err(Error::forbidden("Objects with this bucket and key cannot be adopted. The operator sets ADOPT_SOURCES."));
        }
        self.adopt_object(Turn::new(key, Class::Request), adoption).await
    }

    /// Returns whether only the service writes this object.
    pub(in crate::service) fn is_own_object(&self, object: &ObjectAddress) -> bool {
        object.bucket == self.objects.bucket() && layout::is_own(&object.key)
    }

    pub(in crate::service) async fn adopt_object(self: &Arc<Self>, turn: Turn, adoption: Adoption) -> Result<Adopted, Error> {
        let request = adoption.clone().into_upload(Bytes::new(), None, None);
        if let Some(image) = self.find_replay(&request).await? {
            return self.existing(&image).await;
        }
        let (bucket, key) = (&adoption.object.bucket, &adoption.object.key);
        let source = self.objects.open_source(bucket, key).await.map_err(explain)?;
        let fingerprint = source.etag().map(|etag| fingerprint_of_object(&adoption.object, etag));
        match self.adopt_source(turn, source, adoption, fingerprint.as_deref()).await {
            // Another request may have adopted the object at the same time.
            Err(error @ (Error::Conflict { .. } | Error::Overloaded { .. })) => {
                match self.find_adopted(&request.user_id, fingerprint.as_deref()).await {
                    Ok(Known::Image(image)) => self.adopted_before(&request, &image).await,
                    _ => Err(error),
                }
            }
            result => result,
        }
    }

    async fn adopt_source(
        self: &Arc<Self>,
        turn: Turn,
        source: SourceObject,
        adoption: Adoption,
        fingerprint: Option<&[u8]>,
    ) -> Result<Adopted, Error> {
        let find = async |adoption: &Adoption| self.find_adopted(&adoption.user_id, fingerprint).await;
        if let Known::Image(image) = find(&adoption).await? {
            return self.adopted_before(&adoption.into_upload(Bytes::new(), None, None), &image).await;
        }
        let (bytes, admitted) = self.read_source(&turn, source).await?;
        // Again, because the wait for memory can be long.
        let replaced = match find(&adoption).await? {
            Known::New => None,
            Known::Deleted(id) => Some(id),
            Known::Image(image) => {
                return self.adopted_before(&adoption.into_upload(Bytes::new(), None, None), &image).await;
            }
        };
        let upload = adoption.into_upload(bytes, fingerprint.map(<[u8]>::to_vec), replaced);
        let uploaded = self.store_upload(admitted, upload).await?;
        Ok(Adopted { uploaded, existed: false })
    }

    async fn adopted_before(&self, request: &Upload, image: &Image) -> Result<Adopted, Error> {
        self.complete_key_of_existing(request, image).await?;
        self.existing(image).await
    }

    /// Reads an object within the memory budget.
    pub(in crate::service) async fn read_source(&self, turn: &Turn, source: SourceObject) -> Result<(Bytes, Admitted), Error> {
        let max = self.limits.max_file_bytes;
        let length = source.length().unwrap_or(max);
        if length > max {
            return Err(self.file_too_large());
        }
        let admitted = self.admission.reserve_file(turn, length).await?;
        self.metrics.observe_stage("admission", admitted.waited);
        let bytes = source.read(length).await?.ok_or_else(|| self.file_too_large())?;
        Ok((bytes, admitted))
    }

    /// Checks that an object could be adopted, without storing anything.
    pub(in crate::service) async fn check_object(&self, turn: &Turn, adoption: Adoption) -> Result<(), Error> {
        let (bucket, key) = (&adoption.object.bucket, &adoption.object.key);
        let source = self.objects.open_source(bucket, key).await.map_err(explain)?;
        let (bytes, _admitted) = self.read_source(turn, source).await?;
        self.check_upload(adoption.into_upload(bytes, None, None), turn).await
    }

    pub(in crate::service) async fn find_adopted(&self, user: &UserId, fingerprint: Option<&[u8]>) -> Result<Known, Error> {
        let Some(fingerprint) = fingerprint else { return Ok(Known::New) };
        let Some(id) = store::images::adopted_objects::find(&self.db, user, fingerprint).await? else { return Ok(Known::New) };
        match store::images::find(&self.db, id).await? {
            Some(image) if image.taken_down.is_some() => Err(Error::forbidden("An administrator has deleted this image.")),
            Some(image) if is_live(&image) => Ok(Known::Image(Box::new(image))),
            _ => Ok(Known::Deleted(id)),
        }
    }

    async fn existing(&self, image: &Image) -> Result<Adopted, Error> {
        self.metrics.count_upload(UploadMethod::Adoption.name(), "replayed");
        let links = self.links(&mut self.signer().await?, image);
        Ok(Adopted { uploaded: Uploaded { image: image.clone(), links }, existed: true })
    }

    /// Records which image was made of an object, in the transaction that stores the image.
    pub(in crate::service) async fn complete_adoption(
        &self,
        tx: &mut Tx,
        object: &AdoptedObject,
        image: &Image,
    ) -> Result<(), Error> {
        let Some(fingerprint) = &object.fingerprint else { return Ok(()) };
        if store::images::adopted_objects::insert(tx, &image.user_id, fingerprint, image.id, object.replaced).await? {
            return Ok(());
        }
        Err(Error::Conflict { message: "Another request is adopting this object.".to_owned() })
    }
}

impl Adoption {
    fn into_upload(self, bytes: Bytes, fingerprint: Option<Vec<u8>>, replaced: Option<ImageId>) -> Upload {
        let Self { object, user_id, properties, idempotency_key } = self;
        let file_name = object.key.rsplit('/').next().map(str::to_owned);
        let origin = AdoptedObject { address: object, fingerprint, replaced, idempotency_key };
        let origin = Origin::Object(Box::new(origin));
        Upload { user_id, properties: UploadProperties { file_name, ..properties }, bytes, origin }
    }
}

/// Storages may quote an entity tag in listings only.
pub(in crate::service) fn fingerprint_of_object(object: &ObjectAddress, etag: &str) -> Vec<u8> {
    fingerprint_of(&[object.bucket.as_bytes(), object.key.as_bytes(), etag.trim_matches('"').as_bytes()])
}

fn explain(error: objects::Error) -> Error {
    match error {
        objects::Error::NotFound { .. } => Error::NotFound { what: "such object, or the service may not read it".to_owned() },
        other => other.into(),
    }
}
