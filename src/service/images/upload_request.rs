//! An upload as the service receives it, and what it returns.

use bytes::Bytes;

use super::adoption_sources::ObjectAddress;
use super::idempotency_key::IdempotencyKey;
use super::presigned_urls::Links;
use crate::model::caller::UserId;
use crate::model::collection::CollectionId;
use crate::model::draft::{DraftMethod, UploadId};
use crate::model::id::ImageId;
use crate::model::image::Image;
use crate::model::share::ShareId;
use crate::model::upload_properties::UploadProperties;
use crate::store::jobs::import_queue;

/// A file as it was received, with the texts that describe it.
#[derive(Debug, Clone)]
pub struct Upload {
    pub user_id: UserId,
    pub properties: UploadProperties,
    pub bytes: Bytes,
    pub origin: Origin,
}

/// Where a file comes from, and so which row is completed in the transaction that stores the image.
#[derive(Debug, Clone)]
pub enum Origin {
    /// A form, perhaps with an idempotency key.
    Form(Option<IdempotencyKey>),
    /// An object that is already in the storage.
    Object(Box<AdoptedObject>),
    /// An upload in several requests.
    Draft(DraftOrigin),
    /// A form of a visitor of a share.
    Guest(GuestOrigin),
    /// An item of an import job.
    Import(import_queue::Claim),
}

/// An upload in several requests that becomes an image.
#[derive(Debug, Clone)]
pub struct DraftOrigin {
    pub id: UploadId,
    pub method: DraftMethod,
    /// Where the last piece begins.
    pub received: u64,
    /// Ensures that it becomes one image, and keeps the first response.
    pub key: IdempotencyKey,
}

/// A form of a visitor of a share.
#[derive(Debug, Clone)]
pub struct GuestOrigin {
    pub share: ShareId,
    pub collection: CollectionId,
    /// Ensures that a repeated request stores one image.
    pub key: Option<IdempotencyKey>,
}

/// An object from which an image is made.
#[derive(Debug, Clone)]
pub struct AdoptedObject {
    pub address: ObjectAddress,
    /// Identifies the object and its contents, if the storage has entity tags.
    pub fingerprint: Option<Vec<u8>>,
    /// The deleted image that was made of it before.
    pub replaced: Option<ImageId>,
    pub idempotency_key: Option<IdempotencyKey>,
}

/// How a file is uploaded, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadMethod {
    Form,
    Adoption,
    Direct,
    Tus,
    ResumableForm,
    Share,
    Import,
}

impl From<DraftMethod> for UploadMethod {
    fn from(method: DraftMethod) -> Self {
        match method {
            DraftMethod::Direct => Self::Direct,
            DraftMethod::Tus => Self::Tus,
            DraftMethod::Form => Self::ResumableForm,
        }
    }
}

impl UploadMethod {
    pub fn name(self) -> &'static str {
        match self {
            Self::Form => "form",
            Self::Adoption => "adoption",
            Self::Direct => "direct",
            Self::Tus => "tus",
            Self::ResumableForm => "resumable_form",
            Self::Share => "share",
            Self::Import => "import",
        }
    }
}

impl Upload {
    pub(in crate::service) fn idempotency_key(&self) -> Option<&IdempotencyKey> {
        match &self.origin {
            Origin::Form(key) => key.as_ref(),
            Origin::Object(object) => object.idempotency_key.as_ref(),
            Origin::Draft(draft) => Some(&draft.key),
            Origin::Guest(guest) => guest.key.as_ref(),
            Origin::Import(_) => None,
        }
    }

    /// The upload in several requests that becomes this image.
    pub(in crate::service) fn draft(&self) -> Option<UploadId> {
        if let Origin::Draft(draft) = &self.origin { Some(draft.id) } else { None }
    }

    pub(in crate::service) fn method(&self) -> UploadMethod {
        match self.origin {
            Origin::Form(_) => UploadMethod::Form,
            Origin::Object(_) => UploadMethod::Adoption,
            Origin::Draft(ref draft) => draft.method.into(),
            Origin::Guest(_) => UploadMethod::Share,
            Origin::Import(_) => UploadMethod::Import,
        }
    }
}

/// The stored image, and links to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Uploaded {
    pub image: Image,
    pub links: Links,
}
